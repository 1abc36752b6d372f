"""The log odds of a live face, of every face that is judged: the anti-spoofing network's and LivenessNet's together.

The anti-spoofing network costs five times what LivenessNet does. So it looks at a face at most LOOKS_PER_S times a
second, and whenever somebody needs its score of that very picture; what it said last holds in between.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from authentication.tracks import Track
from face_detector import reach, view
from model_file.scores import fuse

if TYPE_CHECKING:
    from anti_spoofing import Witness
    from model_file.inference import FastNet

# A verdict takes some ten looks a second (verdict.LOOKS_PER_S).
LOOKS_PER_S = 12.0


class Scorer:
    """Scores the faces of one source.

    network: LivenessNet. anti_spoofing: None where it cannot be had: then LivenessNet decides alone. every_picture: it
    looks at each, as in a folder of stills, which need not have to do with each other.
    """

    def __init__(self, network: "FastNet", anti_spoofing: "Witness | None", every_picture: bool = False):
        self._network, self._anti_spoofing, self._every_picture = network, anti_spoofing, every_picture

    def score(self, time_s: float, frame: np.ndarray, tracks: list[Track], now: Collection[Track] = ()) -> None:
        """Set the log_odds of the tracks whose faces are in a picture.

        time_s: when it was taken, never falling. frame: uint8 (height, width, 3) BGR. now: the tracks for which the
        anti-spoofing network has to look at this picture.
        """
        if not tracks:
            return
        if self._anti_spoofing:
            for track in tracks:
                if self._every_picture or track in now or track.spoof_rate.due(time_s, LOOKS_PER_S):
                    track.spoof_rate.done(time_s, LOOKS_PER_S)
                    track.spoof_log_odds = self._anti_spoofing.look(frame, track.face[:4])
        boxes = [track.face[:4] for track in tracks]
        windows = [view(frame, box, self._network.margin, self._network.input_size) for box in boxes]
        reaches = [reach(frame.shape, box) for box in boxes]
        log_odds = self._network.log_odds(np.stack(windows), reaches)
        if self._anti_spoofing:
            spoof = np.array([track.spoof_log_odds for track in tracks])
            log_odds = fuse(spoof, log_odds, self._network.weight, reaches)
        for track, value in zip(tracks, log_odds.tolist()):
            track.log_odds = value if value == value else -np.inf
