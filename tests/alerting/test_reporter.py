"""Mail over time: what is tried again, what is not, and what survives a kill."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alerts_parts import only_incident, picture, read_record, wait_for
from mail_parts import (  # noqa: F401
    PASSWORD,
    certificate_fixture,
    guards_fixture,
    mail_settings,
    mail_state,
    password_fixture,
    server_fixture,
)

import alerts
from alerting import incident, reporter
from alerting.settings import PASSWORD_VARIABLE

ROOT = Path(alerts.__file__).parent
# aiosmtpd overlooks that its connection is encrypted from the first byte.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.usefixtures("password"),
]


@pytest.mark.parametrize("behaviour", ["greylist", "drop", "hang"])
def test_passing_trouble_is_retried_until_the_mail_is_through(server, certificate, tmp_path, guards, caplog, behaviour):
    server.behaviour = behaviour
    guard = guards(mail_settings(server, certificate, tmp_path, extra=""), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: mail_state(tmp_path / "incidents").get("attempts", 0) >= 2)
    wait_for(lambda: "mail waiting" in guard.status)
    server.behaviour = "accept"
    wait_for(lambda: "owner notified" in guard.status)
    time.sleep(0.3)
    assert len(server.accepted) == 1
    assert caplog.text.count("mail waits") == 1, "the same reason is told once"


def test_pauses_between_attempts_grow(server, certificate, tmp_path, guards):
    server.behaviour = "greylist"
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: len(server.attempts) >= 4)
    pauses = [after - before for before, after in itertools.pairwise(server.attempts)]
    assert pauses[1] >= 0.2 and pauses[2] >= 0.4, "0.1 s, then twice as long each time"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_many_waiting_mails_wait_on_the_disk_and_are_sent_in_the_same_run(
    server, certificate, tmp_path, guards, monkeypatch
):
    def open_claims() -> int:
        count = 0
        for path in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += os.readlink(path).endswith(".claim")
        return count

    monkeypatch.setattr(reporter, "WAITING_LIMIT", 2)
    server.behaviour = "greylist"
    root = tmp_path / "incidents"
    guard = guards(mail_settings(server, certificate, tmp_path, extra="[incidents]\ncooldown_s = 0\n"), root)
    for number in range(6):
        assert guard.unauthorized(picture(number), [], 0.1, "0")

    def attempted() -> int:
        records = (json.loads(path.read_text()) for path in root.glob("[0-9]*/incident.json"))
        return sum("attempts" in record["actions"]["mail"] for record in records)

    wait_for(lambda: attempted() == 6)
    wait_for(lambda: open_claims() <= 2)
    server.behaviour = "accept"
    wait_for(lambda: len(server.accepted) == 6)
    assert len({message["Message-ID"] for message in server.accepted}) == 6


def test_a_disk_that_takes_no_note_of_a_mail_does_not_have_it_sent_again(
    server, certificate, tmp_path, guards, monkeypatch
):
    """More wait than there is room for in memory, and the disk is full: nothing that was sent looks so there."""
    monkeypatch.setattr(reporter, "WAITING_LIMIT", 2)
    root = tmp_path / "incidents"
    for number in range(5):
        states = {name: {"state": "off"} for name in ("lock", "voice", "alarm")} | {"mail": {"state": "waiting"}}
        incident.create(root, picture(number), 0.1, "0", False, states).release()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(incident, "write_whole", full)
    guards(mail_settings(server, certificate, tmp_path), root)
    wait_for(lambda: len(server.accepted) >= 5)
    time.sleep(0.5)
    assert len(server.accepted) == len({message["Message-ID"] for message in server.accepted}) == 5


def test_an_incident_that_is_still_being_built_is_left_alone(tmp_path):
    states = {name: {"state": "off"} for name in ("lock", "voice", "alarm")} | {"mail": {"state": "waiting"}}
    case = incident.create(tmp_path, picture(), 0.1, "0", False, states)
    case.release()
    assert [one.name for one in incident.unsent(tmp_path)] == [case.name]
    case.folder.rename(tmp_path / f".{case.name}.incomplete")
    assert list(incident.unsent(tmp_path)) == []


@pytest.mark.parametrize(
    "behaviour, told",
    [("refuse recipient", "no such user"), ("refuse mail", "spam"), ("wrong password", "app password")],
)
def test_refusal_is_told_once_and_tried_once_more_at_the_next_start(
    server, certificate, tmp_path, guards, monkeypatch, caplog, behaviour, told
):
    server.behaviour = behaviour
    if behaviour == "wrong password":
        monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    settings, root = mail_settings(server, certificate, tmp_path), tmp_path / "incidents"
    first = guards(settings, root)
    first.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "MAIL REFUSED" in first.status)
    time.sleep(0.5)  # five times the first pause
    assert mail_state(root)["attempts"] == 1 and told in mail_state(root)["reason"]
    assert caplog.text.count("NOT MAILED") == 1
    first.close()

    server.behaviour = "accept"
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    caplog.clear()
    guards(settings, root)
    wait_for(lambda: mail_state(root)["state"] == "sent")
    assert "not mailed in an earlier run" in caplog.text and told in caplog.text
    assert len(server.accepted) == 1


def test_after_a_refusal_the_server_is_left_in_peace(server, certificate, tmp_path, guards, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    settings = mail_settings(server, certificate, tmp_path, extra="[incidents]\ncooldown_s = 0")
    guard = guards(settings, tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "MAIL REFUSED" in guard.status)
    knocks = server.logins
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "mail waiting" in guard.status)
    assert server.logins == knocks


def test_a_mail_that_is_too_large_holds_up_no_other(server, certificate, tmp_path, guards):
    server.behaviour = "refuse size"
    settings = mail_settings(server, certificate, tmp_path, extra="[incidents]\ncooldown_s = 0")
    guard = guards(settings, tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "MAIL REFUSED" in guard.status)
    server.behaviour = "accept"
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: server.accepted)


CHILD = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
import alerts
from alerts_parts import picture
from pathlib import Path
guard = alerts.Alerts(alerts.load_settings(Path({settings!r})), incidents=Path({incidents!r}))
guard.unauthorized(picture(), [], 0.1, "0")
time.sleep(60)
"""


