"""What people see: boxes, verdict and what was done on the frame, the window, the annotated video.

    boxes = SmoothBoxes()
    view = View(boxes.update(time_s, faces), AUTHORIZED, score=0.99, banner="Authorized: access granted", fps=30)
    window.show(frame, view, wait_s=0, mirror=True)         # False once the user has quit
    recorder.put(time_s, frame, view, rows)                 # drawn and written in another thread

Everything is sized by the picture, from 176 pixels to 4K, and placed so that nothing lies on anything else: the
challenge at the top, the banner at the bottom, a notice in the middle, the labels where there is room.
"""

import contextlib
import csv
import functools
import logging
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

# Read by the window's toolkit: it looks for fonts that the wheel does not bring, and says so on standard error.
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from challenge import AHEAD, BACK, LEFT, PASSED, PAUSE, RIGHT, Prompt  # noqa: E402
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED  # noqa: E402

log = logging.getLogger("liveness")

TITLE = "Liveness Authentication"
# BGR. Green and red are as far from black as from white, and carry white text with a contrast of 5 to 1.
COLOURS = {CHECKING: (232, 232, 232), AUTHORIZED: (61, 128, 21), UNAUTHORIZED: (38, 38, 205)}
INK, DARK, CARD = (255, 255, 255), (24, 24, 24), (46, 46, 46)
TEXT_ON = {CHECKING: DARK, AUTHORIZED: INK, UNAUTHORIZED: INK}
# Amber asks for something, or warns; nothing else on the picture has that colour.
AMBER = (30, 180, 255)
PROMPT_COLOURS = {LEFT: AMBER, RIGHT: AMBER, BACK: (235, 190, 90), AHEAD: (235, 190, 90),
                  PAUSE: (150, 150, 150), PASSED: (80, 220, 70)}
# Signs, in units of half their height; y is down. An arrow to the right, half as thick as it is long; a check mark;
# a cross; a warning triangle with its exclamation mark's bar.
ARROW = np.array([(-1.5, -0.36), (0.2, -0.36), (0.2, -1.0), (1.5, 0.0), (0.2, 1.0), (0.2, 0.36), (-1.5, 0.36)])
CHECK = np.array([(-0.9, 0.05), (-0.62, -0.25), (-0.25, 0.12), (0.62, -0.72), (0.9, -0.42), (-0.25, 0.72)])
STROKE = np.array([(-0.8, -0.58), (-0.58, -0.8), (0.8, 0.58), (0.58, 0.8)])
TRIANGLE = np.array([(0.0, -0.85), (1.0, 0.85), (-1.0, 0.85)])
EXCLAMATION = np.array([(-0.13, -0.3), (0.13, -0.3), (0.09, 0.32), (-0.09, 0.32)])
BOLD, PLAIN = 600, 500      # the font's weights
# Corners of the rounded boxes: a quarter of a circle, from its right end to its lower one.
QUARTER = np.array([(math.cos(angle), math.sin(angle)) for angle in np.linspace(0, math.pi / 2, 5)])

KEYS_TO_QUIT = {ord("q"), ord("Q"), 27}
SCORES_HEADER = ("frame", "time_s", "x", "y", "w", "h", "confidence", "p_real", "verdict")
# Pictures larger than this width and height are shrunk for the window, and those whose longer side is smaller than
# that are enlarged, before anything is drawn on them: texts stay sharp.
LARGEST_WINDOW, SMALLEST_WINDOW = (1280, 720), 640
# So many pictures wait for the recorder: half a second of a camera's, 100 MB at 1080p.
WAITING_PICTURES = 16

# Boxes, in units of their longer side. A deviation well below JITTER fades within STILL_S, one well above at once.
# Measured on four videos at 30 frames/s: the detector's boxes tremble by 0.4 to 3 % (second difference), those shown
# by 0.05 to 1 %; and they are 4 % behind a head that moves by its own size in half a second.
JITTER, STILL_S = 0.03, 0.25
SHORTEST_STEP_S = 1 / 60
# Faces moved by up to 1.8 of their sides a second; see challenge.py. Further away it is another face.
JUMP, JUMP_A_SECOND = 0.3, 3.0
# The detector misses a face now and then for a frame or two: its box stays that long.
HOLD_S = 0.15


