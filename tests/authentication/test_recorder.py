"""The annotated video and the scores are whole, in time, and cost a camera nothing."""

import csv
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from authentication import recorder as recording
from authentication.drawing import COLOURS
from authentication.recorder import Recorder, RecordingError
from authentication.verdict import CHECKING, UNAUTHORIZED
from authentication.view import View

FACE = np.array([[100, 80, 60, 80]], np.float32)
NOBODY = FACE[:0]


def frames(count: int) -> list[np.ndarray]:
    return [np.full((120, 160, 3), 2 * n, np.uint8) for n in range(count)]


BARE = View(NOBODY, CHECKING, fps=30)  # nothing to draw: the corner is the window's


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
    assert seen[0] < 10 and seen[14] < 10, "until the next came, the one before was to be seen"
    assert abs(seen[15] - 160) < 64 and abs(seen[29] - 160) < 64 and abs(seen[-1] - 220) < 4


def test_a_file_keeps_every_frame_and_every_row(tmp_path):
    out, scores = tmp_path / "out.mp4", tmp_path / "scores.csv"
    recorder = Recorder(out, scores, 30, live=False)
    for n, picture in enumerate(frames(120)):
        recorder.put(n / 30, picture, BARE, [(n, "0", 1, 2, 3, 4, "0.9", "0.5", CHECKING, 7, "picture")] * 2)
    assert not out.exists() and not scores.exists(), "beside, until they are whole"
    recorder.close()
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT) == 120
    with open(scores, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(n // 2) for n in range(240)]
    assert (rows[0]["verdict"], rows[0]["track"], rows[0]["track_state"]) == (CHECKING, "7", "picture")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "scores.csv"]


def test_the_recording_shows_the_verdict_and_leaves_the_frame_as_it_was(tmp_path):
    frame = np.zeros((240, 320, 3), np.uint8)
    recorder = Recorder(tmp_path / "out.avi", None, 30, live=False)
    recorder.put(0, frame, View(FACE, UNAUTHORIZED, 0.1, fps=30), [])
    recorder.close()
    assert not frame.any()
    picture = cv2.VideoCapture(str(tmp_path / "out.avi")).read()[1]
    red = np.abs(picture.astype(int) - COLOURS[UNAUTHORIZED]).max(axis=-1) < 40
    assert red.sum() > 100
    assert not picture[:20, 200:].any(), "no corner: nobody can press q in a recording"


def test_while_a_camera_gives_no_picture_the_recording_says_so_over_the_last_one(tmp_path):
    out = tmp_path / "out.avi"
    recorder = Recorder(out, None, 30, live=True)
    lost = View(NOBODY, CHECKING, trouble="camera 0: no picture for 5 s; trying again in 4 s")
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
    for n, size in enumerate(((120, 160), (200, 100), (120, 160))):
        recorder.put(n / 30, np.full((*size, 3), 200, np.uint8), BARE, [])
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

    recorder = Recorder(tmp_path / "out.mp4", tmp_path / "scores.csv", 30, live=True)
    monkeypatch.setattr(recording._Movie, "_open", lambda *args: SlowWriter())
    began = time.monotonic()
    longest = 0.0
    for n in range(100):
        before = time.monotonic()
        recorder.put(n / 30, frames(1)[0], BARE, [(n, *range(10))])
        longest = max(longest, time.monotonic() - before)
    assert longest < 0.5 and time.monotonic() - began < 2
    with pytest.raises(RecordingError):  # nothing was really written
        recorder.close()
    with open(tmp_path / "scores.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 101


WITH_LITTLE_ROOM = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from authentication.recorder import Recorder, RecordingError
from authentication.view import View
video, scores = (Path(name) if name else None for name in sys.argv[1:])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
recorder, rng = Recorder(video, scores, 30, live=False), np.random.default_rng(0)
for n in range(120):
    picture = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8) if video else None
    recorder.put(n / 30, picture, View(np.empty((0, 4)), "checking"), [(n, *range(10))] * (1 if video else 200))
try:
    recorder.close()
except RecordingError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".mkv"])
def test_a_full_disk_is_told_and_costs_neither_the_earlier_video_nor_the_scores(tmp_path, suffix):
    """OpenCV's writer says nothing of it."""
    video, scores = tmp_path / f"out{suffix}", tmp_path / "scores.csv"
    video.write_bytes(b"earlier")
    done = subprocess.run([sys.executable, "-c", WITH_LITTLE_ROOM, video, scores], capture_output=True, text=True)
    assert f"{video}: cannot be written (" in done.stdout, done.stderr
    assert video.read_bytes() == b"earlier" and {path.name for path in tmp_path.iterdir()} == {video.name, "scores.csv"}
    assert len(scores.read_text().splitlines()) == 121


@pytest.mark.skipif(sys.platform == "win32", reason="pipes there have no names in the file system")
def test_a_reader_who_takes_no_scores_does_not_keep_it_from_ending(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "PATIENCE_S", 0.5)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(None, tmp_path / "pipe", 30, live=False)
    for number in range(100):
        recorder.put(number / 30, None, BARE, [(number, "x" * 5000)])
    began = time.monotonic()
    with pytest.raises(RecordingError, match="pipe: not finished"):
        recorder.close()
    assert time.monotonic() - began < 5
    os.close(reader)


