"""How often is an owner refused, and a stranger taken for one? Not part of the test run.

    python benchmarks/owner_rates.py VIDEOS [--same SCENE SCENE ...] [--of SCENE ...]

VIDEOS holds a folder for each scene with a recording of one live face, real.*, and, if you like, a replay, fake.*,
whose face is another stranger's to everybody else. --same names scenes of one person, or of people who may be one:
those are not compared. --of: only these scenes, as owners and as strangers.

Each person is enrolled from one half of the recording, by gather_examples.py's crops and train.py's enrolment, and
meets the authenticator in the other half; then the same the other way round. Everybody else is a stranger to all of
them. Every face scores as live here. Reported are, in the terms of ISO/IEC 19795-1,

  FNMR, FMR     share of the comparison scores on the wrong side of the threshold: of an owner's, of a stranger's
  verdicts      whom the authenticator takes the face for, at first and at any time

with intervals from drawing people, not frames, anew (bootstrap, 95 %); where nobody failed, 3 / the number of people.
"""

import argparse
import itertools
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gather_examples
from authentication.authenticator import Authenticator, find
from authentication.identity import LOOKS_PER_S, THRESHOLD, Identity
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict
from capture import crops
from capture.opening import open_source
from face_detector import FaceDetector
from face_recognizer import Recognizer, unfit
from training.enrolment import Nobody, enrol

WEIGHTS = Path(__file__).resolve().parent.parent / "face_detector"
DRAWS = 2000
OWNER, STRANGER = "owner", "stranger"
WHO = {AUTHORIZED: OWNER, UNAUTHORIZED: STRANGER}


class Owner(NamedTuple):
    """One enrolled from the first half of a scene, which ends at middle_s, or from the second. templates: float32
    (N, 128)."""

    scene: str
    first: bool
    middle_s: float
    templates: np.ndarray


class Meeting(NamedTuple):
    """What came of an owner's templates and a recording. owner, scene: whose they are. own: the owner's other half.
    scores: of the comparisons. verdicts: OWNER and STRANGER, or what there was of them, the first one first."""

    owner: str
    scene: str
    own: bool
    scores: np.ndarray
    verdicts: list[str]


class Remembering:
    """A recognizer that is asked once for each face, however many owners it is compared with."""

    def __init__(self):
        self._recognizer, self._known = Recognizer(), {}

    def embed(self, frame: np.ndarray, face: np.ndarray) -> np.ndarray:
        key = face.tobytes()
        if key not in self._known:
            self._known[key] = self._recognizer.embed(frame, face)
        return self._known[key]


class Live:
    """A scorer for which every face is live."""

    def score(self, time_s: float, frame: np.ndarray, tracks: list, now=()) -> None:
        for track in tracks:
            track.log_odds = 9.0


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    logging.getLogger("liveness").setLevel(logging.ERROR)  # a slow recording would be told of at each meeting
    detector = FaceDetector(WEIGHTS)
    who = {scene: names[0] for names in args.same for scene in names}
    scenes = [folder.name for folder in sorted(args.videos.iterdir()) if folder.is_dir()]
    scenes = [scene for scene in scenes if not args.of or scene in args.of]
    owners = [owner for scene in scenes for owner in enrolled(args.videos, scene, detector)]
    meetings = []
    for scene, kind in itertools.product(scenes, ("real", "fake")):
        for file in files_of(args.videos, scene, kind):
            strangers = [one for one in owners if who.get(one.scene, one.scene) != who.get(scene, scene)]
            own = [one for one in owners if kind == "real" and one.scene == scene]
            meetings += meet(file, scene, own, strangers, detector, args.threshold)
    report(
        [one._replace(owner=who.get(one.owner, one.owner), scene=who.get(one.scene, one.scene)) for one in meetings],
        args.threshold,
    )
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("videos", type=Path)
    parser.add_argument("--same", nargs="+", action="append", default=[], metavar="SCENE")
    parser.add_argument("--of", nargs="+", metavar="SCENE")
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    return parser.parse_args(argv)


def files_of(videos: Path, scene: str, kind: str) -> list[Path]:
    return [file for file in sorted((videos / scene).glob(f"{kind}.*")) if file.is_file()]


def enrolled(videos: Path, scene: str, detector: FaceDetector) -> list[Owner]:
    """From both halves of the scene's live recording, as gather_examples.py and train.py would."""
    owners = []
    for file in files_of(videos, scene, "real"):
        with tempfile.TemporaryDirectory() as folder, open_source(str(file)) as source:
            looker = gather_examples.Looker(detector, None)
            gather_examples.gather(source, [looker], Path(folder), 4, None)
            paths = sorted(Path(folder).glob("*.png"))
            times = np.array([crops.read(path).time_s for path in paths])
            middle_s = source.length / source.fps / 2 if source.length else float(np.median(times))
            for first in (True, False):
                rows = np.flatnonzero((times < middle_s) == first)
                try:
                    one = enrol([paths[row] for row in rows], np.full(len(rows), scene), times[rows], detector)
                except Nobody as nobody:
                    print(f"{scene}, {'first' if first else 'second'} half: nobody enrolled: {nobody}")
                    continue
                owners.append(Owner(scene, first, middle_s, one.templates))
    return owners


