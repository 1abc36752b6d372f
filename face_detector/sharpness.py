"""How sharp a face is."""

import cv2
import numpy as np

from face_detector.crop import cut


def sharpness(frame: np.ndarray, box: np.ndarray) -> float:
    """How many times weaker the face's fine detail gets by blurring: little is left to lose in a blurred one.

    frame: uint8 (height, width, 3) BGR. box: x, y, width, height in pixels. Neither brightness nor contrast counts,
    nor, beyond 64 pixels, the face's size.
    Idea: F. Crete et al., "The blur effect", Human Vision and Electronic Imaging XII, 2007.
    """
    grey = cv2.cvtColor(cut(frame, box, margin=1.0, side=64)[0], cv2.COLOR_BGR2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.7)  # noise and the blocks of compression are no detail
    detail, blurred = (
        np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in (grey, cv2.GaussianBlur(grey, (0, 0), 2))
    )
    return float(detail / max(blurred, 1e-3))
