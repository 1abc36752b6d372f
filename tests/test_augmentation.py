"""The variation of crops in training, on pictures whose every pixel is known."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from augmentation import FAKE, REAL, Recipe, batch, degrade, evaluation_batch, reframe, relight    # noqa: E402

SIDE = 128
WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
STILL = Recipe(margins=(2.7, 2.7), shift=0, rotation=0)


def disc(x=0.5, y=0.5, radius=0.1):
    """A white disc on black, its centre and radius in parts of the side."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(picture, (round(x * SIDE), round(y * SIDE)), round(radius * SIDE), (255, 255, 255), -1)
    return picture


def crops(count):
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("size", [32, 64])
def test_a_batch_has_the_networks_shape_range_and_labels_in_order(size):
    pictures, classes = batch(crops(6), np.tile(WHOLE, (6, 1)), np.array([REAL, FAKE] * 3),
                              np.random.default_rng(0), size)
    assert pictures.shape == (6, size, size, 3) and pictures.dtype == np.float32
    assert 0 <= pictures.min() and 0.5 < pictures.max() <= 1
    assert classes.dtype == np.float32 and classes.tolist() == [[0, 1], [1, 0]] * 3


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    inside, labels = np.tile(WHOLE, (4, 1)), np.array([REAL, FAKE] * 2)
    first, again, other = (batch(crops(4), inside, labels, np.random.default_rng(seed), 64)[0]
                           for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02


def test_the_crops_given_stay_as_they_were():
    pictures = crops(4)
    before = pictures.copy()
    batch(pictures, np.tile(WHOLE, (4, 1)), np.array([REAL] * 4), np.random.default_rng(0), 64)
    assert np.array_equal(pictures, before)


def test_a_window_that_does_not_move_shows_what_the_authenticator_sees():
    picture = cv2.GaussianBlur(crops(1)[0], (0, 0), 4)
    seen = evaluation_batch(picture[None], 64)[0] * 255
    view = reframe(picture, WHOLE, np.random.default_rng(0), 64, STILL).astype(float)
    mirrored = view[:, ::-1]
    assert min(np.abs(view - seen).max(), np.abs(mirrored - seen).max()) < 2


def test_a_wider_window_shows_the_face_smaller():
    def area(margin):
        recipe = replace(STILL, margins=(margin, margin))
        return reframe(disc(), WHOLE, np.random.default_rng(0), 64, recipe).mean()
    assert area(2.3) / area(2.7) == pytest.approx((2.7 / 2.3) ** 2, rel=0.05)
    assert area(3.1) / area(2.7) == pytest.approx((2.7 / 3.1) ** 2, rel=0.05)


def test_the_window_moves_as_far_as_the_recipe_says_and_no_further():
    recipe = replace(STILL, shift=0.3)
    columns = []
    for seed in range(60):
        view = reframe(disc(), WHOLE, np.random.default_rng(seed), 64, recipe)[..., 0].astype(float)
        columns.append((view.sum(0) * np.arange(64)).sum() / view.sum() - 31.5)
    reach = 0.3 / 2.7 * 64
    assert 0.8 * reach < np.abs(columns).max() < reach + 1
    assert min(columns) < 0 < max(columns)


def test_beyond_the_frame_its_edge_is_carried_on():
    # Grey within the frame; what the crop holds beyond it must never be seen.
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    picture[32:96, 32:96] = 90
    inside = np.array([0.25, 0.25, 0.75, 0.75])
    for seed in range(20):
        view = reframe(picture, inside, np.random.default_rng(seed), 64, Recipe())
        assert np.unique(view).tolist() == [90]


def test_light_varies_but_what_is_brighter_stays_brighter():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (8, 1, 3))
    means = []
    for seed in range(40):
        lit = relight(ramp, np.random.default_rng(seed), Recipe()).astype(int)
        assert (np.diff(lit, axis=1) >= 0).all()
        means.append(lit.mean())
    assert max(means) - min(means) > 40


def test_degrading_blurs_adds_grain_and_compresses_as_the_recipe_says():
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 200
    none = Recipe(blur_share=0, noise_share=0, jpeg_share=0)
    rng = np.random.default_rng(3)
    assert np.array_equal(degrade(edge, rng, none), edge)
    blurred = degrade(edge, rng, replace(none, blur_share=1))
    assert 0 < blurred[30, 31, 0] < 200
    grain = degrade(edge, rng, replace(none, noise_share=1))[:, 40:].astype(float)
    assert 0.5 < grain.std() < none.noise
    blocks = degrade(edge, rng, replace(none, jpeg_share=1, jpeg=(20, 20)))
    assert blocks.shape == edge.shape and 0 < np.abs(blocks.astype(int) - edge).max()
