"""The voice and the alarm tone, each in a child process of its own.

Speech drivers hang, crash and write pages of noise to standard error; sound libraries do the same.
In a child process that costs one sentence and nothing else. The child is this very file:

    python sound.py voice     speaks the sentence {"text": ...} that it reads from standard input
    python sound.py alarm     sounds the alarm {"device": ..., "seconds": ...}

A child serves one request and ends: with pyttsx3 the second `runAndWait` of a process never returns on
some platforms, and on Linux an engine keeps the last sentence and says it again. The next voice is
started ahead of its sentence, so nobody waits for the driver to load.

`Sounds` queues sentences and alarms and plays one after the other in a thread of its own.
"""

import collections
import contextlib
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

log = logging.getLogger("liveness")

DRIVER_START_LIMIT_S = 20.0     # the first SAPI 5 start on Windows generates its bindings: seconds
SLOWEST_SPEECH_CHARS_PER_S = 8.0
ALARM_START_LIMIT_S = 10.0
GIVE_UP_AFTER = 3               # failures in a row after which the voice stays silent for this run
QUEUE_LIMIT = 8
SAMPLE_RATE_HZ = 44100
# Two tones that alternate every quarter of a second. Both make whole cycles in that time, so each
# change falls on a zero crossing and does not click.
ALARM_TONES_HZ = (880, 660)
ALARM_TONE_S = 0.25
ALARM_LEVEL = 0.8               # of full scale


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
    kind: str                                       # "voice" or "alarm"
    text: str                                       # of a sentence
    on_end: Callable[[str | None], None] | None     # given None, or why it was not heard


class Sounds:
    """Plays sentences and alarms in the order they came, without ever holding up the caller.

    Parameters
    ----------
    voice: False keeps it from starting a speech process; `say` then does nothing.
    device, seconds: of the alarm, as in `sound_alarm`.
    """

    def __init__(self, voice: bool, device: str = "", seconds: float = 5.0):
        self._voice = voice
        self._silenced = False                          # after too many failures
        self._device, self._seconds = device, seconds
        self._jobs: collections.deque[_Job] = collections.deque(maxlen=QUEUE_LIMIT)
        self._changed = threading.Condition()
        self._playing = False
        self._closed = False
        self._ahead: _Child | None = None     # a voice waiting for its sentence
        self._child: _Child | None = None     # the one at work
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="sounds", daemon=True)
        self._thread.start()

    def say(self, text: str, overtake: bool = False,
            on_end: Callable[[str | None], None] | None = None) -> None:
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
            self._changed.wait_for(lambda: not self._jobs and not self._playing,
                                   max(0.0, deadline - time.monotonic()))
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
                self._play(job)
                with self._changed:
                    self._playing = False
                    self._changed.notify_all()
        except Exception:
            log.exception("voice and alarm have stopped")
        finally:
            if self._ahead:
                self._ahead.kill()

    def _start_ahead(self) -> None:
        if self._voice and not self._silenced and not self._ahead:
            with contextlib.suppress(SoundError):       # told when there is a sentence to be spoken
                self._ahead = _Child("voice")

    def _play(self, job: _Job) -> None:
        if job.kind == "voice" and self._silenced:
            self._tell(job, "the voice has failed too often in this run")
            return
        try:
            child = self._ahead if job.kind == "voice" and self._ahead else _Child(job.kind)
            if job.kind == "voice":
                self._ahead = None
            with self._changed:
                self._child = child
                if self._closed:                        # close() came too early to see this child
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
    """A process of this file's. Raises SoundError when it cannot be started.

    It has a folder for temporary files that this side removes: pyttsx3 leaves its sound file behind when
    it is stopped or its player fails.
    """

    def __init__(self, kind: str):
        import subprocess
        import tempfile

        self._scratch = tempfile.TemporaryDirectory(prefix="liveness-sound-", ignore_cleanup_errors=True)
        # A session of its own, so that the player it starts can be ended with it.
        options = ({"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
                   if sys.platform == "win32" else {"start_new_session": True})
        try:
            self._process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), kind], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | {"TMPDIR": self._scratch.name}, **options)
        except OSError as error:
            self._scratch.cleanup()
            raise SoundError(f"cannot start a process for the {kind}: {error.strerror}") from error

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
        problem = json.loads(answer)["problem"]
        if problem:
            raise SoundError(problem)

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


