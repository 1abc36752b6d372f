"""Faces come to their place by the similarity that least squares gives."""

import cv2
import numpy as np
import pytest

from face_recognizer.alignment import PLACES, SIDE, aligned, similarity


def moved(points: np.ndarray, degrees: float, scale: float, shift) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


@pytest.mark.parametrize("degrees, scale, shift", [(0, 1, (0, 0)), (30, 2.5, (100, 40)), (-170, 0.3, (-8, 600))])
def test_a_face_that_only_moved_comes_back_to_its_place(degrees, scale, shift):
    matrix = similarity(moved(PLACES, degrees, scale, shift))
    turned = moved(PLACES, degrees, scale, shift)
    np.testing.assert_allclose(turned @ matrix[:, :2].T + matrix[:, 2], PLACES, atol=1e-9)


def test_any_other_face_comes_as_near_as_least_squares_can(detector, live_frames, stranger):
    rng = np.random.default_rng(0)
    faces = [*(detector.detect(frame)[0, 4:14].reshape(5, 2) for frame in (*live_frames[::40], stranger))]
    for landmarks in [*faces, rng.uniform(0, 300, (5, 2)), rng.uniform(-1, 1, (5, 2)).astype(np.float32)]:
        (a, b, x, y), *_ = np.linalg.lstsq(
            np.concatenate([[[px, -py, 1, 0], [py, px, 0, 1]] for px, py in landmarks.astype(float)]), PLACES.ravel()
        )
        np.testing.assert_allclose(similarity(landmarks), [[a, -b, x], [b, a, y]], rtol=1e-6, atol=1e-6)


def test_landmarks_on_one_spot_are_refused():
    with pytest.raises(ValueError, match="one spot"):
        similarity(np.full((5, 2), 7.0))
    with pytest.raises(ValueError, match="one spot"):
        similarity(np.full((5, 2), np.nan))


@pytest.mark.parametrize("degrees", [0, 25])
def test_the_face_goes_where_its_landmarks_do(detector, stranger, degrees):
    height, width = stranger.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.7)
    face = detector.detect(stranger)[0]
    face[4:14] = (face[4:14].reshape(5, 2) @ turn[:, :2].T + turn[:, 2]).ravel()
    picture = aligned(cv2.warpAffine(stranger, turn, (width, height)), face)
    assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.uint8
    found = detector.detect(cv2.copyMakeBorder(picture, *[SIDE] * 4, cv2.BORDER_CONSTANT))[0, 4:14] - SIDE
    matrix = similarity(face[4:14].reshape(5, 2))
    expected = face[4:14].reshape(5, 2) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found.reshape(5, 2) - expected).max() < 4
    assert np.abs(expected - PLACES).max() < 6


def test_what_lies_beyond_the_frame_is_black(detector, live_frames):
    face = detector.detect(live_frames[0])[0]
    whole = aligned(live_frames[0], face)
    left = int(face[0] + face[2] / 2)
    face[4:14:2] -= left
    cut = aligned(live_frames[0][:, left:], face)
    assert (cut[:, 0] == 0).all() and (cut[:, -1] == whole[:, -1]).all()
