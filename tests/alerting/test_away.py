"""The lock when nobody is in sight, by a real login manager; whether the screen is locked, asked in a thread."""

import logging
import threading

import pytest
from alerts_parts import picture, quiet_guard, wait_for
from test_lock import linux, login_manager, needs_logind  # noqa: F401

import alerts
from alerting import away, lock
from authentication.absence import Absence

guard = pytest.fixture(quiet_guard)
SILENT = alerts.Settings(voice=alerts.VoiceSettings(False), location=alerts.LocationSettings(""))
LOCKS = (
    'objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
    '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})'
)


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(away, "ASK_AGAIN_S", 0.0)


@linux
@needs_logind
def test_it_locks_once_while_locked_and_again_after_the_unlocking(login_manager, often, tmp_path):
    login_manager.answer_lock_with(LOCKS)
    guard, absence, now = alerts.Alerts(SILENT, tmp_path / "incidents"), Absence(15), 0.0

    def nobody_comes(seconds: float) -> int:
        """How often the lock was asked for meanwhile."""
        nonlocal now
        asked = 0
        for _ in range(round(10 * seconds)):
            now += 0.1
            if absence.update(now, False, guard.locked):
                asked += 1
                guard.away()
        return asked

    try:
        assert guard.locked is False and guard.away_status == ""
        assert nobody_comes(16) == 1
        wait_for(lambda: guard.away_status == "workstation locked")
        wait_for(lambda: guard.locked)
        assert nobody_comes(100) == 0 and absence.left_s is None
        login_manager.unlock()
        wait_for(lambda: not guard.locked)
        assert nobody_comes(14) == 0 and absence.left_s is not None
        assert nobody_comes(2) == 1
        wait_for(lambda: guard.away_status == "workstation locked")
    finally:
        guard.close()
    assert login_manager.calls().count('LockSession "3"') == 2
    assert not (tmp_path / "incidents").exists(), "it is no incident"


@linux
@needs_logind
def test_an_incident_under_the_lock_is_news_all_the_same(login_manager, tmp_path):
    """The owner was told of nothing: it is mailed, and the next one may follow after the usual pause."""
    login_manager.answer_lock_with(LOCKS)
    guard = alerts.Alerts(SILENT, tmp_path / "incidents")
    try:
        guard.away()
        wait_for(lambda: guard.away_status == "workstation locked")
        assert guard.ready and guard.status == ""
        assert guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: guard.status == "workstation locked, snapshot kept")
        assert guard._cooldown_s == 60
    finally:
        guard.close()


def test_a_lock_that_fails_is_loud(monkeypatch, caplog):
    monkeypatch.setattr(lock, "lock_workstation", lambda command: lock.Lock("failed", "nothing", "why"))
    spoken = []
    locking = away.AwayLock([], True, spoken.append)
    locking.lock()
    wait_for(lambda: spoken)
    assert locking.status == "LOCK FAILED" and spoken == [away.LOCK_FAILED_SENTENCE]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL and "LOCK FAILED (nothing): why" in record.getMessage()


def test_a_lock_that_nobody_confirms_is_no_lock(monkeypatch):
    monkeypatch.setattr(lock, "lock_workstation", lambda command: lock.Lock("accepted", "x"))
    monkeypatch.setattr(lock, "confirm_lock", lambda asked: asked._replace(state="unconfirmed"))
    spoken = []
    locking = away.AwayLock([], True, spoken.append)
    locking.lock()
    wait_for(lambda: spoken)
    assert locking.status == "LOCK NOT CONFIRMED"


def test_a_lock_within_the_cool_down_makes_no_incident(guard, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    guard.lock_again()
    wait_for(lambda: (tmp_path / "locked").exists())
    wait_for(lambda: "refused again: lock accepted" in caplog.text)
    assert not (tmp_path / "incidents").exists()


def test_the_end_waits_for_the_lock_and_the_caller_does_not(guard, tmp_path, monkeypatch):
    go, lock_now = threading.Event(), lock.lock_workstation
    monkeypatch.setattr(lock, "lock_workstation", lambda command: go.wait(10) and lock_now(command))
    guard.away()
    assert guard.away_status == "locking" and not (tmp_path / "locked").exists()
    threading.Timer(0.2, go.set).start()
    guard.close(0)
    assert (tmp_path / "locked").exists()


def test_the_system_is_asked_in_a_thread_and_not_too_often(guard, monkeypatch):
    asked, go = [], threading.Event()
    monkeypatch.setattr(lock, "screen_locked", lambda: asked.append(threading.current_thread()) or go.wait(10))
    assert not any(guard.locked for _ in range(1000))
    assert len(asked) == 1 and asked[0] is not threading.current_thread()
    go.set()
    wait_for(lambda: guard.locked)
    assert len(asked) == 1


def test_a_question_that_takes_long_is_not_asked_twice(often, monkeypatch):
    asked, go = [], threading.Event()
    monkeypatch.setattr(lock, "screen_locked", lambda: asked.append(1) or go.wait(10))
    locking = away.AwayLock([], True, print)
    assert not any(locking.locked for _ in range(100)) and len(asked) == 1
    go.set()
    wait_for(lambda: locking.locked and len(asked) > 1)


def test_a_rehearsal_locks_nothing_asks_nothing_and_says_so(monkeypatch):
    guard = alerts.Alerts(SILENT, rehearsal=True)
    monkeypatch.setattr(away, "Call", lambda *_: pytest.fail("something is done in a rehearsal"))
    guard.away()
    assert guard.away_status == "rehearsal, nothing locked" and guard.locked is False
    guard.close()
