"""What the witness looks at, in frames whose every pixel tells where it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anti_spoofing import view, view_of_crop
from anti_spoofing.minifasnet import MARGIN, SIDE
from face_detector import cut


def places(height: int, width: int) -> np.ndarray:
    """Blue is the column, green the row, red tells odd from even."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns % 256, rows % 256, 255 * ((rows + columns) % 2)]).astype(np.uint8)


def shown(frame: np.ndarray, box) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the part that is shown, by what its middle tells: within a pixel."""
    picture = view(frame, box).picture.astype(float)
    ends = []
    for channel, line in ((0, picture[SIDE // 2]), (1, picture[:, SIDE // 2])):
        slope = (line[60, channel] - line[20, channel]) / 40
        middle = line[20:60, channel].mean() + 0.5  # a pixel's middle
        ends.append((middle - slope * SIDE / 2, middle + slope * SIDE / 2))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom


@pytest.mark.parametrize(
    "box, frame, expected, width",
    [
        ((100, 80, 40, 40), (240, 250), (66, 46, 174, 154), 2.7),  # all there is room for
        ((100, 70, 30, 40), (240, 250), (61, 36, 169, 144), 2.7),  # by the longer side
        ((100, 70, 60, 40), (240, 250), (49, 9, 211, 171), 2.7),
        ((10, 80, 40, 40), (240, 250), (0, 46, 108, 154), 2.7),  # moved inside, not cut off
        ((200, 190, 40, 40), (240, 250), (142, 132, 250, 240), 2.7),
        ((-20, -10, 40, 40), (240, 250), (0, 0, 108, 108), 2.7),  # over the edge
        ((300, 300, 40, 40), (240, 250), (142, 132, 250, 240), 2.7),  # beyond it
        ((-300, 80, 40, 40), (240, 250), (0, 46, 108, 154), 2.7),
        ((60, 60, 100, 80), (200, 250), (10, 0, 210, 200), 2.0),  # as much as the frame can hold
        ((20, 40, 100, 100), (240, 150), (0, 15, 150, 165), 1.5),
        ((0, 0, 200, 200), (120, 160), (40, 0, 160, 120), 0.6),  # a face larger than the frame
        ((-50, -50, 300, 300), (100, 100), (0, 0, 100, 100), 1 / 3),
    ],
)
def test_it_is_the_largest_square_that_the_frame_can_hold(box, frame, expected, width):
    np.testing.assert_allclose(shown(places(*frame), np.array(box, float)), expected, atol=1.01)
    assert view(places(*frame), np.array(box, float)).width == pytest.approx(width, abs=0.02)


def test_where_nothing_is_scaled_it_is_the_frames_own_pixels():
    frame = places(200, 240)
    box = (100, 90, SIDE / MARGIN, 20)
    left, top = round(100 + SIDE / MARGIN / 2 - 40), round(90 + 10 - 40)
    np.testing.assert_array_equal(view(frame, box).picture, frame[top : top + SIDE, left : left + SIDE])


def test_it_is_averaged_down():
    checks = np.kron(np.indices((160, 160)).sum(0) % 2 * 255, np.ones((1, 1)))[..., None].repeat(3, 2).astype(np.uint8)
    side = 160 / MARGIN
    picture = view(checks, (80 - side / 2, 80 - side / 2, side, side)).picture
    assert np.ptp(picture) <= 1 and abs(picture.mean() - 127.5) <= 1


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    x=st.floats(-200, 200),
    y=st.floats(-200, 200),
    w=st.floats(0, 300),
    h=st.floats(0, 300),
)
def test_of_any_box_in_any_frame_it_shows_nothing_that_is_not_there(height, width, x, y, w, h):
    frame = np.full((height, width, 3), (40, 90, 160), np.uint8)
    seen = view(frame, np.array([x, y, w, h]))
    assert seen.picture.shape == (SIDE, SIDE, 3) and seen.picture.dtype == np.uint8
    assert (seen.picture == (40, 90, 160)).all()
    assert 0 < seen.width <= MARGIN + 0.5 / max(w, h, 1) + 1e-9


@pytest.mark.parametrize("box", [(120, 100, 60, 80), (120, 100, 40, 30), (110.4, 97.7, 55.3, 71.9)])
def test_of_a_stored_crop_it_is_that_of_the_frame(box):
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (38, 40, 3), np.uint8), 8, 0), 8, 1)
    stored, inside = cut(smooth, np.array(box), MARGIN)
    np.testing.assert_array_equal(inside, [0, 0, 1, 1], "it is whole")
    now, then = view(smooth, np.array(box)), view_of_crop(stored, inside, MARGIN)
    assert then.width == pytest.approx(now.width, abs=0.03)
    assert np.abs(now.picture.astype(int) - then.picture).mean() < 2


def test_of_a_stored_crop_that_was_averaged_down_it_is_nearly_that_of_the_frame(live_frames, detector):
    import cv2

    frame = cv2.resize(live_frames[0], None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    box = detector.detect(frame)[0, :4]
    stored, inside = cut(frame, box, MARGIN)
    if (inside != [0, 0, 1, 1]).any():
        frame = cv2.copyMakeBorder(frame, *[600] * 4, cv2.BORDER_REFLECT)
        box = box + (600, 600, 0, 0)
        stored, inside = cut(frame, box, MARGIN)
    assert len(stored) < MARGIN * max(box[2:]) - 10, "it was averaged down"
    now, then = view(frame, box), view_of_crop(stored, inside, MARGIN)
    assert np.abs(now.picture.astype(int) - then.picture).mean() < 3


@pytest.mark.parametrize("inside", [(0.25, 0, 1, 1), (0, 0.4, 1, 1), (0, 0, 0.6, 1), (0.3, 0.2, 0.8, 0.9)])
def test_of_a_stored_crop_only_that_is_seen_which_shows_the_frame(inside):
    side = 200
    crop = np.zeros((side, side, 3), np.uint8)
    left, top, right, bottom = (round(edge * side) for edge in inside)
    crop[top:bottom, left:right] = 200
    seen = view_of_crop(crop, np.array(inside, np.float32), MARGIN)
    assert (seen.picture == 200).all()
    assert seen.width == pytest.approx(min(right - left, bottom - top) / side * MARGIN, abs=0.02)


@pytest.mark.parametrize("inside", [(0, 0, 0, 0), (1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5), (0.999, 0, 1, 1), (1, 0, 0, 1)])
def test_of_a_crop_that_shows_nearly_nothing_there_is_a_view(inside):
    for side in (1, 2, 50):
        crop = np.full((side, side, 3), 7, np.uint8)
        assert (view_of_crop(crop, np.array(inside, np.float32), MARGIN).picture == 7).all()


def test_a_tighter_crop_is_told_as_such():
    crop, whole = np.zeros((160, 160, 3), np.uint8), np.float32([0, 0, 1, 1])
    assert view_of_crop(crop, whole, 1.6).width == pytest.approx(1.6)
    assert view_of_crop(crop, whole, 4.0).width == pytest.approx(2.7, abs=0.02)
