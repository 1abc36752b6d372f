"""Simulated attacks, on crops whose every pixel is known."""

import cv2
import numpy as np
import pytest

from training import simulated_replay

SIDE = 128
WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)


def live_crop():
    """A grey face before a green room, with texture."""
    crop = np.full((SIDE, SIDE, 3), (60, 160, 60), np.uint8)
    cv2.ellipse(crop, (64, 64), (20, 26), 0, 0, 360, (150, 150, 150), -1)
    grain = np.random.default_rng(0).normal(0, 20, crop.shape)
    return np.clip(crop + grain, 0, 255).astype(np.uint8)


def simulated(count=40, inside=WHOLE, crop=None):
    crop = live_crop() if crop is None else crop
    return [simulated_replay.simulate(crop, inside, 2.7, np.random.default_rng(seed)) for seed in range(count)]


def test_the_same_seed_makes_the_same_replay_and_the_live_crop_stays_as_it_was():
    crop = live_crop()
    before = crop.copy()
    first, again, other = (
        simulated_replay.simulate(crop, WHOLE, 2.7, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first.shape == crop.shape and first.dtype == np.uint8
    assert np.array_equal(first, again) and np.abs(first.astype(int) - other).mean() > 5
    assert np.array_equal(crop, before)


def test_the_face_is_still_there_and_has_lost_sharpness():
    face = (slice(50, 78), slice(50, 78))
    fine = [np.abs(cv2.Laplacian(view[face], cv2.CV_32F)).mean() for view in simulated()]
    live = np.abs(cv2.Laplacian(live_crop()[face], cv2.CV_32F)).mean()
    assert np.median(fine) < 0.6 * live
    crop = live_crop()
    crop[50:78, 50:78] = np.tile(np.linspace(30, 220, 28)[None, :, None], (28, 1, 3))  # a face lit from one side
    slopes = [np.corrcoef(view[face].mean(axis=(0, 2)), np.arange(28))[0, 1] for view in simulated(crop=crop)]
    assert np.mean(np.array(slopes) > 0.8) > 0.9


def test_some_show_the_edge_of_the_device_and_some_do_not():
    """Between the room's green on the screen and what surrounds it there is no green."""
    greenish = []
    for view in simulated(60):
        wide = view.astype(int)
        green = wide[..., 1] - (wide[..., 0] + wide[..., 2]) / 2 > 15
        greenish.append(green[:, [2, -3]].mean())
    assert min(greenish) < 0.1 and max(greenish) > 0.6


def test_what_the_recording_did_not_show_is_not_on_the_screen():
    """Red stands for what a live crop has beyond the frame: it must not be seen."""
    crop = live_crop()
    crop[:, :32] = crop[:, 96:] = (0, 0, 255)
    inside = np.array([0.25, 0.0, 0.75, 1.0])
    for view in simulated(20, inside, crop):
        middle = view[40:90].astype(int)
        red = middle[..., 2] - middle[..., :2].max(axis=-1)
        assert np.mean(red[:, 34:94] > 120) < 0.05


@pytest.mark.parametrize("inside", [(0.0, 0.0, 0.2, 1.0), (0.45, 0.45, 0.55, 0.55), (0.0, 0.9, 1.0, 1.0)])
@pytest.mark.parametrize("margin", [1.0, 2.7, 4.0])
def test_any_crop_can_be_simulated(inside, margin):
    for seed in range(20):
        view = simulated_replay.simulate(live_crop(), np.array(inside), margin, np.random.default_rng(seed))
        assert view.shape == (SIDE, SIDE, 3)
