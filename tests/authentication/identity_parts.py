"""Somebody before the camera. What the networks would say of them is given; all that follows from it is real."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import cv2
import numpy as np
from heads import HEAD, seen, turned

from authentication.authenticator import NO_FACES, Authenticator, Found, Judgement
from authentication.identity import Identity
from authentication.prompts import Prompt
from authentication.tracks import Track
from authentication.verdict import Verdict

LIVE, FAKE = 3.0, -3.0  # log odds
OWNER, STRANGER = 0.65, 0.10  # comparison scores
AWAY, BOWED = 60.0, 25.0  # degrees; whose face it is cannot be told of one that is so far bowed
HEIGHT, WIDTH = 480, 640
TEMPLATES = [np.eye(2, dtype=np.float32)[:1]]


@dataclass(frozen=True)
class Somebody:
    """x, y, size: the middle and the height of their face, in pixels. looks: other ones look otherwise. live: log odds.
    like: comparison score with the owner. turn, bow: degrees. head: gives the face instead."""

    x: float = 200
    y: float = 200
    size: float = 160
    looks: str = "one"
    live: float = LIVE
    like: float = OWNER
    turn: float = 0.0
    bow: float = 0.0
    head: Callable[[float, Prompt | None], np.ndarray] | None = None

    def but(self, **changes) -> "Somebody":
        return replace(self, **changes)

    def row(self, time_s: float = 0.0, prompt: Prompt | None = None) -> np.ndarray:
        """float32 (15,), as of FaceDetector.detect."""
        if self.head:
            return self.head(time_s, prompt)[0].astype(np.float32)
        at = self.x / self.size, self.y / self.size
        return seen(HEAD, turned(self.turn, pitch=5 + self.bow), self.size, at).astype(np.float32)


@lru_cache(maxsize=200)
def drawn(faces: tuple[tuple[int, int, int, int, str], ...]) -> np.ndarray:
    """Faces in these boxes, each unlike any that looks otherwise; "blurred ..." is the one of that name, blurred."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for x, y, w, h, looks in faces:
        random = np.random.default_rng(zlib.crc32(looks.removeprefix("blurred ").encode()))
        coarse, fine = (
            cv2.resize(random.integers(0, 256, (side, side, 3), np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
            for side in (6, 48)
        )
        face = coarse if looks.startswith("blurred ") else cv2.addWeighted(coarse, 0.7, fine, 0.3, 0)
        place = frame[max(y, 0) : y + h, max(x, 0) : x + w]
        place[:] = face[max(-y, 0) :, max(-x, 0) :][: place.shape[0], : place.shape[1]]
    return frame


def picture(*people: Somebody, time_s: float = 0.0, prompt: Prompt | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The frame and what the detector finds in it."""
    rows = [person.row(time_s, prompt) for person in people]
    frame = drawn(tuple((*row[:4].round().astype(int).tolist(), person.looks) for row, person in zip(rows, people)))
    return frame, np.array(rows) if rows else NO_FACES


class Networks:
    """In place of the scorer and of the recognizer: gives what the people in view are said to have."""

    def __init__(self):
        self.people: dict[tuple, Somebody] = {}
        self.compared: list[Somebody] = []

    def score(self, time_s: float, frame, tracks: list[Track], now=()) -> None:
        for track in tracks:
            track.log_odds = self.people[tuple(track.face[:4])].live

    def embed(self, frame, face) -> np.ndarray:
        self.compared.append(self.people[tuple(face[:4])])
        like = self.compared[-1].like
        return np.array([like, (1 - like**2) ** 0.5], np.float32)


Seen = list[tuple[float, Judgement]]  # seconds since it began, and the judgement of each picture


class Desk:
    """A camera with an authenticator behind it. owner: asks whose face it is. judgement: the last one."""

    def __init__(self, fps: float = 30, owner: bool = False, challenge=None, related: bool = True, **bounds):
        self.networks, self.fps, self.time_s = Networks(), fps, 0.0
        verdict = Verdict(**bounds)
        identity = Identity(self.networks, TEMPLATES, verdict) if owner else None
        self.authenticator = Authenticator(self.networks, verdict, challenge, identity, related)
        self.judgement = Judgement()

    def see(self, seconds: float, *people: Somebody) -> Seen:
        """Pictures of these people for so long."""
        began_s, track = self.time_s, []
        for _ in range(round(seconds * self.fps)):
            frame, rows = picture(*people, time_s=self.time_s, prompt=self.judgement.prompt)
            self.networks.people = {tuple(row[:4]): person for row, person in zip(rows, people)}
            self.judgement = self.authenticator.judge(self.time_s, frame, Found(False, rows))
            track.append((self.time_s - began_s, self.judgement))
            self.time_s += 1 / self.fps
        return track

    def no_picture(self, seconds: float) -> Seen:
        """The camera gives none for so long."""
        began_s, track = self.time_s, []
        for _ in range(round(seconds * 5)):
            self.judgement = self.authenticator.judge(self.time_s, None, Found(False, NO_FACES))
            track.append((self.time_s - began_s, self.judgement))
            self.time_s += 1 / 5
        return track


def states(track: Seen) -> list[str]:
    """Those that follow each other."""
    return [state for state, _ in groupby(judgement.state for _, judgement in track)]


def first(track: Seen, state: str) -> float:
    """When that state was reached, in seconds."""
    return next((since_s for since_s, judgement in track if judgement.state == state), math.inf)
