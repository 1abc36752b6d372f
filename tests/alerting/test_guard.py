"""The whole of what follows a verdict: in what order, how often, and what the banner says of it."""

import logging
import os
import stat
import sys
import time

import cv2
import numpy as np
import pytest
from alerts_parts import alsa_file_card, only_incident, picture, quiet_guard, read_record, wait_for, web_server

import alerts
from alerting import guard as guard_module
from alerting import incident, lock, sound

guard = pytest.fixture(quiet_guard)


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


@pytest.mark.parametrize(
    "reason, told", [(incident.REPLAY, "not authorized"), (incident.STRANGER, "not the owner of this workstation")]
)
def test_a_stranger_is_locked_out_like_a_replay_and_told_something_else(guard, tmp_path, monkeypatch, reason, told):
    spoken = []
    monkeypatch.setattr(guard._sounds, "say", lambda text, **_: spoken.append(text))
    assert guard.unauthorized(picture(), [], 0.99, "0", reason)
    guard.close()
    assert (tmp_path / "locked").exists() and read_record(only_incident(tmp_path / "incidents"))["reason"] == reason
    assert len(spoken) == 1 and told in spoken[0]


def test_incident_is_on_disk_before_the_lock(tmp_path):
    path = tmp_path / "alerts.toml"
    root = tmp_path / "incidents"
    path.write_text(
        f'[voice]\nenabled = false\n[location]\nurl = ""\n[lock]\n'
        f'command = ["sh", "-c", "(ls {root}/*/; echo ran) >> {tmp_path}/seen"]\n'
    )
    guard = alerts.Alerts(alerts.load_settings(path), incidents=root)
    guard.unauthorized(picture(), [picture(1)], 0.1, "0")
    guard.close(0)  # even without patience: a gate that runs once must have both
    assert (tmp_path / "seen").read_text().split() == ["incident.json", "snapshot.jpg", "ran"]


def test_cooldown_makes_one_incident_of_many_verdicts(tmp_path):
    settings = alerts.Settings(
        voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""), incidents=alerts.IncidentsSettings(0.5)
    )
    guard = alerts.Alerts(settings, incidents=tmp_path, lock=False)
    assert [guard.unauthorized(picture(), [], 0.1, "0") for _ in range(3)] == [True, False, False]
    time.sleep(0.6)
    assert guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert len(list(tmp_path.glob("[0-9]*"))) == 2
    assert not guard.unauthorized(picture(), [], 0.1, "0"), "closed"


def test_once_the_owner_is_back_no_long_cooldown_of_the_night_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "lock_workstation", lambda command: lock.Lock("accepted", "tool"))
    monkeypatch.setattr(lock, "confirm_lock", lambda done: done)
    monkeypatch.setattr(lock, "screen_locked", lambda: True)
    quiet = {"voice": alerts.VoiceSettings(False), "location": alerts.LocationSettings("")}
    guard = alerts.Alerts(alerts.Settings(incidents=alerts.IncidentsSettings(0.2), **quiet), incidents=tmp_path)
    for number in range(4):  # after 0.2, 0.4, 2 and 4 s
        wait_for(lambda: guard.unauthorized(picture(), [], 0.1, "0"))
        wait_for(lambda number=number: len(list(tmp_path.glob("[0-9]*"))) == number + 1)
        wait_for(lambda: guard.status == "lock requested, snapshot kept")
    assert guard._next_incident > time.monotonic() + 1
    guard.authorized(0.99, greet=False)
    time.sleep(0.25)
    assert guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()


@pytest.mark.parametrize("greet", [True, False])
def test_who_is_authorized_is_welcomed_only_where_they_are_to_be_greeted(guard, monkeypatch, greet):
    spoken = []
    monkeypatch.setattr(guard_module.Sounds, "say", lambda self, text, **_: spoken.append(text))
    guard.authorized(0.99, greet=greet)
    assert spoken == [guard_module.AUTHORIZED_SENTENCE] * greet


def test_rehearsal_is_marked_and_does_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "lock_workstation", lambda command: pytest.fail("locked in a rehearsal"))
    with web_server(b"{}") as url:
        settings = alerts.Settings(
            email=alerts.EmailSettings("127.0.0.1", 1, sender="a@b.c", recipient="a@b.c"),
            location=alerts.LocationSettings(url),
            voice=alerts.VoiceSettings(False),
            alarm=alerts.AlarmSettings(True),
        )
        guard = alerts.Alerts(settings, incidents=tmp_path, rehearsal=True)
        guard.unauthorized(picture(), [picture(1)], 0.1, "fake.mp4")
        wait_for(lambda: guard.status == "rehearsal, nothing locked or mailed")
        guard.close()
    record = read_record(only_incident(tmp_path))
    assert record["rehearsal"] is True
    assert {name: action["state"] for name, action in record["actions"].items()} == {
        "lock": "rehearsal",
        "alarm": "rehearsal",
        "mail": "rehearsal",
        "voice": "off",
    }
    assert record["location"] == {"unknown": "not looked up"}


def test_failed_lock_is_loud(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lock, "_platform_lock", lambda: lambda: lock.Lock("failed", "nothing", "why"))
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert guard.status == "LOCK FAILED, snapshot kept"
    assert read_record(only_incident(tmp_path))["actions"]["lock"]["reason"] == "why"
    assert any(record.levelno == logging.CRITICAL and "LOCK FAILED" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "outcome, told",
    [
        (lock.Lock("confirmed", "x"), "workstation locked, snapshot kept"),
        (lock.Lock("accepted", "x"), "lock requested, snapshot kept"),
        (lock.Lock("unconfirmed", "x"), "LOCK NOT CONFIRMED, snapshot kept"),
    ],
)
def test_the_banner_claims_a_locked_workstation_only_where_the_system_says_so(tmp_path, monkeypatch, outcome, told):
    monkeypatch.setattr(lock, "lock_workstation", lambda command: outcome)
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path)
    assert guard.status == ""
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert guard.status == told


def test_the_banner_never_tells_of_one_incident_what_was_done_about_another(tmp_path):
    settings = alerts.Settings(
        voice=alerts.VoiceSettings(False),
        location=alerts.LocationSettings(""),
        lock=alerts.LockSettings(command=["sleep", "0.5"]),
        incidents=alerts.IncidentsSettings(0),
    )
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
        monkeypatch.setattr(guard_module.time, "monotonic", lambda later=later: now + later)
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
    settings = alerts.Settings(location=alerts.LocationSettings(""), alarm=alerts.AlarmSettings(True, "", 0.5))
    try:
        sound.speak("Hello.")
        sound.sound_alarm("", 0.25)
    except sound.SoundError as error:
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
