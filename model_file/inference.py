"""LivenessNet as the authenticator runs it: in OpenCV DNN, without TensorFlow."""

from pathlib import Path

import cv2
import numpy as np

from model_file import graph_check
from model_file.archive import GRAPH, read_archive
from model_file.encoder import LABELS, read_labels
from model_file.opencv import forward, read_network
from model_file.reading import ModelError, is_original
from model_file.scores import DEFAULT_WEIGHT, calibrate


def load(path: str | Path, encoder: str | Path) -> "FastNet":
    """Load a model for inference, ours or one that the original's train.py wrote (HDF5).

    encoder: the le.pickle that belongs to it. Raises ModelError.
    """
    path = Path(path)
    labels = read_labels(encoder)
    if is_original(path):
        from model_file.original import converted

        path = converted(path, labels)
    graph, details = read_archive(path)
    if details["labels"] != labels:
        raise ModelError(
            f"{encoder}: its labels {labels} are not those of {path}, {details['labels']}; "
            "take the two files that one training wrote together"
        )
    try:
        graph_check.check(graph, details["input_size"])
        return FastNet(read_network(graph), details)
    except (cv2.error, graph_check.GraphError):
        raise ModelError(f"{path}: {GRAPH} in it is no network that OpenCV can run; train it again") from None


class FastNet:
    """LivenessNet in OpenCV DNN: half a millisecond a face, no TensorFlow.

    input_size: side in pixels of the crops it takes. margin: how wide they are cut. weight: how much its word counts
    beside the witness', see scores.fuse. details: all that the archive says about itself.
    """

    def __init__(self, network: "cv2.dnn.Net", details: dict):
        self.details = details
        self.input_size: int = details["input_size"]
        self.margin: float = details["margin"]
        self.weight: float = details.get("weight", DEFAULT_WEIGHT)
        self._network = network
        self._real = details["labels"].index("real")
        # The first call sets up the engine; better now than while somebody waits. It also shows whether
        # the graph is what the details say.
        probe = np.zeros((1, self.input_size, self.input_size, 3), np.float32)
        shares = forward(self._network, probe)
        if shares.shape != (1, len(LABELS)) or not abs(shares.sum() - 1) < 1e-3 or shares.min() < 0:
            raise cv2.error("not a LivenessNet")

    def log_odds(self, crops: np.ndarray, reach: np.ndarray | float = np.inf) -> np.ndarray:
        """How much speaks for a live face, calibrated so that 0 is the operating point.

        crops: uint8 (N, input_size, input_size, 3) BGR, N from 1. reach: float (N,), see face_detector.reach, or one
        for all; infinite where the frame goes on beyond the crop. Returns float64 (N,).
        """
        raw = forward(self._network, np.asarray(crops, np.float32) / 255)[:, self._real]
        return calibrate(raw, reach, self.details["calibration"])
