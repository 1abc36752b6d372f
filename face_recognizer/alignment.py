"""The face as the recognition network wants it: eyes, nose and mouth always at the same places."""

import cv2
import numpy as np

# Side in pixels of an aligned face, and where the right eye, left eye, nose tip, right and left corner of the mouth lie
# in it. Source: OpenCV's FaceRecognizerSF::alignCrop, whose faces the network was trained on.
SIDE = 112
PLACES = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])


def aligned(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The face, turned, scaled and moved to its place: uint8 (112, 112, 3) BGR, black where the frame ends.

    frame: uint8 (height, width, 3) BGR. face: float (>=14,), a row of FaceDetector.detect. Raises ValueError where all
    five landmarks lie on one spot.
    """
    return cv2.warpAffine(frame, similarity(face[4:14].reshape(5, 2)), (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def similarity(landmarks: np.ndarray) -> np.ndarray:
    """The rotation, scaling and shift, float64 (2, 3), that brings five points nearest to PLACES, by least squares.

    landmarks: float (5, 2), x and y in pixels. Source: S. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", IEEE PAMI 13, 1991; in the plane, with points as complex numbers, one
    quotient.
    """
    points, places = (np.asarray(xy, np.float64) @ (1, 1j) for xy in (landmarks, PLACES))
    spread = points - points.mean()
    size = np.vdot(spread, spread).real
    if not size > 0:
        raise ValueError("a face whose landmarks all lie on one spot")
    turn = np.vdot(spread, places - places.mean()) / size
    shift = places.mean() - turn * points.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
