"""Cut faces out of a video or camera, as examples to train on.

    python gather_examples.py --input videos/fake.mp4 --output dataset/fake --detector face_detector --skip 1
    python gather_examples.py --input videos/real.mp4 --output dataset/real --detector face_detector --skip 4
    python gather_examples.py --input 0 --seconds 20 --output dataset/real      # from the camera
    python gather_examples.py --input incidents/<id> --output dataset/real      # a wrong verdict, put right

The folder's name is the label: real or fake. Crops are named after the video and the frame, so videos add up,
and gathering one twice changes nothing. Left out is what would mislead training: frames with more than one face,
since which of them the label speaks of cannot be known (the hand that holds the phone has a face behind it), and
faces too small or too blurred to tell anything.
"""

import argparse
import contextlib
import itertools
import math
import os
import queue
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# NumPy's algebra starts a thread for each core and spends 20 to 60 ms on it; nothing here multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from capture import crops  # noqa: E402
from capture.ahead import spread  # noqa: E402
from capture.opening import open_source  # noqa: E402
from capture.source import SourceError  # noqa: E402
from face_detector import CROP_MARGIN, DetectorError, FaceDetector, cut  # noqa: E402
from options import Parser, at_least_one, fail, make_words_safe, positive, share  # noqa: E402

# Frames are worked on by a thread for each processor, up to so many: then the decoder is the slowest.
MOST_WORKERS = 8
# A narrower face, in pixels, leaves a crop below the 64 pixels that the network looks at.
SMALLEST_FACE = 24
# A camera that shows nothing for so long ends the gathering.
LOST_S = 10.0
# How much a face loses by being blurred once more, see sharpness(). Measured on three live faces and their replays:
# 2.4 to 4.3 as recorded, 1.6 to 2.1 when blurred by 3 % of the face's width, 1.3 to 1.7 by 6 %.
LEAST_SHARPNESS = 1.9
# What is left out of a recording, and why.
REASONS = {
    "already there": "",
    "without a face": "",
    "ambiguous": " (more than one face)",
    "too small": f" (face below {SMALLEST_FACE} pixels)",
    "too blurred": "",
}


