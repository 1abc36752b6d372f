"""How fast is it? Ours and the original's way, side by side, on this machine. Not part of the test run.

    python benchmarks/benchmark.py                           # on the sample video; about three minutes
    python benchmarks/benchmark.py videos/real.mp4 --json speed.json
    python benchmarks/benchmark.py --only loop start         # loop, start, memory, gather, train
    python benchmarks/benchmark.py --only owner              # what --owner costs; only when asked for
    python benchmarks/benchmark.py --growth                  # how each grows: faces, pixels, crops; ten minutes

What counts are the ratios, measured in one run: every pair takes turns, so that a busy moment of the machine hits
both, and of several turns the median counts.

"The original's way" is what A. Rosebrock's scripts (2019) and their forks do, in the same environment: every frame
resized to 600 pixels of width and drawn on, every face given to Keras' `model.predict` by itself (one LivenessNet of
32 pixels), and Keras' ImageDataGenerator with batches of 8. Its face detector, a Caffe network, cannot run on
OpenCV 5, so ours stands in for it: the original itself is slower than what is shown for it here. Gathering is left
without a comparison: there the detector is nearly everything.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from benchmark_table import show, show_head
from growth import GROWTH
from workbench import FEW_AND_ALL, ROOT, WEIGHTS, Bench, part, run, take_turns

BARE = Path(__file__).resolve().with_name("bare_start.py")
SECTIONS = ("loop", "start", "memory", "gather", "train")
STAGES = ("decode", "resize", "detect", "crop", "classify", "look", "track", "draw")
# The original is slow; this many of its frames are enough for a rate.
ORIGINAL_FRAMES = 90


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    with tempfile.TemporaryDirectory(prefix="liveness-benchmark-") as folder:
        bench = Bench(args, Path(folder))
        result = {"machine": bench.machine, "video": bench.about}
        show_head(result)
        for section in args.only:
            result[section] = GROWTH[section](bench) if args.growth else MEASURE[section](bench)
            show(section, result[section])
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("video", nargs="?", type=Path, help="a recording of a face (default: the sample video)")
    parser.add_argument("-m", "--model", type=Path, help="what train.py wrote (default: the sample's)")
    parser.add_argument("-l", "--le", type=Path, help="the label encoder beside it")
    parser.add_argument("--only", nargs="+", choices=MEASURE, metavar="SECTION", help=", ".join(MEASURE))
    parser.add_argument("--growth", action="store_true", help="how loop, gather and train grow, instead")
    parser.add_argument("--turns", type=int, default=5, help="how often each pair takes turns (5)")
    parser.add_argument("--crops", type=int, default=240, help="how many crops to train on (240)")
    parser.add_argument("--json", type=Path, help="write all figures here, too")
    args = parser.parse_args(argv)
    if bool(args.model) != bool(args.le):
        parser.error("--model and --le go together")
    args.only = args.only or (list(GROWTH) if args.growth else list(SECTIONS))
    if args.growth and not set(args.only) <= set(GROWTH):
        parser.error(f"--growth goes with {', '.join(GROWTH)}")
    return args


# --- The sections ---


def measure_loop(bench: Bench) -> dict:
    result = take_turns(
        bench.turns,
        ours=lambda: part("ours_loop", bench.folder, bench.video, *bench.model),
        original=lambda: part("original_loop", bench.folder, bench.video, time.time(), ORIGINAL_FRAMES),
    )
    stages = part("ours_stages", bench.folder, bench.video, *bench.model)
    return {
        **{name: {key: values[key] for key in ("fps", "cpu_s_per_minute")} for name, values in result.items()},
        "ratio": result["ours"]["fps"] / result["original"]["fps"],
        "stages_ms": {stage: stages[stage] for stage in STAGES},
    }


def authenticator_command(bench: Bench, *more) -> list:
    model, encoder = bench.model
    return [
        ROOT / "liveness_main.py",
        "-m",
        model,
        "-l",
        encoder,
        "-d",
        WEIGHTS,
        "--source",
        bench.video,
        "--no-display",
        "--no-voice",
        "--no-lock",
        "--no-email",
        *more,
    ]


def measure_start(bench: Bench) -> dict:
    """Ours until the first verdict, which takes half a second of video; the original until its first single score."""
    graph = bench.folder / "liveness.onnx"
    with zipfile.ZipFile(bench.model[0]) as members:
        graph.write_bytes(members.read("liveness.onnx"))
        side = json.loads(members.read("liveness.json"))["input_size"]
    result = take_turns(
        bench.turns,
        ours=lambda: run(authenticator_command(bench, "--once"), bench.folder),
        original=lambda: part("original_loop", bench.folder, bench.video, time.time(), 5),
        bare=lambda: run([BARE, bench.video, next(WEIGHTS.glob("*.onnx")), graph, side], bench.folder),
        python=lambda: run(["-c", "print()"], bench.folder),
        numpy=lambda: run(
            ["-c", "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; import numpy; print()"], bench.folder
        ),
        opencv=lambda: run(
            ["-c", "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; import cv2; print()"], bench.folder
        ),
        modules=lambda: run(
            [
                "-c",
                f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
                "import liveness_main, authentication.session, livenessnet; print()",
            ],
            bench.folder,
        ),
    )
    until = {name: values["first_s"] for name, values in result.items()}
    steps = ("python", "numpy", "opencv", "modules", "ours")
    return {
        "ours_s": until["ours"],
        "original_s": result["original"]["first_result_s"],
        "ratio": result["original"]["first_result_s"] / until["ours"],
        "bare_s": until["bare"],
        "where_ms": {
            step: 1000 * (until[step] - (until[before] if before else 0)) for step, before in zip(steps, (None, *steps))
        },
        "imports_ms": slowest_imports(bench),
    }


def slowest_imports(bench: Bench, count: int = 10) -> dict[str, float]:
    """Milliseconds by module, each without what it imports itself, the slowest first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *map(str, authenticator_command(bench, "--once"))],
        cwd=bench.folder,
        text=True,
        capture_output=True,
    )
    spent: dict[str, float] = {}
    for line in done.stderr.splitlines():
        columns = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and columns[0].strip().isdecimal():
            package = columns[2].strip().split(".")[0]
            spent[package] = spent.get(package, 0) + int(columns[0]) / 1000
    return dict(sorted(spent.items(), key=lambda item: -item[1])[:count])


