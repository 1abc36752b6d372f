"""Settings, the incident on the disk, and the whole of what follows a verdict."""

import logging
import os
import re
import stat
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from alerts_parts import (
    PASSWORD,
    MailServer,
    alsa_file_card,
    mail_settings,
    make_certificate,
    only_incident,
    picture,
    read_record,
    wait_for,
    web_server,
)

import alerts
import incident
import mail

ROOT = Path(alerts.__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture
def guard(tmp_path):
    """An Alerts object with neither sound nor network, whose lock is a file called `locked`."""
    path = tmp_path / "alerts.toml"
    path.write_text(f'[voice]\nenabled = false\n[location]\nurl = ""\n'
                    f'[lock]\ncommand = ["touch", "{tmp_path / "locked"}"]\n')
    guard = alerts.Alerts(alerts.load_settings(path), incidents=tmp_path / "incidents")
    yield guard
    guard.close()


# --- settings ------------------------------------------------------------------------------------------

def test_example_documents_every_setting_with_its_default():
    import tomllib
    path = ROOT / "alerts.example.toml"
    content = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", path.read_text("utf-8")))
    defaults = {name: set(vars(section)) for name, section in vars(alerts.Settings()).items()}
    assert {name: set(section) for name, section in content.items()} == defaults
    loaded = alerts.load_settings(path)
    assert loaded.email.host == "smtp.example.com"
    for name in ("location", "voice", "alarm", "lock", "incidents"):
        assert getattr(loaded, name) == getattr(alerts.Settings(), name)


def test_no_file_gives_the_defaults():
    assert alerts.load_settings(None) == alerts.Settings()
    assert not alerts.load_settings(None).email.host


GOOD_EMAIL = '[email]\nhost = "smtp.example.com"\nsender = "a@b.c"\nrecipient = "a@b.c"\n'


@pytest.mark.parametrize("text, told", [
    ("[mail]\n", r"unknown section 'mail'; did you mean 'email'\?"),
    ("cooldown = 3\n", "unknown key 'cooldown'"),
    ("email = 3\n", r"write \[email\]"),
    ("[alarm]\nenable = true\n", r"unknown key 'enable' in \[alarm\]; did you mean 'enabled'\?"),
    ("[voice]\nenabled = 1\n", r"enabled in \[voice\] must be true or false"),
    ("[lock]\ncommand = \"swaylock\"\n", r"command in \[lock\] must be a list of texts"),
    ("[lock]\ncommand = [\"swaylock\", 1]\n", "must be a list of texts"),
    ("[email]\nport = \"465\"\n", "port .* must be a whole number"),
    (GOOD_EMAIL + "port = 70000\n", "port .* from 1 to 65535"),
    (GOOD_EMAIL + 'security = "both"\n', '"tls" or "starttls"'),
    ('[email]\nsender = "a@b.c"\n', "host in .email. is missing"),
    ('[email]\nhost = "smtp.example.com"\nsender = "a@b.c"\n', "recipient .* one mail address"),
    ('[email]\nhost = "h"\nsender = "a@b.c"\nrecipient = "a@b.c\\r\\nBcc: d@e.f"\n', "recipient"),
    ('[email]\nhost = "https://smtp.example.com"\n', "plain host name"),
    (GOOD_EMAIL + 'ca_file = "nowhere.pem"\n', "there is no file .*nowhere.pem"),
    ('[location]\nurl = "ftp://x/y"\n', "must begin with https://"),
    ("[location]\ntimeout_s = -1\n", "timeout_s .* from 0.1"),
    ("[incidents]\ncooldown_s = nan\n", "cooldown_s"),
    ("[email\n", "not valid TOML.*line 1"),
])
def test_wrong_settings_are_refused_with_file_and_key(tmp_path, text, told):
    path = tmp_path / "alerts.toml"
    path.write_text(text)
    with pytest.raises(alerts.SettingsError, match=told) as caught:
        alerts.load_settings(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ['password = "hunter2"', 'smtp_password = "hunter2"',
                                  '[email]\npassword = "hunter2"', '[email]\nPASSWD = "hunter2"'])
def test_password_in_the_file_is_refused_without_being_repeated(tmp_path, line):
    path = tmp_path / "alerts.toml"
    path.write_text(line)
    with pytest.raises(alerts.SettingsError, match="keyring set .*LIVENESS_SMTP_PASSWORD") as caught:
        alerts.load_settings(path)
    assert "hunter2" not in str(caught.value)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(alerts.SettingsError, match="cannot be read"):
        alerts.load_settings(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'[alarm]\ndevice = "Lautsprecher \xfc"\n')
    with pytest.raises(alerts.SettingsError, match="UTF-8"):
        alerts.load_settings(tmp_path / "latin.toml")


# --- the incident --------------------------------------------------------------------------------------

def test_incident_keeps_snapshot_record_and_raw_frames(guard, tmp_path):
    frames = [picture(seed) for seed in range(1, 13)]
    assert guard.unauthorized(picture(), frames, 0.0312, "videos/fake.mp4")
    guard.close()
    folder = only_incident(tmp_path / "incidents")
    snapshot = cv2.imread(str(folder / "snapshot.jpg"))
    assert np.abs(snapshot.astype(int) - picture()).mean() < 12
    kept = sorted((folder / "frames").iterdir())
    assert [path.name for path in kept] == [f"{number:04}.png" for number in range(10)]
    assert all((cv2.imread(str(path)) == frame).all() for path, frame in zip(kept, frames, strict=False))
    record = read_record(folder)
    assert record["score"] == 0.0312 and record["source"] == "videos/fake.mp4"
    assert record["rehearsal"] is False and record["id"] == folder.name
    assert record["time_utc"].endswith("+00:00") and record["host"] and record["user"]
    assert record["location"] == {"unknown": "the look-up is switched off"}
    lock = record["actions"]["lock"]
    assert (lock["state"], lock["how"]) == ("accepted", "touch") and lock["after_ms"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="modes are of POSIX")
def test_only_the_owner_can_look_into_incidents(guard, tmp_path):
    umask = os.umask(0)
    try:
        guard.unauthorized(picture(), [picture(1)], 0.1, "0")
        guard.close()
    finally:
        os.umask(umask)
    root = tmp_path / "incidents"
    for path in [root, *root.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_incident_is_on_disk_before_the_lock(tmp_path):
    path = tmp_path / "alerts.toml"
    root = tmp_path / "incidents"
    path.write_text(f'[voice]\nenabled = false\n[location]\nurl = ""\n[lock]\n'
                    f'command = ["sh", "-c", "(ls {root}/*/; echo ran) >> {tmp_path}/seen"]\n')
    guard = alerts.Alerts(alerts.load_settings(path), incidents=root)
    guard.unauthorized(picture(), [picture(1)], 0.1, "0")
    guard.close(0)      # even without patience: a gate that runs once must have both
    assert (tmp_path / "seen").read_text().split() == ["incident.json", "snapshot.jpg", "ran"]


def test_cooldown_makes_one_incident_of_many_verdicts(tmp_path):
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""),
                               incidents=alerts.IncidentsSettings(0.5))
    guard = alerts.Alerts(settings, incidents=tmp_path, lock=False)
    assert [guard.unauthorized(picture(), [], 0.1, "0") for _ in range(3)] == [True, False, False]
    time.sleep(0.6)
    assert guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert len(list(tmp_path.glob("[0-9]*"))) == 2
    assert not guard.unauthorized(picture(), [], 0.1, "0"), "closed"


