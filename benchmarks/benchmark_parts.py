"""What benchmark.py measures from within: each part runs in a process of its own and prints what it found as JSON.

python benchmarks/benchmark_parts.py ours_stages videos/real.mp4 liveness.model le.pickle
"""

import contextlib
import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the scripts do

import cv2  # noqa: E402
from benchmark_original import original_loop, original_train  # noqa: E402
from benchmark_ours import (  # noqa: E402
    CAMERA_FPS,
    decoded,
    ours_gather,
    ours_gather_stages,
    ours_loop,
    ours_stages,
    ours_train,
)
from growth_parts import ours_faces, ours_sizes  # noqa: E402


def set_up(video: str, sample: str) -> dict:
    """The machine, the sample videos (made if need be), and the video to measure on ("": the live one)."""
    from training.sample_video import make_sample

    real, fake = make_sample(Path(sample))
    chosen = Path(video) if video else real
    frames = decoded(chosen)
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "machine": {
            "processor": processor,
            "cores": cv2.getNumberOfCPUs(),
            "system": platform.system(),
            "python": platform.python_version(),
            "opencv": cv2.__version__,
        },
        "video": {
            "name": str(chosen),
            "frames": len(frames),
            "width": frames[0][2].shape[1],
            "height": frames[0][2].shape[0],
        },
        "sample": [str(real), str(fake)],
    }


def multiply(folder: str, target: str, count: str) -> dict:
    """So many crops, half of them fake, those in a folder over and over, as if of many recordings of 200 frames."""
    from capture import crops

    for label in ("real", "fake"):
        files = sorted(Path(folder, label).glob("*.png"))
        Path(target, label).mkdir(parents=True)
        for number in range(int(count) // 2):
            recording, frame = divmod(number, 200)
            crop = crops.read(files[number % len(files)])
            # Of one video they would be copies, which are learned from once.
            crops.write(
                Path(target, label),
                replace(
                    crop,
                    recording=f"r{recording}",
                    frame=frame,
                    source=f"{label}{recording}",
                    time_s=frame / CAMERA_FPS,
                ),
            )
    return {}


PARTS = {
    call.__name__: call
    for call in (
        set_up,
        multiply,
        ours_loop,
        ours_stages,
        ours_gather,
        ours_gather_stages,
        ours_train,
        ours_faces,
        ours_sizes,
        original_loop,
        original_train,
    )
}

if __name__ == "__main__":
    # What is measured may have something to say, too.
    with contextlib.redirect_stdout(sys.stderr):
        figures = PARTS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(figures))
