"""Locking: by a real login manager, by the desktop's lockers, by the user's command; the other systems' ways."""

import ctypes
import os
import re
import sys
from types import SimpleNamespace

import pytest
from alerts_parts import LoginManager, missing_for_lock, picture, read_record, wait_for
from mail_parts import PASSWORD, MailServer, mail_settings, make_certificate

import alerts
from alerting import lock, programs
from alerting.settings import PASSWORD_VARIABLE

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses logind")
needs_logind = pytest.mark.skipif(bool(missing_for_lock()), reason=f"install {missing_for_lock()}")


@pytest.fixture
def login_manager(tmp_path, monkeypatch):
    manager = LoginManager(tmp_path)
    wrapper = manager.loginctl_wrapper(tmp_path)
    if wrapper:
        monkeypatch.setenv("PATH", f"{wrapper}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", manager.address)
    monkeypatch.setenv("XDG_SESSION_ID", "3")
    monkeypatch.setenv("XDG_SESSION_TYPE", "x11")
    monkeypatch.setattr(lock, "DESKTOP_LOCKERS", (["test-locker", "--now"],))
    yield manager
    manager.close()


@pytest.fixture
def desktop_locker(tmp_path, monkeypatch):
    """A desktop's locker that tells when it ran."""
    path = tmp_path / "bin" / "test-locker"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/locker-ran\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "locker-ran"


@linux
@needs_logind
def test_linux_locks_the_callers_session_and_sees_it_locked(login_manager):
    login_manager.answer_lock_with(
        'objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
        '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})'
    )
    done = lock.lock_workstation([])
    assert done == lock.Lock("accepted", "loginctl lock-session 3")
    assert 'LockSession "3"' in login_manager.calls()
    assert lock.confirm_lock(done).state == "confirmed"


@linux
@needs_logind
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_screen_that_stays_locked_is_mailed_about_once(login_manager, tmp_path, monkeypatch):
    """Incidents are kept all the same, ever more rarely; after an unlock there is a mail again."""
    login_manager.answer_lock_with(
        'objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
        '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})'
    )
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate, "tls")
    server.start()
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
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
        guard.authorized(0.9)  # somebody else since: what comes now is news, locked or not
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
def test_lock_signal_nobody_heeds_falls_back_to_the_desktops_locker(login_manager, desktop_locker, monkeypatch):
    monkeypatch.setattr(lock, "CONFIRM_S", 0.3)
    done = lock.confirm_lock(lock.lock_workstation([]))
    assert done == lock.Lock("accepted", "test-locker --now")
    assert desktop_locker.read_text() == "--now\n"


@linux
@needs_logind
def test_lock_signal_nobody_heeds_and_no_locker_is_not_called_locked(login_manager, monkeypatch):
    monkeypatch.setattr(lock, "CONFIRM_S", 0.3)
    done = lock.confirm_lock(lock.lock_workstation([]))
    assert done.state == "unconfirmed" and done.reason


@linux
@needs_logind
def test_refused_lock_fails_with_the_reason(login_manager):
    login_manager.answer_lock_with(
        'raise dbus.exceptions.DBusException("no", name="org.freedesktop.DBus.Error.AccessDenied")'
    )
    done = lock.lock_workstation([])
    assert done.state == "failed"
    assert "loginctl: ended with status 1 (" in done.reason and "set command in [lock]" in done.reason


@linux
@needs_logind
def test_refused_lock_is_taken_over_by_the_desktops_locker(login_manager, desktop_locker):
    login_manager.answer_lock_with('raise dbus.exceptions.DBusException("no", name="org.example.No")')
    assert lock.lock_workstation([]).how == "test-locker --now"
    assert desktop_locker.exists()


@linux
def test_own_command_goes_first_and_the_platform_stands_behind_it(desktop_locker, tmp_path, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    monkeypatch.setattr(lock, "DESKTOP_LOCKERS", (["test-locker", "--now"],))
    assert lock.lock_workstation(["test-locker", "mine"]) == lock.Lock("accepted", "test-locker")
    assert desktop_locker.read_text() == "mine\n"
    done = lock.lock_workstation(["no-such-locker"])
    assert done.how == "test-locker --now" and "no-such-locker: not installed" in done.reason
    assert desktop_locker.read_text() == "mine\n--now\n"


@linux
def test_locker_that_stays_in_the_foreground_counts_and_is_left_running(tmp_path):
    done = lock.lock_workstation(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 30"])
    pid = int((tmp_path / "pid").read_text())
    try:
        assert done.state == "accepted"
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
    done = lock.lock_workstation([])
    assert calls == ["user32"]
    assert (done.state, done.how) == (state, "LockWorkStation")
    assert done.reason == ("" if answer else "Access is denied (5)")


def test_macos_calls_the_login_framework_and_behind_it_the_display_sleep(monkeypatch):
    calls = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(lock, "run", lambda command: calls.append(command) or "")
    monkeypatch.setattr(
        ctypes, "CDLL", lambda path: calls.append(path) or SimpleNamespace(SACLockScreenImmediate=lambda: 0)
    )
    assert lock.lock_workstation([]) == lock.Lock("accepted", "SACLockScreenImmediate")
    assert calls == [lock.MACOS_LOGIN_FRAMEWORK]

    def gone(path):
        raise OSError("image not found")

    monkeypatch.setattr(ctypes, "CDLL", gone)
    assert lock.lock_workstation([]).state == "unconfirmed"
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
    monkeypatch.setattr(
        ctypes,
        "WinDLL",
        lambda name: SimpleNamespace(
            WTSQuerySessionInformationW=query, WTSFreeMemory=lambda pointer: freed.append(pointer[4])
        ),
        raising=False,
    )
    monkeypatch.setattr(lock, "CONFIRM_S", 0.2)
    assert lock.screen_locked() is locked and freed == [flags]
    done = lock.Lock("accepted", "LockWorkStation")
    assert lock.confirm_lock(done).state == ("confirmed" if locked else "accepted")


@pytest.mark.skipif(sys.platform == "win32", reason="programs there are no shell scripts")
@pytest.mark.parametrize(
    "line, locked", [('"CGSSessionScreenIsLocked"=Yes,', True), ('"kCGSSessionUserID"=501', False)]
)
def test_macos_is_asked_whether_the_session_is_locked(monkeypatch, tmp_path, line, locked):
    script = tmp_path / "ioreg"
    script.write_text(f"#!/bin/sh\necho '    \"IOConsoleUsers\" = ({{{line}}})' $1 $2 $3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert lock.screen_locked() is locked


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
def test_a_locker_is_not_sent_to_opencvs_own_qt(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", os.path.join("site-packages", "cv2", "qt", "plugins"))
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    said = tmp_path / "said"
    assert programs.run(["sh", "-c", f'echo "$QT_QPA_PLATFORM_PLUGIN_PATH,$QT_QPA_PLATFORM" > {said}']) == ""
    assert said.read_text() == ",xcb\n"
