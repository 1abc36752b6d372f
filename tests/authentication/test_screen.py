"""A screen that is not there is told before the run; one that goes away ends it well."""

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import ROOT, assert_one_line, with_model
from screens import Screen

from authentication import window
from authentication.window import Window, WindowError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there are X servers on Linux")


@pytest.fixture
def start(trained, tmp_path):
    """Run the authenticator on a video, with a window on the screens that the environment names."""
    running = []

    def begin(source, *options, **screens) -> subprocess.Popen:
        env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        running.append(
            subprocess.Popen(
                [
                    sys.executable,
                    ROOT / "liveness_main.py",
                    *with_model(trained),
                    "--source",
                    source,
                    "--no-voice",
                    *options,
                ],
                cwd=tmp_path,
                env=env | screens,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def end_of(process: subprocess.Popen) -> subprocess.CompletedProcess:
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture
def screen(tmp_path_factory):
    for program in ("Xvfb", "openbox"):
        if not shutil.which(program):
            pytest.skip(f"needs {program} (Debian package {program.lower()})")
    screen = Screen(tmp_path_factory.mktemp("screen"))
    yield screen
    screen.close()


@pytest.mark.parametrize(
    "screens, told",
    [
        ({"DISPLAY": ":77"}, "DISPLAY=:77"),
        ({"DISPLAY": "garbage"}, "DISPLAY=garbage"),
        ({"DISPLAY": ":77", "WAYLAND_DISPLAY": "wayland-77"}, "DISPLAY=:77"),
        ({"WAYLAND_DISPLAY": "wayland-77"}, "Xwayland"),
        ({"DISPLAY": ":77", "QT_QPA_PLATFORM": "wayland"}, "DISPLAY=:77"),
        ({"QT_QPA_PLATFORM": "offscreen"}, "no screen"),
        ({"DISPLAY": ""}, "no screen"),
    ],
)
def test_a_screen_that_is_not_there_is_told_in_one_line(start, sample, tmp_path, screens, told):
    done = end_of(start(sample.real, "--once", "--output", "out.mp4", **screens))
    assert_one_line(done, told, "--no-display")
    assert {path.name for path in tmp_path.iterdir()} == {"AuthenticationInfo.log"}


def test_an_x_server_that_does_not_answer_is_not_waited_for(start, sample):
    """As at the other end of a connection that is broken."""
    number = next(n for n in range(200, 300) if not os.path.exists(f"/tmp/.X11-unix/X{n}"))
    os.makedirs("/tmp/.X11-unix", exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(f"/tmp/.X11-unix/X{number}")
        try:
            mute.listen()
            assert_one_line(end_of(start(sample.real, DISPLAY=f":{number}")), "does not answer", "--no-display")
        finally:
            os.unlink(f"/tmp/.X11-unix/X{number}")


def test_a_wayland_desktops_wish_for_qt_does_not_keep_the_window_from_coming(start, sample, screen):
    done = end_of(start(sample.real, "--once", DISPLAY=screen.display, QT_QPA_PLATFORM="wayland"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("options", [[], ["--once", "--confidence", "1"]])
def test_a_screen_that_goes_away_ends_well(start, screen, sample, live_frames, write_video, tmp_path, options):
    """Qt would end the process with status 1, which says "unauthorized", and half a recording."""
    video = write_video(np.concatenate([live_frames] * 20), "long.mp4")
    process = start(video, "--output", "out.mp4", "--scores", "scores.csv", *options, DISPLAY=screen.display)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.part.mp4").exists() or (tmp_path / "out.part.mp4").stat().st_size < 1000:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    screen.kill()
    done = end_of(process)
    assert_one_line(done, "the screen is gone", "--no-display")
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).read()[0]
    assert (tmp_path / "scores.csv").read_text().endswith("\n")
    assert "the screen is gone" in (tmp_path / "AuthenticationInfo.log").read_text()


def test_an_intruders_lock_is_asked_for_though_the_screen_goes_away(start, screen, sample, tmp_path):
    """At the moment of the verdict: the screen is what the lock command takes away."""
    lock = f"kill -9 {screen.server}; touch {tmp_path}/locked"
    (tmp_path / "alerts.toml").write_text(f'[lock]\ncommand = ["sh", "-c", "{lock}"]\n[location]\nurl = ""\n')
    done = end_of(start(sample.fake, "--arm", DISPLAY=screen.display))
    assert done.returncode == 2 and "the screen is gone" in done.stderr
    assert (tmp_path / "locked").exists() and list((tmp_path / "incidents").glob("*/incident.json"))


@pytest.mark.parametrize(
    "wheels, told",
    [
        (["opencv-python-headless"], ["opencv-python-headless cannot open", "pip uninstall opencv-python-headless,"]),
        (["opencv-python", "opencv-python-headless"], ["uninstall opencv-python opencv-python-headless,"]),
        (
            ["opencv_contrib_python", "opencv-contrib-python-headless"],
            [
                "taken the place of opencv-contrib-python ",
                "uninstall opencv-contrib-python opencv-contrib-python-headless,",
            ],
        ),
        ([], ["this OpenCV cannot open windows"]),
    ],
)
def test_an_opencv_without_windows_is_told_with_what_to_remove(monkeypatch, wheels, told):
    def without_windows(*_):
        raise cv2.error("The function is not implemented. Rebuild the library with Windows, GTK+ 2.x or Cocoa support")

    monkeypatch.setattr(cv2, "namedWindow", without_windows)
    installed = [SimpleNamespace(name=name) for name in [*wheels, "numpy", None]]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(WindowError) as caught:
        Window(lost=sys.exit)
    for part in (*told, "--no-display"):
        assert part in str(caught.value)


def test_a_window_leaves_the_environment_of_other_programs_alone(monkeypatch, screen):
    """A locker that is written in Qt has platforms of its own."""
    monkeypatch.setenv("DISPLAY", screen.display)
    monkeypatch.setenv("QT_QPA_PLATFORM", "wayland")
    monkeypatch.setattr(window, "_open", lambda: None)
    Window(lost=sys.exit).close()
    assert os.environ["QT_QPA_PLATFORM"] == "wayland"
