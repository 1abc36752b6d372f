"""Streams are real: MJPEG over HTTP, from a server of our own that can be told to misbehave. For cameras, of which
there is none here, the driver is simulated at OpenCV's interface, cv2.VideoCapture."""

import logging
import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from camera_parts import QUICK, SOON, Server, stream
from conftest import ROOT

import gather_examples
from capture import camera, device
from capture.camera import Camera, Patience
from capture.opening import open_source
from capture.source import SourceError


@pytest.fixture
def lines():
    """What was logged, whatever other tests have done to the logger."""

    class Lines(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    found, handler = [], Lines()
    logger = logging.getLogger("liveness")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def quick_streams(monkeypatch):
    monkeypatch.setattr(device, "STREAM_OPEN_MS", 800)
    monkeypatch.setattr(device, "STREAM_READ_MS", 800)


def watch(frames, until, timeout: float = SOON) -> list[tuple]:
    """Items of frames() until until(item) holds; fails when it does not in time."""
    seen, deadline = [], time.monotonic() + timeout
    for item in frames:
        seen.append(item)
        if until(item):
            return seen
        assert time.monotonic() < deadline, "did not happen in time"
    raise AssertionError("no more frames")


def has_picture(item) -> bool:
    return item[2] is not None


def wait_for(condition, timeout: float = SOON) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def readers() -> int:
    return sum("reader" in thread.name for thread in threading.enumerate())


# Streams


def test_a_stream_gives_new_pictures_with_rising_times(camera_server, live_frames):
    with open_source(camera_server.url) as source:
        assert source.live and source.length is None and 1 <= source.fps <= 1000
        assert "secret" not in source.name
        seen = [item for item in watch(source.frames(), lambda item: item[0] == 20) if has_picture(item)]
        assert source.trouble == "" and source.lost_s == 0
    assert [index for index, _, _ in seen] == list(range(21))
    times = [time_s for _, time_s, _ in seen]
    assert times[0] == 0 and times == sorted(set(times)) and times[-1] < SOON
    for (_, _, before), (_, _, after) in zip(seen, seen[1:]):
        assert not np.array_equal(before, after)
    # It is the served pictures, by no more than JPEG's loss.
    loss = np.abs(seen[0][2].astype(int) - live_frames).mean(axis=(1, 2, 3)).min()
    assert loss < 3


def test_a_slow_consumer_gets_the_newest_picture(camera_server, live_frames):
    with stream(camera_server) as source:
        frames = source.frames()
        next(frames)
        for _ in range(3):
            time.sleep(0.6)     # some twenty pictures
            sent = camera_server.number
            _, time_s, frame = next(frames)
            number = np.abs(frame.astype(int) - live_frames).mean(axis=(1, 2, 3)).argmin()
            assert (sent - number) % len(live_frames) <= 8 or (number - sent) % len(live_frames) <= 8
    assert time_s > 1.5


def test_every_nth_picture_is_taken_as_they_come(camera_server):
    with stream(camera_server) as source:
        seen = [index for index, _, frame in watch(source.frames(5), lambda item: item[0] >= 20) if frame is not None]
    assert seen == [0, 5, 10, 15, 20]


def test_a_frozen_picture_is_noticed_and_the_stream_opened_again(camera_server, lines):
    with stream(camera_server) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        camera_server.mode = "repeat"
        watch(frames, lambda _: source.trouble)
        assert "stream: the same picture for " in source.trouble and source.lost_s >= QUICK.frozen
        wait_for(lambda: camera_server.connections >= 3)  # not once only
        item = watch(frames, lambda item: True)[-1]
        assert item[2] is None, "a repeated picture must not be handed over"
        camera_server.mode = "run"
        watch(frames, has_picture)
        assert source.trouble == "" and source.lost_s == 0
        next(frames)
    assert "the same picture" in lines[0] and lines[1] == "stream: picture again" and len(lines) == 2


def test_a_few_repeats_are_no_trouble_and_no_new_pictures(camera_server):
    with stream(camera_server, Patience()) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        camera_server.mode = "repeat"
        gap = [item for item in watch(frames, lambda item: item[2] is None)]
        assert source.trouble == "" and source.lost_s == 0
        camera_server.mode = "run"
        later = watch(frames, has_picture)[-1]
        assert later[0] == gap[-1][0]  # the index stood still
        assert later[1] >= gap[-1][1]
    assert camera_server.connections == 1


@pytest.mark.parametrize("mode", ["pause", "drop"])
def test_a_stream_that_ceases_is_noticed_and_comes_back(camera_server, quick_streams, mode):
    with stream(camera_server) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        camera_server.mode = mode
        watch(frames, lambda _: source.trouble)
        assert "stream: no picture for " in source.trouble and source.lost_s >= QUICK.silent
        watch(frames, lambda _: camera_server.connections >= 2)
        camera_server.mode = "run"
        watch(frames, has_picture)
        assert source.trouble == ""


def test_a_server_that_is_away_for_a_while_is_found_again(camera_server, quick_streams, live_frames):
    with stream(camera_server) as source:
        frames = source.frames()
        next(frames)
        camera_server.close()
        watch(frames, lambda _: "trying again in" in source.trouble)
        again = Server(live_frames, camera_server.port)
        try:
            watch(frames, has_picture)
        finally:
            again.close()


def test_darkness_is_told_and_light_seen_at_once(camera_server, lines):
    """However long the pauses between attempts to mend what is most likely a covered lens."""
    patience = Patience(dark=0.3, settle=60, pause=60, longest_dark_pause=60)
    with stream(camera_server, patience) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        camera_server.mode = "dark"
        watch(frames, lambda _: source.trouble)
        assert "stream: too dark to see for " in source.trouble
        assert source.lost_s == 0, "a camera in a dark room is not lost"
        wait_for(lambda: camera_server.connections == 2)
        while watch(frames, lambda item: True)[-1][1] < 2:
            assert source.trouble
        assert camera_server.connections == 2
        camera_server.mode = "run"
        began = time.monotonic()
        watch(frames, has_picture)
        assert time.monotonic() - began < 3
        next(frames)
    assert "too dark" in lines[0] and lines[1] == "stream: picture again"


@pytest.mark.parametrize("mode", ["mute", "drop", "pause"])
def test_what_brings_no_first_picture_is_refused_in_time_without_secrets(camera_server, quick_streams, mode):
    camera_server.mode = mode
    began = time.monotonic()
    with pytest.raises(SourceError, match="cannot be opened") as error:
        open_source(camera_server.url)
    assert time.monotonic() - began < 2 * Patience().first_picture + SOON
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    wait_for(lambda: readers() == 0)


def test_closing_does_not_wait_for_a_stream_that_hangs(camera_server):
    with stream(camera_server) as source:
        next(source.frames())
        camera_server.mode = "pause"
        time.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < camera.CLOSE_S + 1
    assert list(source.frames()) == []
    source.close()
    wait_for(lambda: readers() == 0)  # when its read has timed out


@pytest.mark.skipif(sys.platform != "linux", reason="counts files and threads in /proc")
def test_many_openings_leak_neither_threads_nor_files(camera_server, live_frames):
    patience = Patience(silent=0.05, frozen=0.05, settle=0.01, pause=0.01, longest_pause=0.01)
    with stream(camera_server, patience) as source:
        frames = source.frames()
        camera_server.mode = "repeat"
        counts = []
        for goal in (10, 40):
            watch(frames, lambda _: camera_server.connections >= goal, 30)
            wait_for(lambda: len(os.listdir("/proc/self/fd")) <= 60)
            counts.append((readers(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))))
    assert counts[0][0] == counts[1][0] == 1
    # The server's own threads and sockets come and go meanwhile.
    assert counts[1][1] <= counts[0][1] + 8 and counts[1][2] <= counts[0][2] + 8


