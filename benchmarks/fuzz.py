"""Feeds damaged and made-up inputs to everything that reads what came from outside.

    python benchmarks/fuzz.py [--inputs 3000] [--keep FOLDER] [model hdf5 labels settings weights witness picture video]

Property-based: Hypothesis makes each input out of genuine ones, by changing bytes, numbers, records or parts of them
(checksums put right, so that the change gets past them), or out of the pieces that the format is made of. Each is
handed to a process that reads it as the scripts do. Allowed is that it is used, or refused with the error that the
reader documents, in one line. Findings are everything else: another exception, the end of the process, more than
TIME_LIMIT_S, more memory than the target may use, a trace of code that was run.

Ends with a table, status 1 if there were findings; --keep writes the inputs behind them into a folder.
tests/test_fuzz.py runs a fast part of this in the suite.
"""

import argparse
import collections
import contextlib
import math
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT, ROOT / "benchmarks", ROOT / "tests" / "model_file", ROOT / "tests" / "anti_spoofing"))

import numpy as np  # noqa: E402
from fuzz_inputs import (  # noqa: E402
    Genuine,
    broken,
    changed_archive,
    changed_boxes,
    changed_png,
    damaged,
    genuine_crop,
    genuine_encoders,
    genuine_hdf5,
    genuine_models,
    genuine_pictures,
    genuine_videos,
    pickles,
    toml,
)
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TIME_LIMIT_S = 20.0
NO_ANSWER, ENDED = "no answer", "the process ended"


# --- Readers: each says how it went, or raises ---


def one_line(error: Exception) -> str:
    assert "\n" not in str(error) and len(str(error)) < 1000, f"not one line: {error!r:.200}"
    return "refused"


def read_model(path: Path) -> str:
    import livenessnet
    from model_file.scores import fuse, probability

    encoder = path.with_name("le.pickle")
    if not encoder.exists():
        encoder.write_bytes(genuine_encoders()[4])
    try:
        network = livenessnet.load(path, encoder)
    except livenessnet.ModelError as error:
        return one_line(error)
    for faces in (1, 3):
        log_odds = network.log_odds(np.full((faces, network.input_size, network.input_size, 3), 90, np.uint8), 0.6)
        scores = probability(fuse(np.zeros(faces), log_odds, network.weight))
        assert scores.shape == (faces,) and (scores >= 0).all() and (scores <= 1).all(), scores
    return "used"


def read_hdf5(path: Path) -> str:
    import livenessnet
    from model_file import original

    try:
        original._load_hdf5(path, path.read_bytes())
    except livenessnet.ModelError as error:
        return one_line(error)
    return "used"


def read_labels(path: Path) -> str:
    import livenessnet

    before = sorted(os.listdir(path.parent))
    try:
        assert sorted(livenessnet.read_labels(path)) == ["fake", "real"]
        return "used"
    except livenessnet.ModelError as error:
        return one_line(error)
    finally:
        assert sorted(os.listdir(path.parent)) == before, "it made something"
        assert not any(name in sys.modules for name in ("numpy.f2py", "sklearn")), "it imported something"


def read_settings(path: Path) -> str:
    import alerts

    try:
        settings = alerts.load_settings(path)
    except alerts.SettingsError as error:
        return one_line(error)
    numbers = [
        settings.location.timeout_s,
        settings.alarm.seconds,
        settings.incidents.cooldown_s,
        settings.email.timeout_s,
    ]
    assert all(map(math.isfinite, numbers))
    texts = [
        settings.email.host,
        settings.email.username,
        settings.alarm.device,
        settings.location.url,
        *settings.lock.command,
    ]
    assert not any("\0" in text for text in texts), "nothing outside takes a NUL"
    return "used"


def read_weights(path: Path) -> str:
    from face_detector import DetectorError, FaceDetector
    from face_detector.yunet import WEIGHTS

    weights = path.with_name(WEIGHTS)
    path.replace(weights)
    try:
        FaceDetector(path.parent)
    except DetectorError as error:
        return one_line(error)
    return "used"


