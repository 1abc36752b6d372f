"""Train LivenessNet to tell live faces from replayed ones.

    python train.py --dataset dataset --model liveness.model --le le.pickle

Reads the crops that gather_examples.py put into dataset/real and dataset/fake, holds some of them out, trains,
judges the network on what it has not seen, and writes liveness.model, le.pickle and plot.png.
"""

import argparse
import math
import os
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

import augmentation
import crops
import evaluation
import livenessnet
from evaluation import Rate
from face_detector import CROP_MARGIN
from options import Parser, at_least_one, fail, positive
from video_source import USUAL_FPS

# Side in pixels of the network's input. At 32, the original's, a screen's edge is lost; 64 was no better than 48 on
# unseen recordings, beyond what chance does between seeds, and takes half as long again.
INPUT_SIZE = 48
# So many networks are trained together, and their mean is the model: see LivenessNet.average.
MEMBERS = 3
# Side in pixels at which crops are held in memory, 49 kB each: enough for training to zoom in.
HELD_SIDE = 128
# One epoch draws so many crops at the most. The frames of a recording resemble each other so much that more steps
# teach the recording and not the difference: with 200 steps instead of 100 unseen recordings came out no better.
EPOCH_CROPS = 128
# Fewer crops than this in a class are a slip of the hand, not a data set.
FEWEST = 8
# Below and beyond these a model can be trained but should not be trusted: warned about.
FEW, UNBALANCED = 100, 4
# Of the recipe that was compared on unseen recordings (README, "How good is it?") as a whole, not one by one.
WEIGHT_DECAY, LABEL_SMOOTHING, WARM_UP = 1e-2, 0.1, 0.25


class DataError(Exception):
    """The data set cannot be trained on; the message is one line that says what to do."""


