import csv
import math
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS
from hypothesis import given, settings
from hypothesis import strategies as st

import challenge
import display
from challenge import LEFT, RIGHT, Prompt
from display import Recorder, SmoothBoxes, View, annotate, mirrored
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

FACE = np.array([[100, 80, 60, 80]], np.float32)
NOBODY = FACE[:0]
STATES = [CHECKING, AUTHORIZED, UNAUTHORIZED]
# height, width: the sample, old and new cameras, 4K, and a phone held upright
SIZES = [(144, 176), (240, 320), (480, 640), (720, 1280), (2160, 3840), (656, 368)]
WHAT_WAS_DONE = "Unauthorized: workstation locked, owner notified"
NO_PICTURE = "camera 0: no picture for 5 s; trying again in 4 s"


def black(size: tuple[int, int]) -> np.ndarray:
    return np.zeros((*size, 3), np.uint8)


def face_in(size: tuple[int, int]) -> np.ndarray:
    """The box of a face in the middle of a picture, half as tall as it."""
    height, width = size
    return np.array([[width / 2 - height / 5, height / 4, height / 2.5, height / 2]])


def test_the_label_tells_how_sure_the_verdict_is():
    assert display.label(AUTHORIZED, 0.9987) == "Authorized: 0.9987"
    assert display.label(UNAUTHORIZED, 0.0013) == "Unauthorized: 0.9987"
    assert display.label(UNAUTHORIZED, None) == "Unauthorized"
    assert display.label(CHECKING, 0.7) == "Checking"


def test_the_banner_tells_what_happened_and_what_was_done():
    assert display.banner(UNAUTHORIZED, "workstation locked, owner notified") == WHAT_WAS_DONE
    assert display.banner(UNAUTHORIZED, "") == "Unauthorized", "not: nothing was done; it is being done"
    assert display.banner(AUTHORIZED, "workstation locked") == "Authorized: access granted", "not the last intruder's"
    assert display.banner(CHECKING, "workstation locked") == ""


@pytest.mark.parametrize("state", STATES)
def test_annotating_draws_the_verdicts_colour_on_a_copy(state):
    frame = black((300, 400))
    picture = annotate(frame, View(FACE, state, 0.9))
    assert not frame.any()
    np.testing.assert_array_equal(picture[120, 100], display.COLOURS[state])


# --- Where things stand ---


@pytest.fixture
def plates(monkeypatch) -> list[tuple[int, int, int, int]]:
    """left, top, right, bottom of all that is drawn with a ground of its own: labels, bars, corner, notice."""
    seen, draw = [], display._plate

    def spy(picture, area, *rest):
        seen.append(area)
        draw(picture, area, *rest)

    monkeypatch.setattr(display, "_plate", spy)
    return seen


def apart(a, b) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def inside(area, size) -> bool:
    return area[0] >= 0 and area[1] >= 0 and area[2] <= size[1] and area[3] <= size[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("edge", [(-0.2, -0.2), (0.8, -0.3), (-0.3, 0.8), (0.9, 0.9), (0.3, -0.1), (0.3, 0.75)])
def test_label_and_bar_of_a_face_at_any_edge_stay_inside_the_picture(plates, size, state, edge):
    side = min(size) / 2.5
    box = np.array([[edge[0] * size[1], edge[1] * size[0], side, side]])
    picture = annotate(black(size), View(box, state, 0.5, 0.5, fps=30))
    assert len(plates) == (3 if state == CHECKING else 2), "the corner, the label, and the bar while checking"
    assert all(inside(plate, size) for plate in plates)
    label = plates[-1]
    ground = picture[label[1] + 1:label[3] - 1, label[0] + 4:label[2] - 4]
    assert (ground == display.COLOURS[state]).all(-1).mean() > 0.4


def everything(size, state, boxes=None):
    prompt = Prompt(RIGHT, challenge.TEXTS[RIGHT], 0.7, 1, 3)
    boxes = face_in(size) if boxes is None else boxes
    return View(boxes, state, 0.0013, 0.6, WHAT_WAS_DONE, NO_PICTURE, prompt, 29.7)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shown", ["banner", "prompt", "trouble", "all"])
@pytest.mark.parametrize("state", [AUTHORIZED, UNAUTHORIZED])
def test_nothing_lies_on_anything_else(plates, size, shown, state):
    full = everything(size, state)
    some = {"all": full}.get(shown) or View(
        full.boxes, state, full.score, full.progress, full.banner if shown == "banner" else "",
        full.trouble if shown == "trouble" else "", full.prompt if shown == "prompt" else None, full.fps)
    picture = annotate(np.full((*size, 3), 90, np.uint8), some)
    assert all(inside(plate, size) for plate in plates)
    assert all(apart(a, b) for n, a in enumerate(plates) for b in plates[:n])
    # The panel and the banner reach from side to side: they are what the picture's left edge shows.
    edge = (picture[:, 0] == 90).all(-1)
    top, bottom = np.flatnonzero(edge)[[0, -1]]
    assert (top > 0) == (some.prompt is not None) and (bottom < size[0] - 1) == bool(some.banner)
    assert all(plate[1] > top - 1 and plate[3] <= bottom + 1 for plate in plates)
    # White is ink only, and lies on something.
    ink = (picture >= 250).all(-1)
    ink[:top] = ink[bottom + 1:] = False
    assert ink.any()
    for left, up, right, down in plates:
        ink[up:down, left:right] = False
    assert not ink.any()
    assert not (picture[:, [0, -1]] >= 250).all(-1).any(), "no word runs out of the picture"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIZES), st.sampled_from(STATES),
       st.lists(st.tuples(*[st.floats(-0.3, 1.2)] * 2, *[st.floats(0.001, 0.9)] * 2), max_size=12), st.booleans())
