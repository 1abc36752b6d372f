"""What the numbers in liveness.json make of the networks' outputs: log odds of a live face, 0 where the line is."""

import numpy as np

# In log odds: LivenessNet moves the witness' word by no more than this. It has seen one room, one camera and one
# screen, and knows them better than the witness does; of all others it knows nothing, and errs as surely as it speaks.
# So it decides where the witness doubts, at most (with a weight of 1) between probabilities of 0.12 and 0.88, with half
# of that between 0.27 and 0.73, and nowhere else: what is clearly an attack to the witness stays one, and a LivenessNet
# that learned the wrong thing locks nobody out whom the witness knows as live.
CAP = 2.0
# How far the frame must go on beside the face, in face boxes (see face_detector.reach), for LivenessNet's word to count
# fully, and where it counts for nothing: in a close-up (0.65) its window shows the frame's edge repeated, and what it
# made of strangers' was worth nothing.
COUNTS_FROM, COUNTS_FULLY = 0.75, 1.0
# Of models that do not say how much their word counts: those of earlier versions, and the original's.
DEFAULT_WEIGHT = 0.25


def fuse(witness: np.ndarray, own: np.ndarray, weight: float, reach: np.ndarray | float = np.inf) -> np.ndarray:
    """Log odds of both: the witness decides, and LivenessNet's word counts up to CAP.

    witness, own: log odds of a live face, float (N,), each 0 at its operating point. weight: 0 to 1. reach: float (N,),
    see face_detector.reach, or one for all.
    """
    return witness + weight * np.interp(reach, (COUNTS_FROM, COUNTS_FULLY), (0, 1)) * np.clip(own, -CAP, CAP)


def calibrate(raw: np.ndarray, reach: np.ndarray | float, calibration: dict) -> np.ndarray:
    """LivenessNet's probability of "real", 0 to 1, as log odds: its logit times "scale" plus "offset" (Platt, 1999).

    reach: see face_detector.reach. calibration: offset is one number or, in models of earlier versions, several, each
    for one "reach" (rising); linear in between.
    """
    offset = np.interp(reach, np.atleast_1d(calibration.get("reach", 0.0)), np.atleast_1d(calibration["offset"]))
    return calibration["scale"] * logit(raw) + offset


def logit(share: np.ndarray) -> np.ndarray:
    """log(share / (1 - share)), float64, within 16 of 0."""
    # Farther out float32's softmax is 0 or 1, and the logit infinite. What is not a number has seen no live face.
    share = np.minimum(np.fmax(np.asarray(share, np.float64), 1e-7), 1 - 1e-7)
    return np.log(share / (1 - share))


def probability(log_odds: np.ndarray) -> np.ndarray:
    """p_real, float64, 0 to 1, of log odds; what is not a number has seen no live face."""
    return 1 / (1 + np.exp(-np.nan_to_num(np.asarray(log_odds, np.float64), nan=-700.0).clip(-700, 700)))
