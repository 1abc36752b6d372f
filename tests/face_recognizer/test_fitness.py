"""Looks that say nothing about whose face it is are named by what is wrong with them."""

import cv2
import numpy as np
import pytest

from face_recognizer import unfit
from face_recognizer.fitness import SMALLEST_FACE


@pytest.fixture
def face(detector, stranger) -> np.ndarray:
    return detector.detect(stranger)[0].copy()


def test_a_portrait_and_the_sample_are_fit(detector, stranger, live_frames, face):
    assert unfit(stranger, face) == ""
    assert [unfit(frame, detector.detect(frame)[0]) for frame in live_frames[:80:10]] == [""] * 8


@pytest.mark.parametrize("side, verdict", [(SMALLEST_FACE - 3, "too small"), (SMALLEST_FACE + 3, "")])
def test_small_faces_are(stranger, face, side, verdict):
    scale = side / face[2:4].max()
    face[:14] *= scale
    assert unfit(cv2.resize(stranger, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), face) == verdict


def eyes_apart(face: np.ndarray) -> float:
    return float(np.linalg.norm(face[6:8] - face[4:6]))


@pytest.mark.parametrize("side", [-1, 1])
def test_turned_faces_are(stranger, face, side):
    face[8] += 0.15 * side * eyes_apart(face)
    assert unfit(stranger, face) == ""
    face[8] += 0.3 * side * eyes_apart(face)
    assert unfit(stranger, face) == "turned away"


@pytest.mark.parametrize("way", [-1, 1])
def test_bowed_and_raised_faces_are(stranger, face, way):
    face[9] += 0.4 * way * eyes_apart(face)
    assert unfit(stranger, face) == "bowed"


@pytest.mark.parametrize("light, verdict", [(0.1, ""), (0.04, "unclear")])
def test_dark_faces_are(detector, stranger, light, verdict):
    dark = (stranger * light).astype(np.uint8)
    assert unfit(dark, detector.detect(dark)[0]) == verdict


def test_blurred_faces_are(stranger, face):
    blurred = cv2.GaussianBlur(stranger, (0, 0), 0.06 * face[2:4].max())
    assert unfit(blurred, face) == "too blurred"
    assert unfit(cv2.GaussianBlur(stranger, (0, 0), 0.005 * face[2:4].max()), face) == ""
