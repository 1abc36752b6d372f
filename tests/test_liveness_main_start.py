"""The authenticator's start: beside each other what takes long, and an end at any moment."""

import csv
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line, born_with, with_model, without_the_missing

from authentication import opening
from capture import opening as capture_opening


@pytest.fixture
def long_run(trained, live_frames, write_video, tmp_path):
    """Start a run that goes on for longer than any test, and wait until it is in the middle of it."""
    video = write_video(np.concatenate([live_frames] * 40), "long.mp4")
    processes = []

    def start(*options) -> subprocess.Popen:
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    ROOT / "liveness_main.py",
                    *with_model(trained),
                    "--source",
                    video,
                    "--no-display",
                    "--no-voice",
                    "--scores",
                    "s.csv",
                    "--output",
                    "o.mp4",
                    *options,
                ],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        while not (tmp_path / "o.part.mp4").exists() or not (tmp_path / "o.part.mp4").stat().st_size:
            time.sleep(0.05)
            assert processes[-1].poll() is None
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)])
def test_an_interrupted_run_keeps_the_scores_and_the_video(long_run, tmp_path, number):
    with born_with(number, signal.SIG_DFL):
        process = long_run()
    process.send_signal(number)
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).read()[0]
    with open(tmp_path / "s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and None not in rows[-1].values(), "the last row is cut off"
    assert "finished" in (tmp_path / "AuthenticationInfo.log").read_text().splitlines()[-1]


def test_an_interrupted_gate_does_not_open(long_run):
    process = long_run("--once", "--timeout", "1000", "--confidence", "1")  # no face is good enough: no verdict
    process.send_signal(signal.SIGTERM)
    assert "no verdict" in process.communicate(timeout=20)[1]
    assert process.returncode == 3


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_started_with_nohup_it_outlives_its_terminal(long_run):
    with born_with(signal.SIGHUP, signal.SIG_IGN):
        process = long_run()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("platform, main", [("darwin", True), ("linux", False)])
def test_macos_is_asked_for_the_camera_in_the_main_thread(monkeypatch, platform, main):
    threads = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(capture_opening, "open_source", lambda *_: threads.append(threading.current_thread()))
    opening.Opening(opening.SourceOptions("0"), "d", 0.5).source()
    assert [thread is threading.main_thread() for thread in threads] == [main]


def start_with(change: str, trained, source, folder, model=None) -> subprocess.CompletedProcess:
    """Run liveness_main.py after a change to its parts, which is Python."""
    code = f"""
import sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
import face_detector, liveness_main, livenessnet
{change}
liveness_main.leave(liveness_main.main(["-m", {str(model or trained.model)!r}, "-l", {str(trained.le)!r},
    "-d", {str(WEIGHTS)!r}, "--source", {str(source)!r}, "--no-display", "--no-voice"]))
"""
    return without_the_missing(subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True))


def test_an_error_ends_the_program_well_while_the_detector_is_still_being_read(trained, tmp_path):
    """OpenCV, taken down under a thread that is in it, would abort the process."""
    change = """
new = face_detector.FaceDetector
face_detector.FaceDetector = lambda *a: [new(*a) for _ in range(2000)]"""
    for _ in range(3):
        assert_one_line(start_with(change, trained, "nothing.mp4", tmp_path), "nothing.mp4", "no such file")
        assert_one_line(start_with(change, trained, "nothing.mp4", tmp_path, "no.model"), "no.model", "no such file")


def test_a_model_that_cannot_be_read_ends_the_search_for_faces(trained, sample, tmp_path):
    """Which is under way by then, in threads that are within OpenCV."""
    change = """
load = livenessnet.load
def late(*files):
    end = time.monotonic() + 10
    while not any(thread.name == "ahead" for thread in threading.enumerate()):
        assert time.monotonic() < end
    return load(*files)
livenessnet.load = late"""
    for _ in range(3):
        assert_one_line(start_with(change, trained, sample.real, tmp_path, "no.model"), "no.model", "no such file")


def test_faces_are_looked_for_while_the_network_is_being_read(trained, sample, tmp_path):
    """As many as there is room for, and no more; then all frames are judged, each with its own faces."""
    change = """
from authentication import authenticator
load, detect, found = livenessnet.load, face_detector.FaceDetector.detect, []
face_detector.FaceDetector.detect = lambda self, frame: [found.append(1), detect(self, frame)][1]
def late(*files):
    end = time.monotonic() + 10
    while len(found) < authenticator.AT_FIRST and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    print(len(found))
    return load(*files)
livenessnet.load = late"""
    done = start_with(change, trained, sample.real, tmp_path)
    assert done.returncode == 0, done.stderr
    count, answer = done.stdout.splitlines()
    assert int(count) == 8 and "authorized after" in answer


def test_the_answer_does_not_wait_for_the_frame_in_the_making(trained, sample, tmp_path):
    """In which a face is being looked for when the verdict falls. The program's end does wait for it."""
    change = """
import builtins
detect, tell, begun, answered = face_detector.FaceDetector.detect, print, [], threading.Event()
def slow(self, frame):
    begun.append(1)
    if len(begun) > 15:
        if not answered.wait(5):
            print("kept waiting")
        time.sleep(0.3)
    return detect(self, frame)
def told(*words, **how):
    tell(*words, **how)
    if "authorized" in str(words):
        answered.set()
face_detector.FaceDetector.detect, builtins.print = slow, told
main = liveness_main.main
def once(argv):
    status = main([*argv, "--once"])
    print(len(begun) > 15, any(thread.name == "ahead" for thread in threading.enumerate()))
    return status
liveness_main.main = once"""
    done = start_with(change, trained, sample.real, tmp_path)
    assert done.returncode == 0, done.stderr
    answer, last = done.stdout.splitlines()
    assert "authorized after 0.47 s" in answer and last == "True False"


@pytest.mark.parametrize("module", ["numpy", "cv2", "alerts", "livenessnet"])
def test_ctrl_c_while_modules_are_imported_leaves_no_traceback(module, trained, sample, tmp_path):
    """Half of a start is imports."""
    code = f"""
import signal, sys
sys.path.insert(0, {str(ROOT)!r})
# Whatever the tests run under may ignore it, as a shell does for what it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
import liveness_main
liveness_main.leave(liveness_main.main(["-m", {str(trained.model)!r}, "-l", {str(trained.le)!r},
    "-d", {str(WEIGHTS)!r}, "--source", {str(sample.real)!r}, "--no-display", "--no-voice", "--once"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, without_the_missing(done).stderr) == (3, "", "")


def test_altered_weights_are_told_in_one_line(trained, sample, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "face_detection_yunet_2023mar.onnx").write_bytes(b"altered")
    for _ in range(3):
        done = subprocess.run(
            [
                sys.executable,
                ROOT / "liveness_main.py",
                "-m",
                trained.model,
                "-l",
                trained.le,
                "-d",
                tmp_path / "weights",
                "--source",
                sample.real,
                "--no-display",
                "--no-voice",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert_one_line(done, "face_detection_yunet")
