"""Which looks at a face say whose it is: large, lit, sharp, and the face looks ahead."""

import cv2
import numpy as np

from face_detector import pitch, sharpness, yaw
from face_recognizer.alignment import aligned

# The longer side of the box, in pixels.
SMALLEST_FACE = 40
# See face_detector.yaw and pitch.
FARTHEST_TURN = 0.3
HIGHEST_NOSE, LOWEST_NOSE = 0.35, 0.75
# See face_detector.sharpness.
LEAST_SHARPNESS = 1.6
# The mean and the standard deviation of the aligned face's grey, 0 to 255.
DARKEST, FLATTEST = 30, 10


def unfit(frame: np.ndarray, face: np.ndarray) -> str:
    """Why a look says nothing about whose face it is: "too small", "turned away", "bowed", "too dark", "too blurred";
    "" where it does.

    frame: uint8 (height, width, 3) BGR. face: float (>=14,), a row of FaceDetector.detect.
    """
    if face[2:4].max() < SMALLEST_FACE:
        return "too small"
    if abs(yaw(face)) > FARTHEST_TURN:
        return "turned away"
    if not HIGHEST_NOSE <= pitch(face) <= LOWEST_NOSE:
        return "bowed"
    grey = cv2.cvtColor(aligned(frame, face), cv2.COLOR_BGR2GRAY)
    if grey.mean() < DARKEST or grey.std() < FLATTEST:
        return "too dark"
    if sharpness(frame, face[:4]) < LEAST_SHARPNESS:
        return "too blurred"
    return ""