def test_rehearsal_is_marked_and_does_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(alerts, "lock_workstation", lambda command: pytest.fail("locked in a rehearsal"))
    with web_server(b"{}") as url:
        settings = alerts.Settings(
            email=alerts.EmailSettings("127.0.0.1", 1, sender="a@b.c", recipient="a@b.c"),
            location=alerts.LocationSettings(url), voice=alerts.VoiceSettings(False),
            alarm=alerts.AlarmSettings(True))
        guard = alerts.Alerts(settings, incidents=tmp_path, rehearsal=True)
        guard.unauthorized(picture(), [picture(1)], 0.1, "fake.mp4")
        wait_for(lambda: guard.status == "rehearsal, nothing locked or mailed")
        guard.close()
    record = read_record(only_incident(tmp_path))
    assert record["rehearsal"] is True
    assert {name: action["state"] for name, action in record["actions"].items()} == {
        "lock": "rehearsal", "alarm": "rehearsal", "mail": "rehearsal", "voice": "off"}
    assert record["location"] == {"unknown": "not looked up"}


def test_disk_that_refuses_keeps_neither_lock_nor_mail_from_happening(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(alerts.PASSWORD_VARIABLE, PASSWORD)
    (tmp_path / "incidents").write_text("a file where the folder should be")
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        settings = alerts.load_settings(mail_settings(server, certificate, tmp_path))
        guard = alerts.Alerts(settings, incidents=tmp_path / "incidents")
        guard.unauthorized(picture(), [picture(1)], 0.1, "0")
        wait_for(lambda: "owner notified" in guard.status)
        guard.close()
    finally:
        server.stop()
    assert guard.status == "INCIDENT NOT SAVED, lock requested, owner notified"
    assert (tmp_path / "locked").exists() and len(server.accepted) == 1
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


def test_failed_lock_is_loud(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(alerts, "_platform_lock", lambda: lambda: alerts.Lock("failed", "nothing", "why"))
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert guard.status == "LOCK FAILED, snapshot kept"
    assert read_record(only_incident(tmp_path))["actions"]["lock"]["reason"] == "why"
    assert any(record.levelno == logging.CRITICAL and "LOCK FAILED" in record.getMessage()
               for record in caplog.records)


@pytest.mark.parametrize("lock, told", [
    (alerts.Lock("confirmed", "x"), "workstation locked, snapshot kept"),
    (alerts.Lock("accepted", "x"), "lock requested, snapshot kept"),
    (alerts.Lock("unconfirmed", "x"), "LOCK NOT CONFIRMED, snapshot kept")])
def test_the_banner_claims_a_locked_workstation_only_where_the_system_says_so(tmp_path, monkeypatch, lock, told):
    monkeypatch.setattr(alerts, "lock_workstation", lambda command: lock)
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path)
    assert guard.status == ""
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert guard.status == told


def test_the_banner_never_tells_of_one_incident_what_was_done_about_another(tmp_path):
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""),
                               lock=alerts.LockSettings(command=["sleep", "0.5"]),
                               incidents=alerts.IncidentsSettings(0))
    guard = alerts.Alerts(settings, incidents=tmp_path)
    for _ in range(2):
        guard.unauthorized(picture(), [], 0.1, "0")
        assert guard.status in ("", "locking, snapshot kept")
        wait_for(lambda: guard.status == "locking, snapshot kept")
        wait_for(lambda: guard.status == "lock requested, snapshot kept")
    guard.close()