def test_gathering_ends_with_a_message_when_the_camera_is_lost(camera_server, quick_streams, monkeypatch):
    monkeypatch.setattr(gather_examples, "LOST_S", 0.6)
    with stream(camera_server) as source, pytest.raises(SourceError, match="stream: no picture"):
        pictures = gather_examples.pictures(source, 1)
        for index, _, frame in pictures:
            assert frame is not None
            if index == 3:
                camera_server.mode = "repeat"


# Cameras


class Driver:
    """Stands in for cv2.VideoCapture and what is behind it; counts what it is asked."""

    def __init__(self, pictures):
        self.pictures = pictures
        self.plugged = True
        self.openings, self.reads, self.held = [], 0, 0     # (time, backend) of each attempt; captures not released
        self.sizes = (176, 144)
        self.asked = []
        self.silent = False                                 # opens, but brings nothing
        self.works_with = None                              # the only backend that opens, None: any
        self.block = threading.Event()                      # set: reading does not block
        self.block.set()
        self.opening = threading.Event()                    # set: opening does not block
        self.opening.set()

    def __call__(self, index, backend, *_):
        return Capture(self, backend)


class Capture:
    def __init__(self, driver: Driver, backend: int):
        self.driver = driver
        driver.openings.append((time.monotonic(), backend))
        driver.opening.wait(20)
        self.open = driver.plugged and driver.works_with in (None, backend)
        driver.held += self.open

    def isOpened(self):
        return self.open

    def get(self, key):
        return 30.0 if key == cv2.CAP_PROP_FPS else 0.0

    def set(self, key, value):
        self.driver.asked.append((key, value))
        return False

    def read(self):
        driver = self.driver
        driver.reads += 1
        driver.block.wait(20)
        if not (self.open and driver.plugged) or driver.silent:
            return False, None
        time.sleep(1 / 50)
        return True, driver.pictures[driver.reads % len(driver.pictures)].copy()

    def release(self):
        self.driver.held -= self.open
        self.open = False


