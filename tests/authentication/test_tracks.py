"""Boxes follow faces without trembling and without trailing behind."""

import math

import numpy as np
import pytest

from authentication.tracks import SmoothBoxes

NOBODY = np.empty((0, 4), np.float32)


def follow(fps: float, path, seconds: float = 2.0) -> np.ndarray:
    """The boxes shown along a path of faces, sampled at that rate; one a tenth of a second."""
    boxes, shown = SmoothBoxes(), []
    for n in range(round(seconds * fps) + 1):
        box = boxes.update(n / fps, np.array([path(n / fps)], np.float32))
        if n % round(fps / 10) == 0:
            shown.append(box[0])
    return np.array(shown)


def test_a_face_is_followed_alike_at_10_and_at_60_frames_a_second():
    def nodding(time_s):
        return 300 + 60 * math.sin(4 * time_s), 200 + 20 * time_s, 100 + 8 * math.sin(3 * time_s), 130

    slow, fast = follow(10, nodding), follow(60, nodding)
    assert np.abs(slow - fast).max() < 1.5, "of 130 pixels"
    still = np.array([nodding(0)] * len(slow))
    assert np.abs(fast - still).max() > 50, "and it is followed"


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("speed", [0.2, 1.0, 1.8])
def test_a_box_does_not_trail_behind_a_moving_head(fps, speed):
    shown = follow(fps, lambda time_s: (100 * speed * time_s, 50, 100, 100))
    lag = 100 * speed * np.arange(len(shown)) / 10 - shown[:, 0]
    assert lag.max() < 5, "percent of the box"


def test_a_box_trembles_less_than_the_detectors(detector, live_frames):
    boxes, seen, shown = SmoothBoxes(), [], []
    for n, frame in enumerate(live_frames):
        faces = detector.detect(frame)
        if len(faces) == 1:
            seen.append(faces[0, :4])
            shown.append(boxes.update(n / 30, faces)[0])

    def trembling(path):
        return np.sqrt((np.diff(path, 2, axis=0) ** 2).mean(axis=0))

    assert len(seen) > 100
    assert (trembling(shown) < trembling(seen) / 2).all()
    side = np.max(seen, axis=0)[2:].max()
    assert np.abs(np.array(shown) - seen).max() < 0.08 * side


def test_a_new_face_and_one_that_jumped_start_where_they_are():
    boxes = SmoothBoxes()
    first, other = np.array([[100, 100, 80, 100.0]]), np.array([[400, 120, 80, 100.0]])
    assert boxes.update(0, first).tolist() == first.tolist()
    assert boxes.update(0.03, first + (2, 0, 0, 0)).tolist() != (first + (2, 0, 0, 0)).tolist(), "smoothed"
    assert boxes.update(0.06, other)[0].tolist() == other[0].tolist()
    grown = other * (1, 1, 2, 2)
    assert boxes.update(0.09, grown)[0] == pytest.approx(grown[0], abs=0.1)
    assert boxes.update(5, first).tolist() == first.tolist()


def test_two_faces_keep_their_own_boxes_in_whatever_order_they_come():
    boxes, random = SmoothBoxes(), np.random.default_rng(1)
    for n in range(60):
        faces = np.array([[100 + n, 100, 80, 100], [230 - n / 2, 110, 80, 100]]) + random.normal(0, 1, (2, 4))
        order = random.permutation(2)
        shown = boxes.update(n / 30, faces[order])
        assert shown.shape == (2, 4)
        assert np.abs(shown - faces[order]).max() < 8


def test_a_face_missed_for_a_moment_keeps_its_box_and_one_that_left_does_not():
    boxes = SmoothBoxes()
    both = np.array([[100, 100, 80, 100], [300, 100, 80, 100.0]])
    boxes.update(0, both)
    assert boxes.update(1 / 30, both[1:]).tolist() == [both[1].tolist(), both[0].tolist()], "the seen one first"
    assert len(boxes.update(2 / 30, both[:0])) == 2
    assert len(boxes.update(3 / 30, both)) == 2
    assert boxes.update(1, both[:0]).shape == (0, 4)
    boxes.update(1.1, both)
    assert boxes.update(1.0, both + 3).tolist() == (both + 3).tolist(), "a clock that was set back: all anew"
