"""What keeps an incident neither from being written nor from having consequences."""

import errno
import getpass
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from alerts_parts import only_incident, picture, quiet_guard, read_record, wait_for
from mail_parts import PASSWORD, MailServer, mail_settings, make_certificate

import alerts
from alerting import computer, incident
from alerting.log_file import log_to
from alerting.settings import PASSWORD_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
guard = pytest.fixture(quiet_guard)
ROOT = Path(alerts.__file__).parent


def test_disk_that_refuses_keeps_neither_lock_nor_mail_from_happening(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
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


def test_disk_that_does_not_answer_does_not_hold_up_the_lock(guard, tmp_path, monkeypatch):
    fsync = os.fsync

    def slow(descriptor):
        time.sleep(6 if not (tmp_path / "locked").exists() else 0)
        fsync(descriptor)

    spoken = []
    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(guard._sounds, "say", lambda *arguments, **options: spoken.append(time.monotonic()))
    began = time.monotonic()
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for((tmp_path / "locked").exists)
    assert time.monotonic() - began < 3.5
    wait_for(lambda: spoken)
    assert spoken[0] - began < 3.7 and guard.status == ""
    wait_for(lambda: guard.status == "lock requested, snapshot kept")
    guard.close()
    assert read_record(only_incident(tmp_path / "incidents"))["actions"]["lock"]["state"] == "accepted"


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not synced there")
def test_disk_that_cannot_put_a_folder_down_for_good_keeps_the_incident_all_the_same(guard, tmp_path, monkeypatch):
    """As network shares."""
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    assert guard.status == "lock requested, snapshot kept"
    assert read_record(only_incident(tmp_path / "incidents"))["actions"]["lock"]["state"] == "accepted"


@pytest.mark.skipif(sys.platform == "win32", reason="names there are always text")
def test_names_that_are_not_text_are_kept_as_far_as_they_are(guard, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "caf\udce9-pc")
    monkeypatch.setenv("LOGNAME", os.fsdecode(b"Ren\xe9"))
    monkeypatch.setattr(time, "tzname", ("caf\udce9",) * 2)
    with log_to(tmp_path / "a.log"):
        guard.unauthorized(picture(), [picture(1)], 0.1, os.fsdecode(b"caf\xe9.mp4"))
        guard.close()
    assert (tmp_path / "locked").exists()
    record = read_record(only_incident(tmp_path / "incidents"))
    assert (record["host"], record["user"], record["source"]) == ("caf -pc", "Ren", "caf .mp4")
    assert record["actions"]["lock"]["state"] == "accepted"
    assert "asked" in (tmp_path / "a.log").read_text("utf-8")


def test_what_an_action_says_of_itself_need_not_be_text(tmp_path):
    actions = {"lock": {"state": "pending"}, "mail": {"state": "off"}}
    case = incident.create(tmp_path, picture(), 0.1, "0", False, actions)
    case.update("lock", state="accepted", how="caf\udce9")
    assert read_record(case.folder)["actions"]["lock"] == {"state": "accepted", "how": "caf\udce9"}
    case.update("lock", reason=b"bytes")  # no JSON: told, not raised
    assert case.record["actions"]["lock"]["reason"] == b"bytes"


@pytest.mark.skipif(sys.platform == "win32", reason="folders of bytes are of POSIX")
def test_incidents_folder_whose_name_is_not_text_is_used(tmp_path):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    with log_to(tmp_path / "a.log"):
        guard = alerts.Alerts(settings, incidents=root, lock=False)
        guard.unauthorized(picture(), [], 0.1, "0")
        guard.close()
    assert only_incident(root).is_dir()
    assert "caf\\udce9" in (tmp_path / "a.log").read_text("utf-8")


def test_names_that_the_system_never_tells_are_not_waited_for(guard, tmp_path, monkeypatch):
    monkeypatch.setattr(computer, "LIMIT_S", 0.2)
    for module, name in ((socket, "gethostname"), (getpass, "getuser")):
        monkeypatch.setattr(module, name, lambda: time.sleep(20))
    began = time.monotonic()
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for((tmp_path / "locked").exists)
    assert time.monotonic() - began < 2
    guard.close()
    record = read_record(only_incident(tmp_path / "incidents"))
    assert (record["host"], record["user"]) == ("unknown", "unknown")


def test_names_that_the_system_refuses_are_unknown(guard, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid")

    for module, name in ((socket, "gethostname"), (getpass, "getuser"), (socket, "socket")):
        monkeypatch.setattr(module, name, refuse)
    guard.unauthorized(picture(), [], 0.1, "0")
    guard.close()
    record = read_record(only_incident(tmp_path / "incidents"))
    assert (record["host"], record["user"], record["address"]["local"]) == ("unknown",) * 3
    assert (tmp_path / "locked").exists()


@pytest.mark.parametrize(
    "frame", [np.empty((0, 0, 3), np.uint8), np.zeros((8, 8, 5), np.uint8), np.zeros((8, 70000, 3), np.uint8), None]
)
def test_picture_that_cannot_be_kept_costs_nothing_but_itself(guard, tmp_path, frame, caplog):
    guard.unauthorized(frame, [frame], 0.1, "0")
    wait_for(lambda: guard.status == "lock requested, snapshot kept")
    guard.close()
    folder = only_incident(tmp_path / "incidents")
    assert not (folder / "snapshot.jpg").exists() and (tmp_path / "locked").exists()
    assert "no snapshot" in caplog.text


def test_nothing_that_is_written_anywhere_is_needed_for_a_lock(tmp_path):
    """No log, no standard streams, no disk for the incident, no temporary folder."""
    (tmp_path / "incidents").write_text("a file where the folder should be")
    code = f"""
import os, sys, tempfile
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import numpy as np
import alerts
tempfile.tempdir = "/nowhere"
sys.stdout.close()
sys.stderr.close()
settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""),
                           lock=alerts.LockSettings(command=["touch", {str(tmp_path / "locked")!r}]))
with alerts.log_to(Path("/dev/full")):
    guard = alerts.Alerts(settings, incidents=Path({str(tmp_path / "incidents")!r}))
    guard.unauthorized(np.zeros((9, 9, 3), np.uint8), [], 0.1, "caf\\udce9")
    guard.close(0)
    status = guard.status
os._exit(0 if status == "INCIDENT NOT SAVED, lock requested" else 1)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    assert (tmp_path / "locked").exists()


@pytest.mark.parametrize(
    "source, kept",
    [
        ("rtsp://admin:pa/ssw0rd@127.0.0.1:9/x", "rtsp://…"),
        ("rtsp://admin:p@ss@nvr:554/x", "rtsp://nvr:554"),
        ("rtsp://nvr/user=admin&password=ssw0rd&channel=1", "rtsp://nvr"),
        ("http://nvr/x?pwd=ssw0rd", "http://nvr"),
        ("http://nvr?pwd=p@ssw0rd", "http://…"),
        ("rtsp://admin:pa?ssw0rd@nvr/x", "rtsp://…"),
        ("rtsp://admin:pa#ssw0rd@nvr/x", "rtsp://…"),
        ("rtsp://nvr/admin/ssw0rd/1", "rtsp://nvr"),
        ("file:///videos/a@b.mp4", "file:///videos/a@b.mp4"),
        ("videos/a@b.mp4", "videos/a@b.mp4"),
        ("0", "0"),
    ],
)
def test_password_of_a_camera_is_not_kept(tmp_path, source, kept):
    settings = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path, lock=False)
    guard.unauthorized(picture(), [], 0.1, source)
    guard.close()
    assert read_record(only_incident(tmp_path))["source"] == kept


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are of POSIX")
def test_incident_that_somebody_has_spoilt_keeps_no_other_from_being_mailed(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    root = tmp_path / "incidents"
    waiting = {
        "lock": {"state": "off"},
        "voice": {"state": "off"},
        "alarm": {"state": "off"},
        "mail": {"state": "waiting"},
    }
    for _ in range(6):
        incident.create(root, picture(), 0.1, "0", False, waiting).release()
    folders = sorted(root.glob("[0-9]*"))

    def change(folder, **fields):
        (folder / "incident.json").write_text(json.dumps(read_record(folder) | fields))

    change(folders[0], time_utc="yesterday")
    change(folders[1], host="caf\udce9\r\nBcc: somebody@example.com", message_id="<caf\udce9@x>")
    record = read_record(folders[2])
    del record["id"]
    (folders[2] / "incident.json").write_text(json.dumps(record))
    change(folders[3], actions={"mail": {"state": "waiting", "attempts": "many"}})
    (folders[4] / "snapshot.jpg").unlink()
    os.mkfifo(folders[4] / "snapshot.jpg")
    (folders[5] / "incident.json").unlink()
    os.mkfifo(folders[5] / "incident.json")
    (root / "1").mkdir()
    (root / "1" / "incident.json").write_text("[" * 100_000)
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        guard = alerts.Alerts(alerts.load_settings(mail_settings(server, certificate, tmp_path)), incidents=root)
        guard.unauthorized(picture(), [], 0.2, "1")
        wait_for(lambda: "owner notified" in guard.status)
        wait_for(lambda: len(server.accepted) == 3)
        guard.close()
    finally:
        server.stop()
    assert "no mail can be made of incident.json: ValueError" in caplog.text
    assert all(mail["Bcc"] is None for mail in server.accepted)
    assert read_record(folders[0])["actions"]["mail"]["state"] == "refused"


def test_temporary_folder_that_is_missing_silences_the_voice_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    settings = alerts.Settings(location=alerts.LocationSettings(""))
    guard = alerts.Alerts(settings, incidents=tmp_path / "incidents", lock=False)
    guard.unauthorized(picture(), [], 0.1, "0")
    folder = only_incident(tmp_path / "incidents")
    wait_for(lambda: read_record(folder)["actions"]["voice"]["state"] == "failed")
    guard.close()
    assert "no temporary folder" in read_record(folder)["actions"]["voice"]["reason"]
