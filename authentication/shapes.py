"""Signs, plates and round corners, drawn to a fraction of a pixel."""

import math

import cv2
import numpy as np

Area = tuple[int, int, int, int]  # left, top, right, bottom
# BGR. Amber asks for something, or warns; nothing else on the picture has that colour.
INK, DARK, CARD, AMBER = (255, 255, 255), (24, 24, 24), (46, 46, 46), (30, 180, 255)
# Signs, in units of half their height; y is down. An arrow to the right, half as thick as it is long; a check mark;
# a cross; a warning triangle with its exclamation mark's bar; somebody, as head and shoulders.
ARROW = np.array([(-1.5, -0.36), (0.2, -0.36), (0.2, -1.0), (1.5, 0.0), (0.2, 1.0), (0.2, 0.36), (-1.5, 0.36)])
CHECK = np.array([(-0.9, 0.05), (-0.62, -0.25), (-0.25, 0.12), (0.62, -0.72), (0.9, -0.42), (-0.25, 0.72)])
STROKE = np.array([(-0.8, -0.58), (-0.58, -0.8), (0.8, 0.58), (0.58, 0.8)])
TRIANGLE = np.array([(0.0, -0.85), (1.0, 0.85), (-1.0, 0.85)])
EXCLAMATION = np.array([(-0.13, -0.3), (0.13, -0.3), (0.09, 0.32), (-0.09, 0.32)])
# Corners of the rounded boxes: a quarter of a circle, from its right end to its lower one.
QUARTER = np.array([(math.cos(angle), math.sin(angle)) for angle in np.linspace(0, math.pi / 2, 5)])
HALF = np.array([(math.cos(angle), math.sin(angle)) for angle in np.linspace(-math.pi, 0, 13)])
HEAD = np.concatenate([HALF, -HALF]) * 0.45 + (0, -0.5)
SHOULDERS = HALF * (0.9, 0.85) + (0, 0.95)


def fill(
    picture: np.ndarray,
    shapes: list[np.ndarray],
    middle: tuple[float, float],
    size: float,
    colour: tuple[int, int, int],
) -> None:
    """Filled polygons, size times as large as given, round a middle; drawn to a quarter of a pixel."""
    for shape in shapes:
        points = np.round((shape * size + middle) * 4).astype(np.int32)
        cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, 2)


def rounded(area: tuple[float, float, float, float], radius: float) -> np.ndarray:
    """The outline of a rectangle with round corners, in eighths of a pixel."""
    left, top, right, bottom = area
    radius = max(0.0, min(radius, (right - left) / 2, (bottom - top) / 2))
    corners = [
        QUARTER * radius + (right - radius, bottom - radius),
        QUARTER[::-1] * (-radius, radius) + (left + radius, bottom - radius),
        QUARTER * -radius + (left + radius, top + radius),
        QUARTER[::-1] * (radius, -radius) + (right - radius, top + radius),
    ]
    return np.round(np.concatenate(corners) * 8).astype(np.int32)


def plate(picture: np.ndarray, area: Area, colour: tuple[int, int, int], opacity: float, radius: float) -> None:
    """A filled rectangle with round corners, behind a text."""
    left, top = max(0, area[0]), max(0, area[1])
    part = picture[top : area[3], left : area[2]]
    if not part.size:
        return
    # The outline goes through the middles of the outermost pixels.
    shape = rounded((area[0] - left, area[1] - top, area[2] - left - 1, area[3] - top - 1), radius)
    if opacity == 1:
        cv2.fillPoly(part, [shape], colour, cv2.LINE_AA, 3)
        return
    over = part.copy()
    cv2.fillPoly(over, [shape], colour, cv2.LINE_AA, 3)
    cv2.addWeighted(over, opacity, part, 1 - opacity, 0, part)
