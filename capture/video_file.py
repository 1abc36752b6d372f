"""A video file as a source: every frame of it, upright, with its time."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from capture import containers, pictures
from capture.address import shown
from capture.ahead import Ahead
from capture.source import USUAL_FPS, SourceError, file_digest

if TYPE_CHECKING:
    from capture.pace import Pace

# No recording of a face stands still for so long: a time stamp that says so is broken.
LONGEST_PAUSE_S = 10.0
# Frames of a file that are decoded in advance; more would only take memory, the slower side sets the pace.
FRAMES_AHEAD = 2
# Pixels that are less than this much wider than high, or higher than wide, are taken for square: faces differ by more.
ODD_PIXELS, ODDEST_PIXELS = 1.1, 4.0


class Recording:
    """A video that ends, every frame of it, as fast as it can be decoded: in a thread, a little ahead of whoever asks.

    capture: opened or not. name, stem: see capture.source. advice: what to do about one that cannot be decoded.
    mirror: see capture.containers.Header.
    Raises SourceError if not one frame can be decoded.
    """

    live, stills = False, False
    _ahead: Ahead | None = None

    def __init__(
        self,
        capture: cv2.VideoCapture,
        name: str,
        stem: str,
        advice: str,
        mirror: tuple[bool, bool, bool] | None = None,
    ):
        self.name, self.stem = name, stem
        self._capture, self._mirror = capture, mirror
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > pictures.PIXEL_LIMIT:
            capture.release()
            raise SourceError(f"{name}: frames of {width:.0f}x{height:.0f} take too much memory; make them smaller")
        if mirror:
            # OpenCV would turn it as if it were not mirrored.
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        # A container that opens may still hold nothing that can be decoded.
        if not (capture.isOpened() and capture.grab()):
            capture.release()
            raise SourceError(f"{name}: {advice}")
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._announced_fps = fps if 1 <= fps <= 1000 else None
        # Some containers announce no frames, or a negative number of them.
        self._announced_count = int(count) if 0 < count < 1e9 else None
        self._pixels = self._pixel_shape()

    @property
    def fps(self) -> float:
        """Frames per second, by the time stamps of the beginning; a guess of 30 where there are none."""
        fps = self._agreed[0]
        return fps if fps and 1 <= fps <= 1000 else USUAL_FPS

    @property
    def length(self) -> int | None:
        return self._agreed[1]

    @functools.cached_property
    def _agreed(self) -> tuple[float | None, int | None]:
        # Only now: a start that asks for neither does without.
        from capture.pace import agreed

        return agreed(self._announced_fps, self._announced_count, self._measured())

    def _measured(self) -> "Pace":
        """By the packets from the start, with another capture."""
        raise NotImplementedError

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th frame, once; those between are never turned into pictures."""
        self._ahead = Ahead(self._decoded(step), FRAMES_AHEAD)
        return self._ahead

    def _decoded(self, step: int) -> Iterator[tuple[int, float, np.ndarray]]:
        index, time_s, frame_s = 0, 0.0, 1 / (self._announced_fps or USUAL_FPS)
        before: tuple[int, float] | None = None  # index and time stamp of the frame before
        grabbed = True  # the first frame, by __init__
        while grabbed:
            if index % step == 0:
                decoded, frame = self._capture.retrieve()
                if decoded:
                    stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    if before:
                        frames, passed = index - before[0], stamp - before[1]
                        if 0 < passed <= max(LONGEST_PAUSE_S, 2 * frames * frame_s):
                            frame_s = passed / frames
                        # Containers without time stamps, or with broken ones: count frames instead.
                        time_s += frames * frame_s
                    before = index, stamp
                    yield index, time_s, self._upright(frame)
            grabbed = self._capture.grab()
            index += 1

    def _pixel_shape(self) -> float:
        """Width of a pixel in units of its height as pictures come, 1.0 if it is hardly another."""
        wide, high = self._capture.get(cv2.CAP_PROP_SAR_NUM), self._capture.get(cv2.CAP_PROP_SAR_DEN)
        shape = wide / high if wide > 0 and high > 0 else 1.0
        if not ODD_PIXELS < max(shape, 1 / shape) <= ODDEST_PIXELS:
            return 1.0
        lying = self._mirror[0] if self._mirror else self._capture.get(cv2.CAP_PROP_ORIENTATION_META) in (90, 270)
        return 1 / shape if lying else shape

    def _upright(self, frame: np.ndarray) -> np.ndarray:
        """The picture as a player shows it; what only turns it, OpenCV has done."""
        if self._mirror:
            swap, left_right, up_down = self._mirror
            frame = cv2.transpose(frame) if swap else frame
            frame = cv2.flip(frame, 1) if left_right else frame
            frame = cv2.flip(frame, 0) if up_down else frame
        if self._pixels != 1:
            frame = cv2.resize(frame, None, fx=max(self._pixels, 1), fy=max(1 / self._pixels, 1))
        return frame

    def close(self) -> None:
        # The decoder must be at rest before it is taken away.
        if self._ahead:
            self._ahead.close()
        self._capture.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class VideoFile(Recording):
    """A video file. Raises SourceError if it cannot be read, or not one frame of it be decoded."""

    def __init__(self, path: Path):
        self._path, name = path, shown(str(path))
        try:
            header = containers.look(path)
            empty = not path.stat().st_size
        except OSError as error:
            raise SourceError(f"{name}: cannot be read ({error.strerror})") from error
        # Kept for as long as this is: OpenCV lets go of it without Python's lock, so it must not be the last to.
        self._streams: list[containers.Hiding] = []
        self._hidden = header.hidden
        if empty:
            advice = "is empty, of 0 bytes; record or copy it again"
        elif header.unfinished:
            advice = "ends too early, its index is missing; record or copy it again, to the end"
        else:
            advice = "not a video that OpenCV can decode; convert it to MP4 (H.264)"
        super().__init__(self._opened(), name, path.stem, advice, header.mirror)

    def fingerprint(self) -> str:
        return file_digest(self._path)

    def close(self) -> None:
        super().close()
        for stream in self._streams:
            stream.close()

    def _measured(self) -> "Pace":
        from capture.pace import measure

        packets = self._opened(cv2.CAP_PROP_FORMAT, -1)
        try:
            return measure(packets)
        finally:
            packets.release()

    def _opened(self, *params: int) -> cv2.VideoCapture:
        if self._hidden:
            self._streams.append(containers.Hiding(self._path, self._hidden))
            return cv2.VideoCapture(self._streams[-1], cv2.CAP_FFMPEG, params)
        # As bytes: a name need not be text. From the root: "08:46.mp4" would be an address of the kind "08".
        name = os.fsencode(os.path.abspath(self._path))
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG, params) if params else cv2.VideoCapture(name)
