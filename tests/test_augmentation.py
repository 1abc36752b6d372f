"""The variation of crops in training, on pictures whose every pixel is known."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from augmentation import (  # noqa: E402
    FAKE,
    REAL,
    Recipe,
    as_close_up,
    batch,
    bring_nearer,
    degrade,
    elsewhere,
    evaluation_batch,
    exposed_as,
    face_tone,
    reframe,
    relight,
)

from face_detector import VIEW_SIDE, cut, view  # noqa: E402

SIDE = VIEW_SIDE
WHOLE = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
STILL = Recipe(margins=(2.7, 2.7), shift=0, rotation=0, near_share=0)


def disc(x=0.5, y=0.5, radius=0.1):
    """A white disc on black, its centre and radius in parts of the side."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(picture, (round(x * SIDE), round(y * SIDE)), round(radius * SIDE), (255, 255, 255), -1)
    return picture


def crops(count):
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("size", [24, 64])
def test_a_batch_has_the_networks_shape(size):
    views = batch(crops(6), np.tile(WHOLE, (6, 1)), np.array([REAL, FAKE] * 3), np.random.default_rng(0), size)
    assert views.shape == (6, size, size, 3) and views.dtype == np.uint8
    assert views.max() > 128


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    inside, labels = np.tile(WHOLE, (4, 1)), np.array([REAL, FAKE] * 2)
    first, again, other = (batch(crops(4), inside, labels, np.random.default_rng(seed), 64) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 5


def test_the_crops_given_stay_as_they_were():
    pictures = crops(4)
    before = pictures.copy()
    batch(pictures, np.tile(WHOLE, (4, 1)), np.array([REAL] * 4), np.random.default_rng(0), 64)
    assert np.array_equal(pictures, before)


@pytest.mark.parametrize("seed", range(4))
def test_a_window_that_does_not_move_shows_what_the_authenticator_sees(seed):
    picture = crops(1)[0]
    seen = evaluation_batch(picture[None], 24)[0] * 255
    drawn = reframe(picture, WHOLE, np.random.default_rng(seed), 24, STILL).astype(float)
    # Each of two averages is rounded to whole grey levels.
    assert min(np.abs(drawn - seen).max(), np.abs(drawn[:, ::-1] - seen).max()) <= 1


@pytest.mark.parametrize("edge", [0.5, 0.57, 0.6, 0.64, 0.71, 0.8, 1.1])
def test_of_a_close_up_training_and_authenticator_see_the_same(live_frames, detector, edge):
    x, y, w, h = detector.detect(live_frames[0])[0, :4]
    reach = edge * max(w, h)
    left, top, right, bottom = (max(round(float(at)), 0) for at in (
        x + w / 2 - reach, y + h / 2 - reach, x + w / 2 + reach, y + h / 2 + reach))
    frame, box = live_frames[0][top:bottom, left:right], (x - left, y - top, w, h)
    seen = view(frame, box, 2.7, 24).astype(float)
    stored, inside = cut(frame, box, 2.7)
    kept = cv2.resize(stored, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    drawn = reframe(kept, inside, np.random.default_rng(0), 24, STILL).astype(float)
    apart = min(np.abs(drawn - seen).mean(), np.abs(drawn[:, ::-1] - seen).mean())
    # Cut to 24 pixels at once it would be 7 to 20 grey levels.
    assert apart < 5


def drawn_of_attacks(share, lives=8):
    """How uneven the views of eight plain attack crops are, in a batch with a white disc before black as bona fide."""
    pictures = np.concatenate([np.full((8, SIDE, SIDE, 3), 120, np.uint8), np.tile(disc(radius=0.15), (lives, 1, 1, 1))])
    labels = np.array([FAKE] * 8 + [REAL] * lives)
    recipe = replace(Recipe(), screen_share=share, noise_share=0, jpeg_share=0)
    views = batch(pictures, np.tile(WHOLE, (8 + lives, 1)), labels, np.random.default_rng(3), 24, recipe)
    return views[:8].std(axis=(1, 2)).max(axis=1) / 255


def test_some_attack_crops_are_screens_that_show_a_bona_fide_one():
    assert drawn_of_attacks(0).max() < 0.01
    assert drawn_of_attacks(1).min() > 0.03
    shown = drawn_of_attacks(0.5) > 0.03
    assert shown.any() and not shown.all()
    # Where there is none to show, they stay what they are.
    assert drawn_of_attacks(1, lives=0).max() < 0.01


def test_a_simulated_screen_is_so_near_that_the_frame_ends_about_the_face():
    # White beyond 0.95 face boxes from the middle: out of every such frame, and in nearly every other view.
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    edge = round(SIDE * 0.95 / 2.7)
    picture[:] = 255
    picture[SIDE // 2 - edge:SIDE // 2 + edge, SIDE // 2 - edge:SIDE // 2 + edge] = 60
    pictures, inside = np.stack([np.full_like(picture, 60), picture]), np.tile(WHOLE, (2, 1))
    recipe = replace(Recipe(), screen_share=1, noise_share=0, jpeg_share=0, blur_share=0, near_share=0, margins=(2.7, 2.7),
                     shift=0, rotation=0, lift=0)
    spans = []
    for seed in range(12):
        views = batch(pictures, inside, np.array([FAKE, REAL]), np.random.default_rng(seed), 24, recipe)
        spans.append(np.ptp(views.mean(axis=(1, 3)), axis=1))
    fake, real = np.array(spans).T
    assert np.median(fake) < 0.3 * np.median(real)


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
    picture[SIDE // 4:-SIDE // 4, SIDE // 4:-SIDE // 4] = 90
    inside = np.array([0.25, 0.25, 0.75, 0.75])
    for seed in range(20):
        view = reframe(picture, inside, np.random.default_rng(seed), 64, Recipe())
        assert np.unique(view).tolist() == [90]


def test_frame_edges_come_nearer_as_often_and_as_far_as_the_recipe_says():
    recipe, rng = Recipe(near_share=0.5, near=(0.6, 1.2)), np.random.default_rng(0)
    drawn = np.array([bring_nearer(WHOLE, rng, recipe) for _ in range(400)])
    nearer = drawn[(drawn != WHOLE).any(axis=1)]
    assert 0.4 < len(nearer) / 400 < 0.6
    reach = np.abs(nearer - 0.5) * 2.7
    assert 0.6 <= reach.min() < 0.65 and 1.15 < reach.max() <= 1.2


def test_frame_edges_never_move_outwards():
    recipe, rng = Recipe(near_share=1), np.random.default_rng(0)
    within = np.array([0.35, 0.1, 0.7, 0.95])
    for _ in range(100):
        drawn = bring_nearer(within, rng, recipe)
        assert (drawn[:2] >= within[:2]).all() and (drawn[2:] <= within[2:]).all()


def test_the_window_turns_about_its_middle_and_half_of_them_are_mirrored():
    turned = replace(STILL, rotation=30)
    picture = disc()
    picture[..., 0] = 0
    cv2.circle(picture, (SIDE * 3 // 4, SIDE // 2), SIDE // 16, (255, 0, 0), -1)    # on the right, in another colour
    angles, mirrored = [], []
    for seed in range(60):
        view = reframe(picture, WHOLE, np.random.default_rng(seed), 64, turned).astype(float)
        (row, column), (mark_row, mark_column) = (
            [(np.indices(view.shape[:2])[axis] * view[..., colour]).sum() / view[..., colour].sum() for axis in (0, 1)]
            for colour in (1, 0))
        assert abs(row - 31.5) < 0.6 and abs(column - 31.5) < 0.6
        mirrored.append(mark_column < column)
        angles.append(np.degrees(np.arctan2(mark_row - row, abs(mark_column - column))))
    assert 20 < sum(mirrored) < 40
    assert -31 < min(angles) < -25 and 25 < max(angles) < 31


def test_a_near_frame_edge_hides_what_lies_beyond_it():
    # A bright ring of surroundings, beyond the reach of the nearest edge, and a dark face.
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    cv2.circle(picture, (SIDE // 2, SIDE // 2), round(0.85 * SIDE / 2.7), (20, 20, 20), -1)
    far = reframe(picture, WHOLE, np.random.default_rng(0), 64, STILL)
    close_up = replace(STILL, near_share=1, near=(0.55, 0.55))
    near = reframe(picture, WHOLE, np.random.default_rng(0), 64, close_up)
    assert far.max() == 255 and near.max() < 30


def test_a_close_up_keeps_what_is_near_and_carries_on_its_edge():
    picture = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    view = as_close_up(picture, WHOLE, 0.2)
    np.testing.assert_array_equal(view[30:70, 30:70], picture[30:70, 30:70])
    np.testing.assert_array_equal(view[0, 30:70], picture[30, 30:70])
    np.testing.assert_array_equal(view[30:70, 99], picture[30:70, 69])
    # The frame ends on the left before that.
    view = as_close_up(picture, np.array([0.4, 0, 1, 1]), 0.2)
    np.testing.assert_array_equal(view[30:70, 0], picture[30:70, 40])
    np.testing.assert_array_equal(view[30:70, 99], picture[30:70, 69])


def test_faces_of_both_classes_are_exposed_alike():
    # A dark blue room and a bright orange one, each with its texture.
    rng = np.random.default_rng(0)
    dark = np.clip((60, 50, 60) + 6 * rng.standard_normal((SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    bright = np.clip((90, 140, 200) + 6 * rng.standard_normal((SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    middle = slice(SIDE // 2 - 12, SIDE // 2 + 12)
    tones = {id(crop): face_tone(crop, Recipe()) for crop in (dark, bright)}
    for crop, other in ((dark, bright), (bright, dark)):
        as_other = exposed_as(crop, tones[id(crop)], tones[id(other)])
        np.testing.assert_allclose(
            as_other[middle, middle].mean((0, 1)), other[middle, middle].mean((0, 1)), rtol=0.1, atol=3
        )
        # The picture is its own: brighter stays brighter.
        assert np.corrcoef(as_other[..., 2].ravel(), crop[..., 2].ravel())[0, 1] > 0.95
    black = exposed_as(np.zeros_like(dark), np.zeros(3), tones[id(bright)])
    assert black.max() == 0, "nothing is made of nothing"


@pytest.mark.parametrize("screens", [0.1, 1])
def test_in_a_batch_brightness_tells_nothing_of_the_class(screens):
    dark, bright = np.full((16, SIDE, SIDE, 3), 40, np.uint8), np.full((16, SIDE, SIDE, 3), 160, np.uint8)
    labels = np.repeat([FAKE, REAL], 16)
    within = np.tile(WHOLE, (32, 1))
    recipe = replace(Recipe(), screen_share=screens)
    pictures = np.concatenate([dark, bright])
    light = [batch(pictures, within, labels, np.random.default_rng(seed), 24, recipe).mean((1, 2, 3))
             for seed in range(8)]
    fake, real = np.concatenate([each[:16] for each in light]), np.concatenate([each[16:] for each in light])
    # Two classes whose brightness told them apart without fail, before.
    assert 0.35 < (real[:, None] > fake).mean() < 0.65


@pytest.mark.parametrize("inside", [(0.0, 0.0, 0.2, 1.0), (0.999, 0.0, 1.0, 1.0), (0.0, 0.9, 1.0, 1.0)])
def test_a_face_that_hangs_over_the_frames_edge_can_still_be_varied(inside):
    recipe = Recipe(near_share=1, near=(0.55, 0.6))
    for seed in range(20):
        view = reframe(disc(), np.array(inside), np.random.default_rng(seed), 64, recipe)
        assert view.shape == (64, 64, 3)


def test_another_background_leaves_the_face_and_replaces_the_room():
    face, other = np.full((SIDE, SIDE, 3), 200, np.uint8), np.full((SIDE, SIDE, 3), 50, np.uint8)
    for seed in range(20):
        moved = elsewhere(face, other, np.random.default_rng(seed), Recipe())
        assert (moved[SIDE // 2 - 6:SIDE // 2 + 6, SIDE // 2 - 6:SIDE // 2 + 6] > 190).all()
        for corner in (moved[:15, :15], moved[:15, -15:]):
            assert (corner > 10).all() and (corner < 120).all()


def test_only_bona_fide_crops_get_another_background():
    # White faces in a white room, and in the same batch some in a black one to take a background from.
    pictures = np.zeros((16, SIDE, SIDE, 3), np.uint8)
    pictures[:8] = 255
    pictures[:, SIDE // 3:-SIDE // 3, SIDE // 3:-SIDE // 3] = 255
    inside = np.tile(WHOLE, (16, 1))
    recipe = replace(STILL, elsewhere_share=1, gamma=0, gain=0, cast=0, lift=0, dim_share=0, blur_share=0,
                     noise_share=0, jpeg_share=0)
    corners = {}
    for label in (REAL, FAKE):
        drawn = batch(pictures, inside, np.full(16, label), np.random.default_rng(0), 64, recipe)
        corners[label] = drawn[:8, :6, :6].min()
    assert corners[REAL] < 25 and corners[FAKE] == 255


def test_light_varies_but_what_is_brighter_stays_brighter():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (8, 1, 3))
    means = []
    for seed in range(40):
        lit = relight(ramp, np.random.default_rng(seed), Recipe()).astype(int)
        assert (np.diff(lit, axis=1) >= 0).all()
        means.append(lit.mean())
    assert max(means) - min(means) > 40


def test_light_is_dimmed_as_often_and_as_far_as_the_recipe_says():
    steady = replace(Recipe(), gamma=0, gain=0, cast=0, lift=0, saturation=(1, 1), dim_share=0.25, dim=1.0)
    grey = np.full((4, 4, 3), 200, np.uint8)
    levels = np.array([relight(grey, np.random.default_rng(seed), steady).mean() for seed in range(400)])
    dimmed = levels[levels < 199]
    assert 0.18 < len(dimmed) / len(levels) < 0.32
    assert levels.max() == 200
    # Down to a factor of e, and evenly in the logarithm.
    assert dimmed.min() >= 72 and dimmed.min() < 78 and 115 < np.median(dimmed) < 128


def test_degrading_blurs_adds_grain_and_compresses_as_the_recipe_says():
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 200
    none = Recipe(blur_share=0, noise_share=0, jpeg_share=0)
    rng = np.random.default_rng(3)
    assert np.array_equal(degrade(edge, rng, none), edge)
    blurred = degrade(edge, rng, replace(none, blur_share=1))
    assert 0 < blurred[30, 31, 0] < 200
    grain = degrade(edge, rng, replace(none, noise_share=1))[:, 40:].astype(float)
    assert 0.3 < grain.std() < none.noise
    blocks = degrade(edge, rng, replace(none, jpeg_share=1, jpeg=(20, 20)))
    assert blocks.shape == edge.shape and 0 < np.abs(blocks.astype(int) - edge).max()
