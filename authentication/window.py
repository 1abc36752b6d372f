"""The preview window.

window = Window(lost)
window.show(frame, view, wait_s=0, mirror=True)         # False once the user has quit
"""

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

# Read by the window's toolkit: it looks for fonts that the wheel does not bring, and says so on standard error.
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")

import cv2
import numpy as np

from authentication.drawing import darkened, draw
from authentication.screen import BeforeExit, WindowError, qt_platform
from authentication.shapes import DARK
from authentication.view import View, mirrored

TITLE = "Liveness Authentication"
KEYS_TO_QUIT = {ord("q"), ord("Q"), 27}
# Pictures larger than this width and height are shrunk for the window, and those whose longer side is smaller than
# that are enlarged, before anything is drawn on them: texts stay sharp.
LARGEST_WINDOW, SMALLEST_WINDOW = (1280, 720), 640
# On X a window that has not come up after so long is opened again, so often: with six processes at work on two cores 18
# of 165 windows never came up, most others within 0.06 s, one after 0.26. OpenCV makes a window no wider than that.
COMES_UP_S, OPENED_AGAIN, SIDE_AS_MADE = 0.3, 3, 100


class Window:
    """The preview window. Raises WindowError where there is no screen.

    lost: called when the screen goes away, in the middle of show(). It has to end the process: after it, the window's
    toolkit would, with status 1.
    """

    def __init__(self, lost: Callable[[], None]):
        self._lost, self._exit = lost, None
        if sys.platform.startswith("linux"):
            # An incident may just be written when the screen goes; see BeforeExit.
            for suffix in (".jpg", ".png"):
                cv2.imencode(suffix, np.zeros((1, 1, 3), np.uint8))
            self._exit = BeforeExit(self._lose)
            self._exit.arm()
            atexit.register(self._exit.disarm)
            with qt_platform() as platform:
                _open()
                if platform == "xcb":
                    _open_again_if_lost()
        else:
            _open()
        self._last: np.ndarray | None = None

    def show(self, frame: np.ndarray | None, view: View, wait_s: float, mirror: bool) -> bool:
        """Show a frame with its view for at least wait_s seconds; False once the user has quit with q, Esc or the
        window.

        frame: uint8 (height, width, 3) BGR; None: the last one, darkened. mirror: as a mirror would.
        """
        if self._exit:
            self._exit.arm()
        cv2.imshow(TITLE, self._compose(frame, view, mirror))
        key = cv2.waitKey(max(1, round(wait_s * 1000)))
        return (key & 0xFF if key >= 0 else -1) not in KEYS_TO_QUIT and self._is_open()

    def _is_open(self) -> bool:
        try:
            return cv2.getWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN) >= 0
        except cv2.error:  # of a window that is no more, with some toolkits
            return False

    def _compose(self, frame: np.ndarray | None, view: View, mirror: bool) -> np.ndarray:
        if frame is not None:
            picture = self._last = frame
        elif self._last is not None:
            picture = darkened(self._last)
        else:
            picture = np.full((SMALLEST_WINDOW * 9 // 16, SMALLEST_WINDOW, 3), DARK, np.uint8)
        scale = _window_scale(*picture.shape[:2])
        if scale != 1:
            picture = _scaled(picture, scale)
            view = replace(view, boxes=view.boxes * scale)
        if mirror:
            picture, view = mirrored(picture, view)
        if picture is frame:
            picture = frame.copy()
        draw(picture, view)
        return picture

    def close(self) -> None:
        if self._lost:
            cv2.destroyAllWindows()
        if self._exit:
            self._exit.disarm()

    def _lose(self) -> None:
        lost, self._lost = self._lost, None  # there is nothing left to close
        if lost:
            lost()


def _open() -> None:
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    except cv2.error:
        raise WindowError(_why_no_windows()) from None


def _open_again_if_lost() -> None:
    """Qt 5 on a busy machine may miss that the window manager has brought its window up: it takes it to be where it was
    made, at the screen's left edge, and paints it no more. A second window comes up."""
    with contextlib.suppress(cv2.error):  # the user has closed it already
        for _ in range(OPENED_AGAIN):
            until = time.monotonic() + COMES_UP_S
            while time.monotonic() < until:
                x, _, width, _ = cv2.getWindowImageRect(TITLE)
                if x or width > SIDE_AS_MADE:
                    return
                cv2.waitKey(5)
            cv2.destroyWindow(TITLE)
            _open()


def _why_no_windows() -> str:
    """Of the wheels of OpenCV the one that was installed last wins, and those for servers have no windows."""
    from importlib.metadata import distributions

    found = {str(one.name).lower().replace("_", "-") for one in distributions() if one.name}
    wheels = sorted(name for name in found if name.startswith("opencv-") and "python" in name)
    blind = [name for name in wheels if name.endswith("-headless")]
    if not blind:
        return "this OpenCV cannot open windows; add --no-display, or install opencv-python"
    if len(blind) == len(wheels):
        return (
            f"{blind[0]} cannot open windows; add --no-display, or run: pip uninstall {' '.join(blind)}, "
            "then pip install opencv-python"
        )
    # Whichever is removed takes files of the others with it.
    return (
        f"{blind[0]} has taken the place of {next(name for name in wheels if name not in blind)} and cannot open "
        f"windows; run: pip uninstall {' '.join(wheels)}, then pip install opencv-python; or add --no-display"
    )


def _window_scale(height: int, width: int) -> float:
    """By which a picture is shown: as it is, unless it is too large for a small screen, or a postage stamp."""
    if max(width, height) < SMALLEST_WINDOW:
        return SMALLEST_WINDOW / max(width, height)
    return min(1.0, LARGEST_WINDOW[0] / width, LARGEST_WINDOW[1] / height)


def _scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    """Without the flicker that leaving out pixels gives, and in a quarter of the time that INTER_AREA takes."""
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    while scale <= 0.5:
        picture, scale = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 2 * scale
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR)
