"""The annotated video and the scores of every face, drawn and written in a thread of their own.

recorder = Recorder(Path("out.mp4"), Path("scores.csv"), fps=30, live=False)
recorder.put(time_s, frame, view, rows)
recorder.close()
"""

import csv
import errno
import logging
import os
import queue
import shutil
import statistics
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from authentication.drawing import darkened, draw
from authentication.view import View
from storage.beside import Beside
from storage.user_error import UserError

log = logging.getLogger("liveness.authentication")

SCORES_HEADER = ("frame", "time_s", "x", "y", "w", "h", "confidence", "p_real", "verdict", "track", "track_state")
# So many pictures wait for the recorder: half a second of a camera's, 100 MB at 1080p.
WAITING_PICTURES = 16
# A disk, or whoever reads a pipe, that takes nothing for so long is waited for no more.
PATIENCE_S = 20.0
# What OpenCV's writer makes whole videos of, tried one by one, with the code of their pictures.
CODES = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
# A file's pace is believed where the first time stamps say so too, within this; WebM that a browser has recorded
# announces 1000 frames/s, slow motion 30, AVI with B-frames twice what it shows.
PACE_STAMPS, PACE_TOLERANCE = 5, 0.1
USUAL_FPS, SLOWEST_FPS, FASTEST_FPS = 30.0, 1.0, 240.0
# No picture stands for longer than this: a computer that slept makes no video of the night.
LONGEST_STILL_S = 10.0
# With less room than this on the disk, in bytes, the video is given up; looked at every so many pictures.
LEAST_ROOM, LOOK_FOR_ROOM = 1 << 20, 50


class RecordingError(UserError):
    """The annotated video or the scores cannot be written; one line that says what to do."""


class Recorder:
    """Draws and writes the annotated video, and writes the scores, in a thread of its own.

    A file that is analysed waits for the disk, so that nothing is missing; a camera does not: when drawing or disk
    cannot keep up, pictures are left out of the video, and never scores. The video lasts as long as what it shows,
    whatever rate is announced (fps, frames/s): each picture stands from its own time to the next one's. Both files are
    written beside their names and renamed by close(). One that cannot be written costs the other nothing; one that
    takes nothing more is given up after PATIENCE_S.
    Raises RecordingError where it is known beforehand that one cannot be written.
    """

    def __init__(self, video: Path | None, scores: Path | None, fps: float, live: bool):
        self._live = live
        self._failed: str | None = None  # the first thing that went wrong
        self._stuck = False  # a file was waited for in vain
        self._movie = self._table = None
        try:
            self._movie = _Movie(video, fps, live) if video else None
            self._table = _Table(scores) if scores else None
        except OSError as error:
            if self._movie:
                self._movie.abandon()
            raise RecordingError(
                f"{error.filename}: cannot be written ({error.strerror}); choose another file"
            ) from None
        self._items: queue.SimpleQueue = queue.SimpleQueue()
        self._room = threading.Semaphore(WAITING_PICTURES)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, time_s: float, frame: np.ndarray | None, view: View, rows: list[tuple]) -> None:
        """Hand over a frame, its view and the rows of its faces. Nobody may change them any more.

        frame: None while the camera gives no picture; the video shows the last one then, darkened.
        """
        drawn = False
        if self._movie:
            drawn = self._room.acquire(timeout=0 if self._live or self._stuck else PATIENCE_S)
            self._stuck = self._stuck or not (drawn or self._live)
        self._items.put((time_s, frame if drawn else None, view if drawn else None, rows))

    def close(self) -> None:
        """Finish both files. Raises RecordingError if they could not be written."""
        self._items.put(None)
        self._thread.join(0 if self._stuck else PATIENCE_S)
        if self._failed:
            raise RecordingError(self._failed)
        if self._stuck or self._thread.is_alive():
            files = " and ".join(str(file.path) for file in (self._movie, self._table) if file)
            raise RecordingError(f"{files}: not finished, since nothing more is taken there; choose another file")

    def _work(self) -> None:
        while (item := self._items.get()) is not None:
            time_s, frame, view, rows = item
            if self._table:
                self._table = self._attempt(self._table, self._table.write, rows)
            if self._movie and view:
                self._movie = self._attempt(self._movie, self._movie.write, time_s, frame, view)
            if view:
                self._room.release()
        for file in (self._table, self._movie):
            if file:
                self._attempt(file, file.finish)

    def _attempt(self, file: "_Table | _Movie", step: Callable, *values) -> "_Table | _Movie | None":
        """Take a step with a file; None, and no more of it, when that failed."""
        try:
            step(*values)
            return file
        except OSError as error:
            problem = f"{file.path}: cannot be written ({error.strerror})"
        except RecordingError as error:
            problem = str(error)
        except Exception as error:  # the edge of this thread: who waits for room in it would wait for ever
            log.exception("the recording failed")
            problem = f"{file.path}: the recording failed: {type(error).__name__}"
        log.error("%s", problem)
        self._failed = self._failed or problem
        file.abandon()
        return None


def _put_in_place(output: Beside) -> None:
    """Finish it. A whole video is not thrown away because a player has the one before it open."""
    try:
        output.finish()
    except OSError as error:
        kept = output.part
        raise RecordingError(f"{output.path}: cannot be replaced ({error.strerror}); the new one is {kept}") from None


