"""When a network that costs much looks at which face, and what it said of each.

words = looks.words(time_s, faces, LOOKS_PER_S, lambda face, before: network.look(frame, face))

It looks at a face so many times a second of the video's own time, at once at a new face or one that jumped; what it
said last holds in between.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Boxes of one face in two frames that follow each other share more than that of the area that both cover.
SAME_FACE = 0.5


class _Word(NamedTuple):
    """What was said of a face and when, and when the face was seen last. box: x, y, width, height in pixels."""

    box: np.ndarray
    said: Any
    looked_s: float
    seen_s: float


class Looks:
    """Follows the faces of one source, frame by frame.

    every_frame: each face of each frame is looked at, as in a folder of pictures, which need not have to do with each
    other. hold_s: seconds for which a face that the detector misses is not forgotten.
    """

    def __init__(self, every_frame: bool = False, hold_s: float = 0.0):
        self._every_frame, self._hold_s = every_frame, hold_s
        self._words: list[_Word] = []

    def words(self, time_s: float, faces: np.ndarray, per_s: float, look: Callable[[np.ndarray, Any], Any]) -> list:
        """What was said last of every face, in their order; None of one of which nothing was said yet.

        time_s: when the frame was taken, never falling. faces: (N, >=4), as FaceDetector.detect returns them. per_s:
        looks at a face a second, at most. look: called with a face that is due and what was said of it before, says
        what is to be said from now on; after None that stays as it was, and the face is due in the next frame again.
        """
        words = [self._word(time_s, face, per_s, look) for face in faces]
        missed = [word for word in self._words if time_s - word.seen_s < self._hold_s and not _among(words, word)]
        self._words = words + missed
        return [word.said for word in words]

    def _word(self, time_s: float, face: np.ndarray, per_s: float, look: Callable) -> _Word:
        box = face[:4]
        last = next((word for word in self._words if overlap(word.box, box) > SAME_FACE), None)
        last = last or _Word(box, None, -np.inf, time_s)
        due_s = last.looked_s + 1 / per_s
        said = None if time_s < due_s and not self._every_frame else look(face, last.said)
        if said is None:
            return last._replace(box=box, seen_s=time_s)
        # Counted from when it was due, so that frames that come a little late do not make the looks fewer.
        return _Word(box, said, due_s if time_s < due_s + 1 / per_s else time_s, time_s)


def _among(words: list[_Word], missed: _Word) -> bool:
    return any(overlap(word.box, missed.box) > SAME_FACE for word in words)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the area of two boxes (x, y, width, height) that is common to both, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return float(width * height / (a[2] * a[3] + b[2] * b[3] - width * height))
