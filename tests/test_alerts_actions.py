"""The single actions: voice and alarm, lock, location."""

import ctypes
import json
import os
import re
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
from alerts_parts import (
    PASSWORD,
    LoginManager,
    MailServer,
    alsa_file_card,
    loudest_tone_hz,
    mail_settings,
    make_certificate,
    missing_for_lock,
    picture,
    read_record,
    wait_for,
    web_server,
)

import alerts
import sound

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses ALSA, espeak-ng and logind")


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def has_pyaudio() -> bool:
    try:
        import pyaudio    # noqa: F401
    except ImportError:
        return False
    return True


def has_aplay() -> bool:
    return any(os.access(os.path.join(folder, "aplay"), os.X_OK) for folder in os.get_exec_path())


needs_voice = pytest.mark.skipif(not (has_library("libespeak-ng.so.1") and has_aplay()),
                                 reason="install libespeak-ng1 and alsa-utils")
needs_pyaudio = pytest.mark.skipif(not has_pyaudio(), reason="install portaudio19-dev, then PyAudio")
needs_logind = pytest.mark.skipif(bool(missing_for_lock()), reason=f"install {missing_for_lock()}")


# --- voice and alarm -----------------------------------------------------------------------------------

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
    sound.speak(alerts.AUTHORIZED_SENTENCE)
    samples = card()
    assert 3 < len(samples) / 22050 < 15, "seconds of speech"
    assert np.abs(samples).max() > 3000


@linux
@needs_voice
def test_every_sentence_is_spoken_once_and_in_order(card, player, tmp_path):
    player(f"echo played >> {tmp_path}/plays\nsleep 0.2\nexec /usr/bin/aplay \"$@\"")
    sounds = sound.Sounds(voice=True)
    heard = []
    for text in ("One.", "A second sentence, somewhat longer.", "Three."):
        sounds.say(text, on_end=lambda problem, text=text: heard.append((text, problem, len(card()))))
    sounds.close(time.monotonic() + 20)
    assert [text for text, _, _ in heard] == ["One.", "A second sentence, somewhat longer.", "Three."]
    assert all(problem is None for _, problem, _ in heard)
    lengths = [length for _, _, length in heard]    # the card's file begins anew with each
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
    player(f"[ -e {tmp_path}/hung ] && exec /usr/bin/aplay \"$@\"\ntouch {tmp_path}/hung\n"
           f"echo $$ > {tmp_path}/pid\nexec sleep 60")
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
def test_crashing_driver_is_restarted_and_given_up_after_three(player, caplog):
    player("kill -SEGV $(cut -d' ' -f5 /proc/$$/stat)")         # the whole process, not just the player
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
        "the voice is silent: no sound: audio ope") == 1, caplog.text
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
    length = round(sound.SAMPLE_RATE_HZ * sound.ALARM_TONE_S)
    assert len(left) == pytest.approx(4 * length, abs=0.2 * length)
    tones = [loudest_tone_hz(left[i * length:(i + 1) * length], sound.SAMPLE_RATE_HZ) for i in (0, 1)]
    assert tones == [pytest.approx(tone, abs=5) for tone in sound.ALARM_TONES_HZ]
    assert np.abs(left).max() > 20000


@linux
@needs_pyaudio
def test_alarm_device_is_chosen_by_name(card):
    sound.sound_alarm("DEF", 0.25)          # "default", any case
    assert len(card())
    with pytest.raises(sound.SoundError, match="'loudspeaker'; there are: .*default"):
        sound.sound_alarm("loudspeaker", 0.25)


@linux
@needs_pyaudio
def test_alarm_without_a_device_is_a_plain_sentence(no_card, capfd):
    with pytest.raises(sound.SoundError, match="no sound"):
        sound.sound_alarm(seconds=0.25)
    assert capfd.readouterr() == ("", "")


# --- lock ----------------------------------------------------------------------------------------------

