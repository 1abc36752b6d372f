"""Boxes follow faces without trembling and without trailing behind."""

import math

import numpy as np
import pytest

from authentication.smoothing import SmoothBoxes


def follow(fps: float, path, seconds: float = 2.0) -> np.ndarray:
    """The boxes shown along a path of faces, sampled at that rate; one a tenth of a second."""
    boxes, shown = SmoothBoxes(), []
    for n in range(round(seconds * fps) + 1):
        box = boxes.update(n / fps, {1: np.array(path(n / fps), np.float32)})[1]
        if n % round(fps / 10) == 0:
            shown.append(box)
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
            shown.append(boxes.update(n / 30, {1: faces[0]})[1])

    def trembling(path):
        return np.sqrt((np.diff(path, 2, axis=0) ** 2).mean(axis=0))

    assert len(seen) > 100
    assert (trembling(shown) < trembling(seen) / 2).all()
    side = np.max(seen, axis=0)[2:].max()
    assert np.abs(np.array(shown) - seen).max() < 0.08 * side


def test_a_new_tracks_box_starts_where_its_face_is():
    boxes = SmoothBoxes()
    first, other = np.array([100, 100, 80, 100.0]), np.array([400, 120, 80, 100.0])
    assert boxes.update(0, {1: first})[1].tolist() == first.tolist()
    assert boxes.update(0.03, {1: first + (2, 0, 0, 0)})[1].tolist() != (first + (2, 0, 0, 0)).tolist(), "smoothed"
    assert boxes.update(0.06, {2: other})[2].tolist() == other.tolist()
    assert boxes.update(0.5, {3: first + 5})[3].tolist() == (first + 5).tolist()


def test_two_tracks_keep_their_own_boxes_in_whatever_order_they_come():
    boxes, random = SmoothBoxes(), np.random.default_rng(1)
    for n in range(60):
        places = np.array([[100 + n, 100, 80, 100], [130 + n / 2, 110, 80, 100]]) + random.normal(0, 1, (2, 4))
        order = (1, 2) if n % 2 else (2, 1)
        shown = boxes.update(n / 30, {number: places[number - 1] for number in order})
        assert shown.keys() == {1, 2}
        assert all(np.abs(shown[number] - places[number - 1]).max() < 8 for number in order)


def test_a_face_missed_for_a_moment_keeps_its_box_and_one_that_left_does_not():
    boxes = SmoothBoxes()
    left, right = np.array([100, 100, 80, 100.0]), np.array([300, 100, 80, 100.0])
    boxes.update(0, {1: left, 2: right})
    shown = boxes.update(1 / 30, {2: right})
    assert {number: box.tolist() for number, box in shown.items()} == {1: left.tolist(), 2: right.tolist()}
    assert boxes.update(2 / 30, {}).keys() == {1, 2}
    assert boxes.update(3 / 30, {1: left, 2: right}).keys() == {1, 2}
    assert boxes.update(1, {}) == {}
    assert boxes.update(1.1, {1: left + 9})[1].tolist() == (left + 9).tolist(), "it comes back where its face is"
