"""A session before one camera or file: look, act on a verdict, show, until something ends it.

outcome = watch(source, found, authenticator, consequences, window, recorder, Ending(once=True), stop)
outcome.look.state
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from authentication.absence import Absence
from authentication.authenticator import Authenticator, Look
from authentication.verdict import AUTHORIZED, CHALLENGE, CHECKING, REPLAY, STRANGER, UNAUTHORIZED, UNKNOWN
from capture.source import SourceError

# Most runs show and record nothing: imported where something is drawn.
if TYPE_CHECKING:
    from authentication.recorder import Recorder
    from authentication.view import View
    from authentication.window import Window

log = logging.getLogger("liveness.authentication")

# At its end the session waits so long for whoever holds up what it has to say.
LAST_WORDS_S = 1.0
# How fast the displayed frames/s follow: the mean of about this long.
PACE_S = 1.0


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

    def authorized(self, score: float) -> None:
        """Welcome a user; called once per visit. score: p_real, 0 to 1."""

    def unauthorized(
        self, snapshot: np.ndarray, evidence: list[np.ndarray], score: float, source: str, reason: str
    ) -> bool:
        """Act on an unauthorized face. snapshot: uint8 BGR, the box drawn. evidence: raw frames, oldest first; all
        pictures are given away. score: p_real, 0 to 1. reason: REPLAY, CHALLENGE or STRANGER."""

    @property
    def locked(self) -> bool:
        """Whether the screen was known to be locked a moment ago; asked only while nobody is in sight."""

    def away(self) -> None:
        """Lock: nobody has been in sight for too long."""

    @property
    def away_status(self) -> str:
        """What became of that lock, in a few words; "" before there was one."""


@dataclass(frozen=True)
class Ending:
    """What ends a session, beside the end of its file and a wish to quit: times in seconds, None for never.

    once: the first verdict. timeout_s: so much of the video. camera_timeout_s: no picture for so long, an error.
    """

    once: bool = False
    timeout_s: float | None = None
    camera_timeout_s: float = 300.0


class Outcome(NamedTuple):
    """look: the last one, None without any. time_s: its time. why_undecided: why there was no verdict at all, in a
    few words, "" where there was one. ended: the source did, before anybody wished it."""

    look: Look | None
    time_s: float
    why_undecided: str
    ended: bool


def watch(
    source,
    found: Iterator[tuple],
    authenticator: Authenticator,
    consequences: Consequences,
    window: "Window | None",
    recorder: "Recorder | None",
    ending: Ending,
    stop,
    absence: Absence | None = None,
) -> Outcome:
    """The frame loop.

    found: what look_for_faces() returned for the source. Left open: to close it is to wait for the frame in the
        making, and the answer is not to wait for that.
    stop: the session ends after the frame at hand once stop.asked is true.
    absence: None where nothing is locked when nobody is in sight.
    Raises SourceError when the camera is lost for too long, WindowError when the screen is.
    """
    look, time_s, ended = None, 0.0, True
    showing = _Showing(source, consequences, window, recorder, absence) if recorder or window else None
    with (
        contextlib.closing(_Words()) as words,
        _Leaving(source.name, consequences, absence, words, not window) as leaving,
    ):
        acting = _Acting(source.name, authenticator, consequences, None if ending.once else words)
        for index, time_s, frame, faces in found:
            if source.live and source.lost_s > ending.camera_timeout_s:
                raise SourceError(
                    f"{source.name}: no picture for {ending.camera_timeout_s:g} s (--camera-timeout); "
                    "is it still connected?"
                )
            look = authenticator.judge(time_s, frame, faces)
            acting.act(time_s, frame, look)
            leaving.act(time_s, look)
            quit_ = showing is not None and not showing.show(index, time_s, frame, look)
            late = ending.timeout_s and time_s >= ending.timeout_s
            if quit_ or stop.asked or late or (ending.once and look.state != CHECKING):
                ended = False
                break
    return Outcome(look, time_s, acting.why_undecided(), ended)


class _Words:
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


class _Acting:
    """Brings about what each verdict leads to, and only then tells of it: to the log, and in words, if any."""

    def __init__(self, source: str, authenticator: Authenticator, consequences: Consequences, words: _Words | None):
        self._source, self._authenticator, self._consequences = source, authenticator, consequences
        self._words = words
        self._state = CHECKING
        self._greeted, self._reported = None, None  # the visits that were last authorized and reported
        self._decided, self._prompted, self._unknown = False, False, False
        self._frames, self._with_faces, self._dark = 0, 0, 0

    def act(self, time_s: float, frame: np.ndarray | None, look: Look) -> None:
        # Asked again while it lasts: a visit that began within the cool-down is reported after it.
        if (
            look.state == UNAUTHORIZED
            and self._reported != look.visit
            and self._consequences.ready
            and _is_reportable(frame, look)
        ):
            self._reported = look.visit
            self._consequences.unauthorized(
                _snapshot(frame, look), self._authenticator.evidence(), look.score, self._source, look.reason
            )
        if look.state == AUTHORIZED and self._greeted != look.visit:
            self._greeted = look.visit
            self._consequences.authorized(look.score)
        if look.sentence:
            # A prompt that came late would be worse than none.
            self._consequences.say(look.sentence, overtake=True)
            log.info("challenge: %s", look.sentence)
        if look.state != self._state:
            self._state = look.state
            log.info("%s at %.2f s of %s", look.told, time_s, self._source)
            if look.state != CHECKING and self._words:
                self._words.say(f"{self._source}: {look.told} after {time_s:.2f} s")
        self._decided = self._decided or look.state != CHECKING
        self._prompted = self._prompted or bool(look.sentence)
        self._unknown = self._unknown or look.reason == UNKNOWN
        self._frames += frame is not None
        self._with_faces += len(look.faces) > 0
        self._dark += look.dark

    def why_undecided(self) -> str:
        if self._decided:
            return ""
        if self._prompted:
            return "what was asked for was not done"
        if self._unknown:
            return f"the face was {UNKNOWN}"
        if self._with_faces:
            return "the face was not seen for long enough, or not clearly enough"
        if self._dark and 2 * self._dark >= self._frames:
            return "too dark to see a face"
        return "no face was seen"


class _Leaving:
    """Has the workstation locked when nobody is in sight, and only then tells of it.

    absence: None for never. speaks: the announcement is spoken, since nobody sees it.
    """

    def __init__(self, source: str, consequences: Consequences, absence: Absence | None, words: _Words, speaks: bool):
        self._source, self._consequences, self._absence, self._words = source, consequences, absence, words
        self._speaks, self._announced = speaks, False

    def act(self, time_s: float, look: Look) -> None:
        absence = self._absence
        if not absence:
            return
        present = absence.is_present(look)
        if absence.update(time_s, present, not present and self._consequences.locked):
            self._consequences.away()
            log.info("%s at %.2f s of %s", absence.what, time_s, self._source)
            self._words.say(f"{self._source}: {absence.what} after {time_s:.2f} s: {self._consequences.away_status}")
        announced_before, self._announced = self._announced, absence.left_s is not None
        if self._announced and not announced_before:
            log.info("%s at %.2f s of %s: announced", absence.what, time_s, self._source)
            if self._speaks:
                self._consequences.say(absence.announcement, overtake=True)

    def __enter__(self) -> "_Leaving":
        return self

    def __exit__(self, kind, *_) -> None:
        """What breaks while the lock is announced, such as the drawing of it, must not keep it from coming."""
        if kind and self._announced:
            self._consequences.away()


def _is_reportable(frame: np.ndarray | None, look: Look) -> bool:
    """Whether there is a face to show, or none is needed: a challenge can fail by the face's going away."""
    return frame is not None and (len(look.faces) > 0 or look.reason == CHALLENGE)


