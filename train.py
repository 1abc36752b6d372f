"""Train LivenessNet to tell live faces from replayed ones.

    python train.py --dataset dataset --model liveness.model --le le.pickle

Reads the crops that gather_examples.py put into dataset/real and dataset/fake, holds some of them out, trains,
judges the network on what it has not seen, and writes liveness.model, le.pickle and plot.png.
"""

import argparse
import contextlib
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

import augmentation
from capture import crops
import evaluation
import livenessnet
import replay
from capture.ahead import spread
from batches import Batches, MakerError, begun, pools
from evaluation import Rate
from face_detector import CROP_MARGIN, VIEW_SIDE, reach_within
from options import Parser, at_least_one, fail, make_words_safe, positive
from capture.source import USUAL_FPS

# Side in pixels of the network's input. The original's is 32; with 24 the mean of eight networks told unseen
# close-ups apart as well (AUC 0.958 and 0.959), in two thirds of the time, with 20 less so (0.927; two training
# pairs, 48 networks each, 50 steps). On unseen recordings 48 was no better than 32.
INPUT_SIZE = 24
# So many networks are trained, and their mean is the model: see LivenessNet.average. On unseen close-ups the AUC of
# one was 0.89, of six 0.97, of eight 0.98, of twelve 0.99 (as above, 75 steps).
MEMBERS = 8
# One epoch draws so many crops for each recording, whatever its length: in 50 epochs 75 batches for one person's two
# videos. With 50 the AUC of unseen close-ups was 0.96, with 75 and with 100 0.98 to 0.99, but with 100 the ACER as
# recorded was 0.02 instead of 0.01 (as above): the frames of a recording resemble each other so much that more steps
# teach the recording.
EPOCH_CROPS = 24
# What the recordings are called that are made of live ones; no file can be.
SIMULATED = "fake/simulated: "
# What is drawn over the epochs.
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
# The members wait for each other, and are heard, once in so many steps.
STRETCH = 10
# After each epoch so many of the held-out crops are looked at, for the curves, by so many of the members in turn; at
# the end all by all. With all members looking at 16 each, it was a sixth of the time of training.
WATCHED, WATCHERS = 32, 2
# So many crops of each class show where the operating point lies.
MEASURED = 16
# Fewer crops than this in a class are a slip of the hand, not a data set.
FEWEST = 8
# Below and beyond these a model can be trained but should not be trusted: warned about.
FEW, UNBALANCED = 100, 4
# Of the recipe that was compared on unseen recordings (README, "How good is it?") as a whole, not one by one.
LABEL_SMOOTHING, WARM_UP = 0.1, 0.25


class DataError(Exception):
    """The data set cannot be trained on; the message is one line that says what to do."""


@dataclass(frozen=True)
class Examples:
    """All crops of a data set, N of them, by class, recording and frame.

    crops: uint8 (N, VIEW_SIDE, VIEW_SIDE, 3) BGR. inside: float32 (N, 4), see crops.Crop.
    labels: int (N,), places in livenessnet.LABELS. recordings: str (N,), "real/kitchen".
    sources: str (N,), fingerprints of the videos, "" where unknown. time_s: float (N,), seconds in the recording.
    margin: how wide all of them are cut.
    """

    crops: np.ndarray
    inside: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    sources: np.ndarray
    time_s: np.ndarray
    margin: float

    @property
    def is_real(self) -> np.ndarray:
        """bool (N,)."""
        return self.labels == livenessnet.LABELS.index("real")

    @property
    def reach(self) -> np.ndarray:
        """float (N,): see face_detector.reach; at most half the margin."""
        return reach_within(self.inside, self.margin)

    @property
    def is_simulated(self) -> np.ndarray:
        """bool (N,): a replay that nobody has filmed."""
        return np.char.startswith(self.recordings, SIMULATED)


