"""Find faces with OpenCV DNN and cut out what the liveness network looks at.

    detector = FaceDetector("face_detector")      # fetches the weights on first use
    faces = detector.detect(frame)                # float32 (N, 15), N may be 0
    crop, inside = cut(frame, faces[0, :4])       # the face and its surroundings

README.md in this folder says which network it is and where its weights come from.
"""

from face_detector.crop import CROP_MARGIN, CROP_SIDE, VIEW_SIDE, cut, reach, reach_within, shrunk, view
from face_detector.pose import pitch, yaw
from face_detector.sharpness import sharpness
from face_detector.turn import TURNS, UPRIGHT, turn_of
from face_detector.yunet import DetectorError, FaceDetector

__all__ = [
    "CROP_MARGIN",
    "CROP_SIDE",
    "DetectorError",
    "FaceDetector",
    "TURNS",
    "UPRIGHT",
    "VIEW_SIDE",
    "cut",
    "pitch",
    "reach",
    "reach_within",
    "sharpness",
    "shrunk",
    "turn_of",
    "view",
    "yaw",
]