class DisplayError(Exception):
    """There is no window, or the annotated video cannot be written; one line that says what to do."""


@dataclass(frozen=True, eq=False)
class View:
    """All that is drawn on a frame.

    boxes: (N, 4) x, y, width, height in pixels of the frame. state: CHECKING, AUTHORIZED or UNAUTHORIZED.
    score: how live the faces look, 0 to 1; None: a matter of yes or no. progress: 0 to 1, the share of the evidence
    a verdict needs, drawn as a bar while checking. banner: what happened and what was done. trouble: why there is no
    picture or no verdict. fps: frames/s, for the corner of the window; None leaves the corner out.
    """

    boxes: np.ndarray
    state: str
    score: float | None = None
    progress: float = 0.0
    banner: str = ""
    trouble: str = ""
    prompt: Prompt | None = None
    fps: float | None = None


def label(state: str, score: float | None) -> str:
    """The original's label, "Authorized: 0.9987": how sure the verdict is, 0 to 1; None: a matter of yes or no."""
    if state == CHECKING or score is None:
        return state.capitalize()
    return f"{state.capitalize()}: {score if state == AUTHORIZED else 1 - score:.4f}"


def banner(state: str, done: str) -> str:
    """What happened, and in a few words what was done about it, such as Alerts.status: "" while checking."""
    if state == AUTHORIZED:
        return "Authorized: access granted"
    if state == UNAUTHORIZED:
        return f"Unauthorized: {done}" if done else "Unauthorized"
    return ""


def mirrored(frame: np.ndarray, view: View) -> tuple[np.ndarray, View]:
    """The frame and its view as in a mirror: the left of the picture is the user's left. Texts stay readable."""
    boxes = view.boxes.copy()
    boxes[:, 0] = frame.shape[1] - boxes[:, 0] - boxes[:, 2]
    return cv2.flip(frame, 1), replace(view, boxes=boxes)


def annotate(frame: np.ndarray, view: View) -> np.ndarray:
    """A copy of the frame, uint8 (height, width, 3) BGR, with the view drawn on it."""
    picture = frame.copy()
    _draw(picture, view)
    return picture


# --- Boxes that follow faces ---


class SmoothBoxes:
    """Boxes that follow faces smoothly: they neither tremble with the detector nor trail behind a head.

    Counted in seconds, not in frames. A new face, or one that jumped, starts where it is.
    """

    def __init__(self):
        self._tracks: list[_Track] = []

    def update(self, time_s: float, faces: np.ndarray) -> np.ndarray:
        """The boxes to show at that time, float (M, 4) x, y, width, height.

        faces: (N, >=4), the same four first, as the detector gives them. The first N boxes are theirs, in their
        order; behind them come those of faces missed for less than HOLD_S.
        """
        tracks = [track for track in self._tracks if 0 <= time_s - track.time_s <= HOLD_S]
        shown = []
        aims = [(x + w / 2, y + h / 2, w, h) for x, y, w, h in faces[:, :4].astype(float).tolist()]
        nearest = sorted((track.distance(aim), a, t) for a, aim in enumerate(aims) for t, track in enumerate(tracks)
                         if track.may_be(aim, time_s))
        pairs: dict[int, int] = {}
        for _, a, t in nearest:
            if a not in pairs and t not in pairs.values():
                pairs[a] = t
        for a, aim in enumerate(aims):
            track = tracks[pairs[a]] if a in pairs else _Track(time_s, aim)
            track.follow(time_s, aim)
            shown.append(track)
        missed = [track for t, track in enumerate(tracks) if t not in pairs.values()]
        self._tracks = shown + missed
        return np.array([track.box() for track in self._tracks], np.float64).reshape(-1, 4)


