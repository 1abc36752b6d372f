"""Leave the authenticator running for long, and see whether it grows: memory, threads, files, processes.

    python benchmarks/soak.py --model sample/liveness.model --le sample/le.pickle --minutes 60 --plot soak.png

Not part of the test run; Linux only (/proc). The live sample video and its simulated replay alternate every
twenty seconds, with pauses between, as a file that is played as fast as it can be: an hour takes some minutes. The
run is armed, with a lock command that does nothing and a mail server that is not there, and writes annotated video,
scores, log and incidents. Every second of it memory, threads, open files and child processes are noted. Exit
status 1 if one of them grew: memory by more than 5 % after the first minute.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from training.sample_video import make_sample  # noqa: E402

FPS, SIDE = 30, (320, 240)
STRETCH_S, PAUSE_S = 20, 2
WARM_UP_S, GROWTH = 60, 1.05
# Pauses of the mail, of its retries and of incidents belong to a clock that does not run faster.
SETTINGS = """
[email]
host = "127.0.0.1"
port = 9
security = "tls"
username = "soak@example.com"
sender = "soak@example.com"
recipient = "soak@example.com"
timeout_s = 1
[location]
url = "http://127.0.0.1:9/"
timeout_s = 1
[lock]
command = ["true"]
[incidents]
cooldown_s = 5
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--le", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=60, help="of video (60)")
    parser.add_argument("--plot", type=Path, help="draw the curves here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "alerts.toml").write_text(SETTINGS)
        write_video(folder / "day.mp4", round(args.minutes * 60 * FPS))
        began = time.monotonic()
        samples, status, complaints = run(folder, args)
        lasted = time.monotonic() - began
        incidents = len(list((folder / "incidents").glob("[0-9]*")))
    if args.plot:
        plot(args.plot, samples)
    return report(samples, status, complaints, incidents, args.minutes * 60 / lasted)


def write_video(path: Path, count: int) -> None:
    """Live face, empty room, replay, empty room, and so on."""
    videos = [frames_of(file) for file in make_sample(ROOT / "sample" / "videos")]
    empty = np.full((SIDE[1], SIDE[0], 3), 90, np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, SIDE)
    turn = (STRETCH_S + PAUSE_S) * FPS
    for number in range(count):
        stretch, place = divmod(number, turn)
        frames = videos[stretch % 2]
        writer.write(frames[place % len(frames)] if place < STRETCH_S * FPS else empty)
    writer.release()


def frames_of(path: Path) -> list[np.ndarray]:
    """Forward and back, so that there is no jump where it begins anew."""
    video, frames = cv2.VideoCapture(str(path)), []
    while (item := video.read())[0]:
        frames.append(cv2.resize(item[1], SIDE))
    return frames + frames[-2:0:-1]


def run(folder: Path, args: argparse.Namespace) -> tuple[np.ndarray, int, str]:
    """Columns of the samples: seconds, megabytes, threads, open files, children."""
    process = subprocess.Popen(
        [
            sys.executable,
            ROOT / "liveness_main.py",
            "-m",
            args.model.resolve(),
            "-l",
            args.le.resolve(),
            "-d",
            ROOT / "face_detector",
            "--source",
            "day.mp4",
            "--arm",
            "--no-display",
            "--no-voice",
            "--output",
            "out.avi",
            "--scores",
            "scores.csv",
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LIVENESS_SMTP_PASSWORD": "none"},
    )
    samples, began = [], time.monotonic()
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - began, *measure(process.pid)))
        except (FileNotFoundError, ProcessLookupError):  # it ended in between
            break
        time.sleep(1)
    complaints = process.communicate()[1]
    return np.array(samples), process.returncode, complaints


def measure(pid: int) -> tuple[float, int, int, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (
        int(status["VmRSS"].split()[0]) / 1024,
        int(status["Threads"]),
        len(os.listdir(f"/proc/{pid}/fd")),
        len(children),
    )


def report(samples: np.ndarray, status: int, complaints: str, incidents: int, speed: float) -> int:
    warm = samples[samples[:, 0] >= WARM_UP_S]
    if len(warm) < 2:
        print(f"too short: give more --minutes, so that it runs for longer than {WARM_UP_S} s")
        return 1
    print(f"{speed:.1f} times real time, {incidents} incidents, exit status {status}")
    grew = bool(status)
    for column, name, unit in ((1, "memory", " MB"), (2, "threads", ""), (3, "open files", ""), (4, "children", "")):
        # The second half against the first: what comes and goes is no growth.
        early, late = (half[:, column].max() for half in np.array_split(warm, 2))
        limit = early * GROWTH if column == 1 else early
        grew |= late > limit
        print(
            f"{name:<11} {samples[0, column]:.0f} at the start, then at most {early:.1f}{unit} in the first half "
            f"and {late:.1f}{unit} in the second{'  GREW' if late > limit else ''}"
        )
    if complaints:
        print(complaints.strip())
    return int(grew)


def plot(path: Path, samples: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (memory, counts) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    memory.plot(samples[:, 0], samples[:, 1])
    memory.set(ylabel="resident memory, MB", ylim=(0, None))
    for column, name in ((2, "threads"), (3, "open files"), (4, "child processes")):
        counts.plot(samples[:, 0], samples[:, column], label=name)
    counts.set(xlabel="seconds of running", ylim=(0, None))
    counts.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
