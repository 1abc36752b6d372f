"""Where frames come from: a video file, a camera or network stream, a folder of stills.

    with open_source("videos/real.mp4") as source:
        for index, time_s, frame in source.frames(): ...

Every source has

    name       how people call it: "videos/real.mp4", "camera 0"
    stem       its part of a file name: "real", "camera0-20261123T081500"
    live       True where frames are lost if they are not fetched in time
    fps        frames per second as announced, a guess of 30 where nothing sensible is
    length     number of frames, None where unknown
    frames()   yields (index, time_s, frame): index from 0, seconds from the first frame,
               frame uint8 (height, width, 3) BGR, upright
    fingerprint()   12 hexadecimal digits that tell two recordings of one name apart
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

# Read by OpenCV when it opens its first video: the decoder's own complaints would stand beside the
# one line that says what is wrong.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

# What can be done about a bad file or a missing camera, we say ourselves, in one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# A camera that brings no new frame for so long is gone: unplugged, or its driver hangs.
STALL_S = 5.0
USUAL_FPS = 30.0
IMAGE_SUFFIXES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


class SourceError(Exception):
    """The source cannot be opened or read; the message is one line that says what to do."""


def open_source(name: str):
    """Open a camera ("0"), a stream ("rtsp://..."), a folder of stills or a video file.

    Raises SourceError, also for a file in which not one frame can be decoded.
    """
    if name.isdecimal():
        return LiveSource(int(name), f"camera {name}", f"camera{name}")
    if "://" in name:
        return LiveSource(name, "stream " + _without_password(name), "stream")
    path = Path(name)
    if path.is_dir():
        return FrameFolder(path)
    if not path.is_file():
        raise SourceError(f"{name}: no such file; give a video file, a camera's number or a stream's address")
    return VideoFile(path)


class VideoFile:
    """A video file, every frame of it, as fast as it can be decoded."""

    live = False

    def __init__(self, path: Path):
        self.name, self.stem, self._path = str(path), path.stem, path
        try:
            path.open("rb").close()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
        self._capture = cv2.VideoCapture(str(path))
        # A container that opens may still hold nothing that can be decoded.
        if not (self._capture.isOpened() and self._capture.grab()):
            self._capture.release()
            raise SourceError(f"{path}: not a video that OpenCV can decode; convert it to MP4 (H.264)")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else USUAL_FPS
        # Some containers announce no frames, or a negative number of them.
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.length = int(count) if 0 < count < 1e9 else None

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th frame; those between are never turned into pictures."""
        index, start, last = 0, None, -math.inf
        grabbed = True  # the first frame, by __init__
        while grabbed:
            if index % step == 0:
                decoded, frame = self._capture.retrieve()
                if decoded:
                    stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    start = stamp if start is None else start
                    # Containers without time stamps, or with broken ones: count frames instead.
                    time_s = stamp - start if stamp - start > last else max(index / self.fps, last)
                    last = time_s
                    yield index, time_s, frame
            grabbed = self._capture.grab()
            index += 1

    def fingerprint(self) -> str:
        """Of the file's size and its first mebibyte: enough to tell recordings apart, and quick."""
        with self._path.open("rb") as file:
            head = file.read(1 << 20)
        return _digest(str(self._path.stat().st_size).encode() + head)

    def close(self) -> None:
        self._capture.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class LiveSource:
    """A camera or a stream, always the newest frame; whoever is slower than it misses some."""

    live = True
    length = None

    def __init__(self, address: int | str, name: str, stem: str):
        # imutils reads the camera in a thread of its own, so that the newest frame is at hand.
        from imutils.video import VideoStream

        self.name = name
        self.stem = f"{stem}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}"
        self._reader = VideoStream(address).stream
        if not self._reader.grabbed:
            self._reader.stream.release()
            raise SourceError(
                f"{name}: cannot be opened; is it connected, free of other programs, and allowed to be used?"
            )
        fps = self._reader.stream.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else USUAL_FPS
        self._reader.start()

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th frame as they come, for ever; raises SourceError when they cease to come."""
        index, last, start = 0, None, time.monotonic()
        newest = start
        while True:
            frame, now = self._reader.read(), time.monotonic()
            # Nothing tells a frame that was handed out already but that it is the same object;
            # an unplugged camera brings None.
            if frame is None or frame is last:
                if now - newest > STALL_S:
                    raise SourceError(f"{self.name}: no picture for {STALL_S:.0f} s; is it still connected?")
                time.sleep(0.002)
                continue
            newest, last = now, frame
            if index % step == 0:
                yield index, now - start, frame
            index += 1

    def fingerprint(self) -> str:
        """Of the moment: no two sessions with a camera are one recording."""
        return _digest(self.stem.encode() + str(time.time_ns()).encode())

    def close(self) -> None:
        self._reader.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FrameFolder:
    """The stills of a folder by name; of an incident's folder, the raw frames in it."""

    live = False
    fps = USUAL_FPS

    def __init__(self, path: Path):
        self.name, self.stem = str(path), path.resolve().name
        # The snapshot beside an incident's frames has a box drawn on it: not for training.
        folder = path / "frames" if (path / "frames").is_dir() else path
        self._files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not self._files:
            raise SourceError(f"{path}: no pictures in this folder; give a video or a folder of frames")
        self.length = len(self._files)

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th picture; one that cannot be decoded is left out."""
        for index in range(0, len(self._files), step):
            # Not imread: on Windows it cannot open a path with letters beyond the system's code page.
            frame = cv2.imdecode(np.fromfile(self._files[index], np.uint8), cv2.IMREAD_COLOR)
            if frame is not None:
                yield index, index / self.fps, frame

    def fingerprint(self) -> str:
        """Of the names and the first picture."""
        names = "\n".join(file.name for file in self._files).encode()
        return _digest(names + self._files[0].read_bytes())

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _without_password(address: str) -> str:
    """rtsp://user:secret@host/path -> rtsp://host/path: names end up in logs."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
