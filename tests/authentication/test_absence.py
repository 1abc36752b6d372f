"""When nobody is in sight: the state machine on tracks of (present, locked), and who counts as somebody."""

import numpy as np
import pytest

from authentication.absence import ANNOUNCED_S, Absence
from authentication.authenticator import Face, Judgement
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED


def locks_of(track, absence=None, rate: int = 10) -> list[float]:
    """When a lock was asked for. track: (until_s, present, locked) one after the other."""
    absence, asked, number = absence or Absence(15), [], 0
    for until_s, present, locked in track:
        while number / rate < until_s:
            if absence.update(number / rate, present, locked):
                asked.append(number / rate)
            number += 1
    return asked


@pytest.mark.parametrize("rate", [5, 10, 60])
def test_it_counts_from_the_start_and_from_when_somebody_was_seen_last(rate):
    assert locks_of([(100, False, False)], rate=rate) == [15]
    assert locks_of([(10, True, False), (100, False, False)], rate=rate) == [pytest.approx(25, abs=1.01 / rate)]
    assert locks_of([(14, False, False), (14.5, True, False), (29, False, False)], rate=rate) == []


def test_it_locks_once_until_somebody_was_seen_again():
    """As where the system never says that the screen is locked."""
    assert locks_of([(100, False, False), (101, True, False), (200, False, False)]) == [15, pytest.approx(115.9)]


def test_nothing_happens_while_the_screen_is_locked_and_it_counts_anew_from_its_unlocking():
    assert locks_of([(100, False, True)]) == [], "locked by somebody else"
    # Asked for at 15, seen locked from 16 on, unlocked at 60 by a password, with nobody in sight.
    track = [(16, False, False), (60, False, True), (200, False, False)]
    assert locks_of(track) == [15, pytest.approx(74.9)]
    assert locks_of([(16, False, False), (60, False, True), (61, True, False), (70, False, False)]) == [15]


def test_what_was_known_of_the_screen_before_somebody_came_does_not_hold_up_the_lock():
    absence = Absence(15)
    assert locks_of([(5, False, True), (10, True, False), (100, False, False)], absence) == [pytest.approx(24.9)]


def test_it_is_announced_for_three_seconds_and_told_until_somebody_comes():
    absence, told = Absence(15), []
    for number in range(200):
        absence.update(number / 10, present=number >= 190, locked=False)
        notice = absence.notice("locking" if number > 120 else "")
        if not told or told[-1][1] != notice:
            told.append((number / 10, notice))
    assert told == [
        (0, ""),
        (12, "Nobody in sight: locking in 3 s"),
        (13, "Nobody in sight: locking in 2 s"),
        (14, "Nobody in sight: locking in 1 s"),
        (15, "Nobody in sight: locking"),
        (19, ""),
    ]


def test_where_the_owner_is_asked_for_they_are_missed():
    absence = Absence(5, owner=True)
    absence.update(0, False, False)
    absence.update(4, False, False)
    assert absence.notice("") == "Owner out of sight: locking in 1 s"
    assert absence.announcement.startswith("Owner out of sight. ")


def test_pictures_too_rare_for_the_announcement_have_it_first_and_the_lock_three_seconds_later():
    absence = Absence(15)
    assert not absence.update(0, True, False) and not absence.update(11, False, False)
    assert not absence.update(30, False, False) and absence.left_s == ANNOUNCED_S
    assert not absence.update(32.9, False, False)
    assert absence.notice("") == "Nobody in sight: locking in 1 s"
    assert absence.update(33, False, False) and absence.left_s is None


def test_who_comes_back_after_a_late_announcement_is_not_locked_out():
    absence = Absence(15)
    for time_s, present in ((0, True), (30, False), (32, True), (33, False), (43, False)):
        assert not absence.update(time_s, present, False)
    assert absence.left_s is None


def test_a_locked_screen_has_no_announcement():
    absence = Absence(15)
    for number in range(400):
        absence.update(number / 10, present=False, locked=number > 130)
        assert (absence.left_s is not None) == (120 <= number <= 130)


def test_a_clock_that_runs_backwards_begins_anew():
    absence = Absence(15)
    assert not absence.update(100, False, False) and not absence.update(5, False, False)
    assert not absence.update(19, False, False) and absence.update(20, False, False)


@pytest.mark.parametrize("owner", [False, True])
@pytest.mark.parametrize("in_view", [False, True])
@pytest.mark.parametrize("state, present", [(AUTHORIZED, True), (CHECKING, False), (UNAUTHORIZED, False)])
def test_only_an_authorized_face_is_somebody(state, present, in_view, owner):
    """Also while it is out of view for a moment; a live one that is not judged yet is nobody."""
    face = Face(np.zeros(15, np.float32), 1, 3.0, state, True)
    assert Absence(15, owner).is_present(Judgement((face,) * in_view, state=state, track=1)) is present
