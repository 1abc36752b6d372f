"""A session before one camera or file: look, act on a verdict, show, until something ends it."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alerting.incident import CHALLENGE, REPLAY
from alerting.log_file import LOGGER
from alerts import Alerts
from authenticator import Authenticator, Look
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED
from video_source import SourceError

# Most runs show and record nothing: imported where something is drawn.
if TYPE_CHECKING:
    from display import Recorder, View, Window

log = logging.getLogger(LOGGER)

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


def watch(source, found: Iterator[tuple], authenticator: Authenticator, alerts: Alerts, window: "Window | None",
          recorder: "Recorder | None", ending: Ending, stop) -> tuple[Look | None, float]:
    """The frame loop. Returns the last look, None without any, and its time.

    found: what look_for_faces() returned for the source. Left open: to close it is to wait for the frame in the
        making, and the answer is not to wait for that.
    stop: the session ends after the frame at hand once stop.asked is true.
    Raises SourceError when the camera is lost for too long.
    """
    look, time_s, state = None, 0.0, CHECKING
    greeted, reported = None, None  # the visits that were last authorized and reported
    pace, picture = Pace(), None
    if recorder or window:
        from display import SmoothBoxes

        boxes = SmoothBoxes()
    began = time.monotonic()
    for index, time_s, frame, faces in found:
        if source.live and source.lost_s > ending.camera_timeout_s:
            raise SourceError(f"{source.name}: no picture for {ending.camera_timeout_s:g} s (--camera-timeout); "
                              "is it still connected?")
        look = authenticator.judge(time_s, frame, faces)
        if look.sentence:
            log.info("challenge: %s", look.sentence)
            # A prompt that came late would be worse than none.
            alerts.say(look.sentence, overtake=True)
        if look.state != state:
            state = look.state
            log.info("%s at %.2f s of %s", state, time_s, source.name)
            if state != CHECKING and not ending.once:
                tell(f"{source.name}: {state} after {time_s:.2f} s")
        if state == AUTHORIZED and greeted != look.visit:
            greeted = look.visit
            alerts.authorized(look.score)
        # Asked again while it lasts: a visit that began within the cool-down is reported after it.
        if state == UNAUTHORIZED and reported != look.visit and alerts.ready and is_reportable(frame, look):
            reported = look.visit
            report(alerts, authenticator, frame, look, source.name)

        if recorder or window:
            trouble = source.trouble if source.live else ""
            # A camera that is merely slow goes on showing its last picture.
            picture = frame if frame is not None or trouble else picture
            view = what_to_show(look, boxes.update(time_s, look.faces), trouble, alerts)
        if recorder:
            recorder.put(time_s, picture, view, score_rows(index, time_s, look))
        if window:
            # A file plays at its own pace where somebody watches, and as fast as it can elsewhere.
            wait_s = 0 if source.live else max(0, time_s - (time.monotonic() - began))
            if frame is not None:
                pace.tick()
            view = replace(view, fps=0 if trouble else pace.fps)
            if not window.show(picture, view, wait_s, mirror=source.live):
                break
        if (ending.once and state != CHECKING) or stop.asked:
            break
        if ending.timeout_s and time_s >= ending.timeout_s:
            break
    return look, time_s


def is_reportable(frame: np.ndarray | None, look: Look) -> bool:
    """Whether there is a face to show, or none is needed: a challenge can fail by the face's going away."""
    return frame is not None and (len(look.faces) > 0 or look.challenged)


def report(alerts: Alerts, authenticator: Authenticator, frame: np.ndarray, look: Look, source: str) -> None:
    from display import View, annotate, banner

    view = View(look.faces[:, :4], look.state, None if look.challenged else look.score,
                banner=banner(look.state, CHALLENGE) if look.challenged else "")
    reason = CHALLENGE if look.challenged else REPLAY
    alerts.unauthorized(annotate(frame, view), authenticator.evidence(), look.score, source, reason)


def what_to_show(look: Look, boxes: np.ndarray, trouble: str, alerts: Alerts) -> "View":
    from display import View, banner

    return View(
        boxes, look.state, None if look.challenged else look.score, look.progress,
        banner=banner(look.state, alerts.status),
        trouble=trouble or ("Too dark to see a face" if look.dark else ""), prompt=look.prompt,
    )


def score_rows(index: int, time_s: float, look: Look) -> list[tuple]:
    """The rows of --scores for one frame."""
    return [
        (index, f"{time_s:.3f}", *(round(float(v)) for v in face[:4]), f"{face[14]:.4f}", f"{score:.6f}", look.state)
        for face, score in zip(look.faces, look.scores)
    ]


def tell(line: str) -> None:
    """Print on standard output, whether or not somebody still reads it."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Else the interpreter would complain about the rest of the buffer at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Pace:
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