@pytest.fixture
def driver(live_frames, monkeypatch):
    driver = Driver(live_frames)
    monkeypatch.setattr(cv2, "VideoCapture", driver)
    yield driver
    driver.block.set()
    driver.opening.set()


def camera_0(patience: Patience = QUICK, **wishes) -> Camera:
    return Camera(0, "camera 0", "camera0", patience=patience, **wishes)


def test_an_unplugged_camera_is_noticed_and_found_again_after_growing_pauses(driver, lines):
    patience = Patience(silent=0.4, broken=0.15, pause=0.15, longest_pause=0.6, settle=0.1)
    with camera_0(patience) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        driver.plugged = False
        began, reads = time.monotonic(), driver.reads
        watch(frames, lambda _: source.trouble)
        wait_for(lambda: len(driver.openings) >= 7)
        assert driver.held == 0, "a dead capture would keep the device's number taken"
        assert driver.reads - reads < 60 * (time.monotonic() - began), "spins"
        item = watch(frames, lambda _: "trying again in" in source.trouble)[-1]
        assert item[2] is None and source.trouble.startswith("camera 0: no picture for ")
        driver.plugged = True
        watch(frames, has_picture)
        assert source.trouble == ""
        next(frames)
    pauses = np.diff([when for when, _ in driver.openings[1:]])
    # 0.15, 0.3, 0.6, and no longer.
    assert pauses[0] >= 0.14 and pauses[1] >= 0.29 and (pauses[2:5] >= 0.59).all()
    assert [line.partition(" for")[0] for line in lines] == ["camera 0: no picture", "camera 0: picture again"]
    assert driver.held == 0


def test_after_recovery_the_pauses_begin_anew(driver):
    patience = Patience(silent=0.2, broken=0.1, pause=0.1, longest_pause=60, settle=0.1)
    with camera_0(patience) as source:
        frames = source.frames()
        next(frames)
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 5)     # the next pause would be 0.8 s, the one after it 1.6 s
        watch(frames, lambda item: item[2] is None)
        driver.plugged = True
        watch(frames, has_picture)
        before = len(driver.openings)
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= before + 3)
    first, second, third = (when for when, _ in driver.openings[before : before + 3])
    assert third - first < 0.8


def test_a_camera_that_opens_is_given_time_to_bring_a_picture(driver):
    patience = Patience(silent=0.2, broken=0.1, pause=0.05, settle=1.0)
    with camera_0(patience) as source:
        next(source.frames())
        driver.silent = True
        wait_for(lambda: len(driver.openings) >= 3)
    assert driver.openings[2][0] - driver.openings[1][0] >= 0.99


def test_the_smallest_change_makes_a_picture_another(live_frames):
    frame = live_frames[0]
    assert camera.same(frame, frame.copy())
    for row in range(20):
        other = frame.copy()
        other[row, 5, 1] ^= 1
        assert not camera.same(frame, other)
    assert not camera.same(frame, frame[:-1])