def _snapshot(frame: np.ndarray, look: Look) -> np.ndarray:
    """A copy of the frame with the box on it; without, where drawing fails: the lock does not wait for a picture."""
    try:
        from authentication.drawing import annotate
        from authentication.view import NOT_THE_OWNER, View, banner

        words = {CHALLENGE: banner(look.state, CHALLENGE), STRANGER: banner(look.state, NOT_THE_OWNER)}
        score = look.score if look.reason == REPLAY else None
        view = View(look.faces[:, :4], look.state, score, banner=words.get(look.reason, ""))
        return annotate(frame, replace(view, stranger=look.reason == STRANGER))
    except Exception:  # whatever it is, it comes after the consequences
        log.exception("the snapshot is kept without its box")
        return frame.copy()


class _Showing:
    """Shows and records what each frame came to."""

    def __init__(
        self,
        source,
        consequences: Consequences,
        window: "Window | None",
        recorder: "Recorder | None",
        absence: Absence | None,
    ):
        from authentication.tracks import SmoothBoxes

        self._source, self._consequences, self._window, self._recorder = source, consequences, window, recorder
        self._absence = absence
        self._boxes, self._pace = SmoothBoxes(), _Pace()
        self._picture: np.ndarray | None = None
        self._began = time.monotonic()

    def show(self, index: int, time_s: float, frame: np.ndarray | None, look: Look) -> bool:
        """False once the user has quit. Raises WindowError."""
        live = self._source.live
        trouble = self._source.trouble if live else ""
        # A camera that is merely slow goes on showing its last picture.
        self._picture = frame if frame is not None or trouble else self._picture
        notices = (self._absence.notice(self._consequences.away_status) if self._absence else "", trouble)
        notice = "; ".join(filter(None, notices))
        view = _what_to_show(look, self._boxes.update(time_s, look.faces), notice, self._consequences.status)
        if self._recorder:
            self._recorder.put(time_s, self._picture, view, score_rows(index, time_s, look))
        if not self._window:
            return True
        # A file plays at its own pace where somebody watches, and as fast as it can elsewhere.
        wait_s = 0 if live else max(0, time_s - (time.monotonic() - self._began))
        if frame is not None:
            self._pace.tick()
        view = replace(view, fps=0 if trouble else self._pace.fps)
        return self._window.show(self._picture, view, wait_s, mirror=live)


