"""A view drawn on a frame: boxes, verdict, what was done, what is asked for, why there is nothing to see.

    picture = annotate(frame, view)         # a copy
    draw(picture, view)                     # in place

Everything is sized by the picture, from 176 pixels to 4K, and placed so that nothing lies on anything else: the
challenge at the top, the banner at the bottom, a notice in the middle, the labels where there is room.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from authentication.lettering import BOLD, PLAIN, fit, width_of, write, write_lines
from authentication.panel import draw_panel
from authentication.shapes import (
    AMBER,
    CARD,
    CHECK,
    DARK,
    EXCLAMATION,
    HEAD,
    INK,
    SHOULDERS,
    STROKE,
    TRIANGLE,
    Area,
    fill,
    plate,
    rounded,
)
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED
from authentication.view import View, label

# BGR. Green and red are as far from black as from white, and carry white text with a contrast of 5 to 1.
COLOURS = {CHECKING: (232, 232, 232), AUTHORIZED: (61, 128, 21), UNAUTHORIZED: (38, 38, 205)}
# The box of a live stranger: blue to those who cannot tell red from green, as far from both as from amber.
VIOLET = (237, 58, 124)
# Faces that have no consequences.
NO_COLOUR = (150, 150, 150)
TEXT_ON = {CHECKING: DARK, AUTHORIZED: INK, UNAUTHORIZED: INK}


def annotate(frame: np.ndarray, view: View) -> np.ndarray:
    """A copy of the frame, uint8 (height, width, 3) BGR, with the view drawn on it."""
    picture = frame.copy()
    draw(picture, view)
    return picture


def draw(picture: np.ndarray, view: View) -> None:
    """Draw the view on the picture itself, uint8 (height, width, 3) BGR."""
    height, width = picture.shape[:2]
    size = _text_size(width, height)
    pad = max(3, round(0.45 * size))
    lines, banner_size = fit(view.banner, width - 2 * pad - round(2.2 * size), 1.1 * size)
    bottom = height - (round(1.28 * banner_size * len(lines)) + 2 * pad if lines else 0)
    for box in view.others:
        _box(picture, box, NO_COLOUR, 0.6 * size)
    for box in view.boxes:
        _box(picture, box, VIOLET if view.stranger else COLOURS[view.state], size)
    top = draw_panel(picture, view.prompt) if view.prompt else 0
    if lines:
        _banner(picture, lines, bottom, banner_size, view)
    gap = max(2, round(0.3 * size))
    room = gap, top + gap, width - gap, bottom - gap  # what is left for the rest
    taken: list[Area] = []
    if view.trouble:
        taken += _notice(picture, view.trouble, room, size)
    if view.fps is not None:
        taken += _corner(picture, view.fps, room, taken, size)
    # A challenge comes when the evidence is complete: a full bar would say nothing.
    if view.state == CHECKING and not view.prompt:
        taken += [_bar(picture, box, view.progress, room, size) for box in view.boxes]
    for box in view.boxes:
        taken += _label(picture, box, label(view.state, view.score, view.stranger), view.state, room, taken, size)


def _text_size(width: int, height: int) -> float:
    """Of the labels, in pixels from the baseline to the top: 11 at 240 lines, 18 at 480, 24 at 720, 63 at 2160."""
    return max(11.0, 5 + 0.027 * min(width, height))


def _box(picture: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], size: float) -> None:
    """Round the face: the verdict's colour in a dark casing, which shows on video of the same colour."""
    thick = max(2, round(0.12 * size))
    left, top, w, h = (float(value) for value in box)
    shape = rounded((left, top, left + w, top + h), 0.5 * size)
    cv2.polylines(picture, [shape], True, DARK, thick + 2, cv2.LINE_AA, 3)
    cv2.polylines(picture, [shape], True, colour, thick, cv2.LINE_AA, 3)


def _bar(picture: np.ndarray, box: np.ndarray, progress: float, room: Area, size: float) -> Area:
    """Under the box: how much of the evidence is there."""
    tall = max(4, round(0.4 * size))
    x, y, w, h = box.tolist()
    left, right = max(room[0], round(x)), min(room[2], round(x + w))
    top = max(room[1], min(round(y + h + 0.3 * size), room[3] - tall))
    area = left, top, max(right, left + 4 * tall), top + tall
    plate(picture, area, DARK, 0.8, tall / 2)
    filled = round((area[2] - left - 2) * min(1.0, max(0.0, progress)))
    if filled:
        cv2.rectangle(picture, (left + 1, top + 1), (left + filled, top + tall - 2), COLOURS[CHECKING], -1)
    return area


