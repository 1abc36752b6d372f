"""p_real of every face in a frame: what the witness and LivenessNet say of it, together.

The witness (anti_spoofing/) costs five times what LivenessNet does. So it looks at a face at most LOOKS_PER_S times a
second (see looks).
"""

from typing import TYPE_CHECKING

import numpy as np

from authentication.looks import Looks
from face_detector import reach, view
from model_file.scores import fuse, probability

if TYPE_CHECKING:
    from anti_spoofing import Witness
    from model_file.inference import FastNet

# A verdict takes some ten looks a second (verdict.LOOKS_PER_S).
LOOKS_PER_S = 12.0


class Scorer:
    """Scores the faces of one source, frame by frame.

    network: LivenessNet. witness: None where there is none: then LivenessNet decides alone. every_frame: the witness
    looks at each, as in a folder of pictures, which need not have to do with each other.
    """

    def __init__(self, network: "FastNet", witness: "Witness | None", every_frame: bool = False):
        self._network, self._witness, self._looks = network, witness, Looks(every_frame)

    def scores(self, time_s: float, frame: np.ndarray, faces: np.ndarray) -> list[float]:
        """p_real of every face, 0 to 1, in their order.

        time_s: when the frame was taken, never falling. frame: uint8 (height, width, 3) BGR. faces: (N, 15), as
        FaceDetector.detect returns them.
        """
        words = []
        if self._witness:
            words = self._looks.words(time_s, faces, LOOKS_PER_S, lambda face, _: self._witness.look(frame, face[:4]))
        if not len(faces):
            return []
        windows = [view(frame, face[:4], self._network.margin, self._network.input_size) for face in faces]
        reaches = [reach(frame.shape, face[:4]) for face in faces]
        log_odds = self._network.log_odds(np.stack(windows), reaches)
        if self._witness:
            log_odds = fuse(np.array(words), log_odds, self._network.weight, reaches)
        return probability(log_odds).tolist()
