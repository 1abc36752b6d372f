"""From a camera's frames to a verdict: find the faces, score them, weigh the evidence, ask whose they are, challenge.

    authenticator = Authenticator(Scorer(livenessnet.load(model, encoder), Witness()), Verdict())
    for index, time_s, frame, found in look_for_faces(source, FaceDetector("face_detector")):
        look = authenticator.judge(time_s, frame, found)
        look.state                      # CHECKING, AUTHORIZED or UNAUTHORIZED

In two steps, since faces may be looked for in the next frame while this one is judged, and in the first ones while
the network that judges is still being read.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from authentication.verdict import (
    AUTHORIZED,
    CHALLENGE,
    REPLAY,
    STRANGER,
    UNAUTHORIZED,
    UNKNOWN,
    Verdict,
)
from capture.ahead import Ahead
from capture.light import is_dark
from face_detector import FaceDetector

# Faces are looked for while the networks that judge them are still being read: without them.
if TYPE_CHECKING:
    from authentication.challenge import Challenge
    from authentication.identity import Identity
    from authentication.prompts import Prompt
    from authentication.scoring import Scorer

# An incident keeps so many raw frames, this far apart: about the second that led to the verdict.
EVIDENCE_FRAMES, EVIDENCE_GAP_S = 10, 0.1
# Faces of a file are looked for so many frames before they are judged, and at first in as many as can be while
# LivenessNet is being read: judging, which is the quicker of the two, then catches up.
FRAMES_AHEAD, AT_FIRST = 2, 8
NO_FACES = np.empty((0, 15), np.float32)


class Found(NamedTuple):
    """What there is to judge in a frame. dark: too dark, so nobody looked for faces. faces: (N, 15), as
    FaceDetector.detect returns them."""

    dark: bool
    faces: np.ndarray


@dataclass(frozen=True)
class Look:
    """What one frame showed, and what all of them came to so far.

    faces: (N, 15), as FaceDetector.detect returns them. scores: their p_real, 0 to 1.
    dark: too dark to judge, so nobody looked for faces.
    state: CHECKING, AUTHORIZED or UNAUTHORIZED. score: p_real over the last moments; the last one known where no
        face is in sight; 0 before the first face.
    progress: share of the evidence that a verdict needs, 0 to 1.
    visit: changes with the face it is about, and with what makes the same verdict news.
    reason: why it is not authorized, REPLAY, CHALLENGE or STRANGER; UNKNOWN while that is all that is checked; else "".
        Only after REPLAY the score is what speaks against the face.
    prompt, sentence: what the challenge shows and what is to be spoken, None and "" where nothing.
    """

    faces: np.ndarray
    scores: list[float]
    dark: bool
    state: str
    score: float
    progress: float
    visit: tuple[int, int, int]
    reason: str
    prompt: "Prompt | None"
    sentence: str

    @property
    def told(self) -> str:
        """The state in words; of a stranger that he is one."""
        return f"{self.state} ({self.reason})" if self.reason == STRANGER else self.state


class Authenticator:
    """Judges who stands before one camera, frame by frame.

    challenge: None where nobody is to turn the head. identity: None where whoever is live is authorized.
    """

    def __init__(
        self,
        scorer: "Scorer",
        verdict: Verdict,
        challenge: "Challenge | None" = None,
        identity: "Identity | None" = None,
    ):
        self._scorer, self._verdict, self._challenge, self._identity = scorer, verdict, challenge, identity
        self._evidence = Evidence()
        self._score = 0.0

    def judge(self, time_s: float, frame: np.ndarray | None, found: Found) -> Look:
        """Take in the frame of that time, in seconds, never falling, and what was found in it."""
        dark, faces = found
        scores = self._scorer.scores(time_s, frame, faces)
        verdict, identity, challenge = self._verdict, self._identity, self._challenge
        state, prompt, sentence = verdict.update(time_s, min(scores, default=None)), None, ""
        reason = REPLAY if state == UNAUTHORIZED else ""
        progress = abs(verdict.confidence)
        if identity:
            whose = identity.update(time_s, frame, faces)
            progress = min(progress, identity.progress)
            if state == AUTHORIZED != whose:
                state, reason = whose, STRANGER if whose == UNAUTHORIZED else UNKNOWN
        if challenge:
            passive, state = state, challenge.update(time_s, faces, state)
            prompt, sentence = challenge.prompt, challenge.sentence
            if state == UNAUTHORIZED != passive:
                reason = CHALLENGE
        if len(faces):
            self._evidence.add(time_s, frame)
        if verdict.score is not None:
            self._score = verdict.score
        visit = verdict.visit, identity.visit if identity else 0, challenge.visit if challenge else 0
        return Look(faces, scores, dark, state, self._score, progress, visit, reason, prompt, sentence)

    def evidence(self) -> list[np.ndarray]:
        """The raw frames that an incident keeps, uint8 BGR, oldest first."""
        return self._evidence.frames()


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
