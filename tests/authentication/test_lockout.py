"""Too many refusals: counted in a file, for this boot, and nobody else's."""

import os
import stat
import sys

import pytest

from authentication import lockout
from authentication.authenticator import Judgement
from authentication.gate import Gate
from authentication.lockout import FILE, Lockout, LockoutError
from authentication.session import Outcome
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and links are of POSIX")


class Clock:
    def __init__(self, now: float = 1000.0):
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "liveness-authentication"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(folder, clock):
    """A lockout as the next process finds it, each time it is asked for."""
    return lambda boot="this": Lockout(lambda: folder, boot, clock)


def refuse(gate, clock, *times):
    for at in times:
        clock.now = at
        gate().refused()


def test_five_refusals_within_a_minute_close_it_for_five_minutes(gate, clock):
    refuse(gate, clock, 1000, 1015, 1030, 1045)
    assert gate().left_s() == 0
    refuse(gate, clock, 1060)
    assert gate().left_s() == 300
    clock.now = 1359
    assert gate().left_s() == 1
    clock.now = 1360
    assert gate().left_s() == 0
    refuse(gate, clock, 1361, 1362, 1363, 1364)
    assert gate().left_s() == 0, "it begins anew"
    refuse(gate, clock, 1365)
    assert gate().left_s() == 300


def test_refusals_further_apart_do_not(gate, clock):
    refuse(gate, clock, 1000, 1020, 1040, 1060, 1061, 1081, 1101, 1121)
    assert gate().left_s() == 0


def test_a_look_that_was_under_way_does_not_open_it(gate, clock):
    refuse(gate, clock, 1000, 1010, 1020, 1030, 1040)
    refuse(gate, clock, 1095)
    assert gate().left_s() == 1340 - 1095


def test_another_boot_and_a_refusal_yet_to_come_are_no_reason(gate, clock):
    refuse(gate, clock, 1000, 1001, 1002, 1003, 1004)
    assert gate().left_s() == 300 and gate("another").left_s() == 0
    clock.now = 30  # where the system names no boot
    assert gate().left_s() == 0


@pytest.mark.parametrize(
    "state, against, kept",
    [(UNAUTHORIZED, 1.0, 3), (CHECKING, 0.6, 3), (CHECKING, 0.4, 2), (CHECKING, 0.0, 2), (AUTHORIZED, 0.6, 0)],
)
def test_a_face_that_goes_away_shortly_before_its_refusal_counts_as_refused(gate, clock, folder, state, against, kept):
    refuse(gate, clock, 1000, 1001)
    outcome = Outcome(Judgement(state=state, against=against), 0.4, "", True)
    Gate("0", armed=False, as_json=False, lockout=gate()).count(outcome, live=True)
    assert (len((folder / FILE).read_text().split()) - 1 if (folder / FILE).exists() else 0) == kept


def test_it_is_cleared(gate, clock, folder):
    assert gate().clear() is False and not folder.exists(), "nothing is made before it is needed"
    refuse(gate, clock, 1000, 1001, 1002, 1003, 1004)
    assert gate().clear() is True
    assert gate().left_s() == 0 and gate().clear() is False


@posix
def test_it_is_for_its_owners_eyes_alone(gate, clock, folder):
    before = os.umask(0)
    try:
        refuse(gate, clock, 1000)
        (folder / FILE).chmod(0o666)
        folder.chmod(0o777)
        refuse(gate, clock, 1001)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "data", [b"", b"this\nsoon\n", b"\xff\xfe", b"this " + b"[" * 5000, b"this 1 2 3 4 5 6 0x7"], ids=range(5)
)
def test_a_damaged_file_is_told_and_begun_anew(gate, clock, folder, capsys, data):
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(data)
    assert gate().left_s() == 0
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and str(folder / FILE) in said and "damaged" in said
    assert gate().left_s() == 0 and capsys.readouterr().err == ""
    refuse(gate, clock, 1000, 1001, 1002, 1003, 1004)
    assert gate().left_s() == 300


def test_times_that_no_clock_has_count_for_nothing(gate, clock, folder):
    folder.mkdir(parents=True)
    (folder / FILE).write_text("this\n" + "nan\ninf\n-inf\n-1\n1e400\n" * 5)
    assert gate().left_s() == 0


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_is_refused(gate, clock, folder, tmp_path, what):
    refuse(gate, clock, 1000)
    path = folder / FILE if what == "file" else folder
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LockoutError, match=f"{path}.*link.*delete it"):
        gate().left_s()
    with pytest.raises(LockoutError):
        gate().clear()
    assert (tmp_path / "elsewhere").exists()


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_somebody_elses_is_refused(gate, clock, folder, monkeypatch, what):
    refuse(gate, clock, 1000)
    me = os.geteuid()
    if me == 0:
        os.chown(folder / FILE if what == "file" else folder, 1, -1)
    else:
        monkeypatch.setattr(lockout.os, "geteuid", lambda: me + 1)
    with pytest.raises(LockoutError, match="another user.*delete it"):
        gate().left_s()


@posix
def test_a_pipe_in_its_place_is_not_opened(gate, clock, folder):
    folder.mkdir(parents=True)
    os.mkfifo(folder / FILE)
    with pytest.raises(LockoutError, match="delete it"):
        gate().left_s()


def test_what_cannot_be_kept_is_told_and_logged_and_no_more(gate, clock, folder, capsys, lines):
    folder.parent.write_text("a file where the folder should be")
    gate().refused()
    said = capsys.readouterr().err.splitlines()
    assert "cannot be kept" in said[-1] and said[-1] in lines
    assert gate().left_s() == 0


def test_a_user_without_a_home_has_no_lockout(clock, capsys):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    gate = Lockout(homeless, "this", clock)
    gate.refused()
    assert gate.left_s() == 0 and gate.clear() is False
    assert "cannot be kept" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no boot_id")
def test_the_boot_has_a_name():
    assert len(lockout.boot_id()) == 36 and lockout.boot_id() == lockout.boot_id()