@pytest.fixture
def login_manager(tmp_path, monkeypatch):
    manager = LoginManager(tmp_path)
    wrapper = manager.loginctl_wrapper(tmp_path)
    if wrapper:
        monkeypatch.setenv("PATH", f"{wrapper}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", manager.address)
    monkeypatch.setenv("XDG_SESSION_ID", "3")
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    monkeypatch.setattr(alerts, "DESKTOP_LOCKERS", (["test-locker", "--now"],))
    yield manager
    manager.close()


@pytest.fixture
def desktop_locker(tmp_path, monkeypatch):
    """A desktop's locker that tells when it ran."""
    path = tmp_path / "bin" / "test-locker"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/locker-ran\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "locker-ran"


@linux
@needs_logind
def test_linux_locks_the_callers_session_and_sees_it_locked(login_manager):
    login_manager.answer_lock_with('objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
                                   '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})')
    lock = alerts.lock_workstation([])
    assert lock == alerts.Lock("accepted", "loginctl lock-session 3")
    assert 'LockSession "3"' in login_manager.calls()
    assert alerts.confirm_lock(lock).state == "confirmed"


@linux
@needs_logind
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_screen_that_stays_locked_is_mailed_about_once(login_manager, tmp_path, monkeypatch):
    """Incidents are kept all the same, ever more rarely; after an unlock there is a mail again."""
    login_manager.answer_lock_with('objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
                                   '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})')
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate, "tls")
    server.start()
    monkeypatch.setenv(alerts.PASSWORD_VARIABLE, PASSWORD)
    settings = mail_settings(server, certificate, tmp_path, extra="[incidents]\ncooldown_s = 0\n")
    settings.write_text(re.sub("(?m)^command = .*", "", settings.read_text()))  # the platform's own way
    root = tmp_path / "incidents"
    guard = alerts.Alerts(alerts.load_settings(settings), root, voice=False)

    def another_incident() -> dict:
        known = set(root.glob("[0-9]*"))
        assert guard.unauthorized(picture(), [], 0.03, "0")
        wait_for(lambda: set(root.glob("[0-9]*")) - known)
        (folder,) = set(root.glob("[0-9]*")) - known
        wait_for(lambda: read_record(folder)["actions"]["lock"]["state"] == "confirmed")
        wait_for(lambda: read_record(folder)["actions"]["mail"]["state"] != "waiting")
        return read_record(folder)["actions"]["mail"]

    try:
        assert another_incident()["state"] == "sent"
        mail = another_incident()
        assert mail["state"] == "off" and "locked" in mail["reason"]
        assert not guard.ready, "the pause has not grown"
        wait_for(lambda: guard.ready)
        guard.authorized(0.9)       # somebody else since: what comes now is news, locked or not
        assert another_incident()["state"] == "sent"
        assert guard.ready
        assert another_incident()["state"] == "off"
        login_manager.unlock()
        wait_for(lambda: guard.ready)
        assert another_incident()["state"] == "sent"
    finally:
        guard.close(0.5)
        server.stop()
    assert len(server.accepted) == 3


@linux
@needs_logind
def test_lock_signal_nobody_heeds_falls_back_to_the_desktops_locker(login_manager, desktop_locker,
                                                                    monkeypatch):
    monkeypatch.setattr(alerts, "LOCK_CONFIRM_S", 0.3)
    lock = alerts.confirm_lock(alerts.lock_workstation([]))
    assert lock == alerts.Lock("accepted", "test-locker --now")
    assert desktop_locker.read_text() == "--now\n"


@linux
@needs_logind
def test_lock_signal_nobody_heeds_and_no_locker_is_not_called_locked(login_manager, monkeypatch):
    monkeypatch.setattr(alerts, "LOCK_CONFIRM_S", 0.3)
    lock = alerts.confirm_lock(alerts.lock_workstation([]))
    assert lock.state == "unconfirmed" and lock.reason