def _label(
    picture: np.ndarray, box: np.ndarray, text: str, state: str, room: Area, taken: list[Area], size: float
) -> list[Area]:
    """A tag at the box, where nothing else is; among too many boxes none: the box's colour says it too."""
    pad = round(0.4 * size)
    wide, tall = width_of(text, round(size), BOLD) + 2 * pad, round(0.8 * size) + 2 * pad
    gap = max(3, round(0.25 * size))
    x, y, w, h = box.tolist()
    spots = [
        (left, top)
        for top in (y - gap - tall, y + h + gap, y + 2 * gap, y + h - gap - tall, *range(room[1], room[3] - tall, tall))
        for left in (x, x + w - wide, x + w + gap, x - gap - wide)
    ]
    area = _place(spots, (wide, tall), room, taken)
    if area is None:
        return []
    plate(picture, area, COLOURS[state], 1.0, 0.35 * size)
    write(picture, text, (area[0] + pad, (area[1] + area[3]) / 2), size, TEXT_ON[state])
    return [area]


def _place(spots: Iterable[tuple[float, float]], size: tuple[int, int], room: Area, taken: list[Area]) -> Area | None:
    """The first of the spots (left, top), pushed into the room, where the size fits beside all that is taken."""
    wide, tall = size
    for left, top in spots:
        left = max(room[0], min(round(left), room[2] - wide))
        top = max(room[1], min(round(top), room[3] - tall))
        if not any(
            left < other[2] and other[0] < left + wide and top < other[3] and other[1] < top + tall for other in taken
        ):
            return left, top, left + wide, top + tall
    return None


def _banner(picture: np.ndarray, lines: tuple[str, ...], top: int, size: float, view: View) -> None:
    """Over the bottom of the picture, in the verdict's colour: what happened and what was done."""
    height, width = picture.shape[:2]
    colour = COLOURS[view.state] if view.state != CHECKING else CARD
    cv2.rectangle(picture, (0, top), (width, height), colour, -1)
    middle = (top + height) / 2
    sign = 0.0 if view.state == CHECKING else 1.6 * size
    left = (width - max(width_of(line, round(size), BOLD) for line in lines) + sign) / 2
    at = left - 0.95 * sign + 0.3 * size, middle
    if view.state == AUTHORIZED:
        fill(picture, [CHECK], at, 0.55 * size, INK)
    elif view.stranger:
        fill(picture, [HEAD, SHOULDERS], at, 0.62 * size, INK)
    elif view.state == UNAUTHORIZED:
        fill(picture, [STROKE, STROKE * (-1, 1)], at, 0.5 * size, INK)
    write_lines(picture, lines, left, middle, size)


def _corner(picture: np.ndarray, fps: float, room: Area, taken: list[Area], size: float) -> list[Area]:
    """At the top right of the window: how fast it runs and how to leave."""
    size = max(10.0, 0.75 * size)
    pad = round(0.5 * size)
    text = f"{fps:.0f} frames/s   press q to quit"
    wide, tall = width_of(text, round(size), PLAIN) + 2 * pad, round(0.8 * size) + 2 * pad
    area = _place([(room[2] - wide, room[1])], (wide, tall), room, taken)
    if area is None:
        return []
    plate(picture, area, DARK, 0.7, 0.4 * size)
    write(picture, text, (area[0] + pad, (area[1] + area[3]) / 2), size, INK, PLAIN)
    return [area]


def _notice(picture: np.ndarray, text: str, room: Area, size: float) -> list[Area]:
    """In the middle of the picture: why there is nothing to see, or to judge."""
    size *= 1.1
    pad, sign = round(0.9 * size), round(2.2 * size)
    lines, size = fit(text, round(0.86 * (room[2] - room[0])) - 2 * pad - sign, size)
    wide = max(width_of(line, round(size), BOLD) for line in lines) + 2 * pad + sign
    tall = round(1.28 * size * len(lines)) + 2 * pad
    left, top = (room[0] + room[2] - wide) // 2, (room[1] + room[3] - tall) // 2
    area = left, top, left + wide, top + tall
    plate(picture, area, CARD, 0.9, 0.6 * size)
    middle = top + tall / 2
    at = left + pad + 0.75 * size, middle
    fill(picture, [TRIANGLE], at, 0.85 * size, AMBER)
    fill(picture, [EXCLAMATION, EXCLAMATION * (1, 0.38) + (0, 0.62)], at, 0.85 * size, DARK)
    write_lines(picture, lines, left + pad + sign, middle, size)
    return [area]


def darkened(frame: np.ndarray) -> np.ndarray:
    """What was last seen, so that nobody takes it for now."""
    return cv2.convertScaleAbs(frame, None, 0.3, 12)