@dataclass(frozen=True)
class Examples:
    """All crops of a data set, N of them, by class, recording and frame.

    crops: uint8 (N, HELD_SIDE, HELD_SIDE, 3) BGR. inside: float32 (N, 4), see crops.Crop.
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


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        check_writable(args.model, args.le, args.plot)
        examples = load(args.dataset, args.margin)
        folds = held_out_folds(examples) if args.cross_validate else []
    except DataError as error:
        return fail(str(error))
    train_rows, held_rows, meaning = evaluation.split(examples.is_real, examples.recordings, examples.time_s)
    print(f"{args.dataset}: {sum(examples.is_real)} real and {sum(~examples.is_real)} fake crops from "
          f"{len(set(examples.recordings))} recordings; {len(train_rows)} to train on, {len(held_rows)} held out")
    for warning in warnings_about(examples):
        print(f"warning: {warning}", file=sys.stderr)

    # Only now: everything that can be wrong with the data is known before the seconds that this takes.
    keras = livenessnet.import_keras()
    if folds:
        cross_validate(keras, examples, folds, args)
    model, history = train(keras, examples, train_rows, held_rows, args)
    raw = predict(model, examples, held_rows)
    calibration = evaluation.calibrate(raw, examples.is_real[held_rows])
    scores, metrics = judge(raw, calibration, examples, held_rows)
    is_real = examples.is_real[held_rows]
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
    parser.add_argument("--batch-size", type=at_least_one, default=64, help="64")
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
    if names == {"real"} or names == {"fake"}:
        missing = ({"real", "fake"} - names).pop()
        raise DataError(f"{dataset}: only {names.pop()} crops; gather {dataset / missing} too")
    if names != {"real", "fake"}:
        raise DataError(f"{dataset}: the classes are {', '.join(sorted(names))}; "
                        "they must be two folders named real and fake")

    found = []
    for file in files:
        crop = crops.read(file)
        if crop is None:
            print(f"{file}: not a picture that can be decoded; left out", file=sys.stderr)
        else:
            # Only the small copy stays in memory.
            small = cv2.resize(crop.picture, (HELD_SIDE, HELD_SIDE), interpolation=cv2.INTER_AREA)
            found.append((file, replace(crop, picture=small, margin=crop.margin or margin)))
    if len(found) < len(files):
        print(f"{len(files) - len(found)} of {len(files)} pictures left out", file=sys.stderr)
    counts = Counter(file.parent.name for file, _ in found)
    for name in livenessnet.LABELS:
        if counts[name] < FEWEST:
            raise DataError(f"{dataset / name}: {counts[name]} crops; at least {FEWEST} are needed, "
                            "some hundreds are better")

    # One network sees one width: that of the tightest crops, to which the wider are cut down.
    narrowest = min(crop.margin for _, crop in found)
    shown = [narrow(crop, narrowest) for _, crop in found]
    return Examples(
        crops=np.stack([picture for picture, _ in shown]),
        inside=np.array([inside for _, inside in shown], np.float32),
        labels=np.array([livenessnet.LABELS.index(file.parent.name) for file, _ in found]),
        recordings=np.array([f"{file.parent.name}/{crop.recording}" for file, crop in found]),
        sources=np.array([crop.source for _, crop in found]),
        time_s=np.array([crop.frame / USUAL_FPS if crop.time_s is None else crop.time_s for _, crop in found]),
        margin=narrowest,
    )


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
    for name, count in counts.items():
        if count < FEW:
            warnings.append(f"only {count} {name} crops; {FEW} or more, from a video of 20 s or longer, do better")
    few, many = sorted(counts, key=counts.get)
    if counts[many] > UNBALANCED * counts[few]:
        warnings.append(f"{counts[many]} {many} crops and {counts[few]} {few} ones; both count alike in training, but "
                        f"{few} is known from much less: gather more of it, with a lower --skip")
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


def cross_validate(keras, examples: Examples, folds: list[np.ndarray], args: argparse.Namespace) -> None:
    """Train once for each fold and tell how the recordings that it held out were judged."""
    every = np.arange(len(examples.labels))
    judged, scores = [], []
    print("cross-validation: share of crops judged wrong, for each recording that training had not seen")
    for number, held_rows in enumerate(folds, 1):
        model, _ = train(keras, examples, np.setdiff1d(every, held_rows), held_rows, args, verbose=0)
        # The operating point is not chosen on what is judged by it.
        raw = predict(model, examples, held_rows)
        fold_scores, _ = judge(raw, evaluation.UNFITTED, examples, held_rows)
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


def predict(model, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """The network's probability of "real" for each of the rows, float32 (N,), as the authenticator would have it."""
    views = augmentation.evaluation_batch(examples.crops[rows], INPUT_SIZE)
    return model.predict(views, verbose=0)[:, livenessnet.LABELS.index("real")]


def judge(raw: np.ndarray, calibration: dict, examples: Examples, rows: np.ndarray) -> tuple[np.ndarray, dict]:
    """Calibrated scores of the rows, float (N,), and their error rates by name."""
    scores = livenessnet.calibrate(raw, **calibration)
    metrics = evaluation.evaluate(
        scores, examples.is_real[rows], examples.recordings[rows], examples.time_s[rows]
    )
    return scores, metrics