@linux
@needs_logind
def test_refused_lock_fails_with_the_reason(login_manager):
    login_manager.answer_lock_with('raise dbus.exceptions.DBusException("no", '
                                   'name="org.freedesktop.DBus.Error.AccessDenied")')
    lock = alerts.lock_workstation([])
    assert lock.state == "failed"
    assert "loginctl: ended with status 1 (" in lock.reason and "set command in [lock]" in lock.reason


@linux
@needs_logind
def test_refused_lock_is_taken_over_by_the_desktops_locker(login_manager, desktop_locker):
    login_manager.answer_lock_with('raise dbus.exceptions.DBusException("no", name="org.example.No")')
    assert alerts.lock_workstation([]).how == "test-locker --now"
    assert desktop_locker.exists()


@linux
def test_own_command_goes_first_and_the_platform_stands_behind_it(desktop_locker, tmp_path, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    monkeypatch.setattr(alerts, "DESKTOP_LOCKERS", (["test-locker", "--now"],))
    assert alerts.lock_workstation(["test-locker", "mine"]) == alerts.Lock("accepted", "test-locker")
    assert desktop_locker.read_text() == "mine\n"
    lock = alerts.lock_workstation(["no-such-locker"])
    assert lock.how == "test-locker --now" and "no-such-locker: not installed" in lock.reason
    assert desktop_locker.read_text() == "mine\n--now\n"


@linux
def test_locker_that_stays_in_the_foreground_counts_and_is_left_running(tmp_path):
    lock = alerts.lock_workstation(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 30"])
    pid = int((tmp_path / "pid").read_text())
    try:
        assert lock.state == "accepted"
        os.kill(pid, 0)
    finally:
        os.kill(pid, 9)


@pytest.mark.parametrize("answer, state", [(1, "accepted"), (0, "failed")])
def test_windows_calls_lock_workstation(monkeypatch, answer, state):
    calls = []

    def library(name, use_last_error):
        return SimpleNamespace(LockWorkStation=lambda: calls.append(name) or answer)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", library, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    monkeypatch.setattr(ctypes, "FormatError", lambda code: f"Access is denied ({code})", raising=False)
    lock = alerts.lock_workstation([])
    assert calls == ["user32"]
    assert (lock.state, lock.how) == (state, "LockWorkStation")
    assert lock.reason == ("" if answer else "Access is denied (5)")


def test_macos_calls_the_login_framework_and_behind_it_the_display_sleep(monkeypatch):
    calls = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(alerts, "_run", lambda command: calls.append(command) or "")
    monkeypatch.setattr(ctypes, "CDLL", lambda path: calls.append(path) or SimpleNamespace(
        SACLockScreenImmediate=lambda: 0))
    assert alerts.lock_workstation([]) == alerts.Lock("accepted", "SACLockScreenImmediate")
    assert calls == [alerts.MACOS_LOGIN_FRAMEWORK]

    def gone(path):
        raise OSError("image not found")

    monkeypatch.setattr(ctypes, "CDLL", gone)
    assert alerts.lock_workstation([]).state == "unconfirmed"
    assert calls[1:] == [["pmset", "displaysleepnow"]]


@pytest.mark.parametrize("flags, locked", [(0, True), (1, False)])
def test_windows_is_asked_whether_the_session_is_locked(monkeypatch, flags, locked):
    answer = (ctypes.c_int32 * 5)(1, 0, 7, 0, flags)
    freed = []

    def query(server, session, kind, information, size):
        assert (server, session, kind) == (None, -1, 25)
        information._obj.contents = ctypes.c_int32.from_buffer(answer)
        return 1

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", lambda name: SimpleNamespace(
        WTSQuerySessionInformationW=query, WTSFreeMemory=lambda pointer: freed.append(pointer[4])), raising=False)
    monkeypatch.setattr(alerts, "LOCK_CONFIRM_S", 0.2)
    assert alerts.screen_locked() is locked and freed == [flags]
    lock = alerts.Lock("accepted", "LockWorkStation")
    assert alerts.confirm_lock(lock).state == ("confirmed" if locked else "accepted")


