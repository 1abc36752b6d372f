"""The voice and the alarm tone, each in a child process of its own.

Speech drivers hang, crash and write pages of noise to standard error; sound libraries do the same.
In a child process that costs one sentence and nothing else. The child is `sound_process.py`. The next voice is
started ahead of its sentence, so nobody waits for the driver to load.

`Sounds` queues sentences and alarms and plays one after the other in a thread of its own.
"""

import collections
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from alerting.failure import told
from alerting.printable import clean

log = logging.getLogger("liveness.alerting")

DRIVER_START_LIMIT_S = 20.0  # the first SAPI 5 start on Windows generates its bindings: seconds
SLOWEST_SPEECH_CHARS_PER_S = 8.0
ALARM_START_LIMIT_S = 10.0
GIVE_UP_AFTER = 3  # failures in a row after which the voice stays silent for this run
QUEUE_LIMIT = 8
PROCESS = Path(__file__).with_name("sound_process.py")


class SoundError(Exception):
    """A sentence or an alarm was not heard; the message is one line that says why."""


def speak(text: str) -> None:
    """Speak one sentence and return when it has been said. Raises SoundError."""
    _Child("voice").finish({"text": text}, _speech_limit_s(text))


def sound_alarm(device: str = "", seconds: float = 5.0) -> None:
    """Sound the alarm for `seconds` on the output whose name contains `device` ('': the default one).

    Returns when it has ended. Raises SoundError.
    """
    _Child("alarm").finish({"device": device, "seconds": seconds}, ALARM_START_LIMIT_S + seconds)


class _Job(NamedTuple):
    kind: str  # "voice" or "alarm"
    text: str  # of a sentence
    on_end: Callable[[str | None], None] | None  # given None, or why it was not heard


class Sounds:
    """Plays sentences and alarms in the order they came, without ever holding up the caller.

    Parameters
    ----------
    voice: False keeps it from starting a speech process; `say` then does nothing.
    device, seconds: of the alarm, as in `sound_alarm`.
    """

    def __init__(self, voice: bool, device: str = "", seconds: float = 5.0):
        self._voice = voice
        self._silenced = False  # after too many failures
        self._device, self._seconds = device, seconds
        self._jobs: collections.deque[_Job] = collections.deque(maxlen=QUEUE_LIMIT)
        self._changed = threading.Condition()
        self._playing = False
        self._closed = False
        self._ahead: _Child | None = None  # a voice waiting for its sentence
        self._child: _Child | None = None  # the one at work
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="sounds", daemon=True)
        self._thread.start()

    def say(self, text: str, overtake: bool = False, on_end: Callable[[str | None], None] | None = None) -> None:
        """Queue a sentence; with `overtake` it takes the place of all those not yet begun."""
        if not self._voice:
            return
        with self._changed:
            if overtake:
                alarms = [job for job in self._jobs if job.kind == "alarm"]
                self._jobs.clear()
                self._jobs.extend(alarms)
            self._jobs.append(_Job("voice", text, on_end))
            self._changed.notify_all()

    def alarm(self, on_end: Callable[[str | None], None] | None = None) -> None:
        """Queue the alarm ahead of every sentence not yet begun."""
        with self._changed:
            self._jobs.appendleft(_Job("alarm", "", on_end))
            self._changed.notify_all()

    def close(self, deadline: float) -> None:
        """End by `deadline` (time.monotonic), having played what was queued as far as time allows."""
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs and not self._playing, max(0.0, deadline - time.monotonic()))
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
            child = self._child
        if child:
            child.kill()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            while True:
                self._start_ahead()
                with self._changed:
                    self._changed.wait_for(lambda: self._jobs or self._closed)
                    if self._closed:
                        return
                    job = self._jobs.popleft()
                    self._playing = True
                with told(f"the {job.kind} failed"):
                    self._play(job)
                with self._changed:
                    self._playing = False
                    self._changed.notify_all()
        finally:
            if self._ahead:
                self._ahead.kill()

    def _start_ahead(self) -> None:
        if self._voice and not self._silenced and not self._ahead:
            with contextlib.suppress(SoundError):  # told when there is a sentence to be spoken
                self._ahead = _Child("voice")

    def _play(self, job: _Job) -> None:
        if job.kind == "voice" and self._silenced:
            self._tell(job, "the voice has failed too often in this run")
            return
        try:
            child = None
            if job.kind == "voice":
                child, self._ahead = self._ahead, None
            if child and child.ended:  # while it waited, as where memory is short
                child.kill()
                child = None
            child = child or _Child(job.kind)
            with self._changed:
                self._child = child
                if self._closed:  # close() came too early to see this child
                    child.kill()
            if job.kind == "voice":
                child.finish({"text": job.text}, _speech_limit_s(job.text))
            else:
                request = {"device": self._device, "seconds": self._seconds}
                child.finish(request, ALARM_START_LIMIT_S + self._seconds)
        except SoundError as error:
            self._failed(job, "the program ended" if self._closed else str(error))
        else:
            if job.kind == "voice":
                self._failures = 0
            self._tell(job, None)
        finally:
            with self._changed:
                self._child = None

    def _failed(self, job: _Job, reason: str) -> None:
        if not self._closed:
            if job.kind == "alarm":
                log.warning("the alarm could not be sounded: %s", reason)
            else:
                self._failures += 1
                if self._failures == 1:
                    log.warning("the voice is silent: %s", reason)
                self._silenced = self._failures >= GIVE_UP_AFTER
        self._tell(job, reason)

    @staticmethod
    def _tell(job: _Job, reason: str | None) -> None:
        if job.on_end:
            job.on_end(reason)


def _speech_limit_s(text: str) -> float:
    return DRIVER_START_LIMIT_S + len(text) / SLOWEST_SPEECH_CHARS_PER_S


class _Child:
    """A process that speaks or sounds once. Raises SoundError when it cannot be started.

    It has a folder for temporary files that this side removes: pyttsx3 leaves its sound file behind when
    it is stopped or its player fails.
    """

    def __init__(self, kind: str):
        import subprocess
        import tempfile

        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="liveness-sound-", ignore_cleanup_errors=True)
        except OSError as error:
            raise SoundError(f"no temporary folder for the {kind}: {error.strerror}") from error
        # A session of its own, so that the player it starts can be ended with it.
        options = (
            {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", os.path.abspath(PROCESS), kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"TMPDIR": self._scratch.name},
                **options,
            )
        except (OSError, TypeError, ValueError) as error:  # TypeError: an embedded Python names no executable
            self._scratch.cleanup()
            raise SoundError(
                f"cannot start a process for the {kind}: {getattr(error, 'strerror', None) or error}"
            ) from error

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def finish(self, request: dict, limit_s: float) -> None:
        """Hand it the request and wait for its end. Raises SoundError unless it says it is done."""
        import subprocess

        try:
            answer, _ = self._process.communicate(json.dumps(request).encode(), timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SoundError(f"the driver hung and was stopped after {limit_s:.0f} s") from None
        self._scratch.cleanup()
        if not answer:
            raise SoundError(f"the driver's process ended with status {self._process.returncode}")
        try:
            problem = json.loads(answer)["problem"]
        except (ValueError, LookupError, TypeError):
            raise SoundError("the driver's process answered with something else") from None
        if problem:
            raise SoundError(clean(problem, 400))  # it may name devices, by whatever they call themselves

    def kill(self) -> None:
        """End it and whatever it started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    self._process.kill()
                else:
                    os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.cleanup()
