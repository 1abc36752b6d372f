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
import itertools
import math
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import crops
from face_detector import CROP_MARGIN, DetectorError, FaceDetector, cut
from options import Parser, at_least_one, fail, positive, share
from video_source import SourceError, open_source

# A narrower face, in pixels, leaves a crop below the 64 pixels that the network looks at.
SMALLEST_FACE = 24
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
    args = parse(argv)
    try:
        detector = FaceDetector(args.detector, args.confidence)
        with open_source(args.input) as source:
            if args.seconds and not source.live:
                raise SourceError(f"--seconds is for cameras and streams; {args.input} ends by itself")
            counts = gather(source, detector, args.output, args.skip, args.seconds)
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
    parser.add_argument("-s", "--skip", type=at_least_one, default=16, help="use every Nth frame (16)")
    parser.add_argument("--seconds", type=positive, help="camera: stop after so long (else with Ctrl-C)")
    return parser.parse_args(argv)


def gather(source, detector: FaceDetector, folder: Path, skip: int, seconds: float | None) -> Counter:
    """Write the crop of every frame with exactly one face; returns how many frames went which way."""
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = source.fingerprint()
    recording = recording_name(folder, source.stem, fingerprint)
    counts = Counter()
    total = math.ceil(source.length / skip) if source.length else None
    frames = source.frames(skip)
    if seconds:
        frames = itertools.takewhile(lambda item: item[1] < seconds, frames)
    # disable=None: no bar where nobody watches, in a log file or a pipe.
    bar = tqdm(frames, total=total, unit="frame", desc=source.name, disable=None)
    try:
        for index, time_s, frame in bar:
            counts["used"] += 1
            faces = detector.detect(frame)
            reason = unfit(frame, faces)
            if not reason and crops.path_of(folder, recording, index).exists():
                reason = "already there"
            if reason:
                counts[reason] += 1
                continue
            picture, inside = cut(frame, faces[0, :4])
            crops.write(folder, crops.Crop(picture, recording, index, fingerprint, time_s, CROP_MARGIN, tuple(inside)))
            counts["kept"] += 1
    except KeyboardInterrupt:
        # How a recording from the camera ends; what is written is whole.
        pass
    finally:
        bar.close()
    return counts


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
