"""A camera or stream behind OpenCV: opened, asked for pictures, and why it cannot be opened."""

import contextlib
import logging
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from capture.source import USUAL_FPS

log = logging.getLogger("liveness.capture")

# OpenCV's own order on Windows, too, is Media Foundation before the older DirectShow.
NATIVE_BACKENDS = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}
DEVICES = Path("/dev")
# What announces more frames per second tells the unit of its time stamps instead.
FASTEST_CAMERA = 240
STREAM_OPEN_MS, STREAM_READ_MS = 10_000, 4_000
# By the number of channels; two are as most webcams send pictures through the cable.
_TO_COLOUR = {1: cv2.COLOR_GRAY2BGR, 2: cv2.COLOR_YUV2BGR_YUY2, 4: cv2.COLOR_BGRA2BGR}


class Device:
    """A camera or stream that can be opened and released again and again. Nothing in it may be used by two threads.

    address: the camera's number, its file (Linux), or a stream's URL. name: for messages.
    width, height (pixels), fps: wishes, made at each opening.
    """

    def __init__(
        self,
        address: int | Path | str,
        name: str,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
    ):
        self.address, self._name = address, name
        self._wishes = {
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FPS: fps,
        }
        self._capture: cv2.VideoCapture | None = None
        self._brightest = 0  # see _as_colour()
        if isinstance(address, str):
            self._backends = [cv2.CAP_FFMPEG]
        elif isinstance(address, Path):
            self._backends = [cv2.CAP_V4L2]
        else:
            self._backends = [NATIVE_BACKENDS.get(sys.platform, cv2.CAP_ANY), cv2.CAP_ANY]

    @property
    def fps(self) -> float:
        """Frames per second as announced, a guess of 30 where nothing sensible is."""
        announced = self._capture.get(cv2.CAP_PROP_FPS) if self._capture else 0
        return announced if 1 <= announced <= FASTEST_CAMERA else USUAL_FPS

    @property
    def ends(self) -> bool:
        """Does the stream say how long it is, as a recording does?"""
        return isinstance(self.address, str) and bool(
            self._capture and 1 < self._capture.get(cv2.CAP_PROP_FRAME_COUNT) < 1e9
        )

    def open(self) -> bool:
        """Blocks for as long as the backend does. It must be released if it is open."""
        for backend in self._backends:
            try:
                if isinstance(self.address, str):
                    timeouts = [
                        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                        STREAM_OPEN_MS,
                        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                        STREAM_READ_MS,
                    ]
                    capture = cv2.VideoCapture(self.address, backend, timeouts)
                elif isinstance(self.address, Path):
                    capture = cv2.VideoCapture(os.fsencode(self.address), backend)
                else:
                    capture = cv2.VideoCapture(self.address, backend)
            except (cv2.error, OverflowError):
                continue
            if capture.isOpened():
                # Another backend may number the cameras in another way: from now on this one or none.
                self._backends, self._capture = [backend], capture
                self._make_wishes()
                return True
            capture.release()
        return False

    def read(self) -> np.ndarray | None:
        """The next picture, None if there is none; blocks until there is one, or the backend's time is up."""
        if self._capture is None:
            return None
        try:
            grabbed, frame = self._capture.read()
            return self._as_colour(frame) if grabbed and frame is not None and frame.size else None
        except cv2.error:  # a picture damaged on its way, or of a kind that has no colours
            return None

    def release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def report_wishes(self, frame: np.ndarray) -> None:
        """Log what the camera gives instead of what was asked of it. frame: a picture of it."""
        height, width = frame.shape[:2]
        given = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: self.fps}
        if any(value and abs(value - given[key]) >= 1 for key, value in self._wishes.items()):
            words = zip(self._wishes.values(), ("wide", "high", "frames/s"))
            wished = ", ".join(f"{value:g} {word}" for value, word in words if value)
            log.warning("%s: asked for %s; gives %dx%d at %.3g frames/s", self._name, wished, width, height, self.fps)

    def _as_colour(self, frame: np.ndarray) -> np.ndarray | None:
        """Whatever a driver delivers as uint8 (height, width, 3) BGR; None if it is no picture.

        Infrared and depth cameras give one channel, with 10 to 16 bits in it, others a fourth.
        """
        if frame.dtype != np.uint8:
            frame = np.nan_to_num(frame, posinf=0) * (255 if frame.dtype.kind == "f" and frame.max() <= 1 else 1)
            # How many bits are used, the brightest picture so far tells.
            self._brightest = max(self._brightest, int(frame.max()))
            frame = (frame.clip(0) / 2 ** max(0, self._brightest.bit_length() - 8)).astype(np.uint8)
        channels = 1 if frame.ndim == 2 else frame.shape[2] if frame.ndim == 3 else 0
        if channels in _TO_COLOUR:
            return cv2.cvtColor(frame, _TO_COLOUR[channels])
        return frame if channels == 3 else None

    def _make_wishes(self) -> None:
        wishes = {key: value for key, value in self._wishes.items() if value}
        if isinstance(self.address, str) or not wishes:
            return
        if self._backends[0] == cv2.CAP_V4L2:
            # Uncompressed, as V4L2 prefers, hardly more than 640x480 at 30 frames/s fits through USB 2.
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        for key, value in wishes.items():
            self._capture.set(key, value)


def obstacle(address: int | Path | str) -> tuple[str, str]:
    """What keeps a camera or stream from being opened, "" where that cannot be told, and what to do about it."""
    if isinstance(address, str):
        return "", "is the address right, password included, and the device on and reachable?"
    if sys.platform != "linux":
        return "", "is it connected, free of other programs, and allowed to be used (privacy settings)?"
    device = address if isinstance(address, Path) else DEVICES / f"video{address}"
    if not device.exists():
        numbers = sorted(int(path.name[5:]) for path in DEVICES.glob("video*") if path.name[5:].isdecimal())
        return "no such camera", f"connected: {', '.join(map(str, numbers)) or 'none'}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be used", f"add yourself to its group, {_group_of(device)}, and log in again"
    if user := _user_of(device):
        return f"in use by another program ({user})", "close that, or give another camera"
    return "it gives no picture", "is it free of other programs? Some cameras have a second number without pictures"


def _group_of(path: Path) -> str:
    try:
        return path.group()
    except KeyError:
        return str(path.stat().st_gid)


def _user_of(device: Path) -> str:
    """Linux: which other process has the device open, "cheese, process 4711"; "" if none that we may see."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        # Processes end, and other users' are closed to us, while we look.
        with contextlib.suppress(OSError):
            process = link.parent.parent
            if int(process.name) != os.getpid() and os.readlink(link) == os.path.realpath(device):
                return f"{(process / 'comm').read_text().strip()}, process {process.name}"
    return ""