def train(keras, examples: Examples, train_rows: np.ndarray, held_rows: np.ndarray, args: argparse.Namespace,
          verbose: int | str = "auto"):
    """Build and fit the network; returns it and Keras' history. The same seed gives the same run."""
    keras.utils.set_random_seed(args.seed)
    size = {"width": INPUT_SIZE, "height": INPUT_SIZE, "depth": 3, "classes": 2}
    normalization = fused_normalization(keras)
    trained = [livenessnet.LivenessNet.build(**size, normalization=normalization) for _ in range(MEMBERS)]
    model = side_by_side(keras, trained)
    recipe = recipe_for(examples.margin)
    per_epoch = math.ceil(min(len(train_rows), EPOCH_CROPS) / args.batch_size)
    steps = per_epoch * args.epochs

    class Batches(keras.utils.PyDataset):
        """Half real, half fake, every recording of a class as often as the others; varied anew each time."""

        def __init__(self):
            # Two threads keep ahead of the optimizer; OpenCV and NumPy let go of Python's lock.
            super().__init__(workers=2, max_queue_size=16)
            self.epoch = 0

        def __len__(self):
            return per_epoch

        def __getitem__(self, step):
            rng = np.random.default_rng([args.seed, self.epoch, step])
            rows = draw_rows(train_rows, examples, args.batch_size, rng)
            views, targets = augmentation.batch(
                examples.crops[rows], examples.inside[rows], examples.labels[rows], rng, INPUT_SIZE, recipe
            )
            return views, for_each_member(targets)

        def on_epoch_end(self):
            self.epoch += 1

    warm_up = max(1, round(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=args.learning_rate / 25, warmup_target=args.learning_rate, warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING), metrics=["accuracy"],
        # XLA takes longer to compile a network of this size than to train it, and on a processor it trains slower.
        jit_compile=False,
    )
    held = (
        augmentation.evaluation_batch(examples.crops[held_rows], INPUT_SIZE),
        for_each_member(np.eye(2, dtype=np.float32)[examples.labels[held_rows]]),
    )
    if verbose == "auto":
        # A bar for each epoch where somebody watches, a line elsewhere.
        verbose = 1 if sys.stdout.isatty() else 2
    history = model.fit(Batches(), epochs=args.epochs, validation_data=held, verbose=verbose)
    # In plain layers, so that any Keras can load the model.
    members = [livenessnet.LivenessNet.build(**size) for _ in range(MEMBERS)]
    for member, source in zip(members, trained):
        member.set_weights(source.get_weights())
    return livenessnet.LivenessNet.average(members), history.history


def fused_normalization(keras):
    """Keras' batch normalisation, trained through TensorFlow's fused kernel: the same numbers, but with it a step of
    training took 1.3 to 1.7 times less on two cores."""
    from tensorflow.compat.v1.nn import fused_batch_norm

    class FusedBatchNormalization(keras.layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            if not training or len(inputs.shape) != 4:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance = fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
            )
            for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                kept.assign(kept * self.momentum + new * (1 - self.momentum))
            return outputs

    return FusedBatchNormalization


def side_by_side(keras, members: list):
    """The members as one model, so that one optimizer trains them on the same batches.

    Its output is float32 (batch, MEMBERS, 2); they share nothing but the input.
    """
    inputs = keras.Input(members[0].input_shape[1:])
    outputs = [keras.layers.Reshape((1, 2))(member(inputs)) for member in members]
    return keras.Model(inputs, keras.layers.Concatenate(axis=1)(outputs))


def for_each_member(targets: np.ndarray) -> np.ndarray:
    """(N, 2) -> (N, MEMBERS, 2)."""
    return np.repeat(targets[:, None], MEMBERS, axis=1)


def recipe_for(margin: float) -> augmentation.Recipe:
    """The recipe for crops that are cut that wide: what it varies relative to the crop stays the same."""
    recipe = augmentation.Recipe()
    low, high = (m * margin / recipe.margin for m in recipe.margins)
    return replace(recipe, margin=margin, margins=(low, high))


def draw_rows(rows: np.ndarray, examples: Examples, count: int, rng: np.random.Generator) -> np.ndarray:
    """count of the rows at random: the classes in equal parts, and in each the recordings."""
    drawn = []
    labels, recordings = examples.labels[rows], examples.recordings[rows]
    for label in rng.permutation(np.arange(count) % 2):
        recording = rng.choice(np.unique(recordings[labels == label]))
        drawn.append(rng.choice(rows[recordings == recording]))
    return np.array(drawn)


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
    curves.legend(loc="center right")

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
