"""How liveness_main.py starts: several things at once, any of which may fail."""

import subprocess
import sys

import pytest
from conftest import ROOT, WEIGHTS, assert_one_line, without_the_missing


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
    return without_the_missing(
        subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True))


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