def measure_memory(bench: Bench) -> dict:
    result = take_turns(
        min(bench.turns, 3),
        ours=lambda: run(authenticator_command(bench), bench.folder),
        original=lambda: part("original_loop", bench.folder, bench.video, time.time(), 30),
        opencv=lambda: run(["-c", "import cv2; print()"], bench.folder),
    )
    peaks = {f"{name}_mb": values["peak_mb"] for name, values in result.items()}
    return {**peaks, "ratio": peaks["original_mb"] / peaks["ours_mb"] if peaks["ours_mb"] else None}


def measure_gather(bench: Bench, skip: int = 4) -> dict:
    rates = take_turns(bench.turns, ours=lambda: part("ours_gather", bench.folder, bench.video, skip))["ours"]
    stages = part("ours_gather_stages", bench.folder, bench.video, tempfile.mkdtemp(dir=bench.folder))
    stages = {name: stages[name] for name in ("detect", "judge", "crop", "encode", "write")}
    return {
        "skip": skip,
        "fps": rates["fps"],
        "crops_per_s": rates["crops_per_s"],
        "stages_ms": stages,
        "png_share": stages["encode"] / sum(stages.values()),
    }


def measure_train(bench: Bench) -> dict:
    dataset = bench.dataset()
    few, all_of_them = FEW_AND_ALL
    result = {"crops": bench.crops}
    for name in ("ours", "original"):
        short, long = (part(f"{name}_train", bench.folder, dataset, epochs) for epochs in FEW_AND_ALL)
        epoch_s = (long["fit_s"] - short["fit_s"]) / (all_of_them - few)
        result[name] = {"epoch_s": epoch_s, "fifty_epochs_s": long["wall_s"]}
        if name == "ours":
            result[name]["augmentation_share"] = long["augmentation_share"]
    result["ratio"] = result["original"]["fifty_epochs_s"] / result["ours"]["fifty_epochs_s"]
    return result


def measure_owner(bench: Bench) -> dict:
    """With --owner, who is the one in the video, and without."""
    model, (kept, encoder) = bench.folder / "owner.model", bench.model
    part("enrol", bench.folder, bench.video, kept, model)
    once = authenticator_command(bench, "--once", "-m", model)
    start = take_turns(
        2 * bench.turns,
        owner=lambda: run([*once, "--owner"], bench.folder),
        anybody=lambda: run(once, bench.folder),
    )
    loop = take_turns(
        bench.turns,
        owner=lambda: part("ours_loop", bench.folder, bench.video, model, encoder, "owner"),
        anybody=lambda: part("ours_loop", bench.folder, bench.video, model, encoder),
    )
    return {name: {**loop[name], "start_s": start[name]["first_s"]} for name in loop}


MEASURE = {
    "loop": measure_loop,
    "start": measure_start,
    "memory": measure_memory,
    "gather": measure_gather,
    "train": measure_train,
    "owner": measure_owner,
}


if __name__ == "__main__":
    sys.exit(main())
