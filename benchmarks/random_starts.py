"""How real recordings fare when somebody looks in at a random moment: verdict_rates.py --videos.

    random_starts.measure(args)     # prints a sentence and a table

FOLDER holds a folder for each scene, with a live face in real.* and a replay in fake.*, or one of them; folders of
stills are left out. Each recording is read once, at most MOST_S of it; the networks score each face of each picture.
These scores then go through the real authenticator, as often as there are starts. A recording is played to and fro,
so that it has no end and no cut, and a start is any picture in it, in either direction.

  first verdict     of a fresh authenticator within ASKED_S: right, wrong or none; and the median time to it
  errors an hour    of a guard that watches for GUARD_S from a start on: locks of a live face (one for each track that
                    is refused, as in a session), or passes of a replay (changes to "authorized"; one that passes at
                    once and stays authorized makes 60)
  refusals, minutes until a replay is authorized by a gate that is asked again and again, each time from another start,
                    and that is closed by the lockout meanwhile

All recordings weigh alike. Intervals (95 %) are from drawing recordings, not starts, anew (bootstrap).
"""

import argparse
import itertools
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import livenessnet
from anti_spoofing import Witness
from authentication.authenticator import Authenticator, Found, Judgement, find
from authentication.gate import Gate
from authentication.lockout import Lockout
from authentication.scoring import LOOKS_PER_S
from authentication.session import Outcome
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict
from capture.opening import open_source
from face_detector import FaceDetector, reach, view
from model_file.scores import fuse

WEIGHTS = Path(__file__).resolve().parent.parent / "face_detector"
# Of a recording. Its pictures are kept so small, in pixels: tracks and room shrink a face further.
MOST_S, SIDE = 40.0, 320
# A usual --timeout of a gate, and how long a guard watches.
ASKED_S, GUARD_S = 10.0, 60.0
DRAWS = 2000
# Where a face's scores stand, behind what FaceDetector gives of it: the anti-spoofing network's, and what LivenessNet
# adds to it.
SPOOF, ADDED = 15, 16


class Picture(NamedTuple):
    """time_s: when it was taken. frame: uint8 (height, width, 3) BGR. found: the rows of its faces go up to ADDED."""

    time_s: float
    frame: np.ndarray
    found: Found


class Asked(NamedTuple):
    """What came of a start. judgement: the first verdict, or what there was after ASKED_S. time_s: when. errors: of the
    guard; None where none watched."""

    judgement: Judgement
    time_s: float
    errors: int | None


class Row(NamedTuple):
    """Of a recording. right, wrong, none: shares of the starts. first_s: median time to the first verdict. per_h:
    errors an hour. refusals, minutes: until a pass. NaN where there is none."""

    name: str
    live: bool
    right: float
    wrong: float
    none: float
    first_s: float
    per_h: float
    refusals: float = np.nan
    minutes: float = np.nan


class KnownScores:
    """Takes a Scorer's place: gives the scores that its networks gave, as often as they would be asked."""

    def score(self, time_s: float, frame: np.ndarray, tracks: list, now=()) -> None:
        for track in tracks:
            if track in now or track.spoof_rate.due(time_s, LOOKS_PER_S):
                track.spoof_rate.done(time_s, LOOKS_PER_S)
                track.spoof_log_odds = float(track.face[SPOOF])
            value = track.spoof_log_odds + float(track.face[ADDED])
            track.log_odds = value if value == value else -np.inf


class CountedLockout(Lockout):
    """A lockout with a clock of its own: now_s. refusals: so many so far."""

    def __init__(self, folder: Path):
        super().__init__(lambda: folder, "boot", lambda: self.now_s)
        self.now_s, self.refusals = 0.0, 0

    def refused(self) -> None:
        self.refusals += 1
        super().refused()


def add_options(group) -> None:
    group.add_argument("--videos", type=Path, metavar="FOLDER", help="a folder for each scene, with real.* or fake.*")
    group.add_argument("-m", "--model", type=Path)
    group.add_argument("-l", "--le", type=Path)
    group.add_argument("--of", nargs="+", metavar="SCENE", help="these scenes only")
    group.add_argument("--starts", type=int, default=200, help="for each video (200)")
    group.add_argument("--hours-per-video", type=float, default=0.25, help="that guards watch (0.25)")
    group.add_argument("--seed", type=int, default=0)