def start_child(settings: Path, incidents: Path) -> subprocess.Popen:
    code = CHILD.format(
        root=str(ROOT), tests=str(Path(__file__).parent), settings=str(settings), incidents=str(incidents)
    )
    return subprocess.Popen([sys.executable, "-c", code])


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_kill_between_incident_and_mail_loses_nothing_and_mails_once(server, certificate, tmp_path, guards):
    server.behaviour = "hang"
    settings, root = mail_settings(server, certificate, tmp_path), tmp_path / "incidents"
    child = start_child(settings, root)
    try:
        assert server.data_seen.wait(20), "the child is in the middle of its mail"
        folder = only_incident(root)
        server.behaviour = "accept"
        bystander = guards(settings, root)  # a second authenticator, while the first one lives
        time.sleep(0.5)
        assert not server.accepted, "an incident that another process works on is left to it"
        bystander.close()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert read_record(folder)["actions"]["mail"]["state"] == "waiting"

    heirs = [guards(settings, root), guards(settings, root)]
    wait_for(lambda: read_record(folder)["actions"]["mail"]["state"] == "sent")
    for heir in heirs:
        heir.close()
    guards(settings, root).close()  # what is sent stays sent
    assert [mail["Message-ID"] for mail in server.accepted] == [read_record(folder)["message_id"]]
    assert not list(root.glob(".*.claim"))


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_kill_right_after_the_mail_was_recorded_mails_no_second_time(server, certificate, tmp_path, guards):
    settings, root = mail_settings(server, certificate, tmp_path), tmp_path / "incidents"
    child = start_child(settings, root)
    try:
        wait_for(lambda: server.accepted and mail_state(root)["state"] == "sent", 20)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    guards(settings, root).close()
    assert len(server.accepted) == 1


def test_unsent_mail_waits_on_disk_and_rehearsals_are_never_mailed(server, certificate, tmp_path, guards):
    settings, root = mail_settings(server, certificate, tmp_path), tmp_path / "incidents"
    rehearsal = guards(settings, root, rehearsal=True)
    rehearsal.unauthorized(picture(), [], 0.1, "fake.mp4")
    assert wait_for(lambda: rehearsal.status) == "rehearsal, nothing locked or mailed"
    rehearsal.close()
    assert not (tmp_path / "locked").exists()
    silent = guards(settings, root, email=False)
    silent.unauthorized(picture(), [], 0.1, "0")
    silent.close()
    assert silent.status == "lock requested, snapshot kept"

    server.behaviour = "hang"
    guard = guards(settings, root)
    guard.unauthorized(picture(), [], 0.1, "0")
    began = time.monotonic()
    guard.close(timeout_s=0.5)
    assert time.monotonic() - began < 5
    server.behaviour = "accept"
    wait_for(lambda: guards(settings, root) and server.accepted)
    states = {
        read_record(path.parent)["source"]: read_record(path.parent)["actions"]["mail"]["state"]
        for path in root.glob("[0-9]*/incident.json")
    }
    assert states["fake.mp4"] == "rehearsal"
    assert len(server.accepted) == 1


def test_unreadable_incident_is_left_alone_and_told(server, certificate, tmp_path, guards, caplog):
    root = tmp_path / "incidents"
    for name, content in (("20260101T000000Z-aa", "{"), ("20260101T000000Z-bb", json.dumps([1]))):
        (root / name).mkdir(parents=True)
        (root / name / "incident.json").write_text(content)
    guard = guards(mail_settings(server, certificate, tmp_path), root)
    wait_for(lambda: caplog.text.count("cannot be read") == 2)
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "owner notified" in guard.status)


def test_a_failed_challenge_is_not_reported_as_a_low_score(server, certificate, tmp_path, guards):
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.99, "camera 0", incident.CHALLENGE)
    wait_for(lambda: server.accepted)
    assert read_record(only_incident(tmp_path / "incidents"))["reason"] == incident.CHALLENGE
    for kind in ("plain", "html"):
        text = server.accepted[0].get_body((kind,)).get_content()
        assert "failed the challenge" in text and "refused below" not in text


def test_a_live_stranger_is_reported_as_one(server, certificate, tmp_path, guards):
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.99, "camera 0", incident.STRANGER)
    wait_for(lambda: server.accepted)
    record = read_record(only_incident(tmp_path / "incidents"))
    assert record["reason"] == incident.STRANGER
    (mail,) = server.accepted
    assert mail["Subject"] == f"A live stranger at {record['host']}"
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content()
        assert "live stranger" in text and "not the owner" in text
        assert not any(words in text for words in ("refused below", "nauthorized face", "it a live"))
