"""What rates of false locks and passes the verdict really gives, as a table: on recordings, or simulated.

    python benchmarks/verdict_rates.py --videos FOLDER --model M --le L [--starts 200] [--of SCENE ...]
    python benchmarks/verdict_rates.py [--hours 100]

With --videos: random_starts.py says what is measured. Without, streams of correlated scores are simulated.

Neighbouring frames err together. The logit of p_real is therefore a stationary Gaussian process whose correlation
falls by 1/e in a correlation time (Ornstein-Uhlenbeck; AR(1) from frame to frame). Its mean follows from the share
of frames on the wrong side of 0.5: BPCER for a live user, APCER for a replay. Its standard deviation is 1: on our
own recordings, judged by networks trained on another person's, it is 0.05 to 1.2 and the correlation time 0.07 to
2 s.

An error is a change to the wrong verdict: UNAUTHORIZED while a live user sits there for an hour, AUTHORIZED while a
replay plays for an hour. Nobody leaves in between, so each hour has one first verdict, and errors are nearly all
overturned verdicts. How often the first one is wrong and how long it takes to be right is measured on visits of
their own.

The simulation runs many streams at once in NumPy; it begins by showing that it says, frame for frame, what Verdict
says.
"""

import argparse
import math
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import random_starts

from authentication import verdict
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict

STATES = {-1: UNAUTHORIZED, 0: CHECKING, 1: AUTHORIZED}
BOUNDS = (0.01, 0.001, 1e-4, 1e-6)
FRAME_ERRORS = (0.01, 0.05, 0.1, 0.2, 0.3)
CORRELATION_S = (0.1, 0.5, 2.0)
FPS = 30
VISITS, VISIT_S = 4000, 30


class Verdicts:
    """Verdict for many streams at once that all have a face in every frame.

    false_pass, false_lock: (K, 1), for K settings; states: int (K, streams), a key of STATES.
    """

    def __init__(self, false_pass: np.ndarray, false_lock: np.ndarray, streams: int, fps: float):
        settings = [Verdict(*map(float, pair)) for pair in zip(false_pass.ravel(), false_lock.ravel())]
        self._high = np.array([[one.pass_at] for one in settings])
        self._low = np.array([[one.lock_at] for one in settings])
        self._clear = np.array([[one.clear] for one in settings])
        self._lasted_s = min(1 / fps, verdict.LONGEST_PICTURE_S)
        self._evidence = np.zeros((len(settings), streams))
        self._begun = False
        self.states = np.zeros((len(settings), streams), int)

    def update(self, logits: np.ndarray) -> None:
        """logits: of p_real, (streams,)."""
        if self._begun:
            self._evidence += np.clip(logits, -self._clear, self._clear) * verdict.LOOKS_PER_S * self._lasted_s
        self._begun = True
        np.clip(self._evidence, self._low, self._high, out=self._evidence)
        self.states[self._evidence >= self._high] = 1
        self.states[self._evidence <= self._low] = -1


def streams(mean: float, correlation_s: float, fps: float, count: int, rng: np.random.Generator):
    """Endless: logits (count,) of the next frame of each stream."""
    stays = math.exp(-1 / (fps * correlation_s))
    logits = rng.standard_normal(count)
    while True:
        yield mean + logits
        logits = stays * logits + math.sqrt(1 - stays**2) * rng.standard_normal(count)


def prove_equal() -> None:
    """The simulation and Verdict agree on every frame."""
    rng = np.random.default_rng(7)
    for fps in (10, 30, 60):
        for false_pass, false_lock in ((0.001, 0.001), (1e-6, 0.01), (0.01, 1e-5)):
            one_by_one = [Verdict(false_pass, false_lock) for _ in range(20)]
            at_once = Verdicts(np.array([[false_pass]]), np.array([[false_lock]]), 20, fps)
            seen = set()
            for n, logits in zip(range(60 * fps), streams(0.1, 0.5, fps, 20, rng)):
                at_once.update(logits)
                expected = [one.update(1 / fps if n else 0.0, logit) for one, logit in zip(one_by_one, logits)]
                assert [STATES[state] for state in at_once.states[0]] == expected
                seen.update(expected)
            assert len(seen) == 3


