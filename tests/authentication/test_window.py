"""The real window, on a virtual screen."""

import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, with_model
from screens import Screen

from authentication import drawing, shapes
from authentication.verdict import AUTHORIZED, UNAUTHORIZED


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
        [
            sys.executable,
            ROOT / "liveness_main.py",
            *with_model(trained),
            "--source",
            video,
            "--no-voice",
        ],
        cwd=tmp_path,
        env=screen.env,
        stderr=subprocess.PIPE,
        text=True,
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
    return int((np.abs(picture.astype(int) - drawing.COLOURS[state]).max(axis=-1) < tolerance).sum())


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_closes_the_window_and_ends_well(window, screen, key):
    assert shown_in(screen.picture(), UNAUTHORIZED) == 0
    screen.press("key", key)
    assert window.communicate(timeout=20)[1] == ""
    assert window.returncode == 0
    # The window manager takes away what it has put around the window a little later.
    wait_for(lambda: True if shown_in(screen.picture(), AUTHORIZED) == 0 else None)


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
from authentication.view import View
from authentication.window import Window
frames = np.load(sys.argv[1])
boxes, mirror = np.array([[10.0, 20, 30, 40]]) * float(sys.argv[2]), sys.argv[3] == "mirror"
window = Window(lost=sys.exit)
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

    def show(*frames, colour=drawing.COLOURS[AUTHORIZED], scale: float = 1, mirror: bool = False) -> np.ndarray:
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
    frame[:, : size[1] // 2] = (200, 60, 0)
    return frame


@pytest.mark.parametrize(
    "size, wanted",
    [((2160, 3840), (720, 1280)), ((1920, 1080), (720, 405)), ((144, 176), (524, 640)), ((480, 640), (480, 640))],
)
def test_the_window_has_a_size_for_people(shown, size, wanted):
    scale = size[0] / 100
    picture = shown(coloured(size), scale=scale)
    assert picture.shape[:2] == wanted
    k = wanted[0] / size[0]
    x, y = round(10 * scale * k), round(40 * scale * k)
    assert shown_in(picture[y - 3 : y + 3, x - 2 : x + 3], AUTHORIZED) > 5, "the box goes with the picture"
    assert picture[-20, 40].tolist() == [200, 60, 0] and picture[-20, -20].tolist() == [255, 255, 255]


def test_before_a_camera_the_window_is_a_mirror(shown):
    picture = shown(coloured((480, 640)), mirror=True)
    assert picture[-20, 40].tolist() == [255, 255, 255] and picture[-20, -20].tolist() == [200, 60, 0]
    assert shown_in(picture[35:45, 598:603], AUTHORIZED) > 5


def test_without_a_picture_the_window_shows_the_last_one_darkened_and_says_why(shown):
    picture = shown(coloured((480, 640)), np.zeros((480, 640, 3), np.uint8), colour=shapes.AMBER)
    assert 40 < picture[-20, -20].mean() < 110 and picture[-20, 40, 0] > picture[-20, 40, 2], "still blue and white"


def test_before_the_first_picture_the_window_is_dark_and_says_why(shown):
    picture = shown(np.zeros((480, 640, 3), np.uint8), colour=shapes.AMBER)
    assert picture.shape == (360, 640, 3) and picture[-20, -20].max() < 40


COUNTED = """
from authentication import window
open_ = window._open
def counted():
    print("opened", flush=True)
    open_()
window._open = counted
"""


def test_a_window_that_does_not_come_up_is_opened_again(screen, tmp_path):
    """As Qt may do by itself on a busy machine."""
    np.savez(tmp_path / "frames.npz", last=coloured((480, 640)))
    command = [sys.executable, "-c", COUNTED + SHOW, tmp_path / "frames.npz", "1", "no"]
    with screen.nobody_manages(), open(tmp_path / "printed", "w") as printed:
        process = subprocess.Popen(command, cwd=ROOT, env=screen.env, stdout=printed)
        wait_for(lambda: True if (tmp_path / "printed").read_text().count("opened") > 1 else None)
    try:
        assert wait_for(lambda: like(screen.window(), drawing.COLOURS[AUTHORIZED])).shape == (480, 640, 3)
    finally:
        process.kill()
        process.wait()