def test_a_disk_that_takes_no_more_of_a_files_video_is_waited_for_once(tmp_path, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(recording, "PATIENCE_S", 0.5)
    monkeypatch.setattr(recording._Movie, "write", lambda *_: answers.wait())
    recorder = Recorder(tmp_path / "out.avi", None, 30, live=False)
    began = time.monotonic()
    for number, frame in enumerate(frames(40)):
        recorder.put(number / 30, frame, BARE, [])
    with pytest.raises(RecordingError, match=r"out.avi: not finished"):
        recorder.close()
    assert 0.4 < time.monotonic() - began < 5
    answers.set()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_told_and_costs_no_earlier_scores(tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_bytes(b"earlier")
    done = subprocess.run([sys.executable, "-c", WITH_LITTLE_ROOM, "", scores], capture_output=True, text=True)
    assert f"{scores}: cannot be written (" in done.stdout, done.stderr
    assert scores.read_bytes() == b"earlier"
    assert len((tmp_path / "scores.part.csv").read_text().splitlines()) > 1000, "what could be written is kept"


def test_a_video_is_given_up_while_there_is_still_some_room(tmp_path, monkeypatch):
    """A guard that runs all day does not go on for hours with a video that nobody will see."""
    usage = recording.shutil.disk_usage(tmp_path)
    recorder = Recorder(tmp_path / "out.mp4", None, 30, live=True)
    monkeypatch.setattr(recording.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    recorder.put(0, frames(1)[0], BARE, [])
    with pytest.raises(RecordingError, match="No space left"):
        recorder.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.png", "out.txt", "out", "out.gif", "out.mp4.jpg"])
def test_what_is_no_video_is_refused_before_the_run(tmp_path, name):
    with pytest.raises(RecordingError, match="name an .mp4 or .avi file"):
        Recorder(tmp_path / name, tmp_path / "scores.csv", 30, live=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", sorted(recording.CODES))
def test_whatever_is_not_refused_can_be_played(tmp_path, suffix):
    record(tmp_path / f"out{suffix}", 30, [n / 30 for n in range(40)])
    assert len(shades(tmp_path / f"out{suffix}")) == 40


def record(path: Path, announced: float, stamps: list[float]) -> None:
    recorder = Recorder(path, None, announced, live=False)
    for n, time_s in enumerate(stamps):
        recorder.put(time_s, frames(n % 120 + 1)[-1], BARE, [])
    recorder.close()


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])
@pytest.mark.parametrize(
    "announced, real",
    [
        (1000 / 7, 1000 / 7),
        (201.1, 201.0989),
        (1000, 30),
        (1000, 29.97),
        (60, 30),
        (30, 240),
        (math.nan, 25),
        (0, 15),
        (-1, 12.5),
        (1e9, 30),
        (0.5, 0.5),
        (24000 / 1001, 24000 / 1001),
        (60000 / 1001, 60000 / 1001),
        (1000, 1000),
    ],
)
def test_the_video_lasts_as_long_as_what_it_shows(tmp_path, suffix, announced, real):
    stamps = [round(n / real, 3) for n in range(60)]  # WebM has milliseconds
    record(tmp_path / f"out{suffix}", announced, stamps)
    video = cv2.VideoCapture(str(tmp_path / f"out{suffix}"))
    count = len(shades(tmp_path / f"out{suffix}"))
    fps = video.get(cv2.CAP_PROP_FPS)
    assert 1 <= fps <= 240 and count / fps == pytest.approx(60 / real, abs=1.5 / real + 1.5 / fps)
    if real <= 240:
        assert count >= 58, "pictures are missing"


def test_a_pause_in_a_file_lasts_as_long_in_its_video(tmp_path):
    """Recordings of a screen have no frames where nothing moves."""
    record(tmp_path / "out.avi", 30, [*(n / 30 for n in range(10)), *(2 + n / 30 for n in range(10))])
    seen = shades(tmp_path / "out.avi")
    assert len(seen) == 70 and abs(seen[59] - seen[9]) < 4 < seen[60] - seen[9] + 4


def test_a_video_of_pictures_that_it_cannot_hold_costs_no_scores(tmp_path):
    recorder = Recorder(tmp_path / "out.mp4", tmp_path / "scores.csv", 30, live=False)
    for n in range(20):
        recorder.put(n / 30, np.zeros((16, 9000, 3), np.uint8), BARE, [(n, *range(10))])  # MPEG-4 ends at 8191
    with pytest.raises(RecordingError, match="name an .mp4 or .avi file"):
        recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 21


def test_a_whole_video_that_cannot_take_its_place_is_kept(tmp_path):
    """As on Windows while a player shows the one before it."""
    recorder = Recorder(tmp_path / "out.mp4", None, 30, live=False)
    recorder.put(0, frames(1)[0], BARE, [])
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(RecordingError, match=r"cannot be replaced .*out\.part\.mp4"):
        recorder.close()
    assert len(shades(tmp_path / "out.part.mp4")) == 1