class _Track:
    """One face: where it was seen last, and where it is shown; both as the box's middle, width and height."""

    def __init__(self, time_s: float, aim: tuple[float, float, float, float]):
        self.time_s, self._aim, self._shown = time_s, aim, list(aim)

    def box(self) -> tuple[float, float, float, float]:
        x, y, w, h = self._shown
        return x - w / 2, y - h / 2, w, h

    def distance(self, aim: tuple) -> float:
        """From where it was seen last, in its box's longer side."""
        return math.hypot(aim[0] - self._aim[0], aim[1] - self._aim[1]) / max(*self._aim[2:], 1.0)

    def may_be(self, aim: tuple, time_s: float) -> bool:
        """Whether the face can have come there by now."""
        return self.distance(aim) <= JUMP + JUMP_A_SECOND * (time_s - self.time_s)

    def follow(self, time_s: float, aim: tuple) -> None:
        """Move on to that time. The face is taken to have moved evenly since it was seen last, in steps so small
        that the rate of the frames makes no difference."""
        since_s = time_s - self.time_s
        steps = max(1, math.ceil(since_s / SHORTEST_STEP_S - 1e-6))
        for n in range(1, steps + 1):
            target = [a + (b - a) * n / steps for a, b in zip(self._aim, aim)]
            for part in ((0, 1), (2, 3)):       # place and size, each by its own deviation
                self._approach(part, target, since_s / steps)
        self.time_s, self._aim = time_s, aim

    def _approach(self, part: tuple[int, int], target: list[float], step_s: float) -> None:
        gaps = [target[i] - self._shown[i] for i in part]
        far = math.hypot(*gaps) / max(self._shown[2] + self._shown[3], 1.0) * 2 / JITTER
        pull = 1 - math.exp(-step_s * (1 + far * far) / STILL_S)
        for i, gap in zip(part, gaps):
            self._shown[i] += gap * pull


# --- Drawing ---

Area = tuple[int, int, int, int]    # left, top, right, bottom


def _draw(picture: np.ndarray, view: View) -> None:
    height, width = picture.shape[:2]
    size = _text_size(width, height)
    pad = max(3, round(0.45 * size))
    lines, banner_size = _fit(view.banner, width - 2 * pad - round(2.2 * size), 1.1 * size)
    bottom = height - (round(1.28 * banner_size * len(lines)) + 2 * pad if lines else 0)
    for box in view.boxes:
        _box(picture, box, view.state, size)
    top = _panel(picture, view.prompt) if view.prompt else 0
    if lines:
        _banner(picture, lines, bottom, banner_size, view.state)
    gap = max(2, round(0.3 * size))
    room = gap, top + gap, width - gap, bottom - gap        # what is left for the rest
    taken: list[Area] = []
    if view.trouble:
        taken += _notice(picture, view.trouble, room, size)
    if view.fps is not None:
        taken += _corner(picture, view.fps, room, taken, size)
    # A challenge comes when the evidence is complete: a full bar would say nothing.
    if view.state == CHECKING and not view.prompt:
        taken += [_bar(picture, box, view.progress, room, size) for box in view.boxes]
    for box in view.boxes:
        taken += _label(picture, box, label(view.state, view.score), view.state, room, taken, size)


def _text_size(width: int, height: int) -> float:
    """Of the labels, in pixels from the baseline to the top: 11 at 240 lines, 18 at 480, 24 at 720, 63 at 2160."""
    return max(11.0, 5 + 0.027 * min(width, height))


def _box(picture: np.ndarray, box: np.ndarray, state: str, size: float) -> None:
    """Round the face: the verdict's colour in a dark casing, which shows on video of the same colour."""
    thick = max(2, round(0.12 * size))
    left, top, w, h = (float(value) for value in box)
    shape = _rounded((left, top, left + w, top + h), 0.5 * size)
    cv2.polylines(picture, [shape], True, DARK, thick + 2, cv2.LINE_AA, 3)
    cv2.polylines(picture, [shape], True, COLOURS[state], thick, cv2.LINE_AA, 3)


def _bar(picture: np.ndarray, box: np.ndarray, progress: float, room: Area, size: float) -> Area:
    """Under the box: how much of the evidence is there."""
    tall = max(4, round(0.4 * size))
    x, y, w, h = box.tolist()
    left, right = max(room[0], round(x)), min(room[2], round(x + w))
    top = max(room[1], min(round(y + h + 0.3 * size), room[3] - tall))
    area = left, top, max(right, left + 4 * tall), top + tall
    _plate(picture, area, DARK, 0.8, tall / 2)
    filled = round((area[2] - left - 2) * min(1.0, max(0.0, progress)))
    if filled:
        cv2.rectangle(picture, (left + 1, top + 1), (left + filled, top + tall - 2), COLOURS[CHECKING], -1)
    return area


