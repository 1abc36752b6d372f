"""What people see: boxes and verdict on the frame, the window, the annotated video."""

import csv
import os
import queue
import sys
import threading
from pathlib import Path

# Read by the window's toolkit: it looks for fonts that the wheel does not bring, and says so on standard error.
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED  # noqa: E402

TITLE = "Liveness Authentication"
COLOURS = {CHECKING: (200, 200, 200), AUTHORIZED: (60, 180, 40), UNAUTHORIZED: (40, 40, 220)}  # BGR
KEYS_TO_QUIT = {ord("q"), ord("Q"), 27}
SCORES_HEADER = ("frame", "time_s", "x", "y", "w", "h", "confidence", "p_real", "verdict")
# The longest side of the window, in pixels; larger pictures are shrunk to it.
WINDOW_SIDE = 1280


class DisplayError(Exception):
    """There is no window, or the annotated video cannot be written; one line that says what to do."""


def label(state: str, score: float) -> str:
    """The original's label, "Authorized: 0.9987": how sure the verdict is, 0 to 1."""
    if state == CHECKING:
        return "Checking"
    return f"{state.capitalize()}: {score if state == AUTHORIZED else 1 - score:.4f}"


def annotate(frame: np.ndarray, faces: np.ndarray, state: str, score: float | None, note: str = "") -> np.ndarray:
    """A copy of the frame with a box round every face, the verdict on it, and a line of text at the bottom.

    frame: uint8 (height, width, 3) BGR. faces: (N, >=4), x, y, width, height in pixels.
    """
    picture = frame.copy()
    height, width = frame.shape[:2]
    size = max(0.4, min(height, width) / 700)
    line = max(1, round(2 * size))
    for x, y, w, h in faces[:, :4]:
        left, top = max(0, round(x)), max(0, round(y))
        cv2.rectangle(picture, (left, top), (round(x + w), round(y + h)), COLOURS[state], line + 1)
        _tag(picture, label(state, score), (left, top), size, COLOURS[state])
    if note:
        _tag(picture, note, (0, height), 0.8 * size, (60, 60, 60))
    return picture


def _tag(picture: np.ndarray, text: str, corner: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    """Text on a filled bar that stands on the corner and is kept inside the picture: readable on any video."""
    thick = max(1, round(1.6 * size))
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    pad = round(6 * size)
    left = max(0, min(corner[0], picture.shape[1] - wide - 2 * pad))
    bottom = max(high + below + 2 * pad, corner[1])
    cv2.rectangle(picture, (left, bottom - high - below - 2 * pad), (left + wide + 2 * pad, bottom), colour, -1)
    ink = (255, 255, 255) if sum(colour) < 450 else (30, 30, 30)
    cv2.putText(picture, text, (left + pad, bottom - below - pad), cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)


class Window:
    """The preview window. Raises DisplayError where there is no screen."""

    def __init__(self):
        # Without this check the toolkit would abort the process.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DisplayError("no screen to open a window on; add --no-display")
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE)
        except cv2.error:
            raise DisplayError("this OpenCV cannot open windows; add --no-display, or install opencv-python "
                               "instead of opencv-python-headless") from None

    def show(self, picture: np.ndarray, wait_s: float) -> bool:
        """Show a picture for at least wait_s seconds; False once the user has quit with q, Esc or the window."""
        shrink = WINDOW_SIDE / max(picture.shape[:2])
        if shrink < 1:
            picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        cv2.imshow(TITLE, picture)
        key = cv2.waitKey(max(1, round(wait_s * 1000)))
        return (key & 0xFF if key >= 0 else -1) not in KEYS_TO_QUIT and cv2.getWindowProperty(TITLE, 0) >= 0

    def close(self) -> None:
        cv2.destroyAllWindows()


class Recorder:
    """Writes the annotated video and the scores in a thread of its own.

    A file that is analysed waits for the disk, so that nothing is missing; a camera does not: when the disk
    cannot keep up, pictures are left out of the video, and never scores. Both files are written beside their
    names and renamed by close().
    """

    def __init__(self, video: Path | None, scores: Path | None, fps: float, live: bool):
        self._video, self._scores, self._fps, self._live = video, scores, fps, live
        self._failed: str | None = None
        try:
            self._table = open(_beside(scores), "w", newline="", encoding="utf-8") if scores else None
            if video:
                open(_beside(video), "wb").close()
        except OSError as error:
            raise DisplayError(f"{error.filename}: cannot be written ({error.strerror}); choose another file") from None
        if self._table:
            self._rows = csv.writer(self._table)
            self._rows.writerow(SCORES_HEADER)
        self._queue: queue.Queue = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, time_s: float, picture: np.ndarray | None, rows: list[tuple]) -> None:
        """Hand over a frame's picture (None: no video wanted) and the rows of its faces."""
        if self._live and self._queue.full():
            picture = None
        self._queue.put((time_s, picture, rows))

    def close(self) -> None:
        """Finish both files. Raises DisplayError if they could not be written."""
        self._queue.put(None)
        self._thread.join()
        if self._failed:
            raise DisplayError(self._failed)

    def _work(self) -> None:
        writer, written = None, 0
        while (item := self._queue.get()) is not None:
            if self._failed:
                continue
            time_s, picture, rows = item
            try:
                if self._table:
                    self._rows.writerows(rows)
            except OSError as error:
                self._failed = f"{self._scores}: cannot be written ({error.strerror})"
            if picture is None or not self._video:
                continue
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                writer = _open_video(self._video, self._fps, size)
                if not writer.isOpened():
                    self._failed = f"{self._video}: not a kind of video OpenCV can write; name an .mp4 or .avi file"
                    continue
            # A camera's frames come when they come; the file has a fixed pace.
            due = round(time_s * self._fps) + 1 if self._live else written + 1
            for _ in range(min(due - written, round(self._fps))):
                writer.write(picture)
            written = max(written, due)
        if writer is not None:
            writer.release()
        self._finish(writer is not None)

    def _finish(self, has_video: bool) -> None:
        try:
            if self._table:
                self._table.close()
                os.replace(_beside(self._scores), self._scores)
            if self._video:
                if has_video and not self._failed:
                    os.replace(_beside(self._video), self._video)
                else:
                    _beside(self._video).unlink()
        except OSError as error:
            self._failed = self._failed or f"{error.filename}: cannot be written ({error.strerror})"


def _beside(path: Path) -> Path:
    """out.mp4 -> out.part.mp4: the ending tells OpenCV the container."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _open_video(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    code = "MJPG" if path.suffix.lower() == ".avi" else "VP80" if path.suffix.lower() == ".webm" else "mp4v"
    return cv2.VideoWriter(str(_beside(path)), cv2.VideoWriter_fourcc(*code), fps, size)
