"""How a head is turned and bowed, by the five landmarks of its face."""

import numpy as np


def yaw(face: np.ndarray) -> float:
    """How far the head is turned: 0 frontal, above 0 to the user's own left, below 0 to the right.

    face: float (>=14,), a row of FaceDetector.detect, of a picture that is not mirrored. Returned is the nose's
    place along the line of the eyes, in eye distances from the line between eyes and mouth. The axes are the
    face's own, so whatever tilts, shears or stretches a flat picture of a face moves the nose with them and changes
    nothing; the nose of a head stands before that plane, and goes aside. Measured along the eye line alone, a
    photo reaches 0.4 when it is tilted by 45 degrees about a diagonal axis.
    """
    eyes, down, nose, area = _axes(face)
    return float((nose[0] * down[1] - nose[1] * down[0]) / area) if area > 0 else 0.0


def pitch(face: np.ndarray) -> float:
    """How far the head is bowed: where the nose's tip stands between the eyes, 0, and the mouth, 1; half-way or a
    little below when looking ahead, nearer to the mouth the lower the head.

    face: as for yaw(), whose axes these are.
    """
    eyes, _, nose, area = _axes(face)
    return float((eyes[0] * nose[1] - eyes[1] * nose[0]) / area) if area > 0 else 0.0


def _axes(face: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """From the middle of the eyes: to the left eye (twice), to the middle of the mouth, to the nose; and the area that
    the first two span. Not above 0: eyes and mouth in one line, or a face inside out. No face is seen so, but a
    detector may err."""
    right_eye, left_eye, nose, right_mouth, left_mouth = face[4:14].astype(float).reshape(5, 2)
    middle = (right_eye + left_eye) / 2
    eyes, down = left_eye - right_eye, (right_mouth + left_mouth) / 2 - middle
    return eyes, down, nose - middle, eyes[0] * down[1] - eyes[1] * down[0]