def test_the_banner_tells_how_long_ago_it_was(tmp_path, monkeypatch):
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path, lock=False)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    now = time.monotonic()
    for later, told in ((5, "snapshot kept"), (34, "snapshot kept (30 s ago)"), (200, "snapshot kept (3 min ago)")):
        monkeypatch.setattr(alerts.time, "monotonic", lambda later=later: now + later)
        assert guard.status == told


def test_callers_thread_never_waits(guard, tmp_path):
    frames = [np.zeros((720, 1280, 3), np.uint8) for _ in range(11)]
    began = time.perf_counter()
    guard.unauthorized(frames[0], frames[1:], 0.1, "0")
    guard.authorized(0.9)
    guard.say("Hello.")
    assert guard.status is not None
    assert time.perf_counter() - began < 0.05


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sound card is ALSA's")
def test_verdicts_are_spoken_and_recorded(tmp_path, monkeypatch):
    configuration, played = alsa_file_card(tmp_path)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(configuration))
    settings = alerts.Settings(location=alerts.LocationSettings(""),
                               alarm=alerts.AlarmSettings(True, "", 0.5))
    try:
        alerts.speak("Hello.")
        alerts.sound_alarm("", 0.25)
    except alerts.SoundError as error:
        pytest.skip(str(error))
    guard = alerts.Alerts(settings, incidents=tmp_path / "incidents", lock=False)
    before = played.stat().st_size
    guard.authorized(0.93)
    wait_for(lambda: played.stat().st_size > before)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close(15)
    actions = read_record(only_incident(tmp_path / "incidents"))["actions"]
    assert actions["voice"] == {"state": "done"} and actions["alarm"] == {"state": "done"}


def test_close_without_any_verdict_is_quick(tmp_path):
    guard = alerts.Alerts(alerts.load_settings(None), incidents=tmp_path / "incidents")
    began = time.monotonic()
    guard.close()
    assert time.monotonic() - began < 1.5
    assert not (tmp_path / "incidents").exists(), "nothing is made before it is needed"


# --- --test-alerts -------------------------------------------------------------------------------------

def test_trying_the_alerts_prints_a_line_for_each_part(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(alerts.PASSWORD_VARIABLE, PASSWORD)
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        with web_server(b'{"ip": "203.0.113.7", "city": "Bern"}') as url:
            path = mail_settings(server, certificate, tmp_path)
            path.write_text(path.read_text().replace('url = ""', f'url = "{url}"'))
            assert alerts.test_alerts(alerts.load_settings(path)) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.split()[:2] for line in lines] == [
                ["voice", "off"], ["alarm", "off"], ["location", "OK"], ["mail", "OK"], ["lock", "OK"]]
            assert "Bern" in lines[2]
            (mail,) = server.accepted
            assert mail["Subject"].startswith("TEST: ")
            assert "This is a test" in mail.get_body(("plain",)).get_content()
            assert not (tmp_path / "locked").exists(), "the lock is told, not run"

            server.behaviour = "refuse recipient"
            assert alerts.test_alerts(alerts.load_settings(path)) == 1
            assert "no such user" in capsys.readouterr().out
    finally:
        server.stop()


def test_trying_the_alerts_says_what_to_fix(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(alerts, "DESKTOP_LOCKERS", ())
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with web_server(b"") as url:
        pass
    settings = alerts.Settings(
        email=alerts.EmailSettings("127.0.0.1", 1, sender="a@b.c", recipient="a@b.c"),
        location=alerts.LocationSettings(url), alarm=alerts.AlarmSettings(True, "no such loudspeaker"))
    assert alerts.test_alerts(settings) == 1
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: line for line in lines}
    assert len(lines) == 5
    if sys.platform.startswith("linux"):
        assert all(" FIX " in line for line in lines), lines
    assert "Connection refused" in told["mail"] or "refused" in told["mail"]
    assert "no connection" in told["location"]


def test_mail_text_of_a_late_mail_says_so():
    record, jpeg = incident.sample("203.0.113.7", {"unknown": "no connection"})
    record["time_utc"] = "2026-01-01T00:00:00.000+00:00"
    text = mail.compose(record, jpeg, "a@b.c", "a@b.c").get_body(("plain",)).get_content()
    assert "after the incident" in text and "unknown (no connection)" in text