def errors_per_hour(
    live: bool, false_pass, false_lock, error: float, correlation_s: float, fps: float, hours: float, seed: int
) -> np.ndarray:
    """(K,): changes to the wrong verdict per hour; many streams of a quarter of an hour."""
    count = max(1, round(hours * 4))
    rng = np.random.default_rng(seed)
    mean = NormalDist().inv_cdf(1 - error) * (1 if live else -1)
    wrong = -1 if live else 1
    verdicts = Verdicts(false_pass, false_lock, count, fps)
    changes = np.zeros(len(false_pass), int)
    for _, logits in zip(range(round(900 * fps)), streams(mean, correlation_s, fps, count, rng)):
        before = verdicts.states == wrong
        verdicts.update(logits)
        changes += ((verdicts.states == wrong) & ~before).sum(axis=1)
    return changes / (count / 4)


def first_verdicts(live: bool, false_pass, false_lock, error: float, correlation_s: float, seed: int):
    """(K,) each: share of visits whose first verdict is wrong; median and 95th percentile of the seconds to the
    first right one, inf where that many visits came to none."""
    rng = np.random.default_rng(seed)
    mean = NormalDist().inv_cdf(1 - error) * (1 if live else -1)
    right = 1 if live else -1
    verdicts = Verdicts(false_pass, false_lock, VISITS, FPS)
    wrong_first = np.zeros(verdicts.states.shape, bool)
    right_at = np.full(verdicts.states.shape, np.inf)
    for n, logits in zip(range(VISIT_S * FPS), streams(mean, correlation_s, FPS, VISITS, rng)):
        undecided = verdicts.states == 0
        verdicts.update(logits)
        wrong_first |= undecided & (verdicts.states == -right)
        right_at[(verdicts.states == right) & np.isinf(right_at)] = n / FPS
    return wrong_first.mean(axis=1), np.median(right_at, axis=1), np.quantile(right_at, 0.95, axis=1, method="lower")


def number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=100, help="simulated per figure (100)")
    random_starts.add_options(parser.add_argument_group("on recordings"))
    args = parser.parse_args()
    if args.videos:
        random_starts.measure(args)
    else:
        simulate(args.hours)


def simulate(hours: float) -> None:
    prove_equal()
    rates = np.array([[rate] for rate in BOUNDS])
    usual = np.full_like(rates, 0.001)

    print(f"Both bounds equal; {hours:g} simulated hours per figure at {FPS} frames/s, {VISITS} visits.")
    print("A replay's passes per hour at that APCER are the same figures: the test treats both sides alike.\n")
    print("| correlation time | BPCER of a frame | " + " | ".join(f"{rate:g}" for rate in BOUNDS) + " |")
    print("| --- | --- |" + " --- |" * len(BOUNDS))
    for correlation_s in CORRELATION_S:
        for error in FRAME_ERRORS:
            locks = errors_per_hour(True, rates, rates, error, correlation_s, FPS, hours, 1)
            wrong, median, late = first_verdicts(True, rates, rates, error, correlation_s, 2)
            cells = [
                f"{number(a)}/h, {100 * b:.1f} %, {c:.1f} s ({d:.1f})" for a, b, c, d in zip(locks, wrong, median, late)
            ]
            print(f"| {correlation_s:g} s | {error:g} | " + " | ".join(cells) + " |", flush=True)
    print(
        "\nEach cell: false locks per hour, share of visits whose first verdict is wrong, median time to the first "
        "authorization (95th percentile).\n"
    )

    print(
        "| correlation time, frames/s | false locks per hour, BPCER 0.05, --false-lock as above | false passes per "
        "hour, APCER 0.05, --false-pass as above; the other bound is 0.001 |"
    )
    print("| --- | --- | --- |")
    for correlation_s in CORRELATION_S[1:]:
        for fps in (10, 30, 60):
            locks = errors_per_hour(True, usual, rates, 0.05, correlation_s, fps, hours, 3)
            passes = errors_per_hour(False, rates, usual, 0.05, correlation_s, fps, hours, 4)
            figures = (", ".join(map(number, column)) for column in (locks, passes))
            print(f"| {correlation_s:g} s, {fps} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
