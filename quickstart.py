"""One command sets up and runs everything, one sets up and tests: quickstart.py and quickstart.py test.

    python3 quickstart.py         set up, then gather examples, train and authenticate on two videos: yours
                                  if videos/ holds a real.* and a fake.*, else a sample in its own folder
    python3 quickstart.py test    set up, then run the tests; what follows goes to pytest (test -k gather)

Set-up makes .venv, installs the packages of requirements.txt at the versions of pip-list.txt, and on Debian
or Ubuntu as root the system packages they need; elsewhere it prints the command that does. It is done once.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036, the very message for those who have an older one
    sys.stderr.write(
        "This needs Python 3.11 or newer, and this is " + sys.version.split()[0] + ": get one at "
        "python.org or from your system, and start it with that.\n"
    )
    sys.exit(2)

import argparse
import csv
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from options import make_words_safe
from setup.environment import ROOT, VENV_PYTHON, SetupError, command_line, compile_modules, set_up

# Neighbouring frames hardly differ: more than about this many of one video make training longer, not better.
EXAMPLES_PER_VIDEO = 600


@dataclass(frozen=True)
class Job:
    """The two videos to work on, and where everything made from them goes (paths relative to ROOT)."""

    real: Path
    fake: Path
    dataset: Path
    model: Path
    encoder: Path
    plot: Path
    results: Path  # folder of the annotated videos and the scores
    incidents: Path
    sample: bool  # the sample video and its simulated replay, not the user's own


# --- the main job -------------------------------------------------------------------------------------


def choose_job() -> Job:
    """The user's own videos if videos/ holds both, else the sample. Says in a line if just one is there."""
    real, fake = find_video(ROOT / "videos", "real"), find_video(ROOT / "videos", "fake")
    if real and fake:
        return Job(
            real.relative_to(ROOT),
            fake.relative_to(ROOT),
            Path("dataset"),
            Path("liveness.model"),
            Path("le.pickle"),
            Path("plot.png"),
            Path("annotated"),
            Path("incidents"),
            sample=False,
        )
    if real or fake:
        found, lacking = (real, "fake") if real else (fake, "real")
        print(f"videos/ holds {found.name} but no {lacking}.*: using the sample video for both.", flush=True)
    folder = Path("sample")
    return Job(
        folder / "videos" / "real.mp4",
        folder / "videos" / "fake.mp4",
        folder / "dataset",
        folder / "liveness.model",
        folder / "le.pickle",
        folder / "plot.png",
        folder,
        folder / "incidents",
        sample=True,
    )


