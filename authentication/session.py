"""A session before one camera or file: judge, act on a verdict, show, until something ends it.

outcome = watch(source, found, authenticator, consequences, window, recorder, Ending(once=True), stop)
outcome.judgement.state
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from authentication.absence import Absence
from authentication.acting import Acting, Consequences, Leaving, Words
from authentication.authenticator import Authenticator, Judgement
from authentication.verdict import CHECKING, TOO_SLOW
from capture.source import SourceError
from model_file.scores import probability

# Most runs show and record nothing: imported where something is drawn.
if TYPE_CHECKING:
    from authentication.recorder import Recorder
    from authentication.view import View
    from authentication.window import Window

log = logging.getLogger("liveness.authentication")

# How fast the displayed frames/s follow: the mean of about this long.
PACE_S = 1.0


@dataclass(frozen=True)
class Ending:
    """What ends a session, beside the end of its file and a wish to quit: times in seconds, None for never.

    once: the first verdict. timeout_s: so much of the video. camera_timeout_s: no picture for so long, an error.
    """

    once: bool = False
    timeout_s: float | None = None
    camera_timeout_s: float = 300.0


class Outcome(NamedTuple):
    """judgement: the last one, None without any. time_s: its time. why_undecided: why there was no verdict at all, in a
    few words, "" where there was one. ended: the source did, before anybody wished it."""

    judgement: Judgement | None
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
    judgement, time_s, ended = None, 0.0, True
    showing = _Showing(source, consequences, window, recorder, absence) if recorder or window else None
    with (
        contextlib.closing(Words()) as words,
        Leaving(source.name, consequences, absence, words, not window) as leaving,
    ):
        acting = Acting(source.name, authenticator, consequences, None if ending.once else words)
        for index, time_s, frame, faces in found:
            if source.live and source.lost_s > ending.camera_timeout_s:
                raise SourceError(
                    f"{source.name}: no picture for {ending.camera_timeout_s:g} s (--camera-timeout); "
                    "is it still connected?"
                )
            judgement = authenticator.judge(time_s, frame, faces)
            acting.act(time_s, frame, judgement)
            leaving.act(time_s, judgement)
            quit_ = showing is not None and not showing.show(index, time_s, frame, judgement)
            late = ending.timeout_s and time_s >= ending.timeout_s
            if quit_ or stop.asked or late or (ending.once and judgement.state != CHECKING):
                ended = False
                break
    return Outcome(judgement, time_s, acting.why_undecided(), ended)


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
        from authentication.smoothing import SmoothBoxes

        self._source, self._consequences, self._window, self._recorder = source, consequences, window, recorder
        self._absence = absence
        self._boxes, self._pace = SmoothBoxes(), _Pace()
        self._picture: np.ndarray | None = None
        self._began = time.monotonic()

    def show(self, index: int, time_s: float, frame: np.ndarray | None, judgement: Judgement) -> bool:
        """False once the user has quit. Raises WindowError."""
        live = self._source.live
        trouble = self._source.trouble if live else ""
        # A camera that is merely slow goes on showing its last picture.
        self._picture = frame if frame is not None or trouble else self._picture
        notices = (self._absence.notice(self._consequences.away_status) if self._absence else "", trouble)
        notice = "; ".join(filter(None, notices))
        boxes = self._boxes.update(time_s, {face.track: face.row for face in judgement.faces})
        view = _what_to_show(judgement, boxes, notice, self._consequences.status)
        if self._recorder:
            self._recorder.put(time_s, self._picture, view, score_rows(index, time_s, judgement))
        if not self._window:
            return True
        # A file plays at its own pace where somebody watches, and as fast as it can elsewhere.
        wait_s = 0 if live else max(0, time_s - (time.monotonic() - self._began))
        if frame is not None:
            self._pace.tick()
        view = replace(view, fps=0 if trouble else self._pace.fps)
        return self._window.show(self._picture, view, wait_s, mirror=live)


def _what_to_show(judgement: Judgement, boxes: dict[int, np.ndarray], notice: str, done: str) -> "View":
    from authentication.view import banner, view_of, why

    if not notice and judgement.dark:
        notice = "Too dark to see a face"
    if not notice and judgement.reason.startswith(TOO_SLOW):
        notice = judgement.reason.capitalize()
    words = banner(judgement.state, why(judgement.reason), done)
    return view_of(judgement, boxes, words, trouble=notice, prompt=judgement.prompt)


def score_rows(index: int, time_s: float, judgement: Judgement) -> list[tuple]:
    """The rows of --scores for one frame."""
    return [
        (
            index,
            f"{time_s:.3f}",
            *(round(float(v)) for v in face.row[:4]),
            f"{face.row[14]:.4f}",
            f"{probability(face.log_odds):.6f}",
            judgement.state,
            face.track,
            face.state,
        )
        for face in judgement.faces
        if face.log_odds is not None
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
