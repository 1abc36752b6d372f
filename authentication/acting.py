"""What a judgement leads to: consequences first, then words about them.

acting = Acting(source.name, authenticator, consequences, words)
acting.act(time_s, frame, judgement)            # each picture
leaving.act(time_s, judgement)                  # ... and the lock when nobody is in sight
"""

import logging
import queue
import threading
from typing import Protocol

import numpy as np

from authentication.absence import Absence
from authentication.authenticator import ASIDE, Authenticator, Judgement
from authentication.verdict import AUTHORIZED, CHALLENGE, CHECKING, PICTURE, STRANGER, TOO_SLOW, UNAUTHORIZED, UNKNOWN

log = logging.getLogger("liveness.authentication")

# How long the session waits at its end for a standard output that blocks.
LAST_WORDS_S = 1.0
# A user is greeted again after an absence of this many seconds.
AWAY_S = 60.0
# A refused face that stays has consequences again, but not before the lock has had this long to come about.
# Further ones follow after the cool-down, and no sooner than this where there is none.
LOCKS_WITHIN_S, SOONEST_AGAIN_S = 4.0, 1.0


class Consequences(Protocol):
    """What a verdict leads to. No method may wait for a disk, a sound or a network, or raise."""

    @property
    def ready(self) -> bool:
        """Whether another unauthorized face would be acted on now."""

    @property
    def status(self) -> str:
        """What was done about the last unauthorized face, in a few words; "" for nothing yet."""

    def say(self, text: str, overtake: bool = False) -> None:
        """Speak a sentence, with `overtake` before those that wait."""

    def authorized(self, score: float, greet: bool) -> None:
        """Somebody is authorized now. score: p_real, 0 to 1. greet: and was not a minute ago."""

    def unauthorized(
        self, snapshot: np.ndarray, evidence: list[np.ndarray], score: float, source: str, reason: str
    ) -> bool:
        """Act on an unauthorized face. snapshot: uint8 BGR, the box drawn. evidence: raw frames, oldest first; all
        pictures are given away. score: p_real, 0 to 1. reason: REPLAY, CHALLENGE or STRANGER."""

    @property
    def locked(self) -> bool:
        """Whether the screen was known to be locked a moment ago; asked only while nobody is in sight, or a refused
        face stays."""

    def lock_again(self) -> None:
        """Lock, and nothing else: somebody was authorized during the cool-down, and another face is refused now."""

    def away(self) -> None:
        """Lock: nobody has been in sight for too long."""

    @property
    def away_status(self) -> str:
        """What became of that lock, in a few words; "" before there was one."""


