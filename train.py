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
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

import augmentation
import crops
import livenessnet
from face_detector import CROP_MARGIN
from options import Parser, at_least_one, fail, positive

# Side in pixels of the network's input: at 32, the original's, a screen's edge is lost (AUC on unseen people
# 0.63 instead of 0.83).
INPUT_SIZE = 64
# Side in pixels at which crops are held in memory, 49 kB each: twice the input, so that training can zoom in.
HELD_SIDE = 128
# Share of each class, from the recording's end, that is held out; and what is left out before it, because
# neighbouring frames are near copies of each other.
HELD_OUT, GAP = 0.25, 0.05
# One epoch draws so many crops at the most. The frames of a recording resemble each other too much for more
# to teach more.
EPOCH_CROPS = 384
# Fewer crops than this in a class are a slip of the hand, not a data set.
FEWEST = 8
# The optimizer, as compared on unseen recordings: README, "How good is it?".
WEIGHT_DECAY, LABEL_SMOOTHING, WARM_UP = 1e-2, 0.1, 0.25


class DataError(Exception):
    """The data set cannot be trained on; the message is one line that says what to do."""


@dataclass(frozen=True)
class Examples:
    """All crops of a data set, N of them, by class, recording and frame.

    crops: uint8 (N, HELD_SIDE, HELD_SIDE, 3) BGR. inside: float32 (N, 4), see crops.Crop.
    labels: int (N,), places in livenessnet.LABELS. recordings: str (N,), "real/kitchen".
    order: float (N,), grows with the time in the recording. margin: how wide all of them are cut.
    """

    crops: np.ndarray
    inside: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    order: np.ndarray
    margin: float


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        check_writable(args.model, args.le, args.plot)
        examples = load(args.dataset, args.margin)
        train_rows, held_rows, meaning = split(examples)
    except DataError as error:
        return fail(str(error))
    counts = Counter(livenessnet.LABELS[label] for label in examples.labels)
    print(f"{args.dataset}: {counts['real']} real and {counts['fake']} fake crops from "
          f"{len(set(examples.recordings))} recordings; {len(train_rows)} to train on, {len(held_rows)} held out")

    # Only now: everything that can be wrong with the data is known before the seconds that this takes.
    keras = livenessnet.import_keras()
    keras.utils.set_random_seed(args.seed)
    model, history = train(keras, examples, train_rows, held_rows, args)

    held = augmentation.evaluation_batch(examples.crops[held_rows], INPUT_SIZE)
    raw = model.predict(held, verbose=0)[:, livenessnet.LABELS.index("real")]
    is_real = examples.labels[held_rows] == livenessnet.LABELS.index("real")
    calibration = calibrate(raw, is_real)
    scores = livenessnet.calibrate(raw, **calibration)
    metrics = evaluate(scores, is_real)
    report(scores, is_real, metrics, meaning)

    try:
        plot(args.plot, history, scores, is_real, metrics, meaning)
        livenessnet.write_labels(fitted_encoder(), args.le)
        details = {"margin": examples.margin, "calibration": calibration, **about(examples, metrics, meaning, args)}
        livenessnet.save(model, args.model, livenessnet.LABELS, details, check=held[:16])
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
        order=np.array([crop.frame for _, crop in found], float),
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


def split(examples: Examples) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows to train on, rows to judge on, and what the judgement means.

    Whole recordings are held out where each class has several, otherwise the end of each recording, with a gap
    before it. Never single frames at random: a thirtieth of a second before and after a held-out frame stand
    its near copies, and judging by those gives 100 % whatever was learned.
    """
    by_class = {label: sorted({str(r) for r in examples.recordings[examples.labels == label]}) for label in (0, 1)}
    if all(len(recordings) > 1 for recordings in by_class.values()):
        held = set()
        for label, recordings in by_class.items():
            sizes = {name: np.mean(examples.recordings[examples.labels == label] == name) for name in recordings}
            held.add(min(recordings, key=lambda name: abs(sizes[name] - HELD_OUT)))
        is_held = np.isin(examples.recordings, list(held))
        return np.flatnonzero(~is_held), np.flatnonzero(is_held), "unseen recordings"

    train_rows, held_rows = [], []
    for recording in sorted(set(examples.recordings)):
        rows = np.flatnonzero(examples.recordings == recording)
        rows = rows[np.argsort(examples.order[rows], kind="stable")]
        end = math.floor(len(rows) * (1 - HELD_OUT))
        train_rows.extend(rows[: end - math.floor(len(rows) * GAP)])
        held_rows.extend(rows[end:])
    return np.array(train_rows), np.array(held_rows), "the same recordings"


def train(keras, examples: Examples, train_rows: np.ndarray, held_rows: np.ndarray, args: argparse.Namespace):
    """Build and fit the network; returns it and Keras' history."""
    model = livenessnet.LivenessNet.build(width=INPUT_SIZE, height=INPUT_SIZE, depth=3, classes=2)
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
            return augmentation.batch(
                examples.crops[rows], examples.inside[rows], examples.labels[rows], rng, INPUT_SIZE, recipe
            )

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
    )
    held = (
        augmentation.evaluation_batch(examples.crops[held_rows], INPUT_SIZE),
        np.eye(2, dtype=np.float32)[examples.labels[held_rows]],
    )
    # A bar for each epoch where somebody watches, a line elsewhere.
    verbose = 1 if sys.stdout.isatty() else 2
    history = model.fit(Batches(), epochs=args.epochs, validation_data=held, verbose=verbose)
    return model, history.history


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