def read_witness(path: Path) -> str:
    from anti_spoofing.pytorch_file import PyTorchFileError, read

    try:
        tensors = read(path.read_bytes())
    except PyTorchFileError as error:
        return one_line(error)
    assert all(isinstance(name, str) and values.dtype in ("f4", "i8") for name, values in tensors.items())
    return "used"


def read_picture(path: Path) -> str:
    from capture import crops

    crop = crops.read(path)
    if crop is None:
        return "refused"
    assert crop.picture.dtype == np.uint8 and crop.picture.ndim == 3 and crop.picture.shape[2] == 3
    assert crop.time_s is None or math.isfinite(crop.time_s)
    assert crop.margin is None or 0 < crop.margin < math.inf
    assert len(crop.inside) == 4 and all(0 <= edge <= 1 for edge in crop.inside)
    return "used"


def read_video(path: Path) -> str:
    from capture.opening import open_source
    from capture.source import SourceError

    try:
        with open_source(str(path)) as source:
            assert 1 <= source.fps <= 1000 and (source.length is None or source.length > 0)
            last = -1.0
            for index, time_s, frame in source.frames():
                assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 and frame.size
                assert math.isfinite(time_s) and time_s >= last, f"time {time_s} after {last}"
                assert time_s <= 60 * (index + 1), f"{time_s} s at frame {index}"
                last = time_s
                if index >= 200:
                    break
    except SourceError as error:
        return one_line(error)
    return "used"


@dataclass(frozen=True)
class Target:
    """memory_mb: how much more than before any one input may take."""

    read: Callable[[Path], str]
    inputs: Callable[[Path], st.SearchStrategy[bytes]]
    suffix: str
    memory_mb: int
    apart: bool = False  # the scripts, too, read it in a process of its own, with a time limit


def _model_inputs(folder: Path):
    archives = genuine_models(folder)
    return st.one_of(damaged(archives), *[changed_archive(archive) for archive in archives * 2])


def _picture_inputs(folder: Path):
    crop = genuine_crop(folder)
    return st.one_of(broken(genuine_pictures(folder)), changed_png(crop), changed_png(crop))


def _video_inputs(folder: Path):
    videos = genuine_videos(folder)
    return st.one_of(broken(videos), damaged(videos, 12), changed_boxes(videos[0]))


def _settings_inputs(folder: Path):
    example = (ROOT / "alerts.example.toml").read_bytes()
    return st.one_of(
        toml(), toml(), damaged([example]), damaged([example.replace(b"# ", b"")]), st.binary(max_size=200)
    )


def _weights_inputs(folder: Path):
    from face_detector.yunet import WEIGHTS

    return broken([Genuine((ROOT / "face_detector" / WEIGHTS).read_bytes())])


def _witness_inputs(folder: Path):
    from pytorch_parts import file_of

    tensors = {"a.weight": np.zeros((3, 4), np.float32), "a.count": np.array(5), "b.bias": np.ones(4, np.float32)}
    genuine = Genuine(file_of(tensors))
    return st.one_of(pickles([genuine]), damaged([genuine], 2))


TARGETS = {
    "model": Target(read_model, _model_inputs, ".model", 300),
    "hdf5": Target(read_hdf5, lambda folder: broken(genuine_hdf5(folder)), ".h5", 500, apart=True),
    "labels": Target(read_labels, lambda folder: pickles(genuine_encoders()), ".pickle", 100),
    "settings": Target(read_settings, _settings_inputs, ".toml", 100),
    "weights": Target(read_weights, _weights_inputs, ".onnx", 100),
    "witness": Target(read_witness, _witness_inputs, ".pth", 100),
    "picture": Target(read_picture, _picture_inputs, ".png", 600),
    "video": Target(read_video, _video_inputs, ".mp4", 800),
}


