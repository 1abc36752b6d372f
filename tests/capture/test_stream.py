"""Streams are real: MJPEG over HTTP, from a server of our own that can be told to misbehave."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from camera_parts import QUICK, SOON, Server, has_picture, readers, stream, wait_for, watch
from conftest import ROOT

import gather_examples
from capture import camera, device
from capture.camera import Patience
from capture.opening import open_source
from capture.source import SourceError


@pytest.fixture
def quick_streams(monkeypatch):
    monkeypatch.setattr(device, "STREAM_OPEN_MS", 800)
    monkeypatch.setattr(device, "STREAM_READ_MS", 800)


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
            time.sleep(0.6)  # some twenty pictures
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
        gap = watch(frames, lambda item: item[2] is None)
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


# --- Time in which the program did not run ---


def test_a_camera_that_was_silent_meanwhile_is_lost_for_a_second_longer_at_most(camera_server, quick_streams):
    with stream(camera_server) as source:
        frames = source.frames()
        next(frames)
        camera_server.mode = "pause"
        before = watch(frames, lambda _: source.lost_s)[-1][1]
        lost_s = source.lost_s
        time.sleep(2.5)
        assert 0.9 < next(frames)[1] - before < 1.6
        assert 0.9 < source.lost_s - lost_s < 1.6


@pytest.mark.parametrize("mode", ["dark", "pause"])
def test_a_covered_or_silent_camera_of_a_program_that_runs_counts_in_full(camera_server, quick_streams, mode):
    with stream(camera_server) as source:
        frames = source.frames()
        camera_server.mode = mode
        first_s = watch(frames, lambda item: item[2] is None)[-1][1]
        began = time.monotonic()
        last_s = watch(frames, lambda _: time.monotonic() - began > 2)[-1][1]
        assert last_s - first_s > 1.8
        assert source.lost_s > 1.8 if mode == "pause" else source.lost_s == 0


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped")
def test_a_stopped_process_has_missed_a_second_at_most(camera_server):
    code = (
        "import json, sys, time; from capture.camera import Camera, Patience\n"
        "with Camera(sys.argv[1], 'stream', 'stream', patience=Patience(silent=2)) as source:\n"
        "    for _, time_s, frame in source.frames():\n"
        "        lost = source.lost_s or bool(source.trouble)\n"
        "        print(json.dumps([time.monotonic(), time_s, frame is not None, lost]), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, camera_server.url], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    try:
        lines = [process.stdout.readline() for _ in range(10)]
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        lines += [process.stdout.readline() for _ in range(30)]
    finally:
        process.kill()
        process.communicate()
    now, time_s, picture, lost = np.array([json.loads(line) for line in lines], float).T
    stop = np.diff(now).argmax()
    assert now[stop + 1] - now[stop] > 2.8
    assert time_s[stop + 1] - time_s[stop] < 1.6 and (np.diff(time_s) >= 0).all()
    assert picture[stop + 1 :].any() and not lost.any()


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


def test_a_program_ends_though_its_camera_hangs(camera_server):
    """As a process: a thread that is caught in the driver must not keep it alive."""
    code = (
        "import sys; from capture import device; from capture.opening import open_source\n"
        "device.STREAM_READ_MS = 20_000\n"
        "with open_source(sys.argv[1]) as source:\n"
        "    next(source.frames()); print('seen', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, camera_server.url],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == "seen\n"
    camera_server.mode = "pause"
    time.sleep(0.3)
    began = time.monotonic()
    _, errors = process.communicate("\n", timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - began < SOON + camera.CLOSE_S