def calibrate(raw: np.ndarray, is_real: np.ndarray) -> dict:
    """Put the operating point where APCER and BPCER together are least on the held-out crops.

    raw: float (N,), the network's probability of "real". Returns {"scale", "offset"} of its logit. Among equally
    good points the one nearest to 0.5 is taken: where everything is told apart, held-out frames of one recording
    say nothing about where to draw the line.
    """
    logits = np.log(np.clip(raw, 1e-7, 1 - 1e-7) / np.clip(1 - raw, 1e-7, 1))
    edges = np.unique(logits)
    candidates = np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2])
    errors = [np.mean(logits[is_real] < c) + np.mean(logits[~is_real] >= c) for c in candidates]
    best = min(range(len(candidates)), key=lambda i: (round(errors[i], 6), abs(candidates[i])))
    return {"scale": 1.0, "offset": float(-candidates[best])}


def evaluate(scores: np.ndarray, is_real: np.ndarray) -> dict:
    """APCER, BPCER and ACER at 0.5 (ISO/IEC 30107-3), and the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    bpcer, apcer = float(np.mean(scores[is_real] < 0.5)), float(np.mean(scores[~is_real] >= 0.5))
    return {"APCER": apcer, "BPCER": bpcer, "ACER": (apcer + bpcer) / 2, "AUC": float(roc_auc_score(is_real, scores))}


def report(scores: np.ndarray, is_real: np.ndarray, metrics: dict, meaning: str) -> None:
    from sklearn.metrics import classification_report

    print("\n" + classification_report(is_real, scores >= 0.5, target_names=livenessnet.LABELS, zero_division=0))
    print("held out: " + "   ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    print(explain(meaning))


def explain(meaning: str) -> str:
    if meaning == "unseen recordings":
        return "Judged on unseen recordings: how it does on other recordings like yours."
    return ("Judged on the last part of the same recordings: it has learned these videos; "
            "how it does in another room this cannot say.")


def fitted_encoder():
    from sklearn.preprocessing import LabelEncoder

    return LabelEncoder().fit(livenessnet.LABELS)


def about(examples: Examples, metrics: dict, meaning: str, args: argparse.Namespace) -> dict:
    """What the model's file says about itself, for people."""
    from importlib.metadata import version

    packages = ("keras", "tensorflow", "opencv-python", "scikit-learn", "numpy")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "dataset": {name: int(np.sum(examples.recordings == name)) for name in sorted(set(examples.recordings))},
        "metrics": {**metrics, "judged_on": meaning},
        "training": {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate,
                     "seed": args.seed},
        "versions": {package: version(package) for package in packages},
    }


def plot(path: Path, history: dict, scores: np.ndarray, is_real: np.ndarray, metrics: dict, meaning: str) -> None:
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
    curves.set(title="Training loss and accuracy", xlabel="epoch", ylabel="loss / accuracy", ylim=(0, None))
    curves.legend(loc="center right")

    bins = np.linspace(0, 1, 41)
    for name, chosen, colour in (("fake", ~is_real, "#c0392b"), ("real", is_real, "#27ae60")):
        share = np.full(chosen.sum(), 100 / chosen.sum())
        spread.hist(scores[chosen], bins, weights=share, alpha=0.65, color=colour, label=f"{name}, {chosen.sum()} crops")
    spread.axvline(0.5, color="#333333", linestyle="--", label="operating point")
    spread.set(title=f"Held-out scores ({meaning})\n" + "  ".join(f"{n} {v:.3f}" for n, v in metrics.items()),
               xlabel="p_real", ylabel="share of the class, %", xlim=(0, 1))
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
