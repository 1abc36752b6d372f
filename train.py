"""Train LivenessNet to tell live faces from replayed ones.

    python train.py --dataset dataset --model liveness.model --le le.pickle
    python train.py --add-owner NAME household/NAME --model liveness.model      # no training: one more owner

Reads the crops that gather_examples.py put into dataset/real and dataset/fake, holds some of them out, trains,
judges the network and the witness beside it on what neither training nor calibration has seen, and writes
liveness.model, le.pickle and plot.png. Whom the live crops show is enrolled in the model as its owner; other owners
that were in it stay.
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
from face_recognizer import NETWORK
from options import Parser, at_least_one, fail, make_words_safe, positive, whole
from storage.names import is_same, may_be_same
from storage.user_error import UserError
from training import evaluation, household
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
    except UserError as error:
        return fail(str(error))


def run(args: argparse.Namespace) -> int:
    """Load, enrol, split, train, judge, report, write; returns the exit status. Raises UserError."""
    if args.add_owner or args.remove_owner is not None:
        return change_owners(args)
    refuse_outputs(args)
    earlier = household.before(args.model)
    examples = load(args.dataset, args.margin, warn)
    folds = held_out_folds(examples) if args.cross_validate else []
    enrolled = household.of_training(examples, args.owner_from, args.detector, print)
    household.check({**earlier, **enrolled})
    if kept := earlier.keys() - enrolled.keys():
        print(f"kept from the model before: {', '.join(sorted(kept))}")
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
    report(scores, is_real, rates, meaning)

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
        # Read once more: somebody may have been added meanwhile.
        owners = {**household.before(args.model), **enrolled}
        livenessnet.save(trained.model, args.model, livenessnet.LABELS, details, check, owners, NETWORK)
    except OSError as error:
        return fail(f"{error.filename or args.model}: cannot be written ({error.strerror})")
    print(f"written: {args.model} ({Path(args.model).stat().st_size / 1e6:.1f} MB), {args.le}, {args.plot}")
    return 0


def change_owners(args: argparse.Namespace) -> int:
    """Add an owner to a model that is there, or remove one; returns the exit status. Raises UserError."""
    try:
        if args.add_owner:
            name, *folders = args.add_owner
            print(household.add(args.model, name, [Path(folder) for folder in folders], args.detector))
        else:
            print(household.remove(args.model, args.remove_owner))
    except OSError as error:
        return fail(f"{args.model}: cannot be written ({error.strerror})")
    return 0


def report(scores: np.ndarray, is_real: np.ndarray, rates: dict[str, dict[str, Rate]], meaning: str) -> None:
    from sklearn.metrics import classification_report

    print("\n" + classification_report(is_real, scores >= 0.5, target_names=livenessnet.LABELS, zero_division=0))
    print("held out: " + told(rates[BOTH]))
    for name, its_rates in rates.items() if len(rates) > 2 else ():
        print(f"  {name:17}  APCER {its_rates['APCER'].value:.3f}  BPCER {its_rates['BPCER'].value:.3f}")
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
    parser.add_argument("-d", "--dataset", type=Path, help="folder with the folders real and fake")
    parser.add_argument("-m", "--model", type=Path, required=True, help="where the model goes")
    parser.add_argument("-l", "--le", type=Path, help="where the label encoder goes")
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
    parser.add_argument("--seed", type=whole(0), default=0, help="of all that is random (0)")
    parser.add_argument(
        "--detector", type=Path, default=Path("face_detector"), help="folder of its weights (face_detector)"
    )
    parser.add_argument(
        "--owner-from",
        nargs="+",
        default=[],
        metavar="RECORDING",
        help="where the live crops show several people: the recordings of the one to be enrolled",
    )
    changes = parser.add_mutually_exclusive_group()
    changes.add_argument(
        "--add-owner",
        nargs="+",
        metavar=("NAME", "CROPS_FOLDER"),
        help="no training: enrol one more owner in --model, or the same again",
    )
    changes.add_argument("--remove-owner", metavar="NAME", help="no training: take an owner out of --model")
    args = parser.parse_args(argv)
    check_together(parser, args)
    return args


def check_together(parser: Parser, args: argparse.Namespace) -> None:
    """Which options go with which; else wrong usage."""
    if args.add_owner and len(args.add_owner) < 2:
        parser.error("argument --add-owner: give a name, and one or more folders of crops")
    given = {"-d/--dataset": args.dataset, "-l/--le": args.le, "--owner-from": args.owner_from or None}
    if args.add_owner or args.remove_owner is not None:
        if surplus := [option for option, value in given.items() if value is not None]:
            parser.error(f"{', '.join(surplus)}: for a training; --add-owner and --remove-owner only change --model")
    elif missing := [option for option in ("-d/--dataset", "-l/--le") if given[option] is None]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")


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