def test_while_there_is_no_picture_the_loop_is_let_go_five_times_a_second(driver):
    with camera_0() as source:
        frames = source.frames()
        next(frames)
        driver.plugged = False
        driver.opening.clear()      # opening blocks, too
        watch(frames, lambda item: item[2] is None)
        gaps = np.diff([next(frames)[1] for _ in range(6)])
        assert 0.15 < np.median(gaps) < 0.5


def test_a_read_that_never_returns_is_noticed_and_does_not_keep_close(driver):
    source = camera_0()
    frames = source.frames()
    next(frames)
    driver.block.clear()
    watch(frames, lambda _: source.trouble)
    assert "no picture" in source.trouble and source.lost_s >= QUICK.silent
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < camera.CLOSE_S + 1
    assert driver.held == 1
    driver.block.set()
    wait_for(lambda: driver.held == 0)


def test_the_native_backend_is_tried_first_and_what_worked_is_kept(driver, monkeypatch):
    native = device.NATIVE_BACKENDS[sys.platform]
    with camera_0() as source:
        assert [backend for _, backend in driver.openings] == [native]
    driver.openings.clear()
    driver.works_with = cv2.CAP_ANY
    with camera_0() as source:
        assert [backend for _, backend in driver.openings] == [native, cv2.CAP_ANY]
        next(source.frames())
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 4)
    assert {backend for _, backend in driver.openings[2:]} == {cv2.CAP_ANY}


def test_wishes_are_made_at_every_opening_and_what_became_of_them_told_once(driver, lines):
    with camera_0(width=1280, height=720, fps=60) as source:
        wishes = {cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 60}
        assert dict(driver.asked).items() >= wishes.items()
        driver.asked.clear()
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 2)
        driver.plugged = True
        watch(source.frames(), lambda item: item[0] >= 3)
        assert dict(driver.asked).items() >= wishes.items()
    told = [line for line in lines if "asked for" in line]
    assert told == ["camera 0: asked for 1280 wide, 720 high, 60 frames/s; gives 176x144 at 30 frames/s"]


def test_nothing_is_said_of_wishes_that_are_met_or_not_made(driver, lines):
    with camera_0(width=176, height=144, fps=30):
        pass
    driver.asked.clear()
    with camera_0():
        pass
    assert driver.asked == [] and not any("asked for" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_reason_why_a_camera_cannot_be_opened(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "DEVICES", tmp_path)
    driver.plugged = False
    with pytest.raises(SourceError, match="^camera 0: cannot be opened: no such camera; connected: none$"):
        camera_0()
    (tmp_path / "video2").touch()
    with pytest.raises(SourceError, match="^camera 0: cannot be opened: no such camera; connected: 2$"):
        camera_0()
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="camera 0: cannot be opened: it gives no picture"):
        camera_0()
    with (tmp_path / "video0").open() as held:
        other = subprocess.Popen(["sleep", "60"], stdin=held)
    try:
        with pytest.raises(SourceError, match=rf"opened: in use by another program \(sleep, process {other.pid}\)"):
            camera_0()
    finally:
        other.kill()
        other.wait()
    driver.plugged = True
    with camera_0() as source:
        driver.plugged = False
        (tmp_path / "video0").unlink()
        watch(source.frames(), lambda _: ": no such camera; trying again in " in source.trouble)
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="opened: .*video0 may not be used; add yourself to its group"):
        camera_0()


def test_a_camera_that_opens_without_a_picture_is_busy(driver):
    driver.silent = True
    began = time.monotonic()
    with pytest.raises(SourceError, match="camera 0: "):
        camera_0()
    assert time.monotonic() - began < SOON and driver.held == 0


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_one_sentence_names_the_usual_reasons(driver, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    driver.plugged = False
    with pytest.raises(SourceError, match="camera 0: cannot be opened; is it connected, free of other programs, and"):
        camera_0()
    assert driver.openings[0][1] == {"win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}[platform]


def test_a_program_ends_though_its_camera_hangs(camera_server):
    """As a process: a thread that is caught in the driver must not keep it alive."""
    code = (
        "import sys; from capture import device; from capture.opening import open_source; device.STREAM_READ_MS = 20_000\n"
        "with open_source(sys.argv[1]) as source:\n"
        "    next(source.frames()); print('seen', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, camera_server.url], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == "seen\n"
    camera_server.mode = "pause"
    time.sleep(0.3)
    began = time.monotonic()
    _, errors = process.communicate("\n", timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - began < SOON + camera.CLOSE_S
