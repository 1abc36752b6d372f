"""p_real of every face in a frame: what the witness and LivenessNet say of it, together.

The witness (anti_spoofing/) costs five times what LivenessNet does. So it looks at a face at most LOOKS_PER_S times a
second of the video's own time, at once at a new face or one that jumped, and its last word on a face holds in between.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from face_detector import reach, view
from model_file.scores import fuse, probability

if TYPE_CHECKING:
    from anti_spoofing import Witness
    from model_file.inference import FastNet

# A verdict takes some ten looks a second (verdict.LOOKS_PER_S).
LOOKS_PER_S = 12.0
# Boxes of one face in two frames that follow each other share more than that of the area that both cover.
SAME_FACE = 0.5


class Word(NamedTuple):
    """What the witness said of a face: log odds. box: x, y, width, height in pixels. due_s: when it looks again."""

    box: np.ndarray
    log_odds: float
    due_s: float


class Scorer:
    """Scores the faces of one source, frame by frame.

    network: LivenessNet. witness: None where there is none: then LivenessNet decides alone. every_frame: the witness
    looks at each, as in a folder of pictures, which need not have to do with each other.
    """

    def __init__(self, network: "FastNet", witness: "Witness | None", every_frame: bool = False):
        self._network, self._witness, self._every_frame = network, witness, every_frame
        self._words: list[Word] = []

    def scores(self, time_s: float, frame: np.ndarray, faces: np.ndarray) -> list[float]:
        """p_real of every face, 0 to 1, in their order.

        time_s: when the frame was taken, never falling. frame: uint8 (height, width, 3) BGR. faces: (N, 15), as
        FaceDetector.detect returns them.
        """
        if not len(faces):
            self._words = []
            return []
        windows = [view(frame, face[:4], self._network.margin, self._network.input_size) for face in faces]
        reaches = [reach(frame.shape, face[:4]) for face in faces]
        log_odds = self._network.log_odds(np.stack(windows), reaches)
        if self._witness:
            self._words = [self._word(time_s, frame, face[:4]) for face in faces]
            words = np.array([word.log_odds for word in self._words])
            log_odds = fuse(words, log_odds, self._network.weight, reaches)
        return probability(log_odds).tolist()

    def _word(self, time_s: float, frame: np.ndarray, box: np.ndarray) -> Word:
        """The witness' last word on the face, or a new one where that is due."""
        last = None if self._every_frame else next((w for w in self._words if overlap(w.box, box) > SAME_FACE), None)
        if last and time_s < last.due_s:
            return last._replace(box=box)
        # Counted from when it was due, so that frames that come a little late do not make the looks fewer.
        due_s = last.due_s + 1 / LOOKS_PER_S if last else time_s
        if due_s <= time_s:
            due_s = time_s + 1 / LOOKS_PER_S
        return Word(box, self._witness.look(frame, box), due_s)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the area of two boxes (x, y, width, height) that is common to both, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return float(width * height / (a[2] * a[3] + b[2] * b[3] - width * height))