# --- Running ---


class Reader:
    """A process that reads one input after another; whatever happens to it happens to it alone."""

    def __init__(self, target: str):
        self._target = target
        self._process: subprocess.Popen | None = None

    def read(self, data: bytes) -> str:
        """ "used", "refused" or what went wrong."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--read", self._target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._process.stdout.readline()  # it is ready: importing does not count
        late = threading.Timer(TIME_LIMIT_S, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(struct.pack("<I", len(data)) + data)
            self._process.stdin.flush()
            answer = self._process.stdout.readline().decode().strip()
        except BrokenPipeError:
            answer = ""
        hung = not late.is_alive()
        late.cancel()
        if answer:
            return answer
        status = self._process.wait()
        return f"{NO_ANSWER} in {TIME_LIMIT_S:g} s" if hung else f"{ENDED} with status {status}"

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()


def serve(target: Target) -> None:
    """The reading process: inputs from standard input, one line for each on what was standard output."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "input" + target.suffix)
        warm_up = bytes(100)
        path.write_bytes(warm_up)
        target.read(path)
        print("ready", file=answers)
        while head := sys.stdin.buffer.read(4):
            path.write_bytes(sys.stdin.buffer.read(*struct.unpack("<I", head)))
            forget_peak()
            before = peak_mb()
            try:
                answer = target.read(path)
            except BaseException as error:  # the very thing that is looked for
                answer = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
            grown = peak_mb() - before
            print(f"{grown:.0f} MB of memory" if grown > target.memory_mb else answer, file=answers)


def forget_peak() -> None:
    """Let peak_mb() begin anew, where that is possible (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """The most memory that this process has had so far; 0 where the system does not say."""
    # Linux hands the parent's peak down to a new process in ru_maxrss, but not here.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / (1 << 10)
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def run(
    name: str, inputs: int, strategy: st.SearchStrategy[bytes] | None = None, keep: Path | None = None, seeded: int = 0
) -> tuple[collections.Counter, dict[str, bytes]]:
    """Counts of what happened, and for each kind of finding the first input behind it."""
    counts: collections.Counter = collections.Counter()
    findings: dict[str, bytes] = {}
    reader = Reader(name)
    with tempfile.TemporaryDirectory() as folder:
        if strategy is None:
            strategy = TARGETS[name].inputs(Path(folder))

        @seed(seeded)
        @settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def feed(data: bytes) -> None:
            answer = reader.read(data)
            if TARGETS[name].apart and answer.startswith((NO_ANSWER, ENDED)):
                answer = "refused"
            counts[answer if answer in ("used", "refused") else "findings"] += 1
            if answer not in ("used", "refused"):
                findings.setdefault(answer, data)

        try:
            feed()
        finally:
            reader.close()
    if keep and findings:
        keep.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(findings.values()):
            (keep / f"{name}-{number}{TARGETS[name].suffix}").write_bytes(data)
    return counts, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=3000, help="for each target (3000)")
    parser.add_argument("--seed", type=int, default=0, help="another number makes other inputs (0)")
    parser.add_argument("--keep", type=Path, help="write the inputs behind findings into this folder")
    parser.add_argument("--read", choices=TARGETS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        serve(TARGETS[args.read])
        return 0
    if unknown := set(args.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    found = False
    print("| target | inputs | used | refused | findings | minutes |\n| --- | --- | --- | --- | --- | --- |")
    for name in args.targets or TARGETS:
        began = time.monotonic()
        counts, findings = run(name, args.inputs, keep=args.keep, seeded=args.seed)
        print(
            f"| {name} | {counts.total()} | {counts['used']} | {counts['refused']} | {counts['findings']} "
            f"| {(time.monotonic() - began) / 60:.1f} |",
            flush=True,
        )
        for finding in findings:
            print(f"  {name}: {finding}", flush=True)
        found = found or bool(findings)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
