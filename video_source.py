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
               frame uint8 (height, width, 3) BGR, upright; of a live source also None, some five
               times a second, while it brings no new picture
    fingerprint()   12 hexadecimal digits that tell two recordings of one name apart

A live source has, too,

    trouble    "" while all is well, else one line: "camera 0: no picture for 5 s; trying again in 4 s"
    lost_s     seconds for which it has given no sign of life, 0.0 while all is well
"""

import os
from collections.abc import Iterator
from pathlib import Path

# Read by OpenCV when it opens its first video: the decoder's own complaints would stand beside the
# one line that says what is wrong.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

import crops  # noqa: E402
from ahead import Ahead  # noqa: E402

# What can be done about a bad file or a missing camera, we say ourselves, in one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

USUAL_FPS = 30.0
# No recording of a face stands still for so long: a time stamp that says so is broken.
LONGEST_PAUSE_S = 10.0
# Frames of a file that are decoded in advance; more would only take memory, the slower side sets the pace.
FRAMES_AHEAD = 2
IMAGE_SUFFIXES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}

# A frame is dark where less than this share of it is brighter than this, of 255. Measured on five recordings, three
# live and two replayed, darkened step by step: down to a fifth of their brightness every face is found and no frame
# is dark. At an eighth all are: there LivenessNet takes what it can hardly see for live, even a replay that it
# scored 0.02 in full light (0.9). A phone's screen is bright, and takes more than this share once the face on it has
# the 24 pixels of width that gather_examples.py asks for (in 640x480).
DARK_LEVEL, LIT_SHARE = 32, 0.005


class SourceError(Exception):
    """The source cannot be opened or read; the message is one line that says what to do."""


def open_source(name: str, width: int | None = None, height: int | None = None, fps: float | None = None):
    """Open a camera ("0"), a stream ("rtsp://..."), a folder of stills or a video file.

    width, height (pixels), fps: asked of a camera, which may give something else; no other source can be asked.
    Raises SourceError, also for a file in which not one frame can be decoded.
    """
    is_number = name.isdecimal() and len(name) < 10
    if is_number or "://" in name:
        # It needs this module, too, and files do without it.
        from camera import Camera

        if is_number:
            return Camera(int(name), f"camera {name}", f"camera{name}", width, height, fps)
        return Camera(name, "stream " + _without_password(name), "stream", width, height, fps)
    path = Path(name)
    # Of os.path: a name that no system takes is no error to it.
    if os.path.isdir(path):
        return FrameFolder(path)
    if not os.path.isfile(path):
        raise SourceError(f"{name}: no such file; give a video file, a camera's number or a stream's address")
    return VideoFile(path)


class VideoFile:
    """A video file, every frame of it, as fast as it can be decoded: in a thread, a little ahead of whoever asks."""

    live = False
    _ahead: Ahead | None = None

    def __init__(self, path: Path):
        self.name, self.stem, self._path = str(path), path.stem, path
        try:
            path.open("rb").close()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
        self._capture = cv2.VideoCapture(str(path))
        width, height = (self._capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > crops.PIXEL_LIMIT:
            self._capture.release()
            raise SourceError(f"{path}: frames of {width:.0f}x{height:.0f} take too much memory; make them smaller")
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
        """Every step-th frame, once; those between are never turned into pictures."""
        self._ahead = Ahead(self._decoded(step), FRAMES_AHEAD)
        return self._ahead

    def _decoded(self, step: int) -> Iterator[tuple[int, float, np.ndarray]]:
        index, time_s = 0, 0.0
        before: tuple[int, float] | None = None  # index and time stamp of the frame before
        grabbed = True  # the first frame, by __init__
        while grabbed:
            if index % step == 0:
                decoded, frame = self._capture.retrieve()
                if decoded:
                    stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    if before:
                        usual = (index - before[0]) / self.fps
                        passed = stamp - before[1]
                        # Containers without time stamps, or with broken ones: count frames instead.
                        time_s += passed if 0 < passed <= max(LONGEST_PAUSE_S, 2 * usual) else usual
                    before = index, stamp
                    yield index, time_s, frame
            grabbed = self._capture.grab()
            index += 1

    def fingerprint(self) -> str:
        """Of the file's size and its first mebibyte: enough to tell recordings apart, and quick."""
        with self._path.open("rb") as file:
            head = file.read(1 << 20)
        return digest(str(self._path.stat().st_size).encode() + head)

    def close(self) -> None:
        # The decoder must be at rest before it is taken away.
        if self._ahead:
            self._ahead.close()
        self._capture.release()

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
        try:
            files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
        self._files = sorted(files)
        if not self._files:
            raise SourceError(f"{path}: no pictures in this folder; give a video or a folder of frames")
        self.length = len(self._files)

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th picture; one that cannot be decoded is left out."""
        for index in range(0, len(self._files), step):
            try:
                crop = crops.read(self._files[index])
            except OSError:
                continue
            if crop is not None:
                yield index, index / self.fps, crop.picture

    def fingerprint(self) -> str:
        """Of the names and the first picture."""
        names = "\n".join(file.name for file in self._files).encode()
        return digest(names + self._files[0].read_bytes())

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def is_dark(frame: np.ndarray) -> bool:
    """Is there too little light to tell anything? frame: uint8 (height, width, 3) BGR of any size.

    Takes 0.03 ms at 1920x1080.
    """
    # Every pixel would cost 40 times as much. The blur keeps a camera's noise in darkness from counting as light.
    small = cv2.blur(cv2.resize(frame, (160, 120), interpolation=cv2.INTER_NEAREST), (3, 3))
    return bool(np.count_nonzero(small > DARK_LEVEL) < LIT_SHARE * small.size)


def digest(data: bytes) -> str:
    """12 hexadecimal digits."""
    import hashlib

    return hashlib.sha256(data).hexdigest()[:12]


def _without_password(address: str) -> str:
    """rtsp://user:secret@host/path -> rtsp://host/path: names end up in logs."""
    scheme, _, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
