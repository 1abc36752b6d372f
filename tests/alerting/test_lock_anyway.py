"""Locking whatever other programs say or do: what they print need not be text, and they may hang."""

import ctypes
import json
import os
import sys
import tempfile
import threading
import time

import pytest
from alerts_parts import picture, wait_for

import alerts
from alerting import guard as guard_module
from alerting import incident, lock

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses the login manager's ways")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts shell scripts where programs are looked for; there are no others but the system's own."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("XDG_SESSION_ID", raising=False)
    monkeypatch.setattr(lock, "DESKTOP_LOCKERS", (["test-locker", "--now"],))
    monkeypatch.setattr(lock, "CONFIRM_S", 0.3)

    def install(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return install


@linux
@pytest.mark.parametrize("said", [r"caf\351", r"3\n4", r"\055H elsewhere", r"caf\303\251", r"\000"])
def test_loginctl_that_names_no_session_is_asked_to_lock_the_callers_own(programs, tmp_path, said):
    programs("loginctl", f"echo \"$@\" >> {tmp_path}/asked; printf '{said}\\n'")
    done = lock.lock_workstation([])
    assert (done.state, done.how) == ("accepted", "loginctl lock-session")
    assert (tmp_path / "asked").read_text().splitlines()[-1] == "--no-ask-password lock-session"


@linux
@pytest.mark.parametrize("status, how", [(0, "no desktop heeds its signal"), (1, "it refuses")])
def test_bytes_that_are_no_text_lead_to_the_next_way_of_locking(programs, tmp_path, status, how):
    programs("loginctl", f"printf 'caf\\351\\n'; printf 'caf\\351\\n' >&2; exit {status}")
    programs("test-locker", f"touch {tmp_path}/locked")
    settings = alerts.Settings(
        voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""), incidents=alerts.IncidentsSettings(0)
    )
    guard = alerts.Alerts(settings, incidents=tmp_path / "incidents")
    for _ in range(2):  # the second time the system is asked first whether the screen is locked
        assert guard.unauthorized(picture(), [], 0.1, "0")
        wait_for((tmp_path / "locked").exists)
        (tmp_path / "locked").unlink()
        wait_for(lambda: guard.status == "lock requested, snapshot kept")
        wait_for(lambda: guard._lock_reported)
    guard.close()
    assert len(list((tmp_path / "incidents").glob("[0-9]*/incident.json"))) == 2


@linux
def test_trying_the_lock_survives_what_is_no_text(programs, capsys):
    programs("loginctl", r"printf 'caf\351\n'")
    settings = alerts.Settings(location=alerts.LocationSettings(""))
    assert alerts.test_alerts(settings, voice=False) == 0
    assert "would run loginctl lock-session" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="programs there are no shell scripts")
def test_ioreg_that_answers_with_what_is_no_text_is_no_reason_to_fail(programs, monkeypatch):
    programs("ioreg", r"""printf '"name"="caf\351" "CGSSessionScreenIsLocked"=Yes'""")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert lock.screen_locked() is True


@linux
@pytest.mark.parametrize("name", ["caf\udce9", "3; reboot", ""])
def test_session_name_of_the_environment_that_is_none_is_passed_over(programs, tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_SESSION_ID", name)
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    programs("loginctl", "[ $1 = show-user ] && echo c2; exit 0")
    assert lock.lock_workstation([]).how == "loginctl lock-session c2"


@linux
def test_without_a_temporary_folder_there_is_still_a_lock(programs, tmp_path, monkeypatch):
    """As on a full disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert lock.lock_workstation(["touch", str(tmp_path / "locked")]).state == "accepted"
    assert (tmp_path / "locked").exists()
    programs("loginctl", "exit 1")
    assert lock.lock_workstation(["false"]).reason.startswith("false: ended with status 1; loginctl: ended with")


@linux
def test_program_that_hangs_holds_up_neither_question_nor_lock(programs, tmp_path):
    programs("loginctl", "sleep 60")
    programs("test-locker", f"touch {tmp_path}/locked")
    began = time.monotonic()
    assert lock.lock_workstation([]).how == "test-locker --now"
    assert time.monotonic() - began < 8 and (tmp_path / "locked").exists()


def test_a_disk_that_does_not_answer_holds_up_no_later_lock_either(tmp_path, monkeypatch):
    answers, locks, create = threading.Event(), [], incident.create

    def slow(*args):
        answers.wait()
        return create(*args)

    monkeypatch.setattr(incident, "create", slow)
    monkeypatch.setattr(guard_module, "DISK_LIMIT_S", 0.1)
    monkeypatch.setattr(lock, "lock_workstation", lambda _: locks.append(1) or lock.Lock("accepted", "tool"))
    monkeypatch.setattr(lock, "confirm_lock", lambda done: done)
    settings = alerts.Settings(
        voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""), incidents=alerts.IncidentsSettings(0)
    )
    guard = alerts.Alerts(settings, incidents=tmp_path)
    for count in (1, 2, 3):
        assert guard.unauthorized(picture(), [picture()], 0.1, "0")
        wait_for(lambda count=count: len(locks) == count)
    assert not list(tmp_path.iterdir())
    answers.set()
    guard.close()
    assert len(locks) == 3
    records = [json.loads(path.read_text()) for path in tmp_path.glob("[0-9]*/incident.json")]
    assert [record["actions"]["lock"]["state"] for record in records] == ["accepted"] * 3
    assert len(list(tmp_path.glob("[0-9]*/frames/0000.png"))) == 3


def test_a_platform_that_fails_in_a_way_nobody_thought_of_is_a_failed_lock(monkeypatch):
    def broken(name, use_last_error):
        raise RuntimeError("no such library")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", broken, raising=False)
    done = lock.lock_workstation([])
    assert (done.state, done.reason) == ("failed", "RuntimeError: no such library")
    assert lock.screen_locked() is False
