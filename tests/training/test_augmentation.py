"""The variation of crops in training, on pictures whose every pixel is known."""

import cv2
import numpy as np
import pytest

from face_detector import VIEW_SIDE as SIDE
from face_detector import shrunk
from training import augmentation
from training.augmentation import reframed, relit, vary

SIZE = 32


def disc(x=0.5, y=0.5, radius=0.1):
    """A white disc on black, its centre and radius in parts of the side."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(picture, (round(x * SIDE), round(y * SIDE)), round(radius * SIDE), (255, 255, 255), -1)
    return picture


def noise():
    return np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@pytest.fixture
def still(monkeypatch):
    for name in ("ROTATION", "SHIFT", "ZOOM"):
        monkeypatch.setattr(augmentation, name, 0.0)
    return monkeypatch


def middle_of(view: np.ndarray) -> tuple[float, float]:
    light = view.astype(float).sum(axis=2)
    return tuple((np.indices(light.shape)[axis] * light).sum() / light.sum() for axis in (1, 0))


@pytest.mark.parametrize("side, size", [(96, 24), (96, 32), (64, 64), (50, 32)])
def test_a_view_has_the_networks_shape_and_the_crop_stays_as_it_was(side, size):
    crop = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    before = crop.copy()
    seen = vary(crop, size, np.random.default_rng(0))
    assert seen.shape == (size, size, 3) and seen.dtype == np.uint8
    assert np.array_equal(crop, before)


def test_the_same_seed_gives_the_same_view_and_another_seed_another():
    first, again, other = (vary(noise(), SIZE, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 5


@pytest.mark.parametrize("seed", range(6))
def test_a_window_that_does_not_move_shows_what_the_authenticator_sees(still, seed):
    smooth = cv2.GaussianBlur(noise(), (0, 0), 3)
    smooth = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    seen = shrunk(smooth, SIZE).astype(float)
    drawn = reframed(smooth, SIZE, np.random.default_rng(seed)).astype(float)
    apart = min(np.abs(drawn - seen).mean(), np.abs(drawn[:, ::-1] - seen).mean())
    assert apart < 2 < np.abs(seen[:, ::-1] - seen).mean()


def test_half_of_the_views_are_mirrored(still):
    columns = [middle_of(reframed(disc(x=0.75), SIZE, np.random.default_rng(seed)))[0] for seed in range(100)]
    assert 35 < sum(column < SIZE / 2 for column in columns) < 65
    assert np.allclose(np.abs(np.array(columns) - 15.5), 8, atol=0.6)


def test_the_window_moves_as_far_as_it_may_and_no_further(still):
    still.setattr(augmentation, "SHIFT", 0.1)
    places = np.array([middle_of(reframed(disc(), SIZE, np.random.default_rng(seed))) for seed in range(200)]) - 15.5
    assert 2.7 < np.abs(places).max(axis=0).min() and np.abs(places).max() < 3.2 + 0.5
    assert (places.min(axis=0) < -2).all() and (places.max(axis=0) > 2).all()


def test_the_window_zooms_about_its_middle(still):
    still.setattr(augmentation, "ZOOM", 0.15)
    views = [reframed(disc(radius=0.2), SIZE, np.random.default_rng(seed)) for seed in range(200)]
    areas = np.array([view.astype(float).mean() for view in views])
    plain = shrunk(disc(radius=0.2), SIZE).astype(float).mean()
    assert np.exp(-0.32) < areas.min() / plain < np.exp(-0.25) and np.exp(0.25) < areas.max() / plain < np.exp(0.34)
    assert np.allclose([middle_of(view) for view in views], 15.5, atol=0.5)


def test_the_window_turns_about_its_middle(still):
    still.setattr(augmentation, "ROTATION", 20.0)
    picture = disc(x=0.8, radius=0.05)
    angles = []
    for seed in range(200):
        column, row = np.array(middle_of(reframed(picture, SIZE, np.random.default_rng(seed)))) - 15.5
        angles.append(np.degrees(np.arctan2(row, abs(column))))
        assert np.hypot(column, row) == pytest.approx(0.3 * SIZE, abs=0.6)
    assert -22 < min(angles) < -17 and 17 < max(angles) < 22


def test_beyond_the_crop_its_edge_is_carried_on():
    grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
    for seed in range(50):
        assert (reframed(grey, SIZE, np.random.default_rng(seed)) == 90).all()


def test_light_varies_but_what_is_brighter_stays_brighter():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (8, 1, 3))
    means = []
    for seed in range(100):
        lit = relit(ramp, np.random.default_rng(seed)).astype(int)
        assert (np.diff(lit, axis=1) >= 0).all() and (lit[:, 0] == 0).all()
        means.append(lit.mean(axis=(0, 1)))
    means = np.array(means)
    assert np.ptp(means, axis=0).min() > 60
    # Colours vary too, and by less.
    casts = np.log(means[:, 2] / means[:, 0])
    assert casts.min() < -0.15 and casts.max() > 0.15 and np.abs(casts).max() < 0.5


def test_brightness_then_tells_two_rooms_apart_no_more_for_sure():
    """Two whose brightness told them apart without fail, before."""
    rng = np.random.default_rng(0)
    dark, bright = ([relit(np.full((8, 8, 3), level, np.uint8), rng).mean() for _ in range(200)] for level in (90, 120))
    assert 0.55 < (np.array(bright)[:, None] > np.array(dark)).mean() < 0.9