@pytest.mark.parametrize("line, locked", [('"CGSSessionScreenIsLocked"=Yes,', True), ('"kCGSSessionUserID"=501', False)])
def test_macos_is_asked_whether_the_session_is_locked(monkeypatch, tmp_path, line, locked):
    script = tmp_path / "ioreg"
    script.write_text(f"#!/bin/sh\necho '    \"IOConsoleUsers\" = ({{{line}}})' $1 $2 $3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert alerts.screen_locked() is locked


# --- location ------------------------------------------------------------------------------------------

ANSWERS = {     # in the shape of each service's documentation
    "ipinfo.io": {"ip": "203.0.113.7", "city": "Zürich", "region": "Zurich", "country": "CH",
                  "loc": "47.3667,8.5500", "org": "AS1 X", "timezone": "Europe/Zurich"},
    "ip-api.com": {"status": "success", "country": "CH", "countryCode": "CH", "region": "ZH",
                   "regionName": "Zurich", "city": "Zürich", "lat": 47.3667, "lon": 8.55,
                   "query": "203.0.113.7"},
    "ipapi.co": {"ip": "203.0.113.7", "city": "Zürich", "region": "Zurich", "region_code": "ZH",
                 "country": "CH", "country_name": "CH", "latitude": 47.3667, "longitude": 8.55},
    "ipstack": {"ip": "203.0.113.7", "type": "ipv4", "country_name": "CH", "region_code": "ZH",
                "region_name": "Zurich", "city": "Zürich", "latitude": 47.3667, "longitude": 8.55},
}


@pytest.mark.parametrize("service", ANSWERS)
def test_location_is_read_from_every_usual_service(service):
    with web_server(json.dumps(ANSWERS[service]).encode()) as url:
        public, location = alerts.locate(alerts.LocationSettings(url))
    assert public == "203.0.113.7"
    assert location == {"city": "Zürich", "region": "Zurich", "country": "CH", "latitude": 47.3667,
                        "longitude": 8.55}


@pytest.mark.parametrize("answer, status, told", [
    (b"<html>", 200, "not JSON"), (b"[1, 2]", 200, "no location"), (b"{}", 200, "no location"),
    (b"\xff\xfe", 200, "not JSON"), (b"[" * 60000, 200, "not JSON"), (b" " * 100000, 200, "too long"),
    (b"{}", 429, "HTTP 429"), (b'{"status": "fail", "message": "reserved range"}', 200, "reserved range"),
    (b'{"error": true, "reason": "RateLimited"}', 200, "RateLimited"),
    (b'{"success": false, "error": {"code": 101, "info": "No access key"}}', 200, "No access key"),
    (b'{"city": 5, "loc": "here", "ip": "not one"}', 200, "no location"),
])
def test_bad_answer_gives_unknown_with_the_reason(answer, status, told):
    with web_server(answer, status) as url, pytest.raises(alerts.LocationUnknown, match=told) as caught:
        alerts.locate(alerts.LocationSettings(url))
    assert "top-secret-token" not in str(caught.value)


def test_slow_answer_takes_no_longer_than_the_limit():
    with web_server(json.dumps(ANSWERS["ipinfo.io"]).encode(), pause_s=0.1) as url:
        began = time.monotonic()
        with pytest.raises(alerts.LocationUnknown, match="no answer in 0.5 s"):
            alerts.locate(alerts.LocationSettings(url, 0.5))
        assert time.monotonic() - began < 2


def test_refusing_server_is_told_without_the_address():
    with web_server(b"") as url:
        pass
    with pytest.raises(alerts.LocationUnknown, match="^no connection$"):
        alerts.locate(alerts.LocationSettings(url))