def meet(
    file: Path, scene: str, own: list[Owner], strangers: list[Owner], detector: FaceDetector, threshold: float
) -> list[Meeting]:
    """Show a recording to all of them at once."""
    recognizer = Remembering()
    owners = own + strangers
    identities = [Identity(recognizer, [one.templates], Verdict(), threshold) for one in owners]
    authenticators = [Authenticator(Live(), Verdict(), None, identity) for identity in identities]
    states: list[list[str]] = [[] for _ in owners]
    looks, reasons, next_s = [], Counter(), 0.0
    with open_source(str(file)) as source:
        for _, time_s, frame in source.frames():
            found = find(detector, frame)
            for one, authenticator, seen in zip(owners, authenticators, states):
                if one in own and (time_s < one.middle_s) == one.first:
                    continue  # what it was enrolled from
                seen.append(authenticator.judge(time_s, frame, found).state)
            if len(found.faces) and time_s >= next_s:
                next_s = time_s + 1 / LOOKS_PER_S
                face = max(found.faces, key=lambda face: face[2] * face[3])
                reasons[reason := unfit(frame, face)] += 1
                if not reason:
                    looks.append((time_s, recognizer.embed(frame, face)))
    told = ", ".join(f"{reason or 'fit'} {count}" for reason, count in reasons.most_common())
    print(f"{file}: looks: {told}", flush=True)
    return [met(one, scene, one in own, looks, seen) for one, seen in zip(owners, states)]


def met(owner: Owner, scene: str, own: bool, looks: list, states: list[str]) -> Meeting:
    scores = [
        (owner.templates @ embedding).max()
        for time_s, embedding in looks
        if not own or (time_s >= owner.middle_s) == owner.first
    ]
    verdicts = dict.fromkeys(WHO[state] for state in states if state != CHECKING)
    return Meeting(owner.scene, scene, own, np.array(scores), [*verdicts])


def report(meetings: list[Meeting], threshold: float) -> None:
    genuine = [one for one in meetings if one.own]
    others = [one for one in meetings if not one.own]
    print(
        f"\n{len({one.owner for one in genuine})} owners, {len(genuine)} meetings with themselves; "
        f"{len(others)} meetings with {len({one.scene for one in others})} strangers; threshold {threshold}"
    )
    for name, met, wrong in (("FNMR", genuine, lambda s: s < threshold), ("FMR", others, lambda s: s >= threshold)):
        print(f"{name}: {interval([(one, wrong(one.scores).mean()) for one in met if len(one.scores)])}")
    for name, met, wrong in (("owners", genuine, STRANGER), ("strangers", others, OWNER)):
        firsts = Counter((*one.verdicts, "nobody known")[0] for one in met)
        ever = [(one, float(wrong in one.verdicts)) for one in met]
        print(f"{name}: first verdicts {dict(firsts)}; ever taken for {wrong}: {interval(ever)}")
    lowest = sorted((one.scores.min(), one.owner) for one in genuine if len(one.scores))
    highest = sorted(((one.scores.max(), one.owner, one.scene) for one in others if len(one.scores)), reverse=True)
    print("lowest of owners: " + ", ".join(f"{name} {score:.2f}" for score, name in lowest[:6]))
    print("highest of strangers: " + ", ".join(f"{scene} as {name} {score:.2f}" for score, name, scene in highest[:6]))


def interval(shares: list[tuple[Meeting, float]]) -> str:
    """The mean share, each meeting counting alike, and where it lies when people are drawn anew."""
    people = sorted({name for one, _ in shares for name in (one.owner, one.scene)})
    values = np.array([share for _, share in shares])
    mean = values.mean()
    if mean == 0:
        return f"0 [0, {min(1, 3 / len({one.owner for one, _ in shares})):.2f}]"
    rng = np.random.default_rng(0)
    place = {name: n for n, name in enumerate(people)}
    rows = np.array([(place[one.owner], place[one.scene]) for one, _ in shares])
    means = []
    for _ in range(DRAWS):
        drawn = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))
        # A meeting of two people is there as often as both are; one with oneself as often as that one is.
        weights = np.where(rows[:, 0] == rows[:, 1], drawn[rows[:, 0]], drawn[rows[:, 0]] * drawn[rows[:, 1]])
        if weights.sum():
            means.append(np.average(values, weights=weights))
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    sys.exit(main())