def _speak_here(request: Callable[[], dict], noise) -> str | None:
    """Speak in this process; return the problem, if any. `noise` is a file with what drivers wrote."""
    try:
        import pyttsx3
    except ImportError:
        return "pyttsx3 is not installed (pip install -r requirements.txt)"
    try:
        engine = pyttsx3.init()
    except Exception as error:      # each platform's driver has its own: COMError, RuntimeError, OSError
        hint = " (install libespeak-ng1 and alsa-utils)" if sys.platform.startswith("linux") else ""
        return f"no voice: {_one_line(error)}{hint}"
    errors, finished = [], threading.Event()
    engine.connect("error", lambda name, exception: errors.append(exception))
    engine.connect("finished-utterance", lambda name, completed: finished.set())
    engine.say(request()["text"])
    engine.runAndWait()
    # With eSpeak NG a thread of the library's plays on after runAndWait of pyttsx3 2.99 has returned.
    if str(engine) == "espeak" and not errors:
        finished.wait()
    if errors:
        return f"the speech driver failed: {_one_line(errors[0])}"
    # On Linux pyttsx3 plays with aplay and ignores whether that worked.
    noise.seek(0)
    complaints = [line for line in noise.read().splitlines() if "aplay:" in line]
    if any("not found" in line for line in complaints):
        return "no sound: the player is missing (install alsa-utils)"
    if complaints:
        return "no sound: " + re.sub(r".*aplay: (\w+:\d+: )?", "", complaints[-1]).strip()
    return None


def _sound_alarm_here(request: Callable[[], dict], noise) -> str | None:
    """Sound the alarm in this process; return the problem, if any."""
    try:
        import pyaudio
    except ImportError:
        return "PyAudio is not installed (pip install -r requirements.txt; Linux: portaudio19-dev first)"
    wanted = request()
    audio = pyaudio.PyAudio()
    try:
        device = _find_output(audio, wanted["device"])
        # Cards opened without a mixer often refuse mono.
        channels = min(2, int(device["maxOutputChannels"]))
        stream = audio.open(rate=SAMPLE_RATE_HZ, channels=channels, format=pyaudio.paInt16, output=True,
                            output_device_index=int(device["index"]))
        stream.write(alarm_samples(wanted["seconds"], channels))
        stream.stop_stream()
        stream.close()
    except OSError as error:
        return f"no sound: {_one_line(error)}"
    except LookupError as error:
        return error.args[0]
    finally:
        audio.terminate()
    return None


def _find_output(audio, name: str) -> dict:
    if not name:
        return audio.get_default_output_device_info()
    devices = [audio.get_device_info_by_index(index) for index in range(audio.get_device_count())]
    outputs = [device for device in devices if device["maxOutputChannels"] > 0]
    for device in outputs:
        if name.casefold() in device["name"].casefold():
            return device
    known = ", ".join(device["name"] for device in outputs) or "none"
    raise LookupError(f"no sound device is called {name!r}; there are: {known}")


def alarm_samples(seconds: float, channels: int) -> bytes:
    """The alarm as interleaved signed 16-bit samples at SAMPLE_RATE_HZ, in whole tones, at least one."""
    import array
    import math

    length = round(SAMPLE_RATE_HZ * ALARM_TONE_S)
    pair = array.array("h")
    for tone in ALARM_TONES_HZ:
        for index in range(length):
            sample = round(32767 * ALARM_LEVEL * math.sin(math.tau * tone * index / SAMPLE_RATE_HZ))
            pair.extend([sample] * channels)
    tones = max(1, round(seconds / ALARM_TONE_S))
    samples = pair * (tones // 2 + 1)
    return samples[:tones * length * channels].tobytes()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _child(kind: str) -> None:
    """The child's side: what drivers print goes to a file, standard output carries the answer alone."""
    import tempfile

    answer = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile("w+", errors="replace") as noise:
        os.dup2(noise.fileno(), 1)
        os.dup2(noise.fileno(), 2)

        def request() -> dict:
            line = sys.stdin.readline()
            if not line:                # the parent has gone without a word to say
                sys.exit()
            return json.loads(line)

        try:
            problem = {"voice": _speak_here, "alarm": _sound_alarm_here}[kind](request, noise)
        except Exception as error:      # the edge of this process; a driver may raise anything
            problem = f"{type(error).__name__}: {_one_line(error)}"
        answer.write(json.dumps({"problem": problem}))
        answer.flush()


if __name__ == "__main__":
    _child(sys.argv[1])
