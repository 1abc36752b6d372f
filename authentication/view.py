"""All that is drawn on a frame, and the words for it.

view = View(boxes, AUTHORIZED, score=0.99, banner=banner(AUTHORIZED, ""), fps=30)
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from authentication.prompts import Prompt
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

NOT_THE_OWNER = "not the owner"


@dataclass(frozen=True, eq=False)
class View:
    """All that is drawn on a frame.

    boxes: (N, 4) x, y, width, height in pixels of the frame. state: CHECKING, AUTHORIZED or UNAUTHORIZED.
    score: how live the faces look, 0 to 1; None: a matter of yes or no. progress: 0 to 1, the share of the evidence
    a verdict needs, drawn as a bar while checking. banner: what happened and what was done. trouble: why there is no
    picture or no verdict, or that nobody is in sight. fps: frames/s, for the corner of the window; None leaves the
    corner out. stranger: what is unauthorized is a live face that is not the owner's.
    """

    boxes: np.ndarray
    state: str
    score: float | None = None
    progress: float = 0.0
    banner: str = ""
    trouble: str = ""
    prompt: Prompt | None = None
    fps: float | None = None
    stranger: bool = False


def label(state: str, score: float | None, stranger: bool = False) -> str:
    """The original's label, "Authorized: 0.9987": how sure the verdict is, 0 to 1; None: a matter of yes or no."""
    if stranger:
        return banner(state, NOT_THE_OWNER)
    if state == CHECKING or score is None:
        return state.capitalize()
    return f"{state.capitalize()}: {score if state == AUTHORIZED else 1 - score:.4f}"


def banner(state: str, *words: str) -> str:
    """What happened, and in a few words why, and what was done about it, such as Alerts.status: "" while checking."""
    if state == AUTHORIZED:
        return "Authorized: access granted"
    if state == UNAUTHORIZED:
        return ": ".join(("Unauthorized", ", ".join(filter(None, words)))).removesuffix(": ")
    return ""


def mirrored(frame: np.ndarray, view: View) -> tuple[np.ndarray, View]:
    """The frame and its view as in a mirror: the left of the picture is the user's left. Texts stay readable."""
    boxes = view.boxes.copy()
    boxes[:, 0] = frame.shape[1] - boxes[:, 0] - boxes[:, 2]
    return cv2.flip(frame, 1), replace(view, boxes=boxes)