class Words:
    """Says lines on standard output, in a thread: a full pipe, Ctrl-S, or text that is being selected in a window of
    Windows may hold them up for as long as somebody likes."""

    def __init__(self):
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def say(self, line: str) -> None:
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="words", daemon=True)
            self._thread.start()
        self._lines.put(line)

    def close(self) -> None:
        self._lines.put(None)
        if self._thread:
            self._thread.join(LAST_WORDS_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            print(line, flush=True)


class Acting:
    """Brings about what each verdict leads to, and only then tells of it: to the log, and in words, if any."""

    def __init__(self, source: str, authenticator: Authenticator, consequences: Consequences, words: Words | None):
        self._source, self._authenticator, self._consequences = source, authenticator, consequences
        self._words = words
        self._state = CHECKING
        self._refused: tuple | None = None  # the track whose refusal had consequences, and why it was refused
        self._again_s = 0.0  # when it may have them again
        self._authorized_s = float("-inf")  # when somebody was authorized last
        self._admitted = False  # somebody was, since the last refusal
        self._reported: tuple | None = None  # the verdict that was reported last
        self._decided, self._prompted = False, False
        self._frames, self._with_faces, self._dark = 0, 0, 0
        self._reason = ""  # why there was no verdict, last

    def act(self, time_s: float, frame: np.ndarray | None, judgement: Judgement) -> None:
        if judgement.state == UNAUTHORIZED:
            self._refuse(time_s, frame, judgement)
        elif judgement.state == AUTHORIZED:
            self._admit(time_s, judgement)
        if judgement.sentence:
            # A prompt that came late would be worse than none.
            self._consequences.say(judgement.sentence, overtake=True)
            log.info("challenge: %s", judgement.sentence)
        self._report(time_s, judgement)
        self._state = judgement.state
        self._decided = self._decided or judgement.state != CHECKING
        self._prompted = self._prompted or bool(judgement.sentence)
        self._reason = judgement.reason or self._reason
        self._frames += frame is not None
        self._with_faces += any(face.state != ASIDE for face in judgement.faces)
        self._dark += judgement.dark

    def _refuse(self, time_s: float, frame: np.ndarray | None, judgement: Judgement) -> None:
        """Consequences belong to a track and to a change of its verdict; asked again while it lasts: what came within
        the cool-down has them after it, and so has a face that stays, unless the screen is locked."""
        who = _who(judgement)
        if not self._consequences.ready:
            if self._admitted:
                self._admitted = False
                self._consequences.lock_again()
            return
        if not _is_reportable(frame, judgement):
            return
        self._admitted = False
        if who != self._refused:
            self._refused, self._again_s = who, time_s + LOCKS_WITHIN_S
        elif time_s < self._again_s or self._consequences.locked:
            return
        else:
            self._again_s = time_s + SOONEST_AGAIN_S
        self._consequences.unauthorized(
            _snapshot(frame, judgement), self._authenticator.evidence(), judgement.score, self._source, judgement.reason
        )

    def _admit(self, time_s: float, judgement: Judgement) -> None:
        self._refused, self._admitted = None, True
        if self._state != AUTHORIZED:
            greet = time_s - self._authorized_s >= AWAY_S
            self._reported = None if greet else self._reported
            self._consequences.authorized(judgement.score, greet)
        self._authorized_s = time_s

    def _report(self, time_s: float, judgement: Judgement) -> None:
        """Report each verdict once; a user who looks up again is the same one."""
        said = _who(judgement) if judgement.state == UNAUTHORIZED else (judgement.state,)
        if judgement.state == CHECKING or said == self._reported:
            return
        self._reported = said
        verdict = f"{judgement.state} ({judgement.reason})" if judgement.reason == STRANGER else judgement.state
        log.info("%s at %.2f s of %s", verdict, time_s, self._source)
        if self._words:
            self._words.say(f"{self._source}: {verdict} after {time_s:.2f} s")

    def why_undecided(self) -> str:
        if self._decided:
            return ""
        if self._prompted:
            return "what was asked for was not done"
        if self._reason == UNKNOWN:
            return f"the face was {UNKNOWN}"
        if self._reason.startswith(TOO_SLOW):
            return self._reason
        if self._reason == PICTURE:
            return PICTURE
        if self._with_faces:
            return "the face was not seen for long enough, or not clearly enough"
        if self._dark and 2 * self._dark >= self._frames:
            return "too dark to see a face"
        return "no face was seen"


def _who(judgement: Judgement) -> tuple:
    """Whose verdict it is; that of a failed challenge holds for whatever is in view after it."""
    return (CHALLENGE,) if judgement.reason == CHALLENGE else (judgement.track, judgement.reason)


class Leaving:
    """Has the workstation locked when nobody is in sight, and only then tells of it.

    absence: None for never. speaks: the announcement is spoken, since nobody sees it.
    """

    def __init__(self, source: str, consequences: Consequences, absence: Absence | None, words: Words, speaks: bool):
        self._source, self._consequences, self._absence, self._words = source, consequences, absence, words
        self._speaks, self._announced = speaks, False

    def act(self, time_s: float, judgement: Judgement) -> None:
        absence = self._absence
        if not absence:
            return
        present = absence.is_present(judgement)
        if absence.update(time_s, present, not present and self._consequences.locked):
            self._consequences.away()
            log.info("%s at %.2f s of %s", absence.what, time_s, self._source)
            self._words.say(f"{self._source}: {absence.what} after {time_s:.2f} s: {self._consequences.away_status}")
        announced_before, self._announced = self._announced, absence.left_s is not None
        if self._announced and not announced_before:
            log.info("%s at %.2f s of %s: announced", absence.what, time_s, self._source)
            if self._speaks:
                self._consequences.say(absence.announcement, overtake=True)

    def __enter__(self) -> "Leaving":
        return self

    def __exit__(self, kind, *_) -> None:
        """What breaks while the lock is announced, such as the drawing of it, must not keep it from coming."""
        if kind and self._announced:
            self._consequences.away()


def _is_reportable(frame: np.ndarray | None, judgement: Judgement) -> bool:
    """Whether there is a face to show, or none is needed: a challenge can fail by the face's going away."""
    in_view = any(face.prominent for face in judgement.faces)
    return frame is not None and (in_view or judgement.reason == CHALLENGE)


def _snapshot(frame: np.ndarray, judgement: Judgement) -> np.ndarray:
    """A copy of the frame with the box on it; without, where drawing fails: the lock does not wait for a picture."""
    try:
        from authentication.drawing import annotate
        from authentication.view import banner, view_of, why

        boxes = {face.track: face.row[:4] for face in judgement.faces}
        return annotate(frame, view_of(judgement, boxes, banner(judgement.state, why(judgement.reason))))
    except Exception:  # whatever it is, it comes after the consequences
        log.exception("the snapshot is kept without its box")
        return frame.copy()
