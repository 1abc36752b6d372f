"""Speaking and sounding the alarm in this process, which may hang or crash for it; `sound.py` starts it.

    python sound_process.py voice     speaks the sentence {"text": ...} that it reads from standard input
    python sound_process.py alarm     sounds the alarm {"device": ..., "seconds": ...}

It serves one request, answers {"problem": ...} on standard output, and ends: with pyttsx3 the second `runAndWait`
of a process never returns on some platforms, and on Linux an engine keeps the last sentence and says it again.
It needs nothing of the suite's.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Callable

SAMPLE_RATE_HZ = 44100
# Two tones that alternate every quarter of a second. Both make whole cycles in that time, so each
# change falls on a zero crossing and does not click.
ALARM_TONES_HZ = (880, 660)
ALARM_TONE_S = 0.25
ALARM_LEVEL = 0.8  # of full scale


def _speak_here(request: Callable[[], dict], noise) -> str | None:
    """Speak in this process; return the problem, if any. `noise` is a file with what drivers wrote."""
    try:
        import pyttsx3
    except ImportError:
        return "pyttsx3 is not installed (pip install -r requirements.txt)"
    try:
        engine = pyttsx3.init()
    except Exception as error:  # each platform's driver has its own: COMError, RuntimeError, OSError
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
        stream = audio.open(
            rate=SAMPLE_RATE_HZ,
            channels=channels,
            format=pyaudio.paInt16,
            output=True,
            output_device_index=int(device["index"]),
        )
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
        if name.casefold() in _name(device).casefold():
            return device
    known = ", ".join(map(_name, outputs)) or "none"
    raise LookupError(f"no sound device is called {name!r}; there are: {known}")


def _name(device: dict) -> str:
    """PyAudio gives a name that it cannot decode as bytes."""
    name = device["name"]
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


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
    return samples[: tones * length * channels].tobytes()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _serve(kind: str) -> None:
    """The child's side: what drivers print goes to a file, standard output carries the answer alone."""
    import tempfile

    answer = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile("w+", errors="replace") as noise:
        os.dup2(noise.fileno(), 1)
        os.dup2(noise.fileno(), 2)

        def request() -> dict:
            line = sys.stdin.readline()
            if not line:  # the parent has gone without a word to say
                sys.exit()
            return json.loads(line)

        try:
            problem = {"voice": _speak_here, "alarm": _sound_alarm_here}[kind](request, noise)
        except Exception as error:  # the edge of this process; a driver may raise anything
            problem = f"{type(error).__name__}: {_one_line(error)}"
        answer.write(json.dumps({"problem": problem}))
        answer.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
