"""All that is drawn on a frame, and the words for it.

view = View(boxes, AUTHORIZED, score=0.99, banner=banner(AUTHORIZED, ""), fps=30)
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from authentication.prompts import Prompt
from authentication.verdict import AUTHORIZED, CHALLENGE, CHECKING, STRANGER, UNAUTHORIZED

if TYPE_CHECKING:
    from authentication.authenticator import Judgement

NOT_THE_OWNER = "not the owner"
NO_BOXES = np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class View:
    """All that is drawn on a frame.

    boxes: (N, 4) x, y, width, height in pixels of the frame, of the face that the state is about. others: (M, 4), faces
    that have no consequences, drawn without colour. state: CHECKING, AUTHORIZED or UNAUTHORIZED.
    score: p_real of that face, 0 to 1; None: a matter of yes or no. progress: 0 to 1, the share of the evidence
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
    others: np.ndarray = field(default_factory=lambda: NO_BOXES)


def label(state: str, score: float | None, stranger: bool = False) -> str:
    """The original's label, "Authorized: 0.9987", with p_real, 0 to 1; None: a matter of yes or no."""
    if stranger:
        return banner(state, NOT_THE_OWNER)
    if state == CHECKING or score is None:
        return state.capitalize()
    return f"{state.capitalize()}: {score:.4f}"


def why(reason: str) -> str:
    """The reason why a face is unauthorized, as banners say it."""
    return NOT_THE_OWNER if reason == STRANGER else reason


def banner(state: str, *words: str) -> str:
    """What happened, and in a few words why, and what was done about it, such as Alerts.status: "" while checking."""
    if state == AUTHORIZED:
        return "Authorized: access granted"
    if state == UNAUTHORIZED:
        return ": ".join(("Unauthorized", ", ".join(filter(None, words)))).removesuffix(": ")
    return ""


def view_of(judgement: "Judgement", boxes: dict[int, np.ndarray], banner: str, **more) -> View:
    """What is drawn of a judgement. boxes: x, y, width, height by the number of their track."""
    main = [box for track, box in boxes.items() if track == judgement.track]
    others = [box for track, box in boxes.items() if track != judgement.track]
    stranger = judgement.reason == STRANGER
    return View(
        np.array(main) if main else NO_BOXES,
        judgement.state,
        None if judgement.reason in (CHALLENGE, STRANGER) else judgement.score,
        judgement.progress,
        banner,
        stranger=stranger,
        others=np.array(others) if others else NO_BOXES,
        **more,
    )


def mirrored(frame: np.ndarray, view: View) -> tuple[np.ndarray, View]:
    """The frame and its view as in a mirror: the left of the picture is the user's left. Texts stay readable."""
    boxes, others = view.boxes.copy(), view.others.copy()
    for some in (boxes, others):
        some[:, 0] = frame.shape[1] - some[:, 0] - some[:, 2]
    return cv2.flip(frame, 1), replace(view, boxes=boxes, others=others)