def main(argv: list[str] | None = None) -> int:
    make_words_safe()
    args = parse(argv)
    try:
        # OpenCV's own threads would only be in the way of the workers.
        cv2.setNumThreads(1)
        workers = min(cv2.getNumberOfCPUs(), MOST_WORKERS)
        detectors = [FaceDetector(args.detector, args.confidence) for _ in range(workers)]
        with open_source(args.input) as source:
            if args.seconds and not source.live:
                raise SourceError(f"--seconds is for cameras and streams; {args.input} ends by itself")
            counts = gather(source, detectors, args.output, args.skip, args.seconds)
    except (SourceError, DetectorError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{args.output}: cannot be written ({error.strerror}); choose another --output")
    report(counts, args)
    if not counts["kept"] + counts["already there"]:
        return fail(f"{args.input}: nothing to keep: no frame of it shows exactly one face, large and sharp enough")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-i", "--input", required=True, help="video file, camera number or folder of frames")
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder for the crops; made if missing")
    parser.add_argument("-d", "--detector", default="face_detector", help="folder of the face detector's weights")
    parser.add_argument("-c", "--confidence", type=share, default=0.5, help="lowest score of a face, 0 to 1 (0.5)")
    parser.add_argument("-s", "--skip", type=at_least_one, help="use every Nth frame (16; of a folder 1)")
    parser.add_argument("--seconds", type=positive, help="camera: stop after so long (else with Ctrl-C)")
    args = parser.parse_args(argv)
    if args.skip is None:
        # A folder holds few frames that were chosen already, such as the ten of an incident.
        args.skip = 1 if Path(args.input).is_dir() else 16
    return args


def gather(source, detectors: list[FaceDetector], folder: Path, skip: int, seconds: float | None) -> Counter:
    """Write the crop of every frame with exactly one face; returns how many frames went which way.

    detectors: one for each thread that is to work; a detector cannot be shared.
    """
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = source.fingerprint()
    recording = recording_name(folder, source.stem, fingerprint)
    free: queue.SimpleQueue[FaceDetector] = queue.SimpleQueue()
    for detector in detectors:
        free.put(detector)
    outcomes: list[str] = []

    def extract(item: tuple[int, float, np.ndarray]) -> None:
        index, time_s, frame = item
        detector = free.get()
        try:
            faces = detector.detect(frame)
        finally:
            free.put(detector)
        reason = unfit(frame, faces)
        if not reason and crops.path_of(folder, recording, index).exists():
            reason = "already there"
        if not reason:
            picture, inside = cut(frame, faces[0, :4])
            crop = crops.Crop(picture, recording, index, fingerprint, time_s, CROP_MARGIN, tuple(inside))
            crops.write(folder, crop)
        outcomes.append(reason or "kept")

    total = math.ceil(source.length / skip) if source.length else None
    frames = pictures(source, skip)
    if seconds:
        frames = itertools.takewhile(lambda item: item[1] < seconds, frames)
    # Ctrl-C is how a recording from the camera ends: the crops that are begun are written whole, and counted.
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(spread(extract, frames, len(detectors))) as steps:
        # disable=None: no bar where nobody watches, in a log file or a pipe.
        for _ in tqdm(steps, total=total, unit="frame", desc=source.name, disable=None):
            pass
    return Counter(outcomes, used=len(outcomes))


def pictures(source, skip: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """The source's frames, without a camera's gaps; raises SourceError when one lasts for ten seconds."""
    last_s = 0.0
    for index, time_s, frame in source.frames(skip):
        if frame is not None:
            last_s = time_s
            yield index, time_s, frame
        elif source.trouble and time_s - last_s > LOST_S:
            raise SourceError(f"{source.name}: no picture for {LOST_S:.0f} s; is it connected, uncovered and lit?")


def unfit(frame: np.ndarray, faces: np.ndarray) -> str:
    """Why a frame makes no example, one of REASONS, or "". faces: (N, >=4), as FaceDetector.detect returns them."""
    if len(faces) != 1:
        return "ambiguous" if len(faces) else "without a face"
    if faces[0, 2:4].max() < SMALLEST_FACE:
        return "too small"
    if sharpness(cut(frame, faces[0, :4], margin=1.0, side=64)[0]) < LEAST_SHARPNESS:
        return "too blurred"
    return ""


def sharpness(face: np.ndarray) -> float:
    """How many times weaker the face's fine detail gets by blurring: little is left to lose in a blurred one.

    face: uint8 (64, 64, 3) BGR. Neither brightness nor contrast counts.
    Idea: F. Crete et al., "The blur effect", Human Vision and Electronic Imaging XII, 2007.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.7)  # noise and the blocks of compression are no detail
    detail, blurred = (
        np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in (grey, cv2.GaussianBlur(grey, (0, 0), 2))
    )
    return float(detail / max(blurred, 1e-3))


def recording_name(folder: Path, stem: str, fingerprint: str) -> str:
    """The video's stem; with -2, -3 ... behind it if another video of that name was gathered here before."""
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        before = next((path for path in sorted(folder.glob("*.png")) if crops.origin(path)[0] == name), None)
        crop = before and crops.read(before)
        if before is None or (crop and crop.source == fingerprint):
            return name


def report(counts: Counter, args: argparse.Namespace) -> None:
    every = "" if args.skip == 1 else f" (every {args.skip}{ordinal(args.skip)})"
    print(f"{args.input} -> {args.output}: {counts['used']} frames used{every}, {counts['kept']} crops kept")
    for reason, note in REASONS.items():
        if counts[reason]:
            print(f"  {reason}: {counts[reason]}{note}")


def ordinal(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


if __name__ == "__main__":
    sys.exit(main())
