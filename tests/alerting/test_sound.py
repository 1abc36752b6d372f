"""Voice and alarm, on a sound card that writes to a file."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
from alerts_parts import alsa_file_card, loudest_tone_hz, wait_for

from alerting import sound, sound_process
from alerting.guard import AUTHORIZED_SENTENCE

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses ALSA and espeak-ng")


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_pyaudio() -> bool:
    try:
        import pyaudio  # noqa: F401
    except ImportError:
        return False
    return True


def has_aplay() -> bool:
    return any(os.access(os.path.join(folder, "aplay"), os.X_OK) for folder in os.get_exec_path())


needs_voice = pytest.mark.skipif(
    not (has_library("libespeak-ng.so.1") and has_aplay()), reason="install libespeak-ng1 and alsa-utils"
)
needs_pyaudio = pytest.mark.skipif(not has_pyaudio(), reason="install portaudio19-dev, then PyAudio")


@pytest.fixture
def card(tmp_path, monkeypatch):
    """What the sound card has played so far, as a function: int16 samples of all channels."""
    configuration, played = alsa_file_card(tmp_path)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(configuration))
    return lambda: np.frombuffer(played.read_bytes(), np.int16) if played.exists() else np.empty(0, np.int16)


@pytest.fixture
def no_card(tmp_path, monkeypatch):
    (tmp_path / "asound.conf").write_text("pcm.!default { type hw card 99 }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))


@pytest.fixture
def player(tmp_path, monkeypatch):
    """Puts a shell script in the place of aplay, which pyttsx3 plays with on Linux."""

    def install(script: str) -> None:
        path = tmp_path / "bin" / "aplay"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@linux
@needs_voice
def test_sentence_reaches_the_sound_card(card):
    sound.speak(AUTHORIZED_SENTENCE)
    samples = card()
    assert 3 < len(samples) / 22050 < 15, "seconds of speech"
    assert np.abs(samples).max() > 3000


@linux
@needs_voice
def test_every_sentence_is_spoken_once_and_in_order(card, player, tmp_path):
    player(f'echo played >> {tmp_path}/plays\nsleep 0.2\nexec /usr/bin/aplay "$@"')
    sounds = sound.Sounds(voice=True)
    heard = []
    for text in ("One.", "A second sentence, somewhat longer.", "Three."):
        sounds.say(text, on_end=lambda problem, text=text: heard.append((text, problem, len(card()))))
    sounds.close(time.monotonic() + 20)
    assert [text for text, _, _ in heard] == ["One.", "A second sentence, somewhat longer.", "Three."]
    assert all(problem is None for _, problem, _ in heard)
    lengths = [length for _, _, length in heard]  # the card's file begins anew with each
    assert lengths[1] > lengths[2] > 0 and lengths[1] > lengths[0] > 0
    assert (tmp_path / "plays").read_text().count("played") == 3


@linux
@needs_voice
def test_newer_verdict_overtakes_those_not_yet_begun(player):
    player("sleep 0.4")
    sounds = sound.Sounds(voice=True)
    heard = []
    sounds.say("Begun.", on_end=lambda problem: heard.append("begun"))
    wait_for(lambda: sounds._playing)
    sounds.say("Stale.", on_end=lambda problem: heard.append("stale"))
    sounds.say("Newest.", overtake=True, on_end=lambda problem: heard.append("newest"))
    sounds.close(time.monotonic() + 20)
    assert heard == ["begun", "newest"]


@linux
@needs_voice
def test_hanging_driver_costs_one_sentence(player, card, tmp_path, monkeypatch, caplog):
    player(
        f'[ -e {tmp_path}/hung ] && exec /usr/bin/aplay "$@"\ntouch {tmp_path}/hung\n'
        f"echo $$ > {tmp_path}/pid\nexec sleep 60"
    )
    monkeypatch.setattr(sound, "DRIVER_START_LIMIT_S", 1.0)
    sounds = sound.Sounds(voice=True)
    problems = []
    sounds.say("One.", on_end=problems.append)
    sounds.say("Two.", on_end=problems.append)
    sounds.close(time.monotonic() + 20)
    assert "hung" in problems[0] and problems[1] is None
    assert len(card()) > 0
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


@linux
@needs_voice
def test_closing_in_the_middle_of_a_sentence_leaves_neither_process_nor_file(player, tmp_path, monkeypatch):
    player(f"echo $$ > {tmp_path}/pid\nexec sleep 60")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    sounds = sound.Sounds(voice=True)
    sounds.say("This is going to be cut short.")
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert list((tmp_path / "scratch").rglob("*.wav"))
    sounds.close(time.monotonic())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not list((tmp_path / "scratch").iterdir())


@linux
@needs_voice
def test_a_voice_that_is_killed_while_it_waits_costs_no_sentence(player):
    player("exit 0")
    sounds = sound.Sounds(voice=True)
    ahead = wait_for(lambda: sounds._ahead)
    ahead._process.kill()
    ahead._process.wait()
    ends = []
    sounds.say("Warning.", on_end=ends.append)
    wait_for(lambda: ends)
    sounds.close(time.monotonic() + 1)
    assert ends == [None]


@linux
@needs_voice
def test_crashing_driver_is_restarted_and_given_up_after_three(player, caplog):
    player("kill -SEGV $(cut -d' ' -f5 /proc/$$/stat)")  # the whole process, not just the player
    sounds = sound.Sounds(voice=True)
    problems = []
    for _ in range(5):
        sounds.say("Hello.", on_end=problems.append)
    sounds.close(time.monotonic() + 20)
    assert [("ended with status" in problem) for problem in problems] == [True] * 3 + [False] * 2
    assert "too often" in problems[3]
    assert caplog.text.count("the voice is silent") == 1


@linux
@needs_voice
def test_without_a_sound_device_there_is_one_warning(no_card, caplog, capfd):
    sounds = sound.Sounds(voice=True)
    sounds.say("Hello.")
    sounds.say("Hello again.")
    sounds.close(time.monotonic() + 20)
    assert [record.getMessage()[:40] for record in caplog.records].count(
        "the voice is silent: no sound: audio ope"
    ) == 1, caplog.text
    assert len(caplog.records) == 1
    assert capfd.readouterr() == ("", "")


@linux
@needs_voice
def test_missing_player_names_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sound.SoundError, match="alsa-utils"):
        sound.speak("Hello.")


@linux
@needs_pyaudio
def test_alarm_sounds_both_tones_for_its_time(card):
    sound.sound_alarm(seconds=1.0)
    left = card().reshape(-1, 2)[:, 0]
    length = round(sound_process.SAMPLE_RATE_HZ * sound_process.ALARM_TONE_S)
    assert len(left) == pytest.approx(4 * length, abs=0.2 * length)
    tones = [loudest_tone_hz(left[i * length : (i + 1) * length], sound_process.SAMPLE_RATE_HZ) for i in (0, 1)]
    assert tones == [pytest.approx(tone, abs=5) for tone in sound_process.ALARM_TONES_HZ]
    assert np.abs(left).max() > 20000


@linux
@needs_pyaudio
def test_alarm_device_is_chosen_by_name(card):
    sound.sound_alarm("DEF", 0.25)  # "default", any case
    assert len(card())
    with pytest.raises(sound.SoundError, match="'loudspeaker'; there are: .*default"):
        sound.sound_alarm("loudspeaker", 0.25)


@linux
@needs_pyaudio
def test_alarm_without_a_device_is_a_plain_sentence(no_card, capfd):
    with pytest.raises(sound.SoundError, match="no sound"):
        sound.sound_alarm(seconds=0.25)
    assert capfd.readouterr() == ("", "")


def test_device_whose_name_pyaudio_cannot_decode_is_found_all_the_same():
    names = [b"Lautsprecher \x81", "HDMI"]
    audio = SimpleNamespace(
        get_device_count=lambda: 2,
        get_device_info_by_index=lambda index: {"index": index, "name": names[index], "maxOutputChannels": 2},
    )
    assert sound_process._find_output(audio, "hdmi")["index"] == 1
    assert sound_process._find_output(audio, "lautsprecher")["index"] == 0
    with pytest.raises(LookupError, match="there are: Lautsprecher \ufffd, HDMI"):
        sound_process._find_output(audio, "headset")


@pytest.mark.parametrize("answer", ["no JSON", "[]", "5", '{"other": 1}'])
def test_process_that_answers_with_something_else_costs_one_sentence(tmp_path, monkeypatch, answer):
    process = tmp_path / "process.py"
    process.write_text(f"import sys; sys.stdin.read(); print({answer!r})")
    monkeypatch.setattr(sound, "PROCESS", process)
    sounds = sound.Sounds(voice=True)
    problems = []
    sounds.say("One.", on_end=problems.append)
    wait_for(lambda: problems)
    monkeypatch.undo()
    sounds.say("Caf\udce9.", on_end=problems.append)
    sounds.close(time.monotonic() + 20)
    assert "something else" in problems[0] and len(problems) == 2, "it goes on"


def test_process_sees_none_of_our_modules_by_accident():
    """A driver that imports a module called as one of ours must get its own."""
    code = (
        f"import runpy, sys; runpy.run_path({str(sound.PROCESS)!r})\n"
        "print([name for name in sys.modules if 'alerting' in name])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python"])
def test_python_that_cannot_be_started_costs_the_sentences_alone(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    sounds = sound.Sounds(voice=True)
    problems = []
    for text in ("One.", "Two."):
        sounds.say(text, on_end=problems.append)
    sounds.close(time.monotonic() + 10)
    assert len(problems) == 2
    assert all(problem.startswith("cannot start a process for the voice") for problem in problems)


def test_what_goes_wrong_in_noting_one_sentence_does_not_silence_the_next(monkeypatch):
    def refuse(problem):
        raise ValueError("no")

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    sounds = sound.Sounds(voice=True)
    problems = []
    sounds.say("One.", on_end=refuse)
    sounds.say("Two.", on_end=problems.append)
    sounds.close(time.monotonic() + 10)
    assert len(problems) == 1