def measure(args: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    logging.getLogger("liveness").setLevel(logging.ERROR)  # a slow recording would be told of at each start
    read = reader(args.model, args.le)
    rows = []
    for file in sorted(args.videos.glob("*/*.*")):
        if file.stem in ("real", "fake") and file.is_file() and file.parent.name in (args.of or [file.parent.name]):
            print(file, file=sys.stderr)
            rows.append(row_of(file, read(file), args))
    report(rows, args)


def reader(model: Path, encoder: Path) -> Callable[[Path], list[Picture]]:
    """What reads a recording."""
    network, anti_spoofing, detector = livenessnet.load(model, encoder), Witness(), FaceDetector(WEIGHTS)

    def known(frame: np.ndarray, face: np.ndarray) -> list[float]:
        box = face[:4]
        around = reach(frame.shape, box)
        own = network.log_odds(view(frame, box, network.margin, network.input_size)[None], np.array([around]))
        added = fuse(np.zeros(1), own, network.weight, np.array([around]))
        return [*face, anti_spoofing.look(frame, box), float(added[0])]

    def read(file: Path) -> list[Picture]:
        pictures = []
        with open_source(str(file)) as source:
            for _, time_s, frame in itertools.takewhile(lambda item: item[1] <= MOST_S, source.frames()):
                dark, faces = find(detector, frame)
                rows = np.array([known(frame, face) for face in faces], np.float32).reshape(-1, ADDED + 1)
                scale = min(1.0, SIDE / max(frame.shape[:2]))
                rows[:, :14] *= scale
                small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                pictures.append(Picture(time_s, small, Found(dark, rows)))
        return pictures

    return read


def row_of(file: Path, pictures: list[Picture], args: argparse.Namespace) -> Row:
    live = file.stem == "real"
    right, wrong = (AUTHORIZED, UNAUTHORIZED) if live else (UNAUTHORIZED, AUTHORIZED)
    rng = np.random.default_rng([args.seed, *file.parent.name.encode(), live])
    guards = round(args.hours_per_video * 3600 / GUARD_S)
    asked = [play(pictures, rng, wrong, guard=number < guards) for number in range(max(args.starts, guards))]
    errors = [one.errors for one in asked if one.errors is not None]
    starts = asked[: args.starts]
    states = [one.judgement.state for one in starts]
    times = [one.time_s for one in starts if one.judgement.state != CHECKING]
    return Row(
        f"{file.parent.name}/{file.name}",
        live,
        *(states.count(state) / len(states) for state in (right, wrong, CHECKING)),
        statistics.median(times) if times else np.nan,
        sum(errors) / (guards * GUARD_S / 3600) if guards else np.nan,
        *(() if live else until_a_pass(starts)),
    )


def play(pictures: list[Picture], rng: np.random.Generator, wrong: str, guard: bool) -> Asked:
    """From a random start on, until ASKED_S or the first verdict, and where a guard watches until GUARD_S."""
    authenticator = Authenticator(KnownScores(), Verdict())
    asked, errors, was_wrong = None, 0, None
    for time_s, picture in to_and_fro(pictures, rng):
        judgement = authenticator.judge(time_s, picture.frame, picture.found)
        if asked is None and (judgement.state != CHECKING or time_s >= ASKED_S):
            asked = Asked(judgement, time_s, None)
        if asked and (not guard or time_s >= GUARD_S):
            return asked._replace(errors=errors) if guard else asked
        who = judgement.track if wrong == UNAUTHORIZED else wrong
        if judgement.state == wrong:
            errors += who != was_wrong
            was_wrong = who
        # A session locks again after somebody was authorized, or for another track, not for one that was in doubt.
        elif judgement.state == AUTHORIZED or wrong == AUTHORIZED:
            was_wrong = None


def to_and_fro(pictures: list[Picture], rng: np.random.Generator) -> Iterator[tuple[float, Picture]]:
    """Endless: time and picture, from any picture on and in any direction."""
    turn = [*pictures, *pictures[-2:0:-1]]
    time_s, place = 0.0, int(rng.integers(len(turn)))
    for before, picture in itertools.pairwise(itertools.chain(turn[place:], itertools.cycle(turn))):
        yield time_s, before
        time_s += abs(picture.time_s - before.time_s)


def until_a_pass(starts: list[Asked]) -> tuple[float, float]:
    """Mean refusals and minutes, those of lockouts among them, until a gate authorizes; NaN where it never does."""
    passes = 0
    with tempfile.TemporaryDirectory() as folder:
        lockout = CountedLockout(Path(folder))
        gate = Gate("0", armed=True, as_json=False, lockout=lockout)
        for one in starts:
            lockout.now_s += lockout.left_s() + one.time_s
            gate.count(Outcome(one.judgement, one.time_s, "", False), live=True)
            passes += one.judgement.state == AUTHORIZED
    return (lockout.refusals / passes, lockout.now_s / passes / 60) if passes else (np.nan, np.nan)


def report(rows: list[Row], args: argparse.Namespace) -> None:
    live, attacks = ([row for row in rows if row.live == side] for side in (True, False))
    print(
        f"Of {len(live)} live recordings {sum(row.right == 1 for row in live)} are authorized first from all of "
        f"{args.starts} random starts, and {sum(not row.per_h for row in live)} are never refused by guards that watch "
        f"for {args.hours_per_video:g} h; of {len(attacks)} replays {sum(not row.wrong for row in attacks)} are "
        f"authorized first from none, and {sum(not row.per_h for row in attacks)} are never let in by a guard.\n"
    )
    print("| | right | wrong | none in 10 s | median s | errors an hour | refusals before a pass | minutes to it |")
    print("| --- |" + " --- |" * 7)
    for row in rows:
        refusals = [f"{value:.1f}" if value == value else "never" for value in (row.refusals, row.minutes)]
        shares = [f"{100 * share:.0f} %" for share in (row.right, row.wrong, row.none)]
        cells = [*shares, f"{row.first_s:.2f}", f"{row.per_h:.1f}", *(["", ""] if row.live else refusals)]
        print(f"| {row.name} | {' | '.join(cells)} |")
    for name, some in (("all live", live), ("all replays", attacks)):
        if some:
            print(f"| **{name}** ({len(some)}) | {' | '.join(summary(some, name == 'all live'))} |")
    if attacks:
        share = interval([not row.wrong for row in attacks], np.mean, 100, 0, " %", of_share=True)
        print(f"\nReplays that never pass: {share}.")


def summary(rows: list[Row], live: bool) -> list[str]:
    columns = list(zip(*(row[2:] for row in rows)))
    cells = [interval(column, np.mean, 100, 1, " %", of_share=True) for column in columns[:3]]
    cells += [interval(columns[3], np.nanmedian, 1, 2), interval(columns[4], np.mean, 1, 1)]
    return [*cells, "", ""] if live else [*cells, *(interval(column, np.nanmean, 1, 1) for column in columns[5:])]


def interval(values, mean: Callable, times: float, digits: int, unit: str = "", of_share: bool = False) -> str:
    """The mean of all recordings, and where it lies when recordings are drawn anew; where all are alike, by the rule of
    three for a share, and nowhere else."""
    values = np.array(values, float)
    if np.isnan(values).all():
        return "never"
    drawn = values[np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))]
    drawn = drawn[~np.isnan(drawn).all(axis=1)]
    low, high = np.quantile(mean(drawn, axis=1), (0.025, 0.975))
    said = f"{times * mean(values):.{digits}f}{unit}"
    if np.ptp(values) == 0:
        if not of_share:
            return said
        low, high = max(0.0, values[0] - 3 / len(values)), min(1.0, values[0] + 3 / len(values))
    return f"{said} [{times * low:.{digits}f}, {times * high:.{digits}f}]"
