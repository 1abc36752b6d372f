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
from typing import NamedTuple

# NumPy's algebra starts a thread for each core and spends 20 to 60 ms on it; nothing here multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Windows opens some cameras after a minute without it (OpenCV issue 17687); OpenCV reads it when it is imported.
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

import cv2
import numpy as np

from anti_spoofing import Witness, WitnessMissing
from capture import crops
from capture.address import shown
from capture.ahead import spread
from capture.opening import open_source
from capture.source import SourceError
from face_detector import CROP_MARGIN, UPRIGHT, FaceDetector, cut, sharpness, turn_of
from options import Parser, at_least_one, fail, make_words_safe, positive, share
from storage.user_error import UserError

# Frames are worked on by a thread for each processor, up to so many: then the decoder is the slowest.
MOST_WORKERS = 8
# A narrower face, in pixels, leaves a crop below the 64 pixels that the network looks at.
SMALLEST_FACE = 24
# A camera that shows nothing for so long ends the gathering.
LOST_S = 10.0
# How much a face loses by being blurred once more, see face_detector.sharpness. Measured on three live faces and their
# replays: 2.4 to 4.3 as recorded, 1.6 to 2.1 when blurred by 3 % of the face's width, 1.3 to 1.7 by 6 %.
LEAST_SHARPNESS = 1.9
# What is wrong with a recording whose faces stand upright once it is turned so.
LYING = {
    cv2.ROTATE_90_CLOCKWISE: ("lies on its side", "a quarter turn clockwise"),
    cv2.ROTATE_90_COUNTERCLOCKWISE: ("lies on its side", "a quarter turn counterclockwise"),
    cv2.ROTATE_180: ("stands on its head", "half a turn"),
}
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
        lookers = [Looker(detector, witness) for detector, witness in zip(detectors, witnesses(workers))]
        with open_source(args.input) as source:
            if args.seconds and not source.live:
                raise SourceError(f"--seconds is for cameras and streams; {source.name} ends by itself")
            # A folder holds few frames that were chosen already, such as the ten of an incident.
            skip = args.skip or (1 if source.stills else 16)
            counts = gather(source, lookers, args.output, skip, args.seconds)
    except UserError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{args.output}: cannot be written ({error.strerror}); choose another --output")
    name = shown(args.input)
    report(counts, name, args.output, skip)
    if not counts["kept"] + counts["already there"]:
        return fail(f"{name}: nothing to keep: no frame of it shows exactly one face, large and sharp enough")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-i", "--input", required=True, help="video file, camera number or folder of frames")
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder for the crops; made if missing")
    parser.add_argument("-d", "--detector", default="face_detector", help="folder of the face detector's weights")
    parser.add_argument("-c", "--confidence", type=share, default=0.5, help="lowest score of a face, 0 to 1 (0.5)")
    parser.add_argument("-s", "--skip", type=at_least_one, help="use every Nth frame (16; of a folder 1)")
    parser.add_argument("--seconds", type=positive, help="camera: stop after so long (else with Ctrl-C)")
    return parser.parse_args(argv)


class Looker(NamedTuple):
    """What one thread works with; neither can be shared. witness: None where it cannot be had."""

    detector: FaceDetector
    witness: Witness | None


def witnesses(count: int) -> list[Witness | None]:
    """So many, or as many times None and a line about it. Raises WitnessError."""
    try:
        return [Witness() for _ in range(count)]
    except WitnessMissing as missing:
        print(f"{missing}; train.py will ask it about the crops, which show it less", file=sys.stderr)
        return [None] * count