def _label(picture: np.ndarray, box: np.ndarray, text: str, state: str, room: Area, taken: list[Area],
           size: float) -> list[Area]:
    """A tag at the box, where nothing else is; among too many boxes none: the box's colour says it too."""
    pad = round(0.4 * size)
    wide, tall = _width(text, round(size), BOLD) + 2 * pad, round(0.8 * size) + 2 * pad
    gap = max(3, round(0.25 * size))
    x, y, w, h = box.tolist()
    spots = [(left, top)
             for top in (y - gap - tall, y + h + gap, y + 2 * gap, y + h - gap - tall,
                         *range(room[1], room[3] - tall, tall))
             for left in (x, x + w - wide, x + w + gap, x - gap - wide)]
    area = _place(spots, (wide, tall), room, taken)
    if area is None:
        return []
    _plate(picture, area, COLOURS[state], 1.0, 0.35 * size)
    _text(picture, text, (area[0] + pad, (area[1] + area[3]) / 2), size, TEXT_ON[state])
    return [area]


def _place(spots: Iterable[tuple[float, float]], size: tuple[int, int], room: Area, taken: list[Area]) -> Area | None:
    """The first of the spots (left, top), pushed into the room, where the size fits beside all that is taken."""
    wide, tall = size
    for left, top in spots:
        left = max(room[0], min(round(left), room[2] - wide))
        top = max(room[1], min(round(top), room[3] - tall))
        if not any(left < other[2] and other[0] < left + wide and top < other[3] and other[1] < top + tall
                   for other in taken):
            return left, top, left + wide, top + tall
    return None


def _banner(picture: np.ndarray, lines: tuple[str, ...], top: int, size: float, state: str) -> None:
    """Over the bottom of the picture, in the verdict's colour: what happened and what was done."""
    height, width = picture.shape[:2]
    colour = COLOURS[state] if state != CHECKING else CARD
    cv2.rectangle(picture, (0, top), (width, height), colour, -1)
    middle = (top + height) / 2
    sign = 0.0 if state == CHECKING else 1.6 * size
    left = (width - max(_width(line, round(size), BOLD) for line in lines) + sign) / 2
    if state == AUTHORIZED:
        _shapes(picture, [CHECK], (left - 0.95 * sign + 0.3 * size, middle), 0.55 * size, INK)
    elif state == UNAUTHORIZED:
        _shapes(picture, [STROKE, STROKE * (-1, 1)], (left - 0.95 * sign + 0.3 * size, middle), 0.5 * size, INK)
    _paragraph(picture, lines, left, middle, size)


def _corner(picture: np.ndarray, fps: float, room: Area, taken: list[Area], size: float) -> list[Area]:
    """At the top right of the window: how fast it runs and how to leave."""
    size = max(10.0, 0.75 * size)
    pad = round(0.5 * size)
    text = f"{fps:.0f} frames/s   press q to quit"
    wide, tall = _width(text, round(size), PLAIN) + 2 * pad, round(0.8 * size) + 2 * pad
    area = _place([(room[2] - wide, room[1])], (wide, tall), room, taken)
    if area is None:
        return []
    _plate(picture, area, DARK, 0.7, 0.4 * size)
    _text(picture, text, (area[0] + pad, (area[1] + area[3]) / 2), size, INK, PLAIN)
    return [area]


def _notice(picture: np.ndarray, text: str, room: Area, size: float) -> list[Area]:
    """In the middle of the picture: why there is nothing to see, or to judge."""
    size *= 1.1
    pad, sign = round(0.9 * size), round(2.2 * size)
    lines, size = _fit(text, round(0.86 * (room[2] - room[0])) - 2 * pad - sign, size)
    wide = max(_width(line, round(size), BOLD) for line in lines) + 2 * pad + sign
    tall = round(1.28 * size * len(lines)) + 2 * pad
    left, top = (room[0] + room[2] - wide) // 2, (room[1] + room[3] - tall) // 2
    area = left, top, left + wide, top + tall
    _plate(picture, area, CARD, 0.9, 0.6 * size)
    middle = top + tall / 2
    at = left + pad + 0.75 * size, middle
    _shapes(picture, [TRIANGLE], at, 0.85 * size, AMBER)
    _shapes(picture, [EXCLAMATION, EXCLAMATION * (1, 0.38) + (0, 0.62)], at, 0.85 * size, DARK)
    _paragraph(picture, lines, left + pad + sign, middle, size)
    return [area]


