"""One training and what came of it: the network, and where its operating point lies.

trained = learn(examples, train_rows, choice_rows, Schedule())
scores, rates = judge(trained, examples, judged_rows)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model_file.encoder import LABELS
from model_file.network import LivenessNet, import_keras
from model_file.opencv import in_opencv
from model_file.saving import export
from model_file.scores import calibrate, fuse, probability
from training import evaluation
from training.dataset import Examples
from training.evaluation import Rate
from training.fitting import as_input, fit

INPUT_SIZE = 32  # side in pixels of the network's input: the original's
# How much its word counts beside the witness', see model_file.scores.fuse. Chosen on one half of our evaluation scenes:
# without it, with half and with three quarters of it ACER 0.154, 0.153, 0.162 as recorded, 0.052, 0.014, 0.006 before
# laptop cameras; on the other half 0.071, 0.076, 0.079 and 0.005, 0.005, 0.006 (six training pairs, three seeds). What
# it learned of simulated replays helps nowhere: 0.163, 0.058 with a quarter of it, and 0.073, 0.003.
WEIGHT, WEIGHT_OF_SIMULATED = 0.5, 0.0
WITNESS, OWN, BOTH = "witness alone", "LivenessNet alone", "both"


class Schedule(NamedTuple):
    """How long, at most, and how fast it is trained. seed: of all that is random."""

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """model: the Keras network. network: the same as inference runs it, see in_opencv. calibration, weight: see
    model_file.scores. history: loss and accuracy after each epoch, see fitting.CURVES."""

    model: object
    network: Callable[[np.ndarray], np.ndarray]
    calibration: dict
    weight: float
    history: dict[str, list[float]]


def learn(
    examples: Examples, train_rows: np.ndarray, choice_rows: np.ndarray, schedule: Schedule, show: bool = True
) -> Trained:
    """Train on some crops, and choose the operating point on others. show: tell the progress. The same seed gives the
    same run. Raises Diverged."""
    keras = import_keras()
    keras.utils.set_random_seed(schedule.seed)  # before the first weight is drawn
    model = LivenessNet.build(width=INPUT_SIZE, height=INPUT_SIZE, depth=3, classes=len(LABELS))
    parts = [
        (examples.crops[rows], examples.is_real[rows], examples.weights(rows)) for rows in (train_rows, choice_rows)
    ]
    history = fit(keras, model, *parts, **schedule._asdict(), show=show)
    # What is judged is what the authenticator will run.
    network = in_opencv(export(model))
    if examples.is_simulated.any():  # they say nothing about where real ones begin
        return Trained(model, network, {"scale": 1.0, "offset": 0.0}, WEIGHT_OF_SIMULATED, history)
    raw = shares_of_real(network, examples.crops[choice_rows])
    calibration = evaluation.calibrate(raw, examples.is_real[choice_rows])
    return Trained(model, network, calibration, WEIGHT, history)


def judge(trained: Trained, examples: Examples, rows: np.ndarray) -> tuple[np.ndarray, dict[str, dict[str, Rate]]]:
    """p_real of the rows, float (N,), as the authenticator would give it, and the error rates of WITNESS, OWN and BOTH;
    of OWN and BOTH alone, and these the same, where nobody asked the witness."""
    raw = shares_of_real(trained.network, examples.crops[rows])
    own = calibrate(raw, np.inf, trained.calibration)
    witness = examples.witness[rows]
    if np.isnan(witness).any():
        words = {OWN: own, BOTH: own}
    else:
        words = {WITNESS: witness, OWN: own, BOTH: fuse(witness, own, trained.weight, examples.reach[rows])}
    rates = {
        name: evaluation.evaluate(
            probability(log_odds), examples.is_real[rows], examples.recordings[rows], examples.time_s[rows]
        )
        for name, log_odds in words.items()
    }
    return probability(words[BOTH]), rates


def cross_validate(examples: Examples, folds: list[np.ndarray], schedule: Schedule) -> dict[str, Rate]:
    """Train once for each fold, tell how the recordings that it held out were judged, and return the rates of all."""
    every = np.arange(len(examples.crops))
    scores = []
    for number, held_rows in enumerate(folds, 1):
        others = np.setdiff1d(every, held_rows)
        # The operating point is not chosen on what is judged by it.
        train_rows, choice_rows = evaluation.cut_ends(others, examples.recordings, examples.time_s, evaluation.HELD_OUT)
        trained = learn(examples, train_rows, choice_rows, schedule, show=False)
        scores.append(judge(trained, examples, held_rows)[0])
        for name in sorted(set(examples.recordings[held_rows])):
            chosen = examples.recordings[held_rows] == name
            wrong = np.mean((scores[-1][chosen] >= 0.5) != examples.is_real[held_rows][chosen])
            print(f"  fold {number} of {len(folds)}: {name} {wrong:.3f}", flush=True)
    rows = np.concatenate(folds)
    return evaluation.evaluate(
        np.concatenate(scores), examples.is_real[rows], examples.recordings[rows], examples.time_s[rows]
    )


def shares_of_real(network: Callable[[np.ndarray], np.ndarray], crops: np.ndarray) -> np.ndarray:
    """The network's probability of "real" for uint8 (N, S, S, 3) BGR, float32 (N,)."""
    parts = (crops[start : start + 64] for start in range(0, len(crops), 64))
    return np.concatenate([network(as_input(part, INPUT_SIZE)) for part in parts])[:, LABELS.index("real")]
