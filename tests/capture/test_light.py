"""Dark is where nothing can be told, and nothing else."""

import cv2
import numpy as np
import pytest

from capture import light
from capture.light import is_dark


def dimmed(frames: np.ndarray, share: float) -> np.ndarray:
    """As a camera in bad light gives them: darker, with noise."""
    noise = np.random.default_rng(0).normal(0, 1.5, frames.shape)
    return np.clip(frames * share + noise, 0, 255).astype(np.uint8)


def test_a_dim_face_that_can_be_found_is_not_dark(live_frames, detector):
    frames = dimmed(live_frames[::10], 0.2)
    assert all(len(detector.detect(frame)) for frame in frames)
    assert not any(is_dark(frame) for frame in frames)


def test_too_little_light_is_dark(live_frames):
    assert all(is_dark(frame) for frame in dimmed(live_frames[::10], 0.1))


@pytest.mark.parametrize("size", [(1, 1), (144, 176), (480, 640), (2160, 3840)])
def test_black_is_dark_and_light_is_not_at_any_size(size):
    assert is_dark(np.zeros((*size, 3), np.uint8)) is True
    assert is_dark(np.full((*size, 3), 90, np.uint8)) is False


def test_the_noise_of_a_covered_camera_is_dark():
    frame = np.clip(np.random.default_rng(1).normal(8, 12, (480, 640, 3)), 0, 255).astype(np.uint8)
    assert frame.max() > light.DARK_LEVEL
    assert is_dark(frame)


def test_a_phone_in_a_dark_room_is_not_dark(live_frames, detector):
    """Small enough that the face on it is only just found."""
    room = dimmed(np.zeros((1, 480, 640, 3)), 1)[0]
    room[200:236, 300:344] = cv2.resize(live_frames[0], (44, 36), interpolation=cv2.INTER_AREA)
    assert not is_dark(room)