def _panel(picture: np.ndarray, prompt: Prompt) -> int:
    """What is asked for, over the top of the picture: a sign, the words, the turns made, the time that is left.

    Returns how many rows it takes.
    """
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
    _words(picture, prompt.text, space, middle, 8.5 * unit)
    _dots(picture, prompt, (sum(space) / 2, tall * 0.8), 1.2 * unit)
    if prompt.left is not None:
        bar = max(2, round(1.3 * unit))
        cv2.rectangle(picture, (0, tall - bar), (width, tall), (70, 70, 70), -1)
        cv2.rectangle(picture, (0, tall - bar), (round(width * prompt.left), tall), ink, -1)
    return tall + 1


def _words(picture: np.ndarray, text: str, space: tuple[float, float], middle: float, size: float) -> None:
    """Text in the middle of the space from left to right, as large as fits and no larger than size pixels."""
    wide = _width(text, round(size), BOLD)
    room = space[1] - space[0]
    if wide > room:
        size *= room / wide
        wide = _width(text, round(size), BOLD)
    _text(picture, text, ((space[0] + space[1] - wide) / 2, middle), size, INK)


def _sign(picture: np.ndarray, kind: str, middle: tuple[float, float], size: float, colour: tuple) -> None:
    """A sign of the prompt's kind, 2 * size pixels high, round its middle; drawn to a quarter of a pixel."""
    shapes = {LEFT: ARROW * (-1, 1), RIGHT: ARROW, PASSED: CHECK}
    if kind in shapes:
        _shapes(picture, [shapes[kind]], middle, size, colour)
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
        colour = PROMPT_COLOURS[PASSED] if n < prompt.done else (130, 130, 130)
        cv2.circle(picture, spot, round(size * 4), colour, -1, cv2.LINE_AA, 2)


# --- Parts of the drawing ---


def _shapes(picture: np.ndarray, shapes: list[np.ndarray], middle: tuple[float, float], size: float,
            colour: tuple[int, int, int]) -> None:
    """Filled polygons, size times as large as given, round a middle; drawn to a quarter of a pixel."""
    for shape in shapes:
        points = np.round((shape * size + middle) * 4).astype(np.int32)
        cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, 2)


def _rounded(area: tuple[float, float, float, float], radius: float) -> np.ndarray:
    """The outline of a rectangle with round corners, in eighths of a pixel."""
    left, top, right, bottom = area
    radius = max(0.0, min(radius, (right - left) / 2, (bottom - top) / 2))
    corners = [QUARTER * radius + (right - radius, bottom - radius),
               QUARTER[::-1] * (-radius, radius) + (left + radius, bottom - radius),
               QUARTER * -radius + (left + radius, top + radius),
               QUARTER[::-1] * (radius, -radius) + (right - radius, top + radius)]
    return np.round(np.concatenate(corners) * 8).astype(np.int32)


def _plate(picture: np.ndarray, area: Area, colour: tuple[int, int, int], opacity: float, radius: float) -> None:
    """A filled rectangle with round corners, behind a text."""
    left, top = max(0, area[0]), max(0, area[1])
    part = picture[top:area[3], left:area[2]]
    if not part.size:
        return
    # The outline goes through the middles of the outermost pixels.
    shape = _rounded((area[0] - left, area[1] - top, area[2] - left - 1, area[3] - top - 1), radius)
    if opacity == 1:
        cv2.fillPoly(part, [shape], colour, cv2.LINE_AA, 3)
        return
    over = part.copy()
    cv2.fillPoly(over, [shape], colour, cv2.LINE_AA, 3)
    cv2.addWeighted(over, opacity, part, 1 - opacity, 0, part)


_fonts = threading.local()


