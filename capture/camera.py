"""A camera or a network stream that may be left on all day: its newest picture, or why there is none.

    with Camera(0, "camera 0", "camera0") as camera:
        for index, time_s, frame in camera.frames():
            if frame is None:
                print(camera.trouble)       # "camera 0: no picture for 5 s; trying again in 4 s"

imutils' reader, which would be the obvious part to use, spins on one core when a camera is unplugged, cannot tell a
repeat from a new picture and cannot be told which capture backend to use; so the reader thread here is our own.

What can go wrong with a camera is noticed within five seconds and mended without a restart: one that brings nothing
(unplugged, busy, a stream that broke off), brings the same picture again and again (a hanging driver; the noise of a
real sensor makes every picture another), or nothing but darkness. It is opened again after growing pauses, in the
reader thread, since opening alone may take many seconds.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from capture.device import Device, obstacle
from capture.light import is_dark
from capture.source import SourceError, digest

log = logging.getLogger("liveness.capture")

# While there is no picture the frame loop is let go so often, to see to keys and signals.
POLL_S = 0.2
# A capture that fails at once must not be asked again at once.
BREATH_S = 0.02
# How long close() waits for a reader that is caught in the driver.
CLOSE_S = 1.0
# Time in which this program did not run, since it was stopped or starved, or the machine paused, counts for no longer.
LONGEST_STOP_S = 1.0

SILENT, FROZEN, DARK = "no picture", "the same picture", "too dark to see"


@dataclass(frozen=True)
class Patience:
    """How long what may last before it is trouble, and the pauses between attempts to mend it, in seconds."""

    first_picture: float = 5.0  # after the first opening
    silent: float = 3.0
    frozen: float = 4.5  # known to the frame loop within five
    dark: float = 3.0
    broken: float = 1.0  # reading has failed for so long: open again
    settle: float = 5.0  # after opening: cameras need a moment, and begin with black pictures
    pause: float = 1.0  # between attempts, doubled each time ...
    longest_pause: float = 30.0  # ... up to this,
    longest_dark_pause: float = 300.0  # or this: most likely it is night, and opening makes the camera's lamp blink


class Camera:
    """A camera or stream, opened; a reader thread keeps its newest picture. One consumer: frames().

    address: the camera's number, its file (Linux), or a stream's URL. name: for messages. stem: for file names.
    width, height (pixels), fps: wishes; what the camera gives instead is logged once.
    ends: True of a stream that says how long it is: a recording, and none for here.
    Raises SourceError if it cannot be opened or brings no first picture.

    On macOS the first opening must happen in the main thread, where the system asks for permission.
    """

    live, stills = True, False
    length = None

    def __init__(
        self,
        address: int | Path | str,
        name: str,
        stem: str,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        patience: Patience = Patience(),
    ):
        self.name = name
        self.stem = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self._patience = patience
        self._device = Device(address, name, width, height, fps)
        frame = self._first_picture() if self._device.open() else None
        if frame is None:
            self._device.release()
            what, advice = obstacle(address)
            raise SourceError(f"{name}: cannot be opened{what and ': '}{what}; {advice}")
        self.fps, self.ends = self._device.fps, self._device.ends
        self._device.report_wishes(frame)

        self._closing = threading.Event()
        self._news = threading.Condition()
        # Guarded by _news: the newest good picture, when it came, and how many there have been.
        now = time.monotonic()
        self._frame, self._stamp, self._count = frame, now, 1
        # Each written by the reader only, read as single values.
        self._last = frame  # the last picture of all, good or not
        self._good_at = now  # a new picture to see something in,
        self._alive_at = now  # be it dark, or
        self._read_at = now  # be it the same as before
        self._fault = ""  # of the last picture
        self._obstacle = ""  # to the last opening
        self._retry_at: float | None = None
        self._logged: set[str] = set()  # the consumer's
        self._reader = threading.Thread(target=self._read_on, name=f"{stem} reader", daemon=True)
        self._reader.start()

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray | None]]:
        """(index, time_s, frame), every step-th new picture as they come, until close().

        index: pictures fetched so far. time_s: seconds since the first item, by a monotonic clock, when the picture
        came. frame: uint8 (height, width, 3) BGR; None while nothing new has come for 0.2 s, or what came is frozen
        or too dark: `trouble` tells whether that is anything to worry about. index stands still meanwhile.
        Whoever is slower than the camera misses pictures; what comes is always the newest. Time in which the program
        did not run counts for LONGEST_STOP_S at most, here and wherever it is counted that there is no picture.
        """
        index, seen, start, last_s = 0, 0, None, 0.0
        ran_at, passed_over = time.monotonic(), False
        while not self._closing.is_set():
            with self._news:
                self._news.wait_for(lambda seen=seen: self._count != seen or self._closing.is_set(), POLL_S)
                fresh, seen, frame, stamp = self._count != seen, self._count, self._frame, self._stamp
            now = time.monotonic()
            stopped_s, ran_at = now - ran_at - LONGEST_STOP_S, now
            if stopped_s > 0:
                start = start and start + stopped_s
                self._leave_out(stopped_s)
            # After a stop the camera has had no time for a new picture. Once: a starved program must go on, too.
            passed_over = stopped_s > 0 and not fresh and not passed_over
            if passed_over:
                continue
            self._log_changes()
            if not fresh:
                stamp = time.monotonic()
            start = stamp if start is None else start
            # A picture may have come a moment before the notice that none has.
            last_s = max(last_s, stamp - start)
            if not fresh:
                yield index, last_s, None
                continue
            if index % step == 0:
                yield index, last_s, frame
            index += 1

    @property
    def trouble(self) -> str:
        """ "" while all is well, else one line that says what is wrong and what is done about it."""
        now, fault = time.monotonic(), self._trouble()
        if not fault:
            return ""
        told = f"{self.name}: {fault} for {now - self._good_at:.0f} s"
        if fault == DARK:
            return f"{told}; is the lens covered, or the light off?"
        if fault == SILENT and self._obstacle:
            told = f"{told}: {self._obstacle}"
        retry_at = self._retry_at
        if retry_at is None or retry_at <= now:
            return f"{told}; trying to open it again"
        return f"{told}; trying again in {math.ceil(retry_at - now)} s"

    @property
    def lost_s(self) -> float:
        """Seconds since the camera last showed that it lives, 0.0 while all is well.

        A dark picture is a sign of life: a room at night is no reason to give the camera up.
        """
        return time.monotonic() - self._alive_at if self._trouble() in (SILENT, FROZEN) else 0.0

    def fingerprint(self) -> str:
        """12 hexadecimal digits, of the moment: no two sessions with a camera are one recording."""
        return digest(self.stem.encode() + str(time.time_ns()).encode())

    def close(self) -> None:
        """Give the camera back. A reader caught in the driver does so as soon as it comes back from there."""
        self._closing.set()
        with self._news:
            self._news.notify_all()
        self._reader.join(CLOSE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _trouble(self) -> str:
        """What is wrong by now, SILENT, FROZEN or DARK, or "". By the clock: the reader may be caught in a read."""
        now = time.monotonic()
        fault = self._fault
        if now - self._read_at >= self._patience.silent:
            fault = SILENT
        return fault if fault and now - self._good_at >= self._patience_with(fault) else ""

    def _patience_with(self, fault: str) -> float:
        return {SILENT: self._patience.silent, FROZEN: self._patience.frozen, DARK: self._patience.dark}[fault]

    def _log_changes(self) -> None:
        """Each kind of trouble once until it is over: attempts to mend it may turn one into another and back."""
        fault = self._trouble()
        if fault and fault not in self._logged:
            self._logged.add(fault)
            log.warning("%s", self.trouble)
        elif self._logged and not fault:
            self._logged.clear()
            log.info("%s: picture again", self.name)

    def _leave_out(self, stopped_s: float) -> None:
        """Time in which nothing here ran is no silence of the camera's."""
        self._good_at, self._alive_at, self._read_at = (
            min(then + stopped_s, time.monotonic()) for then in (self._good_at, self._alive_at, self._read_at)
        )

    # From here on: the reader thread, save for the first opening.

    def _read_on(self) -> None:
        attempts = 0
        try:
            while not self._closing.is_set():
                frame = self._device.read()
                if frame is not None:
                    self._judge(frame)
                now = time.monotonic()
                if frame is not None and not self._fault:
                    attempts, self._retry_at, self._obstacle = 0, None, ""
                elif now >= self._due(frame is None) and not self._closing.is_set():
                    self._reopen(attempts)
                    attempts += 1
                elif frame is None:
                    self._closing.wait(BREATH_S)
        finally:
            self._device.release()

    def _due(self, failed: bool) -> float:
        """When to open again."""
        if self._retry_at is not None:
            return self._retry_at
        return self._read_at + self._patience.broken if failed else self._good_at + self._patience_with(self._fault)

    def _reopen(self, attempts: int) -> None:
        self._device.release()
        opened = self._device.open()
        self._obstacle = "" if opened else obstacle(self._device.address)[0]
        longest = self._patience.longest_dark_pause if self._fault == DARK else self._patience.longest_pause
        pause = min(self._patience.pause * 2**attempts, longest)
        if opened:
            pause = max(pause, self._patience.settle)
        self._retry_at = time.monotonic() + pause

    def _judge(self, frame: np.ndarray) -> None:
        """Is it a new picture to see something in? If so, hand it over."""
        now = time.monotonic()
        self._read_at = now
        if is_dark(frame):
            self._fault, self._last, self._alive_at = DARK, frame, now
            return
        if same(frame, self._last):
            self._fault = FROZEN
            return
        self._fault, self._last = "", frame
        self._alive_at = self._good_at = now
        with self._news:
            self._frame, self._stamp = frame, now
            self._count += 1
            self._news.notify_all()

    def _first_picture(self) -> np.ndarray | None:
        deadline = time.monotonic() + self._patience.first_picture
        while True:
            frame = self._device.read()
            if frame is not None or time.monotonic() > deadline:
                return frame
            time.sleep(BREATH_S)


def same(frame: np.ndarray, other: np.ndarray) -> bool:
    """Are two pictures equal to the last bit? uint8 (height, width, 3) each."""
    # Some rows tell nearly always that they are not, at a fraction of the cost.
    return np.array_equal(frame[::16], other[::16]) and np.array_equal(frame, other)
