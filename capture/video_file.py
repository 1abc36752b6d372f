"""A video file as a source: every frame of it, upright, with its time."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from capture import pictures
from capture.ahead import Ahead
from capture.source import USUAL_FPS, SourceError, digest

# No recording of a face stands still for so long: a time stamp that says so is broken.
LONGEST_PAUSE_S = 10.0
# Frames of a file that are decoded in advance; more would only take memory, the slower side sets the pace.
FRAMES_AHEAD = 2


class VideoFile:
    """A video file, every frame of it, as fast as it can be decoded: in a thread, a little ahead of whoever asks."""

    live, stills = False, False
    _ahead: Ahead | None = None

    def __init__(self, path: Path):
        self.name, self.stem, self._path = str(path), path.stem, path
        try:
            path.open("rb").close()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
        self._capture = cv2.VideoCapture(str(path))
        width, height = (self._capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > pictures.PIXEL_LIMIT:
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