def _font() -> cv2.FontFace:
    """The one that OpenCV brings; one for each thread, for drawing changes its state: shared, texts get garbled."""
    if not hasattr(_fonts, "sans"):
        _fonts.sans = cv2.FontFace("sans")
    return _fonts.sans


@functools.lru_cache(maxsize=256)
def _width(text: str, size: int, weight: int) -> int:
    """Of a line of text, in pixels."""
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2]


def _text(picture: np.ndarray, text: str, start: tuple[float, float], size: float, colour: tuple[int, int, int],
          weight: int = BOLD) -> None:
    """A line of text from its left end on; its capitals, three quarters of the size, stand round the height given."""
    spot = round(start[0]), round(start[1] + 0.36 * round(size))
    cv2.putText(picture, text, spot, colour, _font(), round(size), weight)


def _paragraph(picture: np.ndarray, lines: tuple[str, ...], left: float, middle: float, size: float) -> None:
    for n, line in enumerate(lines):
        _text(picture, line, (left, middle + (n - (len(lines) - 1) / 2) * 1.28 * size), size, INK)


@functools.lru_cache(maxsize=64)
def _fit(text: str, room: int, size: float) -> tuple[tuple[str, ...], float]:
    """The lines to break a text into, and their size, so that none is wider than the room.

    A little smaller rather than broken; then two or three lines; then as small as can be read, and cut.
    """
    if not text:
        return (), size
    smallest = min(size, 10.0)
    for most in (1, 2, 3):
        for share in (1.0, 0.9, 0.8):
            tried = max(size * share, smallest)
            lines = _wrap(text, room, round(tried))
            if len(lines) <= most and all(_width(line, round(tried), BOLD) <= room for line in lines):
                return lines, tried
    lines = _wrap(text, room, round(smallest))
    kept = [_cut(line, room, round(smallest)) for line in lines[:3]]
    if len(lines) > 3:
        kept[2] = _cut(kept[2] + "...", room, round(smallest))
    return tuple(kept), smallest


def _wrap(text: str, room: int, size: int) -> tuple[str, ...]:
    """Lines of whole words; one word alone may be too long."""
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", size, BOLD) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)


def _cut(line: str, room: int, size: int) -> str:
    """As much of the line as fits."""
    if _width(line, size, BOLD) <= room:
        return line
    end = len(line)
    while end and _width(line[:end] + "...", size, BOLD) > room:
        end -= 1
    return line[:end] + "..."


def _darkened(frame: np.ndarray) -> np.ndarray:
    """What was last seen, so that nobody takes it for now."""
    return cv2.convertScaleAbs(frame, None, 0.3, 12)


# --- Window ---


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
        self._last: np.ndarray | None = None

    def show(self, frame: np.ndarray | None, view: View, wait_s: float, mirror: bool) -> bool:
        """Show a frame with its view for at least wait_s seconds; False once the user has quit with q, Esc or the
        window.

        frame: uint8 (height, width, 3) BGR; None: the last one, darkened. mirror: as a mirror would.
        """
        cv2.imshow(TITLE, self._compose(frame, view, mirror))
        key = cv2.waitKey(max(1, round(wait_s * 1000)))
        return (key & 0xFF if key >= 0 else -1) not in KEYS_TO_QUIT and self._is_open()

    def _is_open(self) -> bool:
        try:
            return cv2.getWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN) >= 0
        except cv2.error:       # of a window that is no more, with some toolkits
            return False

    def _compose(self, frame: np.ndarray | None, view: View, mirror: bool) -> np.ndarray:
        if frame is not None:
            picture = self._last = frame
        elif self._last is not None:
            picture = _darkened(self._last)
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
        _draw(picture, view)
        return picture

    def close(self) -> None:
        cv2.destroyAllWindows()


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


# --- Recorder ---