def _what_to_show(look: Look, boxes: np.ndarray, notice: str, done: str) -> "View":
    from authentication.view import NOT_THE_OWNER, View, banner

    stranger = look.reason == STRANGER
    return View(
        boxes,
        look.state,
        None if look.reason in (CHALLENGE, STRANGER) else look.score,
        look.progress,
        banner=banner(look.state, NOT_THE_OWNER if stranger else "", done),
        stranger=stranger,
        trouble=notice or ("Too dark to see a face" if look.dark else ""),
        prompt=look.prompt,
    )


def score_rows(index: int, time_s: float, look: Look) -> list[tuple]:
    """The rows of --scores for one frame."""
    return [
        (index, f"{time_s:.3f}", *(round(float(v)) for v in face[:4]), f"{face[14]:.4f}", f"{score:.6f}", look.state)
        for face, score in zip(look.faces, look.scores)
    ]


class _Pace:
    """Frames per second, averaged over the last PACE_S or so. fps: None before the second frame."""

    def __init__(self):
        self.fps: float | None = None
        self._last: float | None = None

    def tick(self) -> None:
        """Another frame is here."""
        now = time.monotonic()
        if self._last is not None:
            gap_s = max(now - self._last, 1e-3)
            mean_s = gap_s if self.fps is None else 1 / self.fps
            self.fps = 1 / (mean_s + min(1.0, gap_s / PACE_S) * (gap_s - mean_s))
        self._last = now
