"""Feeds damaged and made-up inputs to everything that reads what came from outside.

    python benchmarks/fuzz.py [--inputs 3000] [--keep FOLDER]
                              [model owners hdf5 labels settings weights witness picture video]

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
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
sys.path[:0] = map(str, (ROOT, ROOT / "benchmarks", TESTS, TESTS / "model_file", TESTS / "anti_spoofing"))

from fuzz_targets import TARGETS, Target  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TIME_LIMIT_S = 20.0
NO_ANSWER, ENDED = "no answer", "the process ended"


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
