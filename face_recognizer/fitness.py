"""Which looks at a face say whose it is: large, sharp, lit, and the face looks ahead."""

import numpy as np

from face_detector import pitch, sharpness, yaw

# All chosen on 13 people's videos, each against templates from another part of it: of 539 fit looks the lowest scored
# 0.41, of those left out 0.13.
# The longer side of the box, in pixels. Scaled down to 40 a face loses 0.05 in the median, to 24 it loses 0.2.
SMALLEST_FACE = 40
# The detector's confidence, 0 to 1. Faces in the dark, half hidden, or far from frontal lie below; half of the scores
# of those between 0.85 and 0.9 are below 0.5.
LEAST_SURE = 0.9
# See face_detector.yaw. Beyond 0.6 half of the scores are below 0.5.
FARTHEST_TURN = 0.3
# See face_detector.pitch: on either side of these half of the scores are below 0.5.
HIGHEST_NOSE, LOWEST_NOSE = 0.47, 0.66
# See face_detector.sharpness. Blurred by 2 % of the face's width, a face has 2.1 and loses 0.1; by 3 %, 1.7 and 0.25.
LEAST_SHARPNESS = 1.9


TURNED_AWAY = "turned away"


def unfit(frame: np.ndarray, face: np.ndarray) -> str:
    """Why a look says nothing about whose face it is: "too small", "unclear", "turned away", "bowed" or "too
    blurred"; "" where it does.

    frame: uint8 (height, width, 3) BGR. face: float (15,), a row of FaceDetector.detect.
    """
    if face[2:4].max() < SMALLEST_FACE:
        return "too small"
    if face[14] < LEAST_SURE:
        return "unclear"
    if abs(yaw(face)) > FARTHEST_TURN:
        return TURNED_AWAY
    if not HIGHEST_NOSE <= pitch(face) <= LOWEST_NOSE:
        return "bowed"
    if sharpness(frame, face[:4]) < LEAST_SHARPNESS:
        return "too blurred"
    return ""
