"""Texts on a picture, in the font that OpenCV brings: measured, fitted into their room, written."""

import functools
import threading

import cv2
import numpy as np

from authentication.shapes import INK

BOLD, PLAIN = 600, 500  # the font's weights

_fonts = threading.local()


def _font() -> cv2.FontFace:
    """The one that OpenCV brings; one for each thread, for drawing changes its state: shared, texts get garbled."""
    if not hasattr(_fonts, "sans"):
        _fonts.sans = cv2.FontFace("sans")
    return _fonts.sans


@functools.lru_cache(maxsize=256)
def width_of(text: str, size: int, weight: int) -> int:
    """Of a line of text, in pixels."""
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2]


def write(
    picture: np.ndarray,
    text: str,
    start: tuple[float, float],
    size: float,
    colour: tuple[int, int, int],
    weight: int = BOLD,
) -> None:
    """A line of text from its left end on; its capitals, three quarters of the size, stand round the height given."""
    spot = round(start[0]), round(start[1] + 0.36 * round(size))
    cv2.putText(picture, text, spot, colour, _font(), round(size), weight)


def write_lines(picture: np.ndarray, lines: tuple[str, ...], left: float, middle: float, size: float) -> None:
    for n, line in enumerate(lines):
        write(picture, line, (left, middle + (n - (len(lines) - 1) / 2) * 1.28 * size), size, INK)


@functools.lru_cache(maxsize=64)
def fit(text: str, room: int, size: float) -> tuple[tuple[str, ...], float]:
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
            if len(lines) <= most and all(width_of(line, round(tried), BOLD) <= room for line in lines):
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
        if lines and width_of(f"{lines[-1]} {word}", size, BOLD) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)


def _cut(line: str, room: int, size: int) -> str:
    """As much of the line as fits."""
    if width_of(line, size, BOLD) <= room:
        return line
    end = len(line)
    while end and width_of(line[:end] + "...", size, BOLD) > room:
        end -= 1
    return line[:end] + "..."