def gather(source, lookers: list[Looker], folder: Path, skip: int, seconds: float | None) -> Counter:
    """Write the crop of every frame with exactly one face; returns how many frames went which way.

    lookers: one for each thread that is to work.
    Raises SourceError, and keeps nothing, if the faces lie on their side or stand on their head.
    """
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    gathering = Gathering(source, lookers, folder, skip)
    total = math.ceil(source.length / skip) if source.length else None
    frames = pictures(source, skip)
    if seconds:
        frames = itertools.takewhile(lambda item: item[1] < seconds, frames)
    # Ctrl-C is how a recording from the camera ends: the crops that are begun are written whole, and counted.
    with (
        contextlib.suppress(KeyboardInterrupt),
        contextlib.closing(spread(gathering.extract, frames, len(lookers))) as steps,
    ):
        # disable=None: no bar where nobody watches, in a log file or a pipe.
        for _ in tqdm(steps, total=total, unit="frame", desc=source.name, disable=None):
            pass
    if fault := lying(gathering.turns):
        for path in gathering.written:
            path.unlink()
        advice = "turn the camera upright" if source.live else f"give it {fault[1]} in a video editor, and gather that"
        raise SourceError(f"{source.name}: {fault[0]}; {advice}")
    return Counter(gathering.outcomes, used=len(gathering.outcomes))


class Gathering:
    """One recording's crops in the making. outcomes: "kept", or one of REASONS; written: the crops; turns: which way
    up some of the frames are, see turn_of()."""

    def __init__(self, source, lookers: list[Looker], folder: Path, skip: int):
        self.outcomes: list[str] = []
        self.written: list[Path] = []
        self.turns: list[int] = []
        self._folder, self._skip = folder, skip
        self._fingerprint = source.fingerprint()
        self._recording = crops.recording_for(folder, source.stem, self._fingerprint)
        self._free: queue.SimpleQueue[Looker] = queue.SimpleQueue()
        for looker in lookers:
            self._free.put(looker)

    def extract(self, item: tuple[int, float, np.ndarray]) -> None:
        """Write the crop of one frame, if it is fit. Many threads may be here. Raises OSError."""
        looker = self._free.get()
        try:
            self.outcomes.append(self._extract(looker, *item) or "kept")
        finally:
            self._free.put(looker)

    def _extract(self, looker: Looker, index: int, time_s: float, frame: np.ndarray) -> str:
        """Returns why the frame gives no crop, one of REASONS, or ""."""
        faces = looker.detector.detect(frame)
        number = index // self._skip
        if number < 8 or number & (number - 1) == 0:  # 0 to 8, 16, 32 ...: a few of any recording
            turn = turn_of(looker.detector, frame)
            self.turns.extend([] if turn is None else [turn])
        reason = unfit(frame, faces)
        if not reason and crops.path_of(self._folder, self._recording, index).exists():
            reason = "already there"
        if not reason:
            picture, inside = cut(frame, faces[0, :4])
            word = looker.witness.look(frame, faces[0, :4]) if looker.witness else None
            crop = crops.Crop(
                picture, self._recording, index, self._fingerprint, time_s, CROP_MARGIN, tuple(inside), word
            )
            self.written.append(crops.write(self._folder, crop))
        return reason


def lying(turns: list[int]) -> tuple[str, str] | None:
    """What is wrong with a recording, and what mends it, if most of its pictures have to be turned, by turn_of()."""
    turn, votes = Counter(turns).most_common(1)[0] if turns else (UPRIGHT, 0)
    return LYING.get(turn) if votes > max(1, len(turns) / 2) else None


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
    if sharpness(frame, faces[0, :4]) < LEAST_SHARPNESS:
        return "too blurred"
    return ""


def report(counts: Counter, name: str, folder: Path, skip: int) -> None:
    every = "" if skip == 1 else f" (every {skip}{ordinal(skip)})"
    used, kept = counts["used"], counts["kept"]
    print(f"{name} -> {folder}: {used} frame{'s' * (used != 1)} used{every}, {kept} crop{'s' * (kept != 1)} kept")
    for reason, note in REASONS.items():
        if counts[reason]:
            print(f"  {reason}: {counts[reason]}{note}")


def ordinal(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


if __name__ == "__main__":
    sys.exit(main())