class _Table:
    """The scores, as CSV."""

    def __init__(self, path: Path):
        self.path = path
        self._output = Beside(path, keep_suffix=True)
        self._file = self._output.open(newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(SCORES_HEADER)

    def write(self, rows: list[tuple]) -> None:
        self._rows.writerows(rows)

    def finish(self) -> None:
        self._file.close()
        _put_in_place(self._output)

    def abandon(self) -> None:
        """Keep what could be written, beside its name."""
        try:
            self._file.close()
        except OSError:
            pass  # told already


class _Movie:
    """The annotated video."""

    def __init__(self, path: Path, fps: float, live: bool):
        self.path, self._announced, self._live = path, fps, live
        self._writer: cv2.VideoWriter | None = None
        self._size = 0, 0
        self._begun: list[tuple[float, np.ndarray]] = []  # drawn, before the pace is known
        self._fps = 0.0
        self._due = self._written = 0  # pictures for the time that has passed, and in the file
        self._last: np.ndarray | None = None  # frame, and picture made of one
        self._shown: np.ndarray | None = None
        self._whole = False
        if path.suffix.lower() not in CODES:
            raise RecordingError(f"{path}: not a kind of video OpenCV can write; name an .mp4 or .avi file")
        self._output = Beside(path, keep_suffix=True)
        # Absolute: in "08:46.mp4" FFmpeg would take the hour for a protocol.
        self._name = os.path.abspath(self._output.part)
        if not (self._output.straight or self._can_be_written()):
            self._output.abandon()
            raise RecordingError(f"{path}: not a video that OpenCV can write here; name another .mp4 or .avi file")

    def write(self, time_s: float, frame: np.ndarray | None, view: View) -> None:
        if frame is None and self._last is None:
            return  # nothing to go by for the size of the video
        if frame is None:
            picture = darkened(self._last)
        else:
            self._last = frame
            picture = frame.copy()
        draw(picture, replace(view, fps=None))
        if not self._size[0]:
            self._size = picture.shape[1], picture.shape[0]
        # A camera may come back with another size; a video has but one.
        picture = _padded(picture, self._size)
        if self._writer:
            self._place(time_s, picture)
            return
        self._begun.append((time_s, picture))
        if self._live or len(self._begun) == PACE_STAMPS:
            self._begin()

    def finish(self) -> None:
        if self._begun:
            self._begin()
        if self._writer is None:
            self._output.abandon()
            return
        self._writer.release()
        if not self._output.straight:
            self._check()
        self._whole = True
        _put_in_place(self._output)

    def abandon(self) -> None:
        """Leave no half of a video: without its end most players cannot read it."""
        if self._writer is not None:
            self._writer.release()
        if not self._whole:
            self._output.abandon()

    def _begin(self) -> None:
        self._fps = pace(self._announced, [] if self._live else [time_s for time_s, _ in self._begun])
        self._writer = self._open(self._fps, self._size)
        if not self._writer.isOpened():
            width, height = self._size
            raise RecordingError(
                f"{self.path}: OpenCV cannot write pictures of {width}x{height} into it; name an .mp4 or .avi file"
            )
        begun, self._begun = self._begun, []
        for time_s, picture in begun:
            self._place(time_s, picture)

    def _place(self, time_s: float, picture: np.ndarray) -> None:
        """Frames come when they come; the file has a fixed pace. Until this one came, the one before was to be seen."""
        due = round(time_s * self._fps)
        before = picture if self._shown is None else self._shown
        for _ in range(min(due - self._due, round(LONGEST_STILL_S * self._fps))):
            self._put(before)
        if due >= self._due:
            self._put(picture)
            self._due = due + 1
        self._shown = picture

    def _put(self, picture: np.ndarray) -> None:
        if self._written % LOOK_FOR_ROOM == 0 and shutil.disk_usage(os.path.dirname(self._name)).free < LEAST_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._writer.write(picture)
        self._written += 1

    def _open(self, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
        return cv2.VideoWriter(self._name, cv2.VideoWriter_fourcc(*CODES[self.path.suffix.lower()]), fps, size)

    def _can_be_written(self) -> bool:
        """Tried with one small picture, for what OpenCV can write depends on how it was built."""
        try:
            self._name.encode()
        except UnicodeEncodeError:  # half a letter: OpenCV would end the process
            return False
        trial = self._open(USUAL_FPS, (64, 48))
        opened = trial.isOpened()
        trial.write(np.zeros((48, 64, 3), np.uint8))
        trial.release()
        return opened

    def _check(self) -> None:
        """Whether all is on the disk: OpenCV's writer never says that it is full."""
        video = cv2.VideoCapture(self._name)
        count = video.get(cv2.CAP_PROP_FRAME_COUNT)
        video.release()
        # Some containers know how long they are, and leave it to the reader to count.
        if abs(count - self._written) > 1 + self._written // 1000:
            raise OSError(errno.ENOSPC, "not all of it has been kept; is the disk full?")


def pace(announced: float, stamps: list[float]) -> float:
    """The frames/s to write a video at, as containers take them: those announced, unless the first time stamps, in
    seconds, say otherwise.

    announced: frames/s, whatever the source says; not even a number is fine.
    """
    fps = announced if SLOWEST_FPS <= announced <= FASTEST_FPS else USUAL_FPS
    if len(stamps) > 1:
        gap_s = statistics.median(later - sooner for sooner, later in zip(stamps, stamps[1:]))
        if gap_s > 0 and abs(gap_s * fps - 1) > PACE_TOLERANCE:
            fps = min(max(1 / gap_s, SLOWEST_FPS), FASTEST_FPS)
    # MPEG-4 takes no finer fractions. The pictures keep their time at any pace.
    return round(fps, 3) if fps < 60 else float(round(fps))


def _padded(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture in the middle of a black one of that width and height, as large as fits."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return cv2.copyMakeBorder(
        cv2.resize(picture, inner), top, size[1] - inner[1] - top, left, size[0] - inner[0] - left, cv2.BORDER_CONSTANT
    )
