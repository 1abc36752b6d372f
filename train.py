"""Train LivenessNet to tell live faces from replayed ones.

    python train.py --dataset dataset --model liveness.model --le le.pickle

Reads the crops that gather_examples.py put into dataset/real and dataset/fake, holds some of them out, trains,
judges the network and the witness beside it on what neither training nor calibration has seen, and writes
liveness.model, le.pickle and plot.png.
"""

import argparse
import itertools
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import livenessnet
from face_detector import CROP_MARGIN
from options import Parser, at_least_one, fail, make_words_safe, positive
from storage.names import is_same, may_be_same
from training import evaluation
from training.dataset import DataError, Examples, load, warnings_about
from training.evaluation import Rate
from training.fitting import as_input
from training.learning import BOTH, INPUT_SIZE, Schedule, cross_validate, judge, learn
from training.plot import plot


def main(argv: list[str] | None = None) -> int:
    make_words_safe()
    args = parse(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        return fail("interrupted; no model was written")


def run(args: argparse.Namespace) -> int:
    """Load, split, train, judge, report, write; returns the exit status."""
    try:
        refuse_outputs(args)
        examples = load(args.dataset, args.margin, warn)
        folds = held_out_folds(examples) if args.cross_validate else []
    except DataError as error:
        return fail(str(error))
    train_rows, held_rows, meaning = evaluation.split(examples.is_real, examples.recordings, examples.time_s)
    if examples.is_simulated.any():
        meaning = evaluation.SIMULATED
    # What is chosen on one half of the held-out crops is judged on the other.
    choice_rows, judged_rows = evaluation.halves(held_rows, examples.is_real, examples.recordings, examples.time_s)
    print(
        f"{args.dataset}: {sum(examples.is_real)} real and {sum(~examples.is_real)} fake crops from "
        f"{len(set(examples.recordings))} recordings; {len(train_rows)} to train on, {len(choice_rows)} to calibrate "
        f"on, {len(judged_rows)} to judge on"
    )
    for warning in warnings_about(examples):
        warn(f"warning: {warning}")

    # Only now: everything that can be wrong with the data is known before the seconds that TensorFlow takes.
    schedule = Schedule(args.epochs, args.batch_size, args.learning_rate, args.seed)
    if folds:
        print("cross-validation: share of crops judged wrong, for each recording that training had not seen")
        print("cross-validation: " + told(cross_validate(examples, folds, schedule)) + "\n")
    trained = learn(examples, train_rows, choice_rows, schedule)
    scores, rates = judge(trained, examples, judged_rows)
    is_real = examples.is_real[judged_rows]
    report(scores, is_real, rates, trained.weight, meaning)

    try:
        plot(args.plot, trained.history, scores, is_real, rates[BOTH], meaning)
        livenessnet.write_labels(fitted_encoder(), args.le)
        details = {
            "margin": examples.margin,
            "calibration": trained.calibration,
            "weight": trained.weight,
            **about(examples, rates, meaning, schedule),
        }
        check = as_input(examples.crops[held_rows[:16]], INPUT_SIZE)
        livenessnet.save(trained.model, args.model, livenessnet.LABELS, details, check)
    except OSError as error:
        return fail(f"{error.filename or args.model}: cannot be written ({error.strerror})")
    except livenessnet.ModelError as error:
        return fail(str(error))
    print(f"written: {args.model} ({Path(args.model).stat().st_size / 1e6:.1f} MB), {args.le}, {args.plot}")
    return 0


def report(
    scores: np.ndarray, is_real: np.ndarray, rates: dict[str, dict[str, Rate]], weight: float, meaning: str
) -> None:
    from sklearn.metrics import classification_report

    print("\n" + classification_report(is_real, scores >= 0.5, target_names=livenessnet.LABELS, zero_division=0))
    print("held out: " + told(rates[BOTH]))
    for name, its_rates in rates.items() if len(rates) > 2 else ():
        note = f" (LivenessNet counts {weight:g})" if name == BOTH else ""
        print(f"  {name:17}  APCER {its_rates['APCER'].value:.3f}  BPCER {its_rates['BPCER'].value:.3f}{note}")
    print(evaluation.explain(meaning))


def told(rates: dict[str, Rate]) -> str:
    return "   ".join(f"{name} {rate}" for name, rate in rates.items())


def warn(line: str) -> None:
    print(line, file=sys.stderr)


def held_out_folds(examples: Examples) -> list[np.ndarray]:
    try:
        return evaluation.folds(examples.is_real, examples.recordings)
    except ValueError as error:
        raise DataError(f"--cross-validate: {error}; gather more videos, each under a name of its own") from None


def fitted_encoder():
    from sklearn.preprocessing import LabelEncoder

    return LabelEncoder().fit(livenessnet.LABELS)


def about(examples: Examples, rates: dict[str, dict[str, Rate]], meaning: str, schedule: Schedule) -> dict:
    """What the model's file says about itself, for people."""
    from importlib.metadata import version

    packages = ("keras", "tensorflow", "opencv-python", "scikit-learn", "numpy")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {name: int(np.sum(examples.recordings == name)) for name in sorted(set(examples.recordings))},
        "simulated_replays": int(sum(examples.is_simulated)),
        "metrics": {**{name: asdict(rate) for name, rate in rates[BOTH].items()}, "judged_on": meaning},
        "training": schedule._asdict(),
        "versions": {package: version(package) for package in packages},
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-d", "--dataset", required=True, type=Path, help="folder with the folders real and fake")
    parser.add_argument("-m", "--model", type=Path, required=True, help="where the model goes")
    parser.add_argument("-l", "--le", type=Path, required=True, help="where the label encoder goes")
    parser.add_argument("-p", "--plot", type=Path, default=Path("plot.png"), help="where the plot goes (plot.png)")
    parser.add_argument(
        "--epochs", type=at_least_one, default=50, help="at most so many (50); it ends when eight have gained nothing"
    )
    parser.add_argument("--batch-size", type=at_least_one, default=32, help="32")
    parser.add_argument("--learning-rate", type=positive, default=1e-3, help="Adam's (0.001)")
    parser.add_argument(
        "--margin",
        type=positive,
        default=CROP_MARGIN,
        help="how wide crops are cut, in face boxes, "
        f"where they do not say so themselves ({CROP_MARGIN}; the original's: 1)",
    )
    parser.add_argument(
        "--cross-validate",
        action="store_true",
        help="first leave each recording out in turn, and "
        "report on it (needs two or more per class; as many trainings more)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    return parser.parse_args(argv)


def refuse_outputs(args: argparse.Namespace) -> None:
    """Before minutes of training, not after. Raises DataError."""
    files = {"--model": args.model, "--le": args.le, "--plot": args.plot}
    for option, file in files.items():
        folder = Path(os.path.realpath(file)).parent
        if not folder.is_dir():
            raise DataError(f"{file}: there is no folder {folder}; make it first")
        if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
            raise DataError(f"{file}: cannot be written; choose another file")
        if any(is_same(part, args.dataset / name) for part in (folder, *folder.parents) for name in livenessnet.LABELS):
            raise DataError(f"{option} {file}: lies among the crops; choose another folder")
    for (one, file), (other, same) in itertools.combinations(files.items(), 2):
        if may_be_same(file, same):
            raise DataError(f"{one} and {other} are both {file}; choose two files")


if __name__ == "__main__":
    sys.exit(main())