def main(argv: list[str] | None = None) -> int:
    make_words_safe()
    args = parse(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        return fail("interrupted; no model was written")


def run(args: argparse.Namespace) -> int:
    """Load, train, judge, report, write; returns the exit status."""
    try:
        check_writable(args.model, args.le, args.plot)
        examples = load(args.dataset, args.margin)
        folds = held_out_folds(examples) if args.cross_validate else []
    except DataError as error:
        return fail(str(error))
    train_rows, held_rows, meaning = evaluation.split(examples.is_real, examples.recordings, examples.time_s)
    if examples.is_simulated.any():
        meaning = evaluation.SIMULATED
    print(f"{args.dataset}: {sum(examples.is_real)} real and {sum(~examples.is_real)} fake crops from "
          f"{len(set(examples.recordings))} recordings; {len(train_rows)} to train on, {len(held_rows)} held out")
    for warning in warnings_about(examples):
        print(f"warning: {warning}", file=sys.stderr)

    # Only now: everything that can be wrong with the data is known before the seconds that TensorFlow takes.
    try:
        if folds:
            cross_validate(examples, folds, args)
        model, history = train(examples, train_rows, held_rows, args)
    except MakerError as error:
        return fail(str(error))
    # What is judged is what the authenticator will run.
    network = livenessnet.in_opencv(model)
    raw = shares_of_real(network, examples.crops[held_rows])
    is_real = examples.is_real[held_rows]
    calibration = expected(network, examples, held_rows)
    # Simulated replays say nothing about where real ones begin.
    if not examples.is_simulated.any():
        calibration = evaluation.calibrate(raw, examples.reach[held_rows], is_real, calibration)
    scores, metrics = judge(raw, calibration, examples, held_rows)
    report(scores, is_real, metrics, meaning)

    try:
        plot(args.plot, history, scores, is_real, metrics, meaning)
        livenessnet.write_labels(fitted_encoder(), args.le)
        details = {"margin": examples.margin, "calibration": calibration, **about(examples, metrics, meaning, args)}
        check = augmentation.evaluation_batch(examples.crops[held_rows[:16]], INPUT_SIZE)
        livenessnet.save(model, args.model, livenessnet.LABELS, details, check)
    except OSError as error:
        return fail(f"{error.filename or args.model}: cannot be written ({error.strerror})")
    except livenessnet.ModelError as error:
        return fail(str(error))
    print(f"written: {args.model} ({Path(args.model).stat().st_size / 1e6:.1f} MB), {args.le}, {args.plot}")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-d", "--dataset", required=True, type=Path, help="folder with the folders real and fake")
    parser.add_argument("-m", "--model", type=Path, required=True, help="where the model goes")
    parser.add_argument("-l", "--le", type=Path, required=True, help="where the label encoder goes")
    parser.add_argument("-p", "--plot", type=Path, default=Path("plot.png"), help="where the plot goes (plot.png)")
    parser.add_argument("--epochs", type=at_least_one, default=50, help="50")
    parser.add_argument("--batch-size", type=at_least_one, default=32, help="32")
    parser.add_argument("--learning-rate", type=positive, default=2e-3, help="highest of the schedule (0.002)")
    parser.add_argument("--margin", type=positive, default=CROP_MARGIN, help="how wide crops are cut, in face boxes, "
                        f"where they do not say so themselves ({CROP_MARGIN}; the original's: 1)")
    parser.add_argument("--cross-validate", action="store_true", help="first leave each recording out in turn, and "
                        "report on it (needs two or more per class; as many trainings more)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    return parser.parse_args(argv)


def check_writable(*files: Path) -> None:
    """Before minutes of training, not after."""
    for file in files:
        folder = file.resolve().parent
        if not folder.is_dir():
            raise DataError(f"{file}: there is no folder {folder}; make it first")
        if file.is_dir() or not os.access(folder, os.W_OK):
            raise DataError(f"{file}: cannot be written; choose another file")


def load(dataset: Path, margin: float) -> Examples:
    """Read all crops; margin is that of the ones that do not carry theirs. Raises DataError."""
    from imutils import paths

    if not dataset.is_dir():
        raise DataError(f"{dataset}: no such folder; make it with gather_examples.py")
    files = sorted(map(Path, paths.list_images(str(dataset))))
    if not files:
        raise DataError(f"{dataset}: no pictures in it; fill {dataset / 'real'} and {dataset / 'fake'} "
                        "with gather_examples.py")
    names = {file.parent.name for file in files}
    if names == {"fake"}:
        raise DataError(f"{dataset}: only fake crops; gather {dataset / 'real'} too")
    if not names <= {"real", "fake"}:
        raise DataError(f"{dataset}: the classes are {', '.join(sorted(names))}; "
                        "they must be two folders named real and fake")

    found = []
    for file, crop in zip(files, spread(small, files, workers=os.cpu_count() or 1)):
        if crop is None:
            print(f"{file}: not a picture that can be decoded; left out", file=sys.stderr)
        else:
            found.append((file, replace(crop, margin=crop.margin or margin)))
    if len(found) < len(files):
        print(f"{len(files) - len(found)} of {len(files)} pictures left out", file=sys.stderr)
    count = sum(file.parent.name == "real" for file, _ in found)
    if count < FEWEST:
        raise DataError(f"{dataset / 'real'}: {count} crops; at least {FEWEST} are needed, some hundreds are better")

    # One network sees one width: that of the tightest crops, to which the wider are cut down.
    narrowest = min(crop.margin for _, crop in found)
    shown = [narrow(crop, narrowest) for _, crop in found]
    examples = Examples(
        crops=np.stack([picture for picture, _ in shown]),
        inside=np.array([inside for _, inside in shown], np.float32),
        labels=np.array([livenessnet.LABELS.index(file.parent.name) for file, _ in found]),
        recordings=np.array([f"{file.parent.name}/{crop.recording}" for file, crop in found]),
        sources=np.array([crop.source for _, crop in found]),
        time_s=np.array([crop.frame / USUAL_FPS if crop.time_s is None else crop.time_s for _, crop in found]),
        margin=narrowest,
    )
    return with_simulated_replays(examples) if sum(~examples.is_real) < FEWEST else examples


def with_simulated_replays(examples: Examples) -> Examples:
    """Beside what there is, a simulated replay of each live crop, at the same second of a recording of its own."""
    rng = np.random.default_rng(0)
    live = np.flatnonzero(examples.is_real)
    fakes = [replay.simulate(examples.crops[row], examples.inside[row], examples.margin, rng) for row in live]
    names = [SIMULATED + name.removeprefix("real/") for name in examples.recordings[live]]
    return replace(
        examples,
        crops=np.concatenate([examples.crops, fakes]),
        inside=np.concatenate([examples.inside, np.tile(np.float32([0, 0, 1, 1]), (len(live), 1))]),
        labels=np.concatenate([examples.labels, np.full(len(live), livenessnet.LABELS.index("fake"))]),
        recordings=np.concatenate([examples.recordings, names]),
        sources=np.concatenate([examples.sources, np.full(len(live), "")]),
        time_s=np.concatenate([examples.time_s, examples.time_s[live]]),
    )


def small(file: Path) -> crops.Crop | None:
    """The crop in a file with its picture at VIEW_SIDE, all that stays in memory; None if it cannot be decoded."""
    crop = crops.read(file)
    if crop is None:
        return None
    return replace(crop, picture=cv2.resize(crop.picture, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA))


def narrow(crop: crops.Crop, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a crop, margin wide, and which part of that shows the frame."""
    inside = np.asarray(crop.inside, np.float32)
    side = crop.picture.shape[0]
    keep = round(side * margin / crop.margin)
    if keep >= side:
        return crop.picture, inside
    start = (side - keep) // 2
    middle = crop.picture[start : start + keep, start : start + keep]
    inside = np.clip((inside * side - start) / keep, 0, 1)
    return cv2.resize(middle, (side, side), interpolation=cv2.INTER_LINEAR), inside


def warnings_about(examples: Examples) -> list[str]:
    """What in the data makes a poor model, or a good-looking report about one."""
    warnings = []
    counts = {"real": sum(examples.is_real), "fake": sum(~examples.is_real)}
    simulated = sum(examples.is_simulated)
    if simulated:
        warnings.append(f"{counts['fake'] - simulated or 'no'} fake crops: replays are simulated from the real ones "
                        "instead; film a real replay and gather it too, which does better")
    for name, count in counts.items():
        if count < FEW:
            warnings.append(f"only {count} {name} crops; {FEW} or more, from a video of 20 s or longer, do better")
    few, many = sorted(counts, key=counts.get)
    if counts[many] > UNBALANCED * counts[few]:
        warnings.append(f"{counts[many]} {many} crops and {counts[few]} {few} ones; both count alike in training, "
                        f"but {few} is known from much less: gather more of it, with a lower --skip")
    shared = set(examples.sources[examples.is_real]) & set(examples.sources[~examples.is_real]) - {""}
    if shared:
        names = sorted(set(examples.recordings[np.isin(examples.sources, list(shared))]))
        warnings.append(f"crops of {' and '.join(names)} come from the same video, which cannot be both: "
                        "delete those that are wrong")
    return warnings


def held_out_folds(examples: Examples) -> list[np.ndarray]:
    try:
        return evaluation.folds(examples.is_real, examples.recordings)
    except ValueError as error:
        raise DataError(f"--cross-validate: {error}; gather more videos, each under a name of its own") from None


def cross_validate(examples: Examples, folds: list[np.ndarray], args: argparse.Namespace) -> None:
    """Train once for each fold and tell how the recordings that it held out were judged."""
    every = np.arange(len(examples.labels))
    judged, scores = [], []
    print("cross-validation: share of crops judged wrong, for each recording that training had not seen")
    for number, held_rows in enumerate(folds, 1):
        train_rows = np.setdiff1d(every, held_rows)
        model, _ = train(examples, train_rows, held_rows, args, show=False)
        network = livenessnet.in_opencv(model)
        # The operating point is not chosen on what is judged by it.
        calibration = expected(network, examples, train_rows)
        fold_scores, _ = judge(shares_of_real(network, examples.crops[held_rows]), calibration, examples, held_rows)
        judged.append(held_rows)
        scores.append(fold_scores)
        for name in sorted(set(examples.recordings[held_rows])):
            chosen = examples.recordings[held_rows] == name
            wrong = np.mean((fold_scores[chosen] >= 0.5) != examples.is_real[held_rows][chosen])
            print(f"  fold {number} of {len(folds)}: {name} {wrong:.3f}", flush=True)
    rows = np.concatenate(judged)
    metrics = evaluation.evaluate(
        np.concatenate(scores), examples.is_real[rows], examples.recordings[rows], examples.time_s[rows]
    )
    print("cross-validation: " + "   ".join(f"{name} {rate}" for name, rate in metrics.items()) + "\n")


def expected(network, examples: Examples, rows: np.ndarray) -> dict:
    """Where the operating point can be expected to lie, told from crops with as much of the frame as they have and as
    close-ups of them. Returns a calibration."""
    rows = np.concatenate([some_of(rows[examples.is_real[rows] == live], MEASURED) for live in (True, False)])
    widest = examples.margin / 2
    reaches = np.array([*(reach for reach in evaluation.REACHES if reach < widest), widest])
    views = [augmentation.as_close_up(examples.crops[row], examples.inside[row], reach / examples.margin)
             for reach in reaches for row in rows]
    raw = shares_of_real(network, np.stack(views)).reshape(len(reaches), len(rows))
    afar = evaluation.AFAR_SIMULATED if examples.is_simulated.any() else 0.0
    return evaluation.expected(reaches, raw, examples.is_real[rows], afar)


def shares_of_real(network, crops: np.ndarray) -> np.ndarray:
    """The network's probability of "real" for uint8 (N, S, S, 3) BGR, float32 (N,)."""
    parts = (crops[start : start + 64] for start in range(0, len(crops), 64))
    shares = [network(augmentation.evaluation_batch(part, INPUT_SIZE)) for part in parts]
    return np.concatenate(shares)[:, livenessnet.LABELS.index("real")]


def some_of(rows: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the rows, evenly spread over them."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), count)).round().astype(int)]


def shared_out(rows: np.ndarray) -> np.ndarray:
    """Some of the rows, the same number to each of the watchers, int (WATCHERS, M): M from 1, all different where
    there are enough."""
    each = max(1, min(len(rows), WATCHED) // WATCHERS)
    return np.resize(some_of(rows, each * WATCHERS), (each, WATCHERS)).T


def judge(raw: np.ndarray, calibration: dict, examples: Examples, rows: np.ndarray) -> tuple[np.ndarray, dict]:
    """Calibrated scores of the rows, float (N,), and their error rates by name."""
    scores = livenessnet.calibrate(raw, examples.reach[rows], calibration)
    metrics = evaluation.evaluate(
        scores, examples.is_real[rows], examples.recordings[rows], examples.time_s[rows]
    )
    return scores, metrics


def train(examples: Examples, train_rows: np.ndarray, held_rows: np.ndarray, args: argparse.Namespace,
          show: bool = True):
    """Fit the members and average them; returns the model and the members' mean loss and accuracy after each epoch,
    float (epochs,) under "loss", "accuracy", "val_loss", "val_accuracy". The same seed gives the same run. Raises
    MakerError.
    """
    recordings = len(set(examples.recordings[train_rows]))
    ends = ends_of_epochs(min(len(train_rows), EPOCH_CROPS * recordings), args.batch_size, args.epochs)
    drawn = Batches(
        examples.crops, examples.inside, examples.labels, pools(examples.labels, examples.recordings, train_rows),
        recipe_for(examples), args.seed, MEMBERS, ends[-1], STRETCH, args.batch_size, INPUT_SIZE,
    )
    with begun(drawn) as made:
        # The members are trained at the same time, each in one thread: their steps are too small to be shared out.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        keras = livenessnet.import_keras()
        keras.utils.set_random_seed(args.seed)
        # In plain layers, so that any Keras can load the model.
        members = [livenessnet.LivenessNet.build(INPUT_SIZE, INPUT_SIZE, 3, 2) for _ in range(MEMBERS)]
        states = [fresh(keras, member) for member in members]
        fit = Fit(keras)
        held = [batch_of(examples, rows) for rows in shared_out(held_rows)]

        def advance(member: int, state: State, start: int, part: tuple) -> tuple[State, list, list]:
            """Train a member on these batches, the first of them that of step `start`: its new state, what was told
            in each step, and by epoch what it makes of held-out crops, where it is its turn."""
            told, seen = [], []
            for step, batch in enumerate(zip(*part), start):
                state, now = fit.learn(state, step, learning_rate(step, ends[-1], args.learning_rate), *batch)
                told.append(now)
                if step + 1 in ends:
                    epoch = ends.index(step + 1)
                    share = (member - WATCHERS * epoch) % MEMBERS
                    if share < WATCHERS:
                        seen.append((epoch, fit.look(state, *held[share])))
            return state, told, seen

        history, learned = [], []
        with progress(args.epochs, show) as tell, ThreadPoolExecutor(min(MEMBERS, os.cpu_count() or 1)) as pool:
            for start in range(0, ends[-1], STRETCH):
                parts = islice(made, MEMBERS)
                states, told, seen = zip(*pool.map(advance, range(MEMBERS), states, repeat(start), parts))
                learned.extend(np.mean(told, axis=0))
                looked = defaultdict(list)
                for epoch, judged in chain(*seen):
                    looked[epoch].append(judged)
                for epoch in sorted(looked):
                    since, until = ([0] + ends)[epoch], ends[epoch]
                    history.append([*np.mean(learned[since:until], axis=0), *np.mean(looked[epoch], axis=0)])
                    tell(len(history), history[-1])
    for member, state in zip(members, states):
        for variable, value in zip(member.trainable_variables, fit.taken_apart(state.weights)):
            variable.assign(value)
        for variable, value in zip(member.non_trainable_variables, state.others):
            variable.assign(value)
    return livenessnet.LivenessNet.average(members), dict(zip(CURVES, np.array(history).T))


@contextlib.contextmanager
def progress(epochs: int, show: bool) -> Iterator[Callable[[int, list[float]], None]]:
    """To be told of each epoch as it ends: its number, and its place on each of the CURVES."""
    bar = tqdm(total=epochs, unit="epoch", file=sys.stdout, disable=not show or not sys.stdout.isatty())

    def tell(epoch: int, values: list[float]) -> None:
        words = ", ".join(f"{name} {value:.3f}" for name, value in zip(CURVES, values))
        bar.set_postfix_str(words, refresh=False)
        bar.update()
        if show and bar.disable:    # nobody watches a bar
            print(f"Epoch {epoch}/{epochs}: {words}", flush=True)

    with bar:
        yield tell


def ends_of_epochs(count: int, batch_size: int, epochs: int) -> list[int]:
    """After how many steps each epoch of so many crops ends, in whole steps: at least one is its own."""
    per_epoch = max(1, count / batch_size)
    return [int(per_epoch * epoch) for epoch in range(1, epochs + 1)]


class State(NamedTuple):
    """A member in training, in the order of the network's variables.

    weights: those that are trained, one tensor, float32 (148,562,). others: list of tensors, running statistics and
    the state of the random generators of dropout. first, second: Adam's running means of the gradient and of its
    square, as the weights.
    """

    weights: object
    others: list
    first: object
    second: object


def fresh(keras, network) -> State:
    """Before the first step."""
    weights = keras.ops.concatenate([keras.ops.ravel(variable) for variable in network.trainable_variables])
    others = [keras.ops.copy(variable) for variable in network.non_trainable_variables]
    return State(weights, others, keras.ops.zeros_like(weights), keras.ops.zeros_like(weights))


class Fit:
    """What a LivenessNet learns from a batch, and how it judges one.

    Free of any state, so that one serves all members, in threads: setting it up takes TensorFlow as long as training
    a member with it. Keras' fit() does more work around each step than such a step takes.
    """

    def __init__(self, keras):
        import tensorflow as tf

        self._tensor = tf.constant
        normalization = fused_normalization(keras)
        network = livenessnet.LivenessNet.build(INPUT_SIZE, INPUT_SIZE, 3, 2, normalization=normalization)
        shapes = [variable.shape for variable in network.trainable_variables]
        sizes = [math.prod(shape) for shape in shapes]

        # One tensor for all weights: Adam on each of the 22 by itself takes longer to set going than to work out.
        def taken_apart(weights):
            return [tf.reshape(part, shape) for part, shape in zip(tf.split(weights, sizes), shapes)]

        loss_of = keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING)

        def judge(shares, targets):
            accuracy = tf.reduce_mean(keras.metrics.categorical_accuracy(targets, shares))
            return tf.stack([loss_of(targets, shares), accuracy])

        # Not by XLA, which takes longer to compile a network of this size than it is trained for.
        @tf.function(autograph=False)
        def learn(state, number, rate, views, classes):
            views, targets = tf.cast(views, tf.float32) / 255, tf.one_hot(classes, len(livenessnet.LABELS))
            # The running statistics begin with the first batch's, not with those of no picture at all.
            normalization.memory = tf.minimum(livenessnet.BN_MOMENTUM, 1 - 1 / number)
            with tf.GradientTape() as tape:
                tape.watch(state.weights)
                shares, others = network.stateless_call(
                    taken_apart(state.weights), state.others, views, training=True
                )
                told = judge(shares, targets)
                loss = told[0]
            gradient = tape.gradient(loss, state.weights)
            # Adam (D. P. Kingma and J. Ba, 2015), as Keras does it, but as a function of the state.
            first = state.first + (gradient - state.first) * (1 - 0.9)
            second = state.second + (gradient * gradient - state.second) * (1 - 0.999)
            pace = rate * tf.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            weights = state.weights - pace * first / (tf.sqrt(second) + 1e-7)
            return State(weights, others, first, second), told

        @tf.function(autograph=False)
        def look(weights, others, views, targets):
            shares, _ = network.stateless_call(taken_apart(weights), others, views, training=False)
            return judge(shares, targets)

        self._learn, self._look, self.taken_apart = learn, look, taken_apart

    def learn(self, state: State, step: int, rate: float, views: np.ndarray, classes: np.ndarray):
        """A step of training, the first is number 0, with a batch as Batches.make gives it: the new state, and loss
        and accuracy before it, float32 (2,)."""
        state, told = self._learn(state, self._tensor(step + 1.0), self._tensor(rate), views, classes)
        return state, told.numpy()

    def look(self, state: State, views: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Loss and accuracy for what batch_of() gives, float32 (2,)."""
        return self._look(state.weights, state.others, views, targets).numpy()


def learning_rate(step: int, steps: int, highest: float) -> float:
    """One cycle: up from a 25th of the highest in a straight line, and down to nothing in half a cosine.

    Source: L. N. Smith and N. Topin, "Super-Convergence", 2018; the cosine is fastai's.
    """
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return highest * (1 / 25 + (1 - 1 / 25) * step / rising)
    return highest * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def batch_of(examples: Examples, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows as the authenticator would see them, float32 (N, INPUT_SIZE, INPUT_SIZE, 3), 0 to 1, and what they
    are, one-hot, float32 (N, 2)."""
    return (
        augmentation.evaluation_batch(examples.crops[rows], INPUT_SIZE),
        np.eye(2, dtype=np.float32)[examples.labels[rows]],
    )


def fused_normalization(keras):
    """Keras' batch normalisation, trained through TensorFlow's fused kernel: the same numbers, but with it a step of
    training took 1.3 to 1.7 times less on two cores."""
    from tensorflow.compat.v1.nn import fused_batch_norm

    class FusedBatchNormalization(keras.layers.BatchNormalization):
        # A tensor of the graph that is being built: how much of their past the running statistics keep in this step.
        memory = None

        def call(self, inputs, training=None, mask=None):
            memory = self.momentum = self.memory
            if not training or len(inputs.shape) != 4:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance = fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
            )
            for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                kept.assign(kept * memory + new * (1 - memory))
            return outputs

    return FusedBatchNormalization


def recipe_for(examples: Examples) -> augmentation.Recipe:
    """The recipe for these crops: what it varies relative to the face stays the same, however wide they are cut."""
    recipe = augmentation.Recipe()
    low, high = (m * examples.margin / recipe.margin for m in recipe.margins)
    # A simulated replay is itself put before another background, and live ones that are look like it: on real
    # recordings the AUC was 0.90 with some such, 0.94 without (two live ones to train on, eight networks out of 16).
    elsewhere = 0.0 if examples.is_simulated.any() else recipe.elsewhere_share
    return replace(recipe, margin=examples.margin, margins=(low, high), elsewhere_share=elsewhere)


def report(scores: np.ndarray, is_real: np.ndarray, metrics: dict[str, Rate], meaning: str) -> None:
    from sklearn.metrics import classification_report

    print("\n" + classification_report(is_real, scores >= 0.5, target_names=livenessnet.LABELS, zero_division=0))
    print("held out: " + "   ".join(f"{name} {rate}" for name, rate in metrics.items()))
    print(evaluation.explain(meaning))


def fitted_encoder():
    from sklearn.preprocessing import LabelEncoder

    return LabelEncoder().fit(livenessnet.LABELS)


def about(examples: Examples, metrics: dict[str, Rate], meaning: str, args: argparse.Namespace) -> dict:
    """What the model's file says about itself, for people."""
    from importlib.metadata import version

    packages = ("keras", "tensorflow", "opencv-python", "scikit-learn", "numpy")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "dataset": {name: int(np.sum(examples.recordings == name)) for name in sorted(set(examples.recordings))},
        "simulated_replays": int(sum(examples.is_simulated)),
        "metrics": {**{name: asdict(rate) for name, rate in metrics.items()}, "judged_on": meaning},
        "training": {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate,
                     "seed": args.seed},
        "versions": {package: version(package) for package in packages},
    }


def plot(path: Path, history: dict, scores: np.ndarray, is_real: np.ndarray, metrics: dict[str, Rate],
         meaning: str) -> None:
    """The original's four curves and, beside them, how far apart the held-out scores of the classes lie."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("ggplot")
    figure, (curves, spread) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    epochs = np.arange(1, len(history["loss"]) + 1)
    for name, label in (("loss", "train_loss"), ("val_loss", "val_loss"), ("accuracy", "train_acc"),
                        ("val_accuracy", "val_acc")):
        curves.plot(epochs, history[name], label=label, marker="." if len(epochs) < 3 else None)
    curves.set_title("Training loss and accuracy", fontsize=10)
    curves.set(xlabel="epoch", ylabel="loss / accuracy", ylim=(0, None))
    # Below: the curves end on the right, and may lie anywhere.
    curves.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4)

    bins = np.linspace(0, 1, 41)
    for name, chosen, colour in (("fake", ~is_real, "#c0392b"), ("real", is_real, "#27ae60")):
        share = np.full(chosen.sum(), 100 / chosen.sum())
        label = f"{name}, {chosen.sum()} crops"
        spread.hist(scores[chosen], bins, weights=share, alpha=0.65, color=colour, label=label)
    spread.axvline(0.5, color="#333333", linestyle="--", label="operating point")
    rates = [f"{name} {rate}" for name, rate in metrics.items()]
    spread.set(xlabel="p_real", ylabel="share of the class, %", xlim=(0, 1))
    spread.set_title(f"Held-out scores: {meaning}, with 95 % intervals\n"
                     + "   ".join(rates[:2]) + "\n" + "   ".join(rates[2:]), fontsize=10)
    spread.legend(loc="upper center")
    part = path.with_name(path.name + ".part")
    try:
        # The format by the name that was asked for, not by ".part".
        known = path.suffix[1:].lower() in figure.canvas.get_supported_filetypes()
        figure.savefig(part, dpi=110, format=path.suffix[1:].lower() if known else "png")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
