"""From a camera's pictures to a judgement: find the faces, follow them, score them, weigh the evidence.

    authenticator = Authenticator(Scorer(livenessnet.load(model, encoder), Witness()), Verdict())
    for index, time_s, frame, found in look_for_faces(source, FaceDetector("face_detector")):
        judgement = authenticator.judge(time_s, frame, found)
        judgement.state                 # CHECKING, AUTHORIZED or UNAUTHORIZED

In two steps, since faces may be looked for in the next picture while this one is judged, and in the first ones while
the network that judges is still being read.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from authentication.prominence import Prominence
from authentication.room import Room
from authentication.tracks import Track, Tracks
from authentication.verdict import (
    AUTHORIZED,
    CHALLENGE,
    CHECKING,
    PICTURE,
    REPLAY,
    TOO_SLOW,
    UNAUTHORIZED,
    UNKNOWN,
    Verdict,
)
from capture.ahead import Ahead
from capture.light import is_dark
from face_detector import FaceDetector
from model_file.scores import probability

# Faces are looked for while the networks that judge them are still being read: without them.
if TYPE_CHECKING:
    from authentication.challenge import Challenge, Followed
    from authentication.identity import Identity
    from authentication.prompts import Prompt
    from authentication.scoring import Scorer

log = logging.getLogger("liveness.authentication")

# Of many faces the largest are judged: a sheet of printed ones must not make the guard slow.
MOST_JUDGED = 4
# A user whose face is this many times smaller than when they were authorized has left the workstation.
SHRUNK = 0.5
# Another face of at least this share of its size makes a crowd, in which no challenge is asked.
CROWD = 0.5
# Fewer pictures a second, over the last PACE_S, are too few for a verdict; that is known after SHORTEST_PACE_S.
SLOWEST_PER_S, PACE_S, SHORTEST_PACE_S = 1.5, 4.0, 2.0
# An incident keeps so many raw frames, this far apart: about the second that led to the verdict.
EVIDENCE_FRAMES, EVIDENCE_GAP_S = 10, 0.1
# Faces of a file are looked for so many frames before they are judged, and at first in as many as can be while
# LivenessNet is being read: judging, which is the quicker of the two, then catches up.
FRAMES_AHEAD, AT_FIRST = 2, 8
NO_FACES = np.empty((0, 15), np.float32)
# What a track's state is called once it is a picture in the room.
ASIDE = "picture"


class Found(NamedTuple):
    """What there is to judge in a frame. dark: too dark, so nobody looked for faces. faces: (N, 15), as
    FaceDetector.detect returns them."""

    dark: bool
    faces: np.ndarray


class Face(NamedTuple):
    """A face of one picture. row: float32 (15,), as FaceDetector.detect returns it. track: its number. log_odds: of a
    live face, None where it was set aside at first sight. state: of its track: CHECKING, AUTHORIZED, UNAUTHORIZED, or
    ASIDE. prominent: it has consequences."""

    row: np.ndarray
    track: int
    log_odds: float | None
    state: str
    prominent: bool


@dataclass(frozen=True)
class Judgement:
    """What one picture showed, and what all of them came to so far.

    faces: those that are judged, in no order, and those that are set aside.
    dark: too dark to judge, so nobody looked for faces.
    state: CHECKING, AUTHORIZED or UNAUTHORIZED, of the most prominent track. track: its number, 0 while there is none.
    score: its p_real over the last moments, 0 to 1; the last one known where no face is in sight; 0 before the first.
    progress: share of the evidence that a verdict needs, 0 to 1.
    reason: why it is not authorized: REPLAY, CHALLENGE or STRANGER; while checking UNKNOWN, PICTURE, TOO_SLOW with its
        pictures a second, or "".
    prompt, sentence: what the challenge shows and what is to be spoken, None and "" where nothing.
    against: what speaks against all the faces so far, without an authorization: 1 is what a refusal needs.
    """

    faces: tuple[Face, ...] = ()
    dark: bool = False
    state: str = CHECKING
    track: int = 0
    score: float = 0.0
    progress: float = 0.0
    reason: str = ""
    prompt: "Prompt | None" = None
    sentence: str = ""
    against: float = 0.0


class Authenticator:
    """Judges who is before one camera, picture by picture.

    challenge: None where nobody is to turn the head. identity: None where whoever is live is authorized.
    related: False where the pictures of the source need not have to do with each other, as in a folder of stills.
    """

    def __init__(
        self,
        scorer: "Scorer",
        verdict: Verdict,
        challenge: "Challenge | None" = None,
        identity: "Identity | None" = None,
        related: bool = True,
    ):
        self._scorer, self._challenge, self._identity = scorer, challenge, identity
        self._tracks = Tracks(verdict.fresh, identity.test if identity else lambda: None, related)
        self._room = Room() if related else None
        self._prominence = Prominence()
        self._pace, self._evidence = Pace(), Evidence()
        self._score = 0.0

    def judge(self, time_s: float, frame: np.ndarray | None, found: Found) -> Judgement:
        """Take in the picture of that time, in seconds, never falling, and what was found in it; frame: uint8 (height,
        width, 3) BGR, None where the camera gave none."""
        seen = self._follow(time_s, frame, found.faces)
        track = self._prominence.choose(time_s, seen, self._tracks.ended)
        track, seen, judged = self._score_and_compare(time_s, frame, track, seen)
        for one in judged:
            one.judge()
        slow = self._pace.slow(time_s, frame is not None)
        state, reason = self._state(track, seen, slow)
        prompt, sentence = None, ""
        if self._challenge:
            passive, state = state, self._challenge.update(time_s, state, self._followed(track, seen, frame))
            prompt, sentence = self._challenge.prompt, self._challenge.sentence
            if state == UNAUTHORIZED != passive:
                reason = CHALLENGE
        if state == AUTHORIZED:
            self._prominence.authorized()
            track.authorized_size = track.authorized_size or track.size
        if seen:
            self._evidence.add(time_s, frame)
        if track and track.liveness.log_odds is not None:
            self._score = float(probability(track.liveness.log_odds))
        return Judgement(
            tuple(_face(one, one is track) for one in seen if one.aside or one in judged),
            found.dark,
            state,
            track.number if track else 0,
            self._score,
            _progress(track),
            reason,
            prompt,
            sentence,
            self._prominence.against,
        )

    def evidence(self) -> list[np.ndarray]:
        """The raw frames that an incident keeps, uint8 BGR, oldest first."""
        return self._evidence.frames()

    def _follow(self, time_s: float, frame: np.ndarray | None, faces: np.ndarray) -> list[Track]:
        """The tracks in this picture."""
        if frame is None:
            self._tracks.wait(time_s)
            return []
        seen = self._tracks.follow(time_s, frame, faces)
        if not self._room:
            return seen
        awake = self._room.look(time_s, frame, seen)
        self._room.forget(self._tracks.ended)
        left = [one for one in seen if _has_shrunk(one)]
        for one in left:
            one.forget()
        return [self._tracks.replace(one) if one in awake else one for one in seen]

    def _score_and_compare(
        self, time_s: float, frame: np.ndarray | None, track: Track | None, seen: list[Track]
    ) -> tuple[Track | None, list[Track], list[Track]]:
        """Ask the networks about this picture. Returns the most prominent track and those of this picture, which are
        others where a face turns out to be another than a moment ago, and those that are judged."""
        judged = sorted((one for one in seen if not one.aside), key=lambda one: -one.size)[:MOST_JUDGED]
        if track in seen and track not in judged:
            judged[-1] = track
        asked = [one for one in judged if self._identity and one in (track, self._prominence.contender)]
        compared = {one: self._identity.due(time_s, frame, one) for one in asked}
        compared = {one: ahead for one, ahead in compared.items() if ahead is not None}
        self._scorer.score(time_s, frame, judged, compared)
        for one, ahead in compared.items():
            if self._identity.compare(time_s, frame, one, ahead):
                continue
            other = self._tracks.replace(one)
            other.log_odds = one.log_odds
            seen, judged = ([other if each is one else each for each in tracks] for tracks in (seen, judged))
            track = self._prominence.choose(time_s, seen, [one])
        return track, seen, judged

    def _state(self, track: Track | None, seen: list[Track], slow: str) -> tuple[str, str]:
        """The state and its reason, without a challenge."""
        if slow:
            return CHECKING, slow
        if not track:
            return CHECKING, PICTURE if any(one.aside for one in seen) else ""
        if track.state == UNAUTHORIZED:
            return UNAUTHORIZED, track.reason or REPLAY
        if track.state == CHECKING and track.liveness.state == AUTHORIZED:
            return CHECKING, UNKNOWN
        return track.state, ""

    def _followed(self, track: Track | None, seen: list[Track], frame: np.ndarray | None) -> "Followed":
        """What the challenge has to know of this picture."""
        from authentication.challenge import Followed

        others = [one for one in seen if one is not track and not one.aside]
        crowd = track is not None and any(one.size >= CROWD * track.size for one in others)
        face = track.face if track in seen else None
        number = track.number if track else 0
        return Followed(
            number, face, crowd, picture=frame is not None, paused=frame is not None and self._tracks.paused
        )


class Pace:
    """How many pictures a second come, over the last PACE_S."""

    def __init__(self):
        self._times: deque[float] = deque()
        self._logged = False

    def slow(self, time_s: float, picture: bool) -> str:
        """Take in a moment, with a picture or without; why there can be no verdict, "" while there can."""
        if picture:
            self._times.append(time_s)
        while len(self._times) > 2 and self._times[0] <= time_s - PACE_S:
            self._times.popleft()
        # By the pictures that came; while none comes at all the camera has other troubles.
        lasted_s = self._times[-1] - self._times[0] if self._times else 0.0
        per_s = (len(self._times) - 1) / lasted_s if lasted_s else 0.0
        if lasted_s < SHORTEST_PACE_S or per_s >= SLOWEST_PER_S:
            self._logged = False
            return ""
        reason = f"{TOO_SLOW}: {per_s:.1f} pictures a second"
        if not self._logged:
            log.warning("no verdict: %s", reason)
        self._logged = True
        return reason


class Evidence:
    """The last frames with a face, a little apart from each other."""

    def __init__(self):
        self._frames: deque[np.ndarray] = deque(maxlen=EVIDENCE_FRAMES)
        self._last_s = float("-inf")

    def add(self, time_s: float, frame: np.ndarray) -> None:
        if time_s - self._last_s >= EVIDENCE_GAP_S:
            self._frames.append(frame)
            self._last_s = time_s

    def frames(self) -> list[np.ndarray]:
        return list(self._frames)


def _has_shrunk(track: Track) -> bool:
    return track.state == AUTHORIZED and track.size < SHRUNK * (track.authorized_size or 0.0)


def _progress(track: Track | None) -> float:
    """Share of the evidence that a verdict needs: that of the lesser where two tests must hold."""
    if not track:
        return 0.0
    liveness = abs(track.liveness.share)
    return min(liveness, abs(track.owner.share)) if track.owner else liveness


def _face(track: Track, prominent: bool) -> Face:
    return Face(track.face, track.number, track.log_odds, ASIDE if track.aside else track.state, prominent)


def find(detector: FaceDetector, frame: np.ndarray | None) -> Found:
    """Look for faces: uint8 (height, width, 3) BGR, None while the camera shows nothing.

    A frame that is dark, or none, is evidence of nothing.
    """
    dark = frame is not None and is_dark(frame)
    return Found(dark, NO_FACES if frame is None or dark else detector.detect(frame))


def look_for_faces(source, detector: FaceDetector) -> Iterator[tuple]:
    """The source's frames and what is found in them: (index, time_s, frame, Found). It has a close().

    A file's are looked into from now on, in a thread; a camera's when they are asked for, lest they be stale.
    """
    found = ((index, time_s, frame, find(detector, frame)) for index, time_s, frame in source.frames())
    return found if source.live else Ahead(found, FRAMES_AHEAD, AT_FIRST)
