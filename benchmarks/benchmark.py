"""How fast is it? Ours and the original's way, side by side, on this machine. Not part of the test run.

    python benchmarks/benchmark.py                           # on the sample video; about three minutes
    python benchmarks/benchmark.py videos/real.mp4 --json speed.json
    python benchmarks/benchmark.py --only loop start         # loop, start, memory, gather, train
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
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

# Neither OpenCV nor NumPy here: what a process of ours has in memory when it starts another would count as the
# other's.
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "face_detector"
PARTS, BARE = (Path(__file__).resolve().with_name(name) for name in ("benchmark_parts.py", "bare_start.py"))
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
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
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


class Bench:
    """What the sections share: the video, a model, a dataset, a folder for what is written."""

    def __init__(self, args: argparse.Namespace, folder: Path):
        self.folder, self.turns, self.crops = folder, args.turns, args.crops
        basis = part("set_up", folder, args.video.resolve() if args.video else "", ROOT / "sample" / "videos")
        self.machine, self.about, self.sample = basis["machine"], basis["video"], basis["sample"]
        self.video = self.about["name"]
        self._files = (args.model, args.le) if args.model else None
        self._dataset = None

    @property
    def model(self) -> tuple[str, str]:
        """A model and its labels; how well they judge does not matter for how fast they do."""
        if not self._files:
            kept = ROOT / "sample" / "liveness.model", ROOT / "sample" / "le.pickle"
            self._files = kept if kept[0].is_file() and kept[1].is_file() else self._train()
        return str(self._files[0]), str(self._files[1])

    def _train(self) -> tuple[Path, Path]:
        print("training a model for it (once)", file=sys.stderr)
        model, encoder = self.folder / "liveness.model", self.folder / "le.pickle"
        run(
            [
                ROOT / "train.py",
                "-d",
                self.dataset(),
                "-m",
                model,
                "-l",
                encoder,
                "-p",
                self.folder / "plot.png",
                "--epochs",
                "8",
            ],
            self.folder,
        )
        return model, encoder

    def dataset(self, crops: int | None = None) -> Path:
        """A folder with so many crops, half of them fake, those of the sample videos over and over."""
        if not self._dataset:
            self._dataset = self.folder / "sample-crops"
            for label, video in zip(("real", "fake"), self.sample):
                run(
                    [ROOT / "gather_examples.py", "-i", video, "-o", self._dataset / label, "-d", WEIGHTS, "-s", "1"],
                    self.folder,
                )
        crops = crops or self.crops
        target = self.folder / f"{crops}-crops"
        if not target.exists():
            part("multiply", self.folder, self._dataset, target, crops)
        return target


# --- Running things and looking at them from outside ---


def run(command: list, folder: Path) -> dict:
    """Run a Python script; returns wall_s, first_s (until its first line of output), cpu_s, peak_mb, lines.

    cpu_s and peak_mb are None where the system does not tell (Windows).
    """
    began = time.perf_counter()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    # Elsewhere Python keeps what it has compiled; else every start would compile our modules anew.
    for setting in ("OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(setting, None)
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        lines = [process.stdout.readline()]
        first_s = time.perf_counter() - began
        lines += process.stdout.readlines()
        usage = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        complaints.seek(0)
        said = complaints.read().strip()
        if process.wait() and "Traceback" in said or not lines[0]:
            raise SystemExit(f"benchmark: {' '.join(map(str, command))}\n{said[-2000:]}")
    process.stdout.close()
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return {
        "wall_s": wall_s,
        "first_s": first_s,
        "lines": lines,
        "cpu_s": usage.ru_utime + usage.ru_stime if usage else None,
        "peak_mb": usage.ru_maxrss * unit / 2**20 if usage else None,
    }


def part(name: str, folder: Path, *rest) -> dict:
    """Run one of PARTS in a process of its own; returns what it printed and what was seen from outside."""
    outside = run([PARTS, name, *rest], folder)
    return outside | json.loads(outside["lines"][-1])


def take_turns(turns: int, **calls: Callable[[], dict]) -> dict[str, dict]:
    """Each call by turns; of every figure the median."""
    results = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            results[name].append(call())
    return {name: {key: median([r[key] for r in several]) for key in several[0]} for name, several in results.items()}


def median(values: list):
    return statistics.median(values) if all(isinstance(value, (int, float)) for value in values) else values[0]


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


# Epochs of training: what lies between them is an epoch's. All fifty, which take less than what is set up for them.
FEW_AND_ALL = (2, 50)


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


def grow_loop(bench: Bench) -> dict:
    return {
        name: json.loads(run([PARTS, f"ours_{name}", bench.video, *bench.model], bench.folder)["lines"][-1])
        for name in ("faces", "sizes")
    }


def grow_gather(bench: Bench) -> dict:
    """Gathering one more video into a folder that holds so many crops."""
    rows = []
    for crops in (100, 1000, 5000, 20_000):
        folder = bench.dataset(crops) / "real"
        command = [ROOT / "gather_examples.py", "-i", bench.video, "-o", folder, "-d", WEIGHTS, "-s", 60]
        rows.append({"crops_there": crops // 2, "wall_s": run(command, bench.folder)["wall_s"]})
    return {"rows": rows}


def grow_train(bench: Bench) -> dict:
    rows = []
    for crops in (100, 1000, 5000, 20_000):
        # With many recordings an epoch is long enough to be told from little more.
        few, more = FEW_AND_ALL if crops <= 1000 else (2, 6)
        short, long = (part("ours_train", bench.folder, bench.dataset(crops), epochs) for epochs in (few, more))
        rows.append(
            {
                "crops": crops,
                "epoch_s": (long["fit_s"] - short["fit_s"]) / (more - few),
                "around_it_s": short["wall_s"] - short["fit_s"],
                "peak_mb": long["peak_mb"],
            }
        )
    return {"rows": rows}


MEASURE = {
    "loop": measure_loop,
    "start": measure_start,
    "memory": measure_memory,
    "gather": measure_gather,
    "train": measure_train,
}
GROWTH = {"loop": grow_loop, "gather": grow_gather, "train": grow_train}


# --- For people ---


def show_head(result: dict) -> None:
    m, v = result["machine"], result["video"]
    print(f"{m['processor']}, {m['cores']} cores, {m['system']}, Python {m['python']}, OpenCV {m['opencv']}")
    print(f"{Path(v['name']).name}: {v['frames']} frames of {v['width']}x{v['height']}\n")
    print(f"{'':36}{'ours':>10}{'original':>10}{'ratio':>8}")


def row(
    what: str, ours: float | None, original: float | None = None, ratio: float | None = None, digits: int = 1
) -> None:
    cells = ["" if value is None else f"{value:.{digits}f}" for value in (ours, original)]
    print(f"{what:36}{cells[0]:>10}{cells[1]:>10}{'' if ratio is None else f'{ratio:.1f}x':>8}")


def show(section: str, r: dict) -> None:
    if section in SHOW and "rows" not in r and "faces" not in r:
        SHOW[section](r)
    else:
        for name, rows in r.items():
            table(f"{section}: {name}", rows)
    print(flush=True)


def show_loop(r: dict) -> None:
    ours, original = r["ours"], r["original"]
    row("decision loop, frames/s", ours["fps"], original["fps"], r["ratio"])
    row(
        "  CPU s per minute at 30 frames/s",
        ours["cpu_s_per_minute"],
        original["cpu_s_per_minute"],
        original["cpu_s_per_minute"] / ours["cpu_s_per_minute"],
    )
    for stage, spent in r["stages_ms"].items():
        row(f"    {stage}, ms{' (where it is shown)' if stage == 'draw' else ''}", spent, digits=2)


def show_start(r: dict) -> None:
    row("start to first verdict, s", r["ours_s"], r["original_s"], r["ratio"], digits=2)
    row("    a bare script on these frames, s", r["bare_s"], r["original_s"], r["original_s"] / r["bare_s"], digits=2)
    names = {
        "python": "Python itself",
        "numpy": "+ NumPy",
        "opencv": "+ OpenCV",
        "modules": "+ our modules",
        "ours": "+ open all, look until sure",
    }
    for step, spent in r["where_ms"].items():
        row(f"    {names[step]}, ms", spent, digits=0)
    slowest = ", ".join(f"{name} {spent:.0f}" for name, spent in r["imports_ms"].items())
    print(f"    slowest imports (-X importtime), ms: {slowest}")


def show_memory(r: dict) -> None:
    row("peak memory, MB", r["ours_mb"], r["original_mb"], r["ratio"], digits=0)
    row("    of it Python, NumPy and OpenCV", r["opencv_mb"], digits=0)


def show_gather(r: dict) -> None:
    row(f"gather --skip {r['skip']}, frames/s", r["fps"])
    row("  crops/s", r["crops_per_s"])
    for stage, spent in r["stages_ms"].items():
        row(f"    {stage}, ms a crop", spent, digits=2)
    row("  share of the PNG encoder, %", 100 * r["png_share"], digits=0)


def show_train(r: dict) -> None:
    ours, original = r["ours"], r["original"]
    row(
        f"train on {r['crops']} crops, s an epoch",
        ours["epoch_s"],
        original["epoch_s"],
        original["epoch_s"] / ours["epoch_s"],
        digits=2,
    )
    row("  start to finish, 50 epochs, s", ours["fifty_epochs_s"], original["fifty_epochs_s"], r["ratio"])
    row("  augmentation's share of the CPU, %", 100 * ours["augmentation_share"], digits=0)


SHOW = {"loop": show_loop, "start": show_start, "memory": show_memory, "gather": show_gather, "train": show_train}


def table(title: str, rows: list[dict]) -> None:
    print(title)
    print("".join(f"{key:>20}" for key in rows[0]))
    for values in rows:
        print("".join(f"{value:>20}" if isinstance(value, int) else f"{value:>20.2f}" for value in values.values()))


if __name__ == "__main__":
    sys.exit(main())
