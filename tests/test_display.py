import csv
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS

import display
from display import Recorder, annotate
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

FACE = np.array([[100, 80, 60, 80]], np.float32)


def test_the_label_tells_how_sure_the_verdict_is():
    assert display.label(AUTHORIZED, 0.9987) == "Authorized: 0.9987"
    assert display.label(UNAUTHORIZED, 0.0013) == "Unauthorized: 0.9987"
    assert display.label(CHECKING, 0.7) == "Checking"


@pytest.mark.parametrize("state", [CHECKING, AUTHORIZED, UNAUTHORIZED])
def test_annotating_draws_the_verdicts_colour_on_a_copy(state):
    frame = np.zeros((300, 400, 3), np.uint8)
    picture = annotate(frame, FACE, state, 0.9)
    assert not frame.any()
    np.testing.assert_array_equal(picture[150, 100], display.COLOURS[state])


def bar(picture: np.ndarray, state: str) -> np.ndarray:
    """Rows and columns of the verdict's colour outside the face's box."""
    outside = picture.copy()
    outside[78:, 97:164] = 0
    return np.argwhere((outside == display.COLOURS[state]).all(axis=-1))


@pytest.mark.parametrize("size", [(240, 320), (720, 1280), (2160, 3840)])
def test_the_label_stands_on_the_box_whole_at_every_size(size):
    picture = annotate(np.zeros((*size, 3), np.uint8), FACE, UNAUTHORIZED, 0.1)
    rows, columns = bar(picture, UNAUTHORIZED).T
    assert columns.max() - columns.min() > 80
    assert rows.min() >= 0 and columns.max() < size[1]


def test_a_face_at_the_edge_keeps_its_label_inside_the_picture():
    faces = np.array([[380, -10, 60, 80]], np.float32)
    frame = np.zeros((300, 400, 3), np.uint8)
    shown = (annotate(frame, faces, AUTHORIZED, 0.9) == display.COLOURS[AUTHORIZED]).all(axis=-1)
    assert shown[:30].any(axis=0).sum() > 100


def test_the_note_stands_at_the_bottom():
    picture = annotate(np.zeros((300, 400, 3), np.uint8), FACE[:0], CHECKING, None, "workstation locked")
    assert picture[280:, :120].any() and not picture[:260].any()


def frames(count: int) -> list[np.ndarray]:
    return [np.full((120, 160, 3), 2 * n, np.uint8) for n in range(count)]


def test_a_cameras_uneven_frames_keep_their_time_in_the_video(tmp_path):
    out = tmp_path / "out.avi"
    recorder = Recorder(out, None, 30, live=True)
    for time_s, picture in zip((0, 0.5, 0.51, 1.0), (frames(120)[n] for n in (0, 50, 80, 110))):
        recorder.put(time_s, picture, [])
        time.sleep(0.01)
    recorder.close()
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 31  # 0 to 1.0 s
    shades = []
    while (item := video.read())[0]:
        shades.append(round(float(item[1].mean())))
    assert shades[0] < 10 and abs(shades[14] - 100) < 4 and abs(shades[-1] - 220) < 4


def test_a_file_keeps_every_frame_and_every_row(tmp_path):
    out, scores = tmp_path / "out.mp4", tmp_path / "scores.csv"
    recorder = Recorder(out, scores, 30, live=False)
    for n, picture in enumerate(frames(120)):
        recorder.put(n / 30, picture, [(n, "0", 1, 2, 3, 4, "0.9", "0.5", CHECKING)] * 2)
    assert not out.exists() and not scores.exists(), "beside, until they are whole"
    recorder.close()
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT) == 120
    with open(scores, newline="") as file:
        assert [row["frame"] for row in csv.DictReader(file)] == [str(n // 2) for n in range(240)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "scores.csv"]


def test_a_disk_that_cannot_keep_up_costs_a_camera_pictures_not_time(tmp_path, monkeypatch):
    class SlowWriter:
        def __init__(self):
            self.written = 0

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
        recorder.put(n / 30, frames(1)[0], [(n, *range(8))])
        longest = max(longest, time.monotonic() - before)
    assert longest < 2 and time.monotonic() - began < 4
    monkeypatch.undo()
    recorder.close()
    with open(tmp_path / "scores.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 101


# --- The real window ---


class Screen:
    """A virtual screen, X server display number and all, whose pixels can be read."""

    def __init__(self, folder: Path):
        reader, writer = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-fbdir", folder, "-nolisten", "tcp",
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
        """uint8 (600, 800, 3) BGR, out of the file in XWD format that the server draws into."""
        data = self._pixels.read_bytes()
        header = struct.unpack(">25I", data[:100])
        size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        pixels = np.frombuffer(data, np.uint8, line * height, size + 12 * colours)
        return pixels.reshape(height, line // 4, 4)[:, :width, :3]

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


def shown_in(picture: np.ndarray, state: str) -> int:
    """How many pixels have the verdict's colour."""
    return int((np.abs(picture.astype(int) - display.COLOURS[state]).max(axis=-1) < 3).sum())


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