def find_video(folder: Path, label: str) -> Path | None:
    """The file in `folder` named after `label`, whatever its suffix. Raises SetupError on several."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [file for file in files if file.stem.lower() == label and file.suffix and file.is_file()]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise SetupError(
            f"videos/ holds more than one {label} video ({names}): leave one, and gather "
            "from the others with gather_examples.py"
        )
    return found[0] if found else None


def run_job(job: Job) -> dict[str, str | None]:
    """Gather, train and authenticate. Returns the verdict on each video, "real" and "fake"."""
    if job.sample:
        step("training.sample_video", job.real.parent)
    for label, video in (("fake", job.fake), ("real", job.real)):
        step(
            "gather_examples.py",
            "--input",
            video,
            "--output",
            job.dataset / label,
            "--detector",
            "face_detector",
            "--skip",
            skip_for(frame_count(video)),
        )
    step("train.py", "--dataset", job.dataset, "--model", job.model, "--le", job.encoder, "--plot", job.plot)
    (ROOT / job.results).mkdir(parents=True, exist_ok=True)
    verdicts = {}
    for label, video in (("real", job.real), ("fake", job.fake)):
        scores = scores_path(job, label)
        step(
            "liveness_main.py",
            "--model",
            job.model,
            "--le",
            job.encoder,
            "--detector",
            "face_detector",
            "--source",
            video,
            "--no-display",
            "--no-voice",
            "--output",
            annotated_path(job, label),
            "--scores",
            scores,
            "--incidents",
            job.incidents,
        )
        verdicts[label] = read_verdict(ROOT / scores)
    return verdicts


def annotated_path(job: Job, label: str) -> Path:
    return job.results / (f"{label}_annotated.mp4" if job.sample else f"{label}.mp4")


def scores_path(job: Job, label: str) -> Path:
    return job.results / f"{label}_scores.csv"


def step(script: str, *options: object) -> None:
    """Print the command line of one of the scripts, or of a module, and run it. Raises SetupError if it fails."""
    command = [VENV_PYTHON, *([script] if script.endswith(".py") else ["-m", script]), *map(str, options)]
    print(f"\n$ {command_line(command)}", flush=True)
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    if status != 0:
        raise SetupError(f"{script} stopped with exit status {status}; its message is above.", status)


def frame_count(video: Path) -> int:
    """How many frames there are, 0 if that cannot be told."""
    code = "import sys; from capture.opening import open_source; print(open_source(sys.argv[1]).length or 0)"
    result = subprocess.run(
        [VENV_PYTHON, "-c", code, video], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return int(result.stdout) if result.returncode == 0 else 0


def why_no_witness() -> str:
    """Why the anti-spoofing network cannot be had, in one line, "" if it can."""
    code = (
        "import anti_spoofing\ntry: anti_spoofing.Witness()\n"
        "except (anti_spoofing.WitnessMissing, anti_spoofing.WitnessError) as error: print(error)"
    )
    result = subprocess.run(
        [VENV_PYTHON, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return result.stdout.strip()


def skip_for(frames: int) -> int:
    """Use every how-manieth frame, so that a long video gives about EXAMPLES_PER_VIDEO examples."""
    return max(1, frames // EXAMPLES_PER_VIDEO)


def read_verdict(scores: Path) -> str | None:
    """The first verdict in a scores file ("authorized" or "unauthorized"), None if it came to none."""
    with scores.open(newline="", encoding="utf-8") as file:
        return next((row["verdict"] for row in csv.DictReader(file) if row["verdict"] != "checking"), None)


def as_expected(verdicts: dict[str, str | None]) -> bool:
    return verdicts == {"real": "authorized", "fake": "unauthorized"}


def summary(job: Job, verdicts: dict[str, str | None], signs: tuple[str, str]) -> str:
    """What came out, what was made, and how to go on. `signs`: for a verdict as expected, and for another."""
    lines = ["", "Verdicts"]
    for label, name, video, expected in (
        ("real", "live face", job.real, "authorized"),
        ("fake", "replay", job.fake, "unauthorized"),
    ):
        sign = signs[0] if verdicts[label] == expected else signs[1]
        lines.append(f"  {name:<11}{verdicts[label] or 'no verdict':<14}{sign}  {video}")
    lines += [
        "",
        "Made",
        f"  {annotated_path(job, 'real')}, {annotated_path(job, 'fake')}: the videos, with boxes",
        f"  {scores_path(job, 'real')}, {scores_path(job, 'fake')}: the scores, frame by frame",
        f"  {job.model}, {job.encoder}: the model, and its labels",
        f"  {job.plot}: how training went, and how far apart real and fake came out",
        "",
    ]
    if job.sample:
        lines += [
            "The replay is simulated, and both are the videos the model was trained on: this shows",
            "that everything works, not how well it does on faces and screens it has not seen.",
            "",
        ]
    else:
        lines += [
            "The model was trained on these very videos: this shows that everything works, not how",
            "well it does on recordings it has not seen.",
            "",
        ]
    if not as_expected(verdicts):
        lines += [
            "A verdict is not what it should be: look at the annotated videos and the plot, and record",
            "longer, more varied videos (videos/README.md says how).",
            "",
        ]
    webcam = [VENV_PYTHON, "liveness_main.py", "--model", job.model, "--le", job.encoder, "--detector", "face_detector"]
    knows = " (the sample's model knows one man in one car)" if job.sample else ""
    lines += [f"Go on with a webcam{knows}", f"  {command_line(webcam)}"]
    if job.sample:
        lines += [
            "Go on with your own face: record real.mp4 and fake.mp4 as videos/README.md says, and run",
            "quickstart.py again.",
        ]
    return "\n".join(lines)


def signs_for(encoding: str | None) -> tuple[str, str]:
    """Signs for right and wrong that a terminal of this encoding can show."""
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "OK", "WRONG"
    return "✓", "✗"


# --- the command line ---------------------------------------------------------------------------------


def pytest_command(arguments: list[str]) -> list:
    """pytest on all tests, or on the files that the arguments name."""
    names_files = any((ROOT / argument.split("::")[0]).exists() for argument in arguments)
    # One worker more than there are processors, since many tests wait for something; a file's tests stay together, and
    # what they share is made once.
    workers = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"]
    return [VENV_PYTHON, "-m", "pytest", *([] if names_files else [*workers, "tests"]), *arguments]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=["test"], help="run the tests, not the main job")
    parser.add_argument("pytest_arguments", nargs=argparse.REMAINDER, help="handed to pytest")
    return parser.parse_args()


def main() -> int:
    make_words_safe()
    arguments = parse_arguments()
    try:
        if arguments.task == "test":
            set_up(tests=True)
            return subprocess.run(pytest_command(arguments.pytest_arguments), cwd=ROOT).returncode
        job = choose_job()
        set_up(tests=False)
        compile_modules()
        started = time.monotonic()
        verdicts = run_job(job)
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("\nInterrupted: run it again to go on.", file=sys.stderr)
        return 130
    print(summary(job, verdicts, signs_for(sys.stdout.encoding)))
    if missing := why_no_witness():
        print(f"\nWithout the witness LivenessNet decides alone, and knows no other room than yours:\n  {missing}")
    print(f"\nAll that took {time.monotonic() - started:.0f} s.")
    return 0 if as_expected(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