class Recorder:
    """Draws and writes the annotated video, and writes the scores, in a thread of its own.

    A file that is analysed waits for the disk, so that nothing is missing; a camera does not: when drawing or disk
    cannot keep up, pictures are left out of the video, and never scores. Both files are written beside their
    names and renamed by close(). One that cannot be written costs the other nothing.
    """

    def __init__(self, video: Path | None, scores: Path | None, fps: float, live: bool):
        self._live = live
        self._failed: str | None = None     # the first thing that went wrong
        try:
            self._table = _Table(scores) if scores else None
            self._movie = _Movie(video, fps, live) if video else None
        except OSError as error:
            raise DisplayError(
                f"{error.filename}: cannot be written ({error.strerror}); choose another file") from None
        self._items: queue.SimpleQueue = queue.SimpleQueue()
        self._room = threading.Semaphore(WAITING_PICTURES)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, time_s: float, frame: np.ndarray | None, view: View, rows: list[tuple]) -> None:
        """Hand over a frame, its view and the rows of its faces. Nobody may change them any more.

        frame: None while the camera gives no picture; the video shows the last one then, darkened.
        """
        drawn = self._movie is not None and self._room.acquire(blocking=not self._live)
        self._items.put((time_s, frame if drawn else None, view if drawn else None, rows))

    def close(self) -> None:
        """Finish both files. Raises DisplayError if they could not be written."""
        self._items.put(None)
        self._thread.join()
        if self._failed:
            raise DisplayError(self._failed)

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
        except DisplayError as error:
            problem = str(error)
        except Exception as error:      # the edge of this thread: who waits for room in it would wait for ever
            log.exception("the recording failed")
            problem = f"{file.path}: the recording failed: {type(error).__name__}"
        log.error("%s", problem)
        self._failed = self._failed or problem
        file.abandon()
        return None


class _Table:
    """The scores, as CSV."""

    def __init__(self, path: Path):
        self.path = path
        self._file = open(_beside(path), "w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(SCORES_HEADER)

    def write(self, rows: list[tuple]) -> None:
        self._rows.writerows(rows)

    def finish(self) -> None:
        self._file.close()
        os.replace(_beside(self.path), self.path)

    def abandon(self) -> None:
        """Keep what could be written, beside its name."""
        with contextlib.suppress(OSError):
            self._file.close()


class _Movie:
    """The annotated video."""

    def __init__(self, path: Path, fps: float, live: bool):
        self.path, self._fps, self._live = path, fps, live
        self._writer: cv2.VideoWriter | None = None
        self._size = 0, 0
        self._written = 0
        self._last: np.ndarray | None = None
        open(_beside(path), "wb").close()

    def write(self, time_s: float, frame: np.ndarray | None, view: View) -> None:
        if frame is None and self._last is None:
            return      # nothing to go by for the size of the video
        if frame is None:
            picture = _darkened(self._last)
        else:
            self._last = frame
            picture = frame.copy()
        _draw(picture, replace(view, fps=None))
        if self._writer is None:
            self._size = picture.shape[1], picture.shape[0]
            self._writer = _open_video(self.path, self._fps, self._size)
            if not self._writer.isOpened():
                raise DisplayError(f"{self.path}: not a kind of video OpenCV can write; name an .mp4 or .avi file")
        # A camera may come back with another size; a video has but one.
        picture = _padded(picture, self._size)
        # A camera's frames come when they come; the file has a fixed pace.
        due = round(time_s * self._fps) + 1 if self._live else self._written + 1
        for _ in range(min(due - self._written, round(self._fps))):
            self._writer.write(picture)
        self._written = max(self._written, due)

    def finish(self) -> None:
        if self._writer is None:
            _beside(self.path).unlink()
            return
        self._writer.release()
        os.replace(_beside(self.path), self.path)

    def abandon(self) -> None:
        """Leave no half of a video: without its end most players cannot read it."""
        if self._writer is not None:
            self._writer.release()
        with contextlib.suppress(OSError):
            _beside(self.path).unlink()


def _padded(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture in the middle of a black one of that width and height, as large as fits."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return cv2.copyMakeBorder(cv2.resize(picture, inner), top, size[1] - inner[1] - top, left,
                              size[0] - inner[0] - left, cv2.BORDER_CONSTANT)


def _beside(path: Path) -> Path:
    """out.mp4 -> out.part.mp4: the ending tells OpenCV the container."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _open_video(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    code = "MJPG" if path.suffix.lower() == ".avi" else "VP80" if path.suffix.lower() == ".webm" else "mp4v"
    return cv2.VideoWriter(str(_beside(path)), cv2.VideoWriter_fourcc(*code), fps, size)
