"""A screen on Linux: is it there before the window's toolkit looks, and what happens when it goes away.

Qt ends the process in both cases: by SIGABRT where it finds no screen, and with status 1, which says "unauthorized",
when its X server is gone.
"""

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from storage.user_error import UserError

# An X server may be at the other end of a connection that is broken.
ANSWER_S = 5.0
NO_WINDOW = "or add --no-display"


class WindowError(UserError):
    """There can be no window; the message is one line that says what to do."""


@contextlib.contextmanager
def qt_platform() -> Iterator[str]:
    """Within the block Qt finds the screen that is there, by the platform that is its value: "xcb" is X, "" another
    toolkit's affair. Raises WindowError where there is none.

    OpenCV's wheel knows X servers alone, and a desktop on Wayland may ask Qt for what the wheel has not.
    """
    display, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if not (display or wayland):
        raise WindowError("no screen to open a window on; add --no-display")
    plugins = _plugins()
    if _wanted() in plugins.keys() - {"xcb"}:
        yield _wanted()  # somebody's own choice, such as a screen in memory
        return
    problem = _x_problem(plugins.get("xcb")) if display else ""
    if problem is None:
        platform = "xcb"
    elif wayland and _wayland_answers(wayland) and (not plugins or any(name.startswith("wayland") for name in plugins)):
        platform = "wayland"
    elif display:
        raise WindowError(f"no window can be opened on DISPLAY={display} ({problem}); correct DISPLAY, {NO_WINDOW}")
    else:
        raise WindowError(
            f"no window can be opened on WAYLAND_DISPLAY={wayland}: this OpenCV needs an X server, such "
            f"as Xwayland, and DISPLAY names none; set DISPLAY, {NO_WINDOW}"
        )
    before = os.environ.get("QT_QPA_PLATFORM")
    if plugins:
        os.environ["QT_QPA_PLATFORM"] = platform
    try:
        yield platform if plugins else ""
    finally:  # it is not meant for the programs that are started later
        os.environ.pop("QT_QPA_PLATFORM", None)
        if before is not None:
            os.environ["QT_QPA_PLATFORM"] = before


class BeforeExit:
    """A call to be made when a library ends the process by C's exit(), which no Python code hears of.

    C takes down last what was made first, so what came to life after this was armed, within OpenCV for instance, is
    no more when the call is made: arm it again whenever that can be afforded. To be disarmed before Python ends.
    """

    def __init__(self, call: Callable[[], None]):
        self._call, self._armed = call, False
        libc = ctypes.CDLL(None)
        self._remember, self._forget = libc["__cxa_atexit"], libc["__cxa_finalize"]
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._run)
        self._owner = ctypes.create_string_buffer(1)  # whose address tells C which handlers are ours

    def arm(self) -> None:
        self.disarm()
        self._remember(self._handler, None, self._owner)
        self._armed = True

    def disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._forget(self._owner)  # C forgets a handler by running it

    def _run(self, _) -> None:
        if self._armed:
            self._call()


def _plugins() -> dict[str, Path]:
    """Qt's platforms, by name, that OpenCV's wheel brings: none where the toolkit is another, or the system's own."""
    if cv2.currentUIFramework() != "QT":
        return {}
    folder = Path(os.environ.get("QT_QPA_PLATFORM_PLUGIN_PATH", ""), "platforms")
    return {file.stem.removeprefix("libq"): file for file in folder.glob("libq*.so")}


def _wanted() -> str:
    return os.environ.get("QT_QPA_PLATFORM", "").split(";")[0].split(":")[0]


def _x_problem(plugin: Path | None) -> str | None:
    """Why no window can be opened on the X server that DISPLAY names; None where nothing is known against it."""
    try:
        if plugin:
            ctypes.CDLL(str(plugin))
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError as error:
        return str(error)  # the library that is missing
    xcb.xcb_connect.restype = ctypes.c_void_p
    answers: list[int] = []

    def connect() -> None:
        connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
        answers.append(xcb.xcb_connection_has_error(connection))
        xcb.xcb_disconnect(connection)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if not answers:
        return "the X server does not answer"
    return "no X server there lets us in" if answers[0] else None


def _wayland_answers(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.path.join(os.environ.get("XDG_RUNTIME_DIR", ""), name))
            return True
        except OSError:
            return False
