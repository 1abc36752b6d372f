"""Whether the face before the camera is an owner's: evidence over time, as Verdict weighs it.

    identity = Identity(recognition, Verdict(false_pass, false_lock))
    who = identity.update(time_s, frame, faces)      # CHECKING, AUTHORIZED: an owner, UNAUTHORIZED: a stranger

The time that clear evidence takes, what a glitch may do, what the bounds are worth and when a visit ends are Verdict's
(see there); only what one look says differs.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from authentication.recognition import FEWEST_LOOKS, NOTHING, Likeness, Recognition
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict
from face_recognizer import NETWORK, Recognizer
from model_file.owners import read_owners
from model_file.reading import ModelError
from model_file.scores import probability

# A comparison score that is as likely an owner's as a stranger's, and how fast the log odds rise with the score.
THRESHOLD, SLOPE = 0.50, 25.0


class Identity:
    """Evidence about whose face it is, from its appearance until it is gone.

    verdict: one of its own. threshold: the comparison score, -1 to 1, that speaks neither for an owner nor against.
    state: CHECKING, AUTHORIZED (an owner) or UNAUTHORIZED (a stranger).
    progress: share of the evidence that a verdict needs, 0 to 1.
    visit: counts up whenever a stranger is none any more, so that the next one is news.
    """

    def __init__(self, recognition: Recognition, verdict: Verdict, threshold: float = THRESHOLD):
        self._recognition, self._verdict, self._threshold = recognition, verdict, threshold
        self._calm = False  # the last look brought no news
        self.state, self.visit = CHECKING, 0

    def update(self, time_s: float, frame: np.ndarray | None, faces: np.ndarray) -> str:
        """Take in a frame and return the state; see Recognition.likeness."""
        likeness = self._recognition.likeness(time_s, frame, faces, self._calm)
        # A face that was never seen clearly is nobody's: whoever takes the owner's place does not inherit his name.
        p_owner = float(probability(self._log_odds(likeness))) if likeness is not NOTHING else None
        before, self.state = self.state, self._verdict.update(time_s, p_owner)
        self.visit += before == UNAUTHORIZED != self.state
        if len(faces):
            self._calm = self._is_calm(likeness.latest)
        return self.state

    @property
    def progress(self) -> float:
        return abs(self._verdict.confidence)

    def _is_calm(self, latest: float) -> bool:
        """Whether the last look said what is known already, or is as clear a sign of an owner as is needed."""
        if self.state == CHECKING:
            return probability(SLOPE * (latest - self._threshold)) >= self._verdict.clear
        return (latest >= self._threshold) == (self.state == AUTHORIZED)

    def _log_odds(self, likeness: Likeness) -> float:
        """An owner's against a stranger's. A bad start must not make an owner a stranger: against him speak no fewer
        than FEWEST_LOOKS."""
        log_odds = SLOPE * (likeness.score - self._threshold)
        return log_odds if likeness.looks >= (1 if log_odds > 0 else FEWEST_LOOKS) else 0.0


def identity_of(
    model: Path, recognizer: Callable[[], Recognizer], stills: bool, verdict: Verdict, threshold: float | None
) -> Identity:
    """For the owners whom the model knows. recognizer: gives it once it is read, and is asked last, since that takes
    longest. stills: see Looks. threshold: None for the usual one. Raises ModelError, and what recognizer raises."""
    owners = read_owners(model, NETWORK)
    if not owners:
        raise ModelError(f"{model}: knows no owner; enrol one: train.py --add-owner NAME CROPS... --model {model}")
    return Identity(Recognition(recognizer(), [*owners.values()], stills), verdict, threshold or THRESHOLD)
