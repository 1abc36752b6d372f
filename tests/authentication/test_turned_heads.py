"""A turned head is told from a tilted photo."""

import cv2
import numpy as np
import pytest
from heads import HEAD, PHOTO, big, relief, seen, tilt, turned

from authentication.challenge import FRONTAL, TURNED
from face_detector import yaw


def test_the_users_left_and_right_are_told_apart():
    for degrees in (20, 40, 60):
        left, right = yaw(seen(HEAD, turned(degrees), 100)), yaw(seen(HEAD, turned(-degrees), 100))
        assert left > 0 and right == pytest.approx(-left)
    # Far away, the nose is aside by its height over the plane of eyes and mouth, times the tangent.
    assert yaw(seen(HEAD, turned(45), 100, near=1e6)) == pytest.approx(0.5 - 0.62 / 1.1 * 0.05, rel=1e-3)
    assert yaw(seen(HEAD, turned(45, 20, 30), 100, near=1e6)) > 0.4


def test_left_is_left_in_a_real_picture(live_frames, detector):
    frame = big(live_frames[8])
    face = detector.detect(frame)[0]
    # The nose goes to the picture's right, where the user's own left is: the picture is not mirrored.
    assert yaw(detector.detect(relief(frame, face, 46))[0]) >= TURNED
    assert yaw(detector.detect(relief(frame, face, -46))[0]) <= -TURNED
    in_a_mirror = cv2.flip(relief(frame, face, 30), 1)
    assert yaw(detector.detect(in_a_mirror)[0]) < -0.1 < 0.1 < yaw(detector.detect(relief(frame, face, 30))[0])


def test_a_flat_photo_looks_frontal_however_it_is_tilted():
    far = [
        abs(yaw(seen(PHOTO, tilt(axis, angle), 100, flat=True, near=1000)))
        for axis in range(0, 360, 15)
        for angle in (0, 30, 60, 75)
    ]
    assert max(far) < 0.01
    near = [
        abs(yaw(seen(PHOTO, tilt(axis, angle), 100, flat=True, near=5)))
        for axis in range(0, 360, 15)
        for angle in (0, 30, 60)
    ]
    assert max(near) < FRONTAL


def test_no_landmarks_make_a_turn():
    """Eyes and mouth in one point, in one line, or upside down: a detector's mistake, never an answer."""
    for landmarks in (np.zeros(10), np.arange(10), [0, 0, 10, 0, 5, -5, 1, -9, 9, -9]):
        assert yaw(np.array([0, 0, 9, 9, *landmarks, 0.9])) == 0.0
