"""Inference graphs in OpenCV DNN."""

from collections.abc import Callable

import cv2
import numpy as np


def in_opencv(graph: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A graph that was just written, as inference runs it, not calibrated yet: float32 (N, height, width, depth), 0 to
    1, -> float32 (N, classes). For one thread at a time."""
    network = read_network(graph)
    return lambda images: forward(network, images)


def read_network(graph: bytes) -> "cv2.dnn.Net":
    return cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))


def forward(network: "cv2.dnn.Net", images: np.ndarray) -> np.ndarray:
    """float32 (N, height, width, depth), 0 to 1 -> float32 (N, classes)."""
    network.setInput(images)
    # OpenCV 4 returns (N, 1, classes) for a batch.
    return network.forward().reshape(len(images), -1)
