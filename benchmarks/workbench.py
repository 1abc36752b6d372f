"""What benchmark.py and growth.py work on and with: a video, a model, a dataset; and processes, seen from outside."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Neither OpenCV nor NumPy here, nor where this is imported: what a process of ours has in memory when it starts
# another would count as the other's.
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "face_detector"
PARTS = Path(__file__).resolve().with_name("benchmark_parts.py")
# Epochs of training: what lies between them is an epoch's. All fifty, which take less than what is set up for them.
FEW_AND_ALL = (2, 50)


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

    def model_with_owner(self) -> str:
        """The same model, and in it the face of the video, enrolled from its crops."""
        model, crops = self.folder / "owner.model", self.folder / "owner-crops"
        if not model.exists():
            shutil.copyfile(self.model[0], model)
            run([ROOT / "gather_examples.py", "-i", self.video, "-o", crops, "-d", WEIGHTS, "-s", "4"], self.folder)
            run(
                [ROOT / "train.py", "--add-owner", "benchmark", crops, "--model", model, "--detector", WEIGHTS],
                self.folder,
            )
        return str(model)

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
                "--detector",
                WEIGHTS,
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
