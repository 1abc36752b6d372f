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

from challenge import AHEAD, BACK, LEFT, PASSED, PAUSE, RIGHT, Prompt  # noqa: E402
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED  # noqa: E402

TITLE = "Liveness Authentication"
COLOURS = {CHECKING: (200, 200, 200), AUTHORIZED: (60, 180, 40), UNAUTHORIZED: (40, 40, 220)}  # BGR
# Of the challenge's panel, BGR. Amber asks for something; nothing else on the picture has that colour.
INK = (255, 255, 255)
PROMPT_COLOURS = {LEFT: (30, 180, 255), RIGHT: (30, 180, 255), BACK: (235, 190, 90), AHEAD: (235, 190, 90),
                  PAUSE: (150, 150, 150), PASSED: (80, 220, 70)}
# An arrow to the right, half as thick as it is long, in units of half its height; y is down.
ARROW = np.array([(-1.5, -0.36), (0.2, -0.36), (0.2, -1.0), (1.5, 0.0), (0.2, 1.0), (0.2, 0.36), (-1.5, 0.36)])
FONT = cv2.FontFace("sans")     # the one that OpenCV brings
KEYS_TO_QUIT = {ord("q"), ord("Q"), 27}
SCORES_HEADER = ("frame", "time_s", "x", "y", "w", "h", "confidence", "p_real", "verdict")
# The longest side of the window, in pixels; larger pictures are shrunk to it.
WINDOW_SIDE = 1280


class DisplayError(Exception):
    """There is no window, or the annotated video cannot be written; one line that says what to do."""


def label(state: str, score: float | None) -> str:
    """The original's label, "Authorized: 0.9987": how sure the verdict is, 0 to 1; None: a matter of yes or no."""
    if state == CHECKING or score is None:
        return state.capitalize()
    return f"{state.capitalize()}: {score if state == AUTHORIZED else 1 - score:.4f}"


def mirrored(frame: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame and its faces' boxes, (N, 4), as in a mirror: the left of the picture is the user's left."""
    boxes = faces[:, :4].copy()
    boxes[:, 0] = frame.shape[1] - boxes[:, 0] - boxes[:, 2]
    return cv2.flip(frame, 1), boxes


def annotate(frame: np.ndarray, faces: np.ndarray, state: str, score: float | None, note: str = "",
             prompt: Prompt | None = None) -> np.ndarray:
    """A copy of the frame with a box round every face, the verdict on it, and a line of text at the bottom; with a
    prompt of the challenge, a panel at the top.

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
    if prompt:
        _panel(picture, prompt)
    return picture


def _panel(picture: np.ndarray, prompt: Prompt) -> None:
    """What is asked for, over the top of the picture: a sign, the words, the turns made, the time that is left."""
    height, width = picture.shape[:2]
    # The picture is at least 160 x 90 units, save an upright one: there the words shrink first.
    unit = max(min(width / 16, height / 9), min(width, height) / 11) / 10
    tall = round(19 * unit)
    panel = picture[:tall]
    cv2.convertScaleAbs(panel, panel, 0.25, 24)     # darkened in place: what is behind stays to be guessed
    ink = PROMPT_COLOURS[prompt.kind]
    middle = tall * 0.42
    # An arrow stands on the side it points to, so that it is understood before it is read.
    at = width - 13 * unit if prompt.kind == RIGHT else 13 * unit
    _sign(picture, prompt.kind, (at, middle), 5.6 * unit, ink)
    space = (2 if prompt.kind == RIGHT else 24) * unit, width - (24 if prompt.kind == RIGHT else 2) * unit
    _words(picture, prompt.text, space, middle, 8.5 * unit, INK)
    _dots(picture, prompt, (sum(space) / 2, tall * 0.8), 1.2 * unit)
    if prompt.left is not None:
        bar = max(2, round(1.3 * unit))
        cv2.rectangle(picture, (0, tall - bar), (width, tall), (70, 70, 70), -1)
        cv2.rectangle(picture, (0, tall - bar), (round(width * prompt.left), tall), ink, -1)


def _words(picture: np.ndarray, text: str, space: tuple[float, float], middle: float, size: float,
           colour: tuple[int, int, int]) -> None:
    """Text in the middle of the space from left to right, as large as fits and no larger than size pixels."""
    def measured(pixels: float) -> tuple[int, int, int, int]:
        return cv2.getTextSize((0, 0), text, (0, 0), FONT, round(pixels), 600)

    wide = measured(size)[2]
    room = space[1] - space[0]
    if wide > room:
        size *= room / wide
        wide = measured(size)[2]
    left = (space[0] + space[1] - wide) / 2
    cv2.putText(picture, text, (round(left), round(middle + 0.36 * size)), colour, FONT, round(size), 600)


def _sign(picture: np.ndarray, kind: str, middle: tuple[float, float], size: float, colour: tuple) -> None:
    """A sign of the prompt's kind, 2 * size pixels high, round its middle; drawn to a quarter of a pixel."""
    shapes = {
        LEFT: [ARROW * (-1, 1)],
        RIGHT: [ARROW],
        PASSED: [np.array([(-0.9, 0.05), (-0.62, -0.25), (-0.25, 0.12), (0.62, -0.72), (0.9, -0.42), (-0.25, 0.72)])],
    }
    if kind in shapes:
        for shape in shapes[kind]:
            points = np.round((shape * size + middle) * 4).astype(np.int32)
            cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, 2)
        return
    # A face that looks ahead: a ring and a dot. A pause: two bars.
    def point(x: float, y: float) -> tuple[int, int]:
        return round((middle[0] + x * size) * 4), round((middle[1] + y * size) * 4)

    if kind == PAUSE:
        for x in (-0.45, 0.25):
            cv2.rectangle(picture, point(x, -0.6), point(x + 0.25, 0.6), colour, -1, cv2.LINE_AA, 2)
    else:
        thick = max(1, round(0.2 * size))
        cv2.circle(picture, point(0, 0), round(0.75 * size * 4), colour, thick, cv2.LINE_AA, 2)
        cv2.circle(picture, point(0, 0), round(0.28 * size * 4), colour, -1, cv2.LINE_AA, 2)


def _dots(picture: np.ndarray, prompt: Prompt, middle: tuple[float, float], size: float) -> None:
    """A dot for each turn of this round, filled once it was made."""
    for n in range(prompt.turns):
        x = middle[0] + (n - (prompt.turns - 1) / 2) * 3.4 * size
        spot = round(x * 4), round(middle[1] * 4)
        colour = COLOURS[AUTHORIZED] if n < prompt.done else (130, 130, 130)
        cv2.circle(picture, spot, round(size * 4), colour, -1, cv2.LINE_AA, 2)


def _tag(picture: np.ndarray, text: str, corner: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    """Text on a filled bar that stands on the corner and is kept inside the picture: readable on any video."""
    thick = max(1, round(1.6 * size))
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    pad = round(6 * size)
    left = max(0, min(corner[0], picture.shape[1] - wide - 2 * pad))
    bottom = max(high + below + 2 * pad, corner[1])
    cv2.rectangle(picture, (left, bottom - high - below - 2 * pad), (left + wide + 2 * pad, bottom), colour, -1)
    ink = (255, 255, 255) if sum(colour) < 450 else (30, 30, 30)
    start = (left + pad, bottom - below - pad)
    cv2.putText(picture, text, start, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)


class Window:
    """The preview window. Raises DisplayError where there is no screen."""

    def __init__(self):
        # Without this check the toolkit would abort the process.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DisplayError("no screen to open a window on; add --no-display")
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
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
