"""What a challenge asks for, over the top of the picture: a sign, the words, the turns made, the time that is left."""

import cv2
import numpy as np

from authentication.lettering import BOLD, width_of, write
from authentication.prompts import AHEAD, BACK, LEFT, PASSED, PAUSE, RIGHT, Prompt
from authentication.shapes import AMBER, ARROW, CHECK, INK, fill

PROMPT_COLOURS = {
    LEFT: AMBER,
    RIGHT: AMBER,
    BACK: (235, 190, 90),
    AHEAD: (235, 190, 90),
    PAUSE: (150, 150, 150),
    PASSED: (80, 220, 70),
}


def draw_panel(picture: np.ndarray, prompt: Prompt) -> int:
    """What is asked for, over the top of the picture: a sign, the words, the turns made, the time that is left.

    Returns how many rows it takes.
    """
    height, width = picture.shape[:2]
    # The picture is at least 160 x 90 units, save an upright one: there the words shrink first.
    unit = max(min(width / 16, height / 9), min(width, height) / 11) / 10
    tall = round(19 * unit)
    panel = picture[:tall]
    cv2.convertScaleAbs(panel, panel, 0.25, 24)  # darkened in place: what is behind stays to be guessed
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
    wide = width_of(text, round(size), BOLD)
    room = space[1] - space[0]
    if wide > room:
        size *= room / wide
        wide = width_of(text, round(size), BOLD)
    write(picture, text, ((space[0] + space[1] - wide) / 2, middle), size, INK)


def _sign(picture: np.ndarray, kind: str, middle: tuple[float, float], size: float, colour: tuple) -> None:
    """A sign of the prompt's kind, 2 * size pixels high, round its middle; drawn to a quarter of a pixel."""
    shapes = {LEFT: ARROW * (-1, 1), RIGHT: ARROW, PASSED: CHECK}
    if kind in shapes:
        fill(picture, [shapes[kind]], middle, size, colour)
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