def test_many_faces_anywhere_are_drawn_without_labels_on_labels(size, state, faces, more):
    boxes = np.array(faces).reshape(-1, 4) * (size[1], size[0], size[1], size[0])
    view = everything(size, state, boxes) if more else View(boxes, state, 0.5, 0.5)
    tags, place = [], display._place

    def spy(*args):
        tags.append(place(*args))
        return tags[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "_place", spy)
        annotate(black(size), view)
    tags = [tag for tag in tags if tag]
    assert all(inside(tag, size) for tag in tags)
    assert all(apart(a, b) for n, a in enumerate(tags) for b in tags[:n])
    if faces and not more:
        assert tags


@pytest.mark.parametrize("size", SIZES)
def test_the_bar_fills_with_the_evidence_and_goes_when_it_is_complete(plates, size):
    lengths = []
    for progress in (0, 0.25, 0.5, 1, 7):
        plates.clear()
        picture = annotate(black(size), View(face_in(size), CHECKING, None, progress))
        left, top, right, bottom = plates[0]
        row = picture[(top + bottom) // 2]
        lengths.append((row[1:-1] == display.COLOURS[CHECKING]).all(-1).sum() / (right - left - 2))
    assert lengths == pytest.approx([0, 0.25, 0.5, 1, 1], abs=0.03)
    x, _, w, _ = face_in(size)[0]
    assert (left, right) == pytest.approx((x, x + w), abs=1)
    for over in (View(face_in(size), AUTHORIZED, 0.9, 1),
                 View(face_in(size), CHECKING, None, 1, prompt=Prompt(LEFT, "Turn", 0.5, 0, 1))):
        plates.clear()
        annotate(black(size), over)
        assert len(plates) == 1, "the label"


# --- Whether it can be read ---


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB, WCAG 2: 0 to 1."""
    part = pixels[..., ::-1] / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(pixels: np.ndarray) -> float:
    """Between a text and its ground, WCAG 2: 1 to 21. The ground is what most pixels show."""
    light = luminance(pixels).ravel()
    ground = np.median(light)
    ink = max(np.percentile(light, (1.5, 98.5)), key=lambda value: abs(value - ground))
    return (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)


GROUNDS = {"black": 0, "grey": 128, "white": 255}


@pytest.mark.parametrize("ground", [*GROUNDS, "noise", "own colour"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_every_text_can_be_read_on_light_and_on_dark_video(plates, ground, size, state):
    frame = np.full((*size, 3), GROUNDS.get(ground, display.COLOURS[state]), np.uint8)
    if ground == "noise":
        frame = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    picture = annotate(frame, View(face_in(size), state, 0.5, 0.5, WHAT_WAS_DONE, fps=30))
    for left, top, right, bottom in (plates[0], plates[-1]):    # corner and label
        assert contrast(picture[top + 2:bottom - 2, left + 3:right - 3]) >= 4.5
        assert bottom - top >= max(10, size[0] / 40)
    banner = picture[-round(1.8 * display._text_size(*size)):]
    assert contrast(banner[:, size[1] // 5: -size[1] // 5]) >= 4.5
    plates.clear()
    picture = annotate(frame, View(NOBODY, state, trouble=NO_PICTURE))
    ((left, top, right, bottom),) = plates
    assert contrast(picture[top + 3:bottom - 3, left + 3:right - 3]) >= 4.5


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("state", STATES)
def test_the_box_is_seen_on_any_video(ground, state):
    frame = np.full((480, 640, 3), ground, np.uint8)
    box = np.array([[200.3, 150.7, 180, 200]])
    across = luminance(annotate(frame, View(box, state, 0.5))[250, 190:212])
    assert (across.max() + 0.05) / (across.min() + 0.05) >= 3
    assert len(np.unique(across.round(2))) > 1


@pytest.mark.parametrize("size", SIZES)
def test_a_challenge_can_be_read_on_white_video(size):
    panel = annotate(np.full((*size, 3), 255, np.uint8),
                     View(NOBODY, CHECKING, prompt=Prompt(LEFT, challenge.TEXTS[LEFT], 0.5, 0, 2)))
    bottom = np.flatnonzero((panel[:, -1] == 255).all(-1))[0]
    words = panel[:round(bottom * 0.65), round(size[1] * 0.25):round(size[1] * 0.95)]
    assert contrast(words) >= 4.5


text = st.text(st.characters(min_codepoint=32, max_codepoint=0x24f), max_size=120)


@settings(max_examples=200, deadline=None)
@given(text, st.integers(60, 1300), st.floats(10, 60))
def test_a_text_of_any_length_fits_its_room(text, room, size):
    lines, used = display._fit(text, room, size)
    assert len(lines) <= 3 and used <= size
    assert all(display._width(line, round(used), display.BOLD) <= room for line in lines)
    if not any(line.endswith("...") for line in lines):
        assert " ".join(lines).split() == text.split(), "not a word is lost unless the text says so"


def test_a_long_text_shrinks_a_little_before_it_is_broken():
    wide = display._width(WHAT_WAS_DONE, 20, display.BOLD)
    assert display._fit(WHAT_WAS_DONE, wide, 20.0) == ((WHAT_WAS_DONE,), 20)
    lines, size = display._fit(WHAT_WAS_DONE, round(0.85 * wide), 20.0)
    assert len(lines) == 1 and 16 <= size < 20
    lines, size = display._fit(WHAT_WAS_DONE, round(0.6 * wide), 20.0)
    assert len(lines) == 2 and size >= 16


def test_threads_do_not_garble_each_others_texts():
    views = [View(face_in(size), UNAUTHORIZED, 0.1, 0, WHAT_WAS_DONE, fps=30) for size in SIZES[:3]]
    wanted = [annotate(black(size), view) for size, view in zip(SIZES, views)]
    wrong = []

    def draw():
        for n in range(150):
            size, view = SIZES[n % 3], views[n % 3]
            if not np.array_equal(annotate(black(size), view), wanted[n % 3]):
                wrong.append(n)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("state", STATES)
def test_a_mirror_swaps_the_sides_of_picture_and_boxes_and_no_text(state):
    frame = black((480, 640))
    frame[:, :320] = (90, 30, 30)       # what is at the user's right
    view = View(np.array([[50.0, 200, 100, 120]]), state, 0.9, banner="Words", prompt=Prompt(LEFT, "Turn", 1, 0, 1))
    flipped, seen = mirrored(frame, view)
    assert flipped[470, 634].tolist() == [90, 30, 30] and frame[470, 5].tolist() == [90, 30, 30]
    assert seen.boxes.tolist() == [[490, 200, 100, 120]] and view.boxes[0, 0] == 50
    plain, mirror = annotate(frame, view), annotate(flipped, seen)
    assert plain[260, 50].tolist() == mirror[260, 590].tolist() == list(display.COLOURS[state])
    for rows in (slice(60), slice(455, None)):
        ink = [(picture[rows] >= 250).all(-1) for picture in (plain, mirror)]
        assert ink[0].any() and np.array_equal(*ink), "the same words in both, not one in mirror writing"


# --- Boxes that follow faces ---


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


# --- Recording ---


def frames(count: int) -> list[np.ndarray]:
    return [np.full((120, 160, 3), 2 * n, np.uint8) for n in range(count)]


BARE = View(NOBODY, CHECKING, fps=30)       # nothing to draw: the corner is the window's


def shades(path: Path) -> list[int]:
    video, found = cv2.VideoCapture(str(path)), []
    while (item := video.read())[0]:
        found.append(round(float(item[1].mean())))
    return found


def test_a_cameras_uneven_frames_keep_their_time_in_the_video(tmp_path):
    out = tmp_path / "out.avi"
    recorder = Recorder(out, None, 30, live=True)
    for time_s, picture in zip((0, 0.5, 0.51, 1.0), (frames(120)[n] for n in (0, 50, 80, 110))):
        recorder.put(time_s, picture, BARE, [])
        time.sleep(0.01)
    recorder.close()
    seen = shades(out)
    assert len(seen) == 31  # 0 to 1.0 s
    assert seen[0] < 10 and abs(seen[14] - 100) < 4 and abs(seen[-1] - 220) < 4


def test_a_file_keeps_every_frame_and_every_row(tmp_path):
    out, scores = tmp_path / "out.mp4", tmp_path / "scores.csv"
    recorder = Recorder(out, scores, 30, live=False)
    for n, picture in enumerate(frames(120)):
        recorder.put(n / 30, picture, BARE, [(n, "0", 1, 2, 3, 4, "0.9", "0.5", CHECKING)] * 2)
    assert not out.exists() and not scores.exists(), "beside, until they are whole"
    recorder.close()
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT) == 120
    with open(scores, newline="") as file:
        assert [row["frame"] for row in csv.DictReader(file)] == [str(n // 2) for n in range(240)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "scores.csv"]


def test_the_recording_shows_the_verdict_and_leaves_the_frame_as_it_was(tmp_path):
    frame = black((240, 320))
    recorder = Recorder(tmp_path / "out.avi", None, 30, live=False)
    recorder.put(0, frame, View(FACE, UNAUTHORIZED, 0.1, fps=30), [])
    recorder.close()
    assert not frame.any()
    picture = cv2.VideoCapture(str(tmp_path / "out.avi")).read()[1]
    assert shown_in(picture, UNAUTHORIZED, 40) > 100
    assert not picture[:20, 200:].any(), "no corner: nobody can press q in a recording"


def test_while_a_camera_gives_no_picture_the_recording_says_so_over_the_last_one(tmp_path):
    out = tmp_path / "out.avi"
    recorder = Recorder(out, None, 30, live=True)
    lost = View(NOBODY, CHECKING, trouble=NO_PICTURE)
    recorder.put(0, None, lost, [])
    recorder.put(0.1, np.full((240, 320, 3), 200, np.uint8), BARE, [])
    for n in range(1, 6):
        recorder.put(0.1 + n / 5, None, lost, [])
    recorder.close()
    seen = shades(out)
    assert len(seen) == 34 and seen[0] > 190 and 20 < seen[-1] < 100


def test_a_camera_that_comes_back_with_another_size_does_not_end_the_recording(tmp_path):
    out = tmp_path / "out.avi"
    recorder = Recorder(out, None, 30, live=False)
    for size in ((120, 160), (200, 100), (120, 160)):
        recorder.put(0, np.full((*size, 3), 200, np.uint8), BARE, [])
    recorder.close()
    video = cv2.VideoCapture(str(out))
    pictures = [video.read()[1] for _ in range(3)]
    assert [picture.shape for picture in pictures] == [(120, 160, 3)] * 3
    assert pictures[1][:, :40].mean() < 10 and pictures[1][:, 60:100].mean() > 190, "upright, in the middle"


def test_a_disk_that_cannot_keep_up_costs_a_camera_pictures_not_time(tmp_path, monkeypatch):
    class SlowWriter:
        def isOpened(self):
            return True

        def write(self, picture):
            time.sleep(0.05)

        def release(self):
            pass

    monkeypatch.setattr(display, "_open_video", lambda *args: SlowWriter())
    recorder = Recorder(tmp_path / "out.mp4", tmp_path / "scores.csv", 30, live=True)
    began = time.monotonic()
    longest = 0.0
    for n in range(100):
        before = time.monotonic()
        recorder.put(n / 30, frames(1)[0], BARE, [(n, *range(8))])
        longest = max(longest, time.monotonic() - before)
    assert longest < 0.5 and time.monotonic() - began < 2
    monkeypatch.undo()
    recorder.close()
    with open(tmp_path / "scores.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 101


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_ends_the_scores_and_not_the_video(tmp_path):
    (tmp_path / "scores.part.csv").symlink_to("/dev/full")
    recorder = Recorder(tmp_path / "out.avi", tmp_path / "scores.csv", 30, live=False)
    for n, picture in enumerate(frames(50)):
        recorder.put(n / 30, picture, BARE, [(n, *range(8))] * 100)
    with pytest.raises(display.DisplayError, match="scores.csv: cannot be written .No space left"):
        recorder.close()
    assert len(shades(tmp_path / "out.avi")) == 50 and not (tmp_path / "scores.csv").exists()


def test_a_video_that_cannot_be_written_costs_no_scores(tmp_path):
    recorder = Recorder(tmp_path / "out.txt", tmp_path / "scores.csv", 30, live=False)
    for n, picture in enumerate(frames(50)):
        recorder.put(n / 30, picture, BARE, [(n, *range(8))])
    with pytest.raises(display.DisplayError, match="name an .mp4 or .avi file"):
        recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 51


# --- The real window ---


class Screen:
    """A virtual screen, X server display number and all, whose pixels can be read."""

    def __init__(self, folder: Path):
        reader, writer = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x900x24", "-fbdir", folder, "-nolisten", "tcp",
             "-noreset"],
            pass_fds=[writer], stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        with os.fdopen(reader) as answer:
            self.display = ":" + answer.readline().strip()
        self._pixels = folder / "Xvfb_screen0"
        self.env = {**os.environ, "DISPLAY": self.display, "QT_QPA_PLATFORM": "xcb"}
        # Without a window manager Qt now and then misses that its window has come up, and never paints it.
        self._manager = subprocess.Popen(["openbox"], env=self.env, stderr=subprocess.DEVNULL)

    def picture(self) -> np.ndarray:
        """uint8 (900, 1400, 3) BGR, out of the file in XWD format that the server draws into."""
        data = self._pixels.read_bytes()
        header = struct.unpack(">25I", data[:100])
        size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        pixels = np.frombuffer(data, np.uint8, line * height, size + 12 * colours)
        return pixels.reshape(height, line // 4, 4)[:, :width, :3]

    def window(self) -> np.ndarray:
        """What is inside the authenticator's window; its size does not change any more."""
        search = ["search", "--sync", "--name", display.TITLE]
        place = self._ask(*search, "getwindowgeometry", "--shell")
        # xdotool counts the title bar twice in a window's own place.
        corner = self._ask(*search, "mousemove", "--window", "%1", "0", "0", "getmouselocation", "--shell")
        return self.picture()[corner["Y"]:corner["Y"] + place["HEIGHT"], corner["X"]:corner["X"] + place["WIDTH"]]

    def _ask(self, *command: str) -> dict[str, int]:
        answer = subprocess.run(["xdotool", *command], env=self.env, check=True, timeout=20, stdout=subprocess.PIPE,
                                text=True)
        return {name: int(value) for name, value in (line.split("=") for line in answer.stdout.split())}

    def press(self, *command: str) -> None:
        """Focus the authenticator's window, then run xdotool."""
        for step in (["search", "--sync", "--name", display.TITLE, "windowfocus"], command):
            subprocess.run(["xdotool", *step], env=self.env, check=True, timeout=20, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        for process in (self._manager, self._server):
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    for program in ("Xvfb", "xdotool", "openbox"):
        if not shutil.which(program):
            pytest.skip(f"needs {program} (Debian package {program.lower()})")
    screen = Screen(tmp_path_factory.mktemp("screen"))
    yield screen
    screen.close()


@pytest.fixture
def window(screen, trained, sample, live_frames, write_video, tmp_path):
    """The authenticator on a long live video, in a real window that has shown its verdict."""
    video = write_video(np.concatenate([live_frames, live_frames[::-1]] * 10), "long.mp4")
    process = subprocess.Popen(
        [sys.executable, ROOT / "liveness_main.py", "-m", trained.model, "-l", trained.le, "-d", WEIGHTS,
         "--source", video, "--no-voice"], cwd=tmp_path, env=screen.env, stderr=subprocess.PIPE, text=True,
    )
    deadline = time.monotonic() + 30
    while shown_in(screen.picture(), AUTHORIZED) < 200:
        assert process.poll() is None and time.monotonic() < deadline, "no green box on the screen"
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


def shown_in(picture: np.ndarray, state: str, tolerance: int = 3) -> int:
    """How many pixels have the verdict's colour."""
    return int((np.abs(picture.astype(int) - display.COLOURS[state]).max(axis=-1) < tolerance).sum())


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_closes_the_window_and_ends_well(window, screen, key):
    assert shown_in(screen.picture(), UNAUTHORIZED) == 0
    screen.press("key", key)
    assert window.communicate(timeout=20)[1] == ""
    assert window.returncode == 0
    assert shown_in(screen.picture(), AUTHORIZED) == 0


def test_another_key_changes_nothing(window, screen):
    screen.press("key", "a")
    time.sleep(0.5)
    assert window.poll() is None and shown_in(screen.picture(), AUTHORIZED) > 200


def test_closing_the_window_ends_well(window, screen):
    screen.press("key", "alt+F4")
    assert window.communicate(timeout=20)[1] == ""
    assert window.returncode == 0


SHOW = """
import sys
import numpy as np
from display import View, Window
frames = np.load(sys.argv[1])
boxes, mirror, window = np.array([[10.0, 20, 30, 40]]) * float(sys.argv[2]), sys.argv[3] == "mirror", Window()
for name, frame in frames.items():
    if frame.any():
        view = View(boxes, "authorized")
    else:
        frame, view = None, View(boxes[:0], "checking", trouble="No picture")
    while window.show(frame, view, 0.02, mirror) and name == "last":
        pass
"""


def like(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray | None:
    """The picture, if something on it has that colour."""
    return picture if (np.abs(picture.astype(int) - colour).max(-1) < 3).sum() > 50 else None


def wait_for(condition, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while (found := condition()) is None:
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return found


@pytest.fixture
def shown(screen, tmp_path):
    """shown(frames, ...): what the window shows after these frames, once something of that colour is on it; a black
    frame stands for None."""
    running = []

    def show(*frames, colour=display.COLOURS[AUTHORIZED], scale: float = 1, mirror: bool = False) -> np.ndarray:
        named = {str(n): frame for n, frame in enumerate(frames[:-1])} | {"last": frames[-1]}
        np.savez(tmp_path / "frames.npz", **named)
        command = [sys.executable, "-c", SHOW, tmp_path / "frames.npz", str(scale), "mirror" if mirror else "no"]
        running.append(subprocess.Popen(command, cwd=ROOT, env=screen.env))
        return wait_for(lambda: like(screen.window(), colour))

    yield show
    for process in running:
        process.kill()
        process.wait()


def coloured(size: tuple[int, int]) -> np.ndarray:
    """Blue on the left, white on the right."""
    frame = np.full((*size, 3), 255, np.uint8)
    frame[:, :size[1] // 2] = (200, 60, 0)
    return frame


@pytest.mark.parametrize("size, wanted", [
    ((2160, 3840), (720, 1280)), ((1920, 1080), (720, 405)), ((144, 176), (524, 640)), ((480, 640), (480, 640))])
def test_the_window_has_a_size_for_people(shown, size, wanted):
    scale = size[0] / 100
    picture = shown(coloured(size), scale=scale)
    assert picture.shape[:2] == wanted
    k = wanted[0] / size[0]
    x, y = round(10 * scale * k), round(40 * scale * k)
    assert shown_in(picture[y - 3:y + 3, x - 2:x + 3], AUTHORIZED) > 5, "the box goes with the picture"
    assert picture[-20, 40].tolist() == [200, 60, 0] and picture[-20, -20].tolist() == [255, 255, 255]


def test_before_a_camera_the_window_is_a_mirror(shown):
    picture = shown(coloured((480, 640)), mirror=True)
    assert picture[-20, 40].tolist() == [255, 255, 255] and picture[-20, -20].tolist() == [200, 60, 0]
    assert shown_in(picture[35:45, 598:603], AUTHORIZED) > 5


def test_without_a_picture_the_window_shows_the_last_one_darkened_and_says_why(shown):
    picture = shown(coloured((480, 640)), black((480, 640)), colour=display.AMBER)
    assert 40 < picture[-20, -20].mean() < 110 and picture[-20, 40, 0] > picture[-20, 40, 2], "still blue and white"


def test_before_the_first_picture_the_window_is_dark_and_says_why(shown):
    picture = shown(black((480, 640)), colour=display.AMBER)
    assert picture.shape == (360, 640, 3) and picture[-20, -20].max() < 40
