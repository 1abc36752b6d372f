"""How much the faces before the camera look like an owner's: looks of the recognition network, best of a second.

    recognition = Recognition(Recognizer(), templates)
    likeness = recognition.likeness(time_s, frame, faces, calm=False)

A look costs 12 to 25 ms, five times what the witness' does. So there are LOOKS_PER_S a second at most, and
CALM_LOOKS_PER_S while they bring no news. Blurred, bowed or dark looks (see face_recognizer.unfit) are
evidence of nothing, and so is a network that fails.
"""

import functools
import logging
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from authentication.looks import Looks
from face_recognizer import unfit

if TYPE_CHECKING:
    from face_recognizer import Recognizer

log = logging.getLogger("liveness.authentication")

LOOKS_PER_S, CALM_LOOKS_PER_S = 6.0, 2.0
# Of one person's looks within a second some are bad; the best of them is compared. Where there are fewer than
# FEWEST_LOOKS in it, as of a face that is turned or blurred most of the time, the last ones before it count, too.
BEST_OF_S, FEWEST_LOOKS = 1.0, 4
# A face that the detector misses for so long goes on as the same. Another one may have taken its place meanwhile, as
# it may between two frames: BEST_OF_S and three looks later that is known.
HOLD_S = 0.5


Scored = tuple[float, float]  # when a look was, in seconds, and its comparison score


class Likeness(NamedTuple):
    """score: the best comparison score, -1 to 1, of the face that looks most like an owner. looks: how many stand
    behind it; 0 where the last is more than BEST_OF_S ago, so that nothing is known now. latest: the score of the last
    one."""

    score: float
    looks: int
    latest: float


NOTHING = Likeness(-1.0, 0, -1.0)


class Recognition:
    """Compares the faces of one source with the owners' templates, frame by frame.

    templates: of each owner, float32 (N, 128), each of length 1. every_frame: see Looks.
    """

    def __init__(self, recognizer: "Recognizer", templates: list[np.ndarray], every_frame: bool = False):
        self._recognizer, self._templates = recognizer, np.concatenate(templates)
        self._looks = Looks(every_frame, HOLD_S)
        self._failed = False

    def likeness(self, time_s: float, frame: np.ndarray | None, faces: np.ndarray, calm: bool) -> Likeness:
        """Of the faces in the frame, that of the one most like an owner; NOTHING where none was ever fit to be seen.

        An owner who turns away beside a stranger keeps the likeness of before, with no looks behind it.
        time_s: when the frame was taken, never falling. frame: uint8 (height, width, 3) BGR. faces: (N, 15), as
        FaceDetector.detect returns them. calm: the last look brought no news.
        """
        per_s = CALM_LOOKS_PER_S if calm else LOOKS_PER_S
        words = self._looks.words(time_s, faces, per_s, functools.partial(self._look, time_s, frame))
        return max((_likeness(time_s, looks) for looks in words if looks), default=NOTHING)

    def _look(
        self, time_s: float, frame: np.ndarray, face: np.ndarray, before: list[Scored] | None
    ) -> list[Scored] | None:
        """The looks at a face that count, with this one; None where it says nothing."""
        try:
            if unfit(frame, face):
                return None
            score = float((self._templates @ self._recognizer.embed(frame, face)).max())
        except (cv2.error, ValueError) as error:  # ValueError: landmarks that are none
            if not self._failed:
                log.error("a face could not be compared with the owners': %s", " ".join(str(error).split()))
            self._failed = True
            return None
        if not np.isfinite(score):
            return None
        return _counting(time_s, [*(before or []), (time_s, score)])


def _counting(time_s: float, looks: list[Scored]) -> list[Scored]:
    recent = sum(time_s - then < BEST_OF_S for then, _ in looks)
    return looks[-max(recent, FEWEST_LOOKS) :]


def _likeness(time_s: float, looks: list[Scored]) -> Likeness:
    counting, (last_s, latest) = _counting(time_s, looks), looks[-1]
    return Likeness(max(score for _, score in counting), len(counting) if time_s - last_s < BEST_OF_S else 0, latest)
