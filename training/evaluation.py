"""How good a model is, told honestly: what is held out, the error rates, and how far they can be trusted.

Terms and error rates are those of ISO/IEC 30107-3: APCER, the share of presentation attacks that pass; BPCER, the
share of bona fide presentations that are refused; ACER, their mean, at the operating point p_real = 0.5.
"""

import math
from dataclasses import dataclass

import numpy as np

from model_file.scores import logit

# Share of each class that is held out; and what is left out before it, because neighbouring frames are near
# copies of each other.
HELD_OUT, GAP = 0.25, 0.05
# Recordings shorter than that, in parts of the longest of their class, are never held out.
SHORT = 0.2
UNSEEN, SAME, SIMULATED = "unseen recordings", "the same recordings", "simulated replays"
Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Rate:
    """A share, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.2f}, {self.high:.2f}]"


def split(is_real: np.ndarray, recordings: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows to train on, rows to judge on, and what the judgement is about, UNSEEN or SAME.

    is_real: bool (N,). recordings: str (N,). time_s: float (N,), seconds within the recording.
    Whole recordings are held out where each class has several, otherwise the end of each recording, with a gap
    before it. Never single frames at random: a thirtieth of a second before and after a held-out frame stand
    its near copies, and judging by those gives 100 % whatever was learned. Recordings shorter than SHORT of the
    longest of their class, such as the ten frames of an incident, are all trained on: they are there to be learned,
    and prove little.
    """
    long = []  # (name, share of its class) of each recording that is not short, for either class
    for chosen in (is_real, ~is_real):
        names, sizes = np.unique(recordings[chosen], return_counts=True)
        long.append([(name, size / sizes.sum()) for name, size in zip(names, sizes) if size >= SHORT * sizes.max()])
    if all(len(each) > 1 for each in long):
        held = [min(each, key=lambda item: abs(item[1] - HELD_OUT))[0] for each in long]
        is_held = np.isin(recordings, held)
        return np.flatnonzero(~is_held), np.flatnonzero(is_held), UNSEEN

    splittable = {name for each in long for name, _ in each}
    can_end = np.isin(recordings, list(splittable))
    front, held = cut_ends(np.flatnonzero(can_end), recordings, time_s, HELD_OUT)
    return np.concatenate([front, np.flatnonzero(~can_end)]), held, SAME


def cut_ends(
    rows: np.ndarray, recordings: np.ndarray, time_s: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of all but the ends of their recordings, and of the ends, a share of each, with a gap before it."""
    fronts, ends = [], []
    for name in np.unique(recordings[rows]):
        of_one = rows[recordings[rows] == name]
        of_one = of_one[np.argsort(time_s[of_one], kind="stable")]
        end = math.floor(len(of_one) * (1 - share))
        fronts.append(of_one[: end - math.floor(len(of_one) * GAP)])
        ends.append(of_one[end:])
    return np.concatenate(fronts), np.concatenate(ends)


def halves(
    rows: np.ndarray, is_real: np.ndarray, recordings: np.ndarray, time_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of held-out rows, those to choose on and those to judge on: the halves of each recording. Where that leaves
    nothing of a class to choose on, both are all of them: too few to prove anything either way."""
    choice, judged = cut_ends(rows, recordings, time_s, 0.5)
    return (choice, judged) if len(set(is_real[choice])) == 2 else (rows, rows)


def folds(is_real: np.ndarray, recordings: np.ndarray) -> list[np.ndarray]:
    """Rows to hold out, fold by fold: each time one recording of either class, until each was held out once.

    Where a class has fewer recordings than the other, its own come round again. Raises ValueError where a class
    has fewer than two: with its only recording held out there is nothing to learn it from.
    """
    by_class = [sorted(set(recordings[chosen])) for chosen in (is_real, ~is_real)]
    if min(map(len, by_class)) < 2:
        raise ValueError("each class needs two recordings or more")
    count = max(map(len, by_class))
    pairs = [[names[fold % len(names)] for names in by_class] for fold in range(count)]
    return [np.flatnonzero(np.isin(recordings, pair)) for pair in pairs]


def calibrate(raw: np.ndarray, is_real: np.ndarray) -> dict:
    """The operating point at which APCER and BPCER together are least, as model_file.scores.calibrate takes it.

    raw: float (N,), the network's probability of "real". Among equally good points the one nearest to the network's own
    is taken: where everything is told apart, held-out frames of one recording say nothing about where to draw the line.
    """
    logits = logit(raw)
    edges = np.unique(logits)
    candidates = np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2])
    errors = [np.mean(logits[is_real] < c) + np.mean(logits[~is_real] >= c) for c in candidates]
    best = min(range(len(candidates)), key=lambda i: (round(errors[i], 6), abs(candidates[i])))
    return {"scale": 1.0, "offset": round(float(-candidates[best]), 4)}


def evaluate(scores: np.ndarray, is_real: np.ndarray, recordings: np.ndarray, time_s: np.ndarray) -> dict[str, Rate]:
    """APCER, BPCER, ACER and AUC, each with a 95 % interval.

    scores: float (N,), calibrated p_real. The intervals are Wilson's, with the number of seconds of video, not of
    frames, as the number of observations: the frames of a second are near copies, and counting each of them would
    make a minute of video look like a proof. For the AUC, a share of pairs, the class with fewer seconds counts.
    Source: E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from sklearn.metrics import roc_auc_score

    seconds = {
        kind: len({(name, math.floor(t)) for name, t in zip(recordings[chosen], time_s[chosen])})
        for kind, chosen in (("real", is_real), ("fake", ~is_real))
    }
    bpcer = wilson(float(np.mean(scores[is_real] < 0.5)), seconds["real"])
    apcer = wilson(float(np.mean(scores[~is_real] >= 0.5)), seconds["fake"])
    mean = (apcer.value + bpcer.value) / 2
    # The errors of two independent shares, each over its own half of the sum.
    below = math.hypot(apcer.value - apcer.low, bpcer.value - bpcer.low) / 2
    above = math.hypot(apcer.high - apcer.value, bpcer.high - bpcer.value) / 2
    return {
        "APCER": apcer,
        "BPCER": bpcer,
        "ACER": Rate(mean, mean - below, mean + above),
        "AUC": wilson(float(roc_auc_score(is_real, scores)), min(seconds.values())),
    }


def wilson(share: float, count: int) -> Rate:
    """Wilson's 95 % interval of a share, 0 to 1, among count independent observations, from 1."""
    weight = Z95**2 / count
    middle = (share + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return Rate(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def explain(meaning: str) -> str:
    """What a judgement about UNSEEN, SAME or SIMULATED does and does not say, in one sentence."""
    if meaning == SIMULATED:
        return (
            "Judged on simulated replays: it says that the model tells this live face from them, "
            "and little about real replays."
        )
    if meaning == UNSEEN:
        return (
            "Judged on unseen recordings: it says how the model does on further recordings like these, "
            "not on people, rooms and screens unlike all of them."
        )
    return (
        "Judged on the end of the same recordings: it says that the model has learned these videos, "
        "not how it does in another room."
    )
