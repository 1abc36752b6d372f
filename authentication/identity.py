"""Whether a face is an owner's: the evidence about one track, and the comparisons that bring it.

    identity = identity_of(model, recognizer, Verdict(), threshold=None)
    track.owner = identity.test()                   # of each new track
    ahead = identity.due(time_s, frame, track)      # at most LOOKS_PER_S times a second
    identity.compare(time_s, frame, track, ahead)
    track.owner.state                               # CHECKING, AUTHORIZED: an owner, UNAUTHORIZED: a stranger

A comparison speaks for an owner only where the anti-spoofing network took that very face in that very picture for
live, and for nobody but the track that it was made of. Blurred, bowed or dark faces (see face_recognizer.unfit) are
evidence of nothing, and so is a network that fails. A face that is turned away may speak for an owner, and against
nobody: strangers' turned faces scored 0.40 at most, owners' 0.67 in the median (docs/owners.md).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from authentication.verdict import CHECKING, THRESHOLD, OwnerTest, Verdict
from face_recognizer import NETWORK, TURNED_AWAY, Recognizer, unfit
from model_file.owners import read_owners
from model_file.reading import ModelError

if TYPE_CHECKING:
    from authentication.tracks import Track

log = logging.getLogger("liveness.authentication")

# A comparison costs 12 to 25 ms, five times what the anti-spoofing network does: so many a second at most, and fewer
# while they bring no news.
LOOKS_PER_S, CALM_LOOKS_PER_S = 6.0, 2.0


class Identity:
    """Compares the faces of one source with the owners' templates.

    templates: of each owner, float32 (N, 128), each of length 1. threshold: see OwnerTest.
    """

    def __init__(
        self, recognizer: Recognizer, templates: list[np.ndarray], bounds: Verdict, threshold: float = THRESHOLD
    ):
        self._recognizer, self._templates = recognizer, np.concatenate(templates)
        self._bounds, self._threshold = bounds, threshold
        self._failed = False

    def test(self) -> OwnerTest:
        """What a new track begins with."""
        return OwnerTest(self._bounds, self._threshold)

    def due(self, time_s: float, frame: np.ndarray, track: "Track") -> bool | None:
        """Whether the track's face looks ahead; None where it is not to be compared in this picture: too soon, or not
        clear enough."""
        if not track.owner_rate.due(time_s, self._rate(track)):
            return None
        try:
            why = unfit(frame, track.face)
        except (cv2.error, ValueError) as error:
            self._report(error)
            return None
        # A face that is turned away has no more to say once it is known.
        turned = why == TURNED_AWAY and track.owner.state == CHECKING
        return not why if not why or turned else None

    def compare(self, time_s: float, frame: np.ndarray, track: "Track", ahead: bool) -> bool:
        """Compare the track's face, in a picture for which it was due; False: it is another than a moment ago."""
        track.owner_rate.done(time_s, self._rate(track))
        try:
            score = float((self._templates @ self._recognizer.embed(frame, track.face)).max())
        except (cv2.error, ValueError) as error:  # ValueError: landmarks that are none
            self._report(error)
            return True
        if not np.isfinite(score):
            return True
        return track.owner.add(time_s, score, track.log_odds > 0, ahead)

    @staticmethod
    def _rate(track: "Track") -> float:
        return CALM_LOOKS_PER_S if track.owner.calm else LOOKS_PER_S

    def _report(self, error: Exception) -> None:
        if not self._failed:
            log.error("a face could not be compared with the owners': %s", " ".join(str(error).split()))
        self._failed = True


def identity_of(
    model: Path, recognizer: Callable[[], Recognizer], bounds: Verdict, threshold: float | None
) -> Identity:
    """For the owners whom the model knows. recognizer: gives it once it is read, and is asked last, since that takes
    longest. threshold: None for the usual one. Raises ModelError, and what recognizer raises."""
    owners = read_owners(model, NETWORK)
    if not owners:
        raise ModelError(f"{model}: knows no owner; enrol one: train.py --add-owner NAME CROPS... --model {model}")
    return Identity(recognizer(), [*owners.values()], bounds, threshold or THRESHOLD)
