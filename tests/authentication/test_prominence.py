"""Which face has consequences, and what speaks against it that others left."""

import pytest
from identity_parts import BOWED, FAKE, LIVE, OWNER, STRANGER, Desk, Somebody, first, states

from authentication.authenticator import SHRUNK
from authentication.prominence import LARGER, LARGER_FOR_S, PASSED_ON_S
from authentication.tracks import GAP_S
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

NEAR, FAR = Somebody(x=150, size=180), Somebody(x=480, size=120, looks="far")
EVEN = FAR.but(size=170)  # about as large as the near one
PHONE = Somebody(x=300, size=150, looks="phone", live=FAKE)


def prominent(desk: Desk) -> Somebody:
    """Who it is, by where their face is."""
    row = next(face.row for face in desk.judgement.faces if face.prominent)
    return desk.networks.people[tuple(row[:4])]


# --- Which one. ---


@pytest.mark.parametrize("near, far, state", [(LIVE, FAKE, AUTHORIZED), (FAKE, LIVE, UNAUTHORIZED)])
def test_the_largest_alone_has_consequences(near, far, state):
    desk = Desk()
    track = desk.see(3, FAR.but(live=far), NEAR.but(live=near))
    assert states(track) == [CHECKING, state] and prominent(desk).looks == NEAR.looks
    assert {face.state for face in desk.judgement.faces} == {AUTHORIZED, UNAUTHORIZED}, "each has its own"


@pytest.mark.parametrize("state, live", [(AUTHORIZED, LIVE), (UNAUTHORIZED, FAKE)])
@pytest.mark.parametrize("fps", [10, 30])
def test_one_that_is_a_fifth_larger_for_half_a_second_takes_over(fps, state, live):
    desk = Desk(fps)
    desk.see(2, FAR.but(live=live))
    assert desk.judgement.state == state
    other = NEAR.but(size=1.05 * LARGER * FAR.size, live=-live)
    track = desk.see(3, FAR.but(live=live), other)
    assert first(track, AUTHORIZED if live < 0 else UNAUTHORIZED) == pytest.approx(LARGER_FOR_S, abs=0.15)
    assert prominent(desk).looks == NEAR.looks


def test_one_that_is_larger_for_a_moment_or_by_less_does_not():
    desk = Desk()
    desk.see(2, FAR)
    for _ in range(4):
        desk.see(0.8 * LARGER_FOR_S, FAR, NEAR)
        assert prominent(desk).looks == FAR.looks
        desk.see(0.8 * LARGER_FOR_S, FAR)
    desk.see(4, FAR, NEAR.but(size=0.95 * LARGER * FAR.size))
    assert prominent(desk).looks == FAR.looks


@pytest.mark.parametrize("flicker", ["size", "missed"])
def test_what_flickers_before_an_authorized_one_takes_over_all_the_same(flicker):
    desk = Desk()
    desk.see(2, FAR)
    for n in range(90):
        size = 170 + 20 * (n // 6 % 2)
        other = [NEAR.but(size=360 - size, live=FAKE)] if flicker == "size" or n % 10 else []
        another = [Somebody(x=320, y=350, size=size, looks="third", live=FAKE)] if flicker == "size" else []
        desk.see(1 / 30, FAR, *other, *another)
    assert desk.judgement.state == UNAUTHORIZED


def test_of_two_alike_the_worse_has_consequences():
    desk = Desk()
    assert states(desk.see(3, NEAR, EVEN.but(live=FAKE))) == [CHECKING, UNAUTHORIZED]
    assert prominent(desk).looks == EVEN.looks
    desk.see(3, NEAR, EVEN.but(live=0.0), FAR.but(x=320, live=FAKE))
    assert prominent(desk).looks == EVEN.looks, "which it remains"


def test_one_that_is_authorized_is_not_displaced_by_an_even_one():
    desk = Desk()
    desk.see(1, NEAR)
    assert states(desk.see(5, NEAR, EVEN.but(live=FAKE))) == [AUTHORIZED]
    track = desk.see(1, EVEN.but(live=FAKE))
    assert first(track, UNAUTHORIZED) <= GAP_S + 0.1, "once it has gone"


def test_an_owner_who_shrinks_to_less_than_half_holds_the_state_no_longer():
    desk = Desk(owner=True)
    desk.see(2, NEAR)
    sizes = [NEAR.size * (1 - n / 60) for n in range(31)]
    for size in sizes:
        desk.see(1 / 30, NEAR.but(size=size, y=NEAR.y + 0.2 * (NEAR.size - size), bow=BOWED))
        if size > 1.1 * SHRUNK * NEAR.size:
            assert desk.judgement.state == AUTHORIZED
    track = desk.see(2, NEAR.but(size=0.9 * sizes[-1], y=NEAR.y + 0.11 * NEAR.size, bow=BOWED))
    assert states(track)[-1] == CHECKING and desk.judgement.track == 1, "followed all the way"


# --- What speaks against one that has gone. ---


def show(desk: Desk, *people: Somebody, seconds: float = 0.4):
    """For too short a time to be refused, and then nothing until it is over."""
    track = desk.see(seconds, *people)
    assert desk.judgement.state == CHECKING
    return track + desk.see(GAP_S + 0.1)


@pytest.mark.parametrize("after_s, passed_on", [(0.5, True), (PASSED_ON_S - 1, True), (PASSED_ON_S + 1, False)])
def test_what_speaks_against_a_face_passes_to_the_next_for_a_while(after_s, passed_on):
    desk = Desk()
    show(desk, PHONE)
    desk.see(after_s - 0.1)
    refused_s = first(desk.see(2, PHONE.but(x=150)), UNAUTHORIZED)
    assert refused_s < 0.15 if passed_on else refused_s > 0.4


def test_what_speaks_for_a_face_passes_to_nobody():
    desk = Desk()
    usual = first(Desk().see(2, NEAR), AUTHORIZED)
    show(desk, NEAR)
    assert first(desk.see(2, NEAR.but(looks="next")), AUTHORIZED) == pytest.approx(usual)
    assert first(desk.see(2, NEAR.but(looks="another")), CHECKING) == 0, "nor does being authorized"


def test_what_speaks_for_one_does_not_offset_what_speaks_against_another():
    desk = Desk()
    show(desk, PHONE, seconds=0.3)
    for n in range(3):
        show(desk, NEAR.but(looks=f"hand {n}"), seconds=0.3)
    assert first(desk.see(2, PHONE), UNAUTHORIZED) < 0.25


def test_only_being_authorized_clears_it():
    for seconds, cleared in ((0.4, False), (3, True)):
        desk = Desk()
        show(desk, PHONE)
        desk.see(seconds, NEAR)
        assert (desk.judgement.state == AUTHORIZED) == cleared == (desk.judgement.against == 0)
        desk.see(GAP_S + 0.1)
        assert (first(desk.see(2, PHONE), UNAUTHORIZED) > 0.4) == cleared


def test_what_speaks_against_a_stranger_passes_on_too():
    usual = first(Desk(owner=True).see(2, NEAR.but(like=STRANGER)), UNAUTHORIZED)
    desk = Desk(owner=True)
    show(desk, NEAR.but(like=STRANGER))
    desk.see(0.6, EVEN)
    assert desk.judgement.state == CHECKING, "an owner who comes then needs longer, and is no stranger"
    assert states(desk.see(2, EVEN)) == [CHECKING, AUTHORIZED] and usual < 1


def test_it_refuses_nobody_who_comes_next_and_says_nothing():
    desk = Desk()
    desk.see(1, PHONE)
    assert desk.judgement.state == UNAUTHORIZED
    desk.see(GAP_S + 0.1)
    assert states(desk.see(3, NEAR.but(live=0.0))) == [CHECKING]
    assert states(desk.see(2, NEAR)) == [CHECKING, AUTHORIZED]


@pytest.mark.parametrize("every_s", [1 / 30, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("how", ["jumps", "zooms", "hides", "changes"])
def test_a_replay_that_jumps_zooms_or_hides_is_refused_all_the_same(every_s, how):
    desk, track = Desk(), []
    for n in range(round(4 / every_s)):
        odd = n % 2 == 1
        shown = {
            "jumps": PHONE.but(x=150 + 130 * (n % 4)),
            "zooms": PHONE.but(size=220 if odd else 110),
            "hides": PHONE.but(x=150 + 100 * (n % 4)),
            "changes": PHONE.but(looks=f"phone {n % 3}"),
        }[how]
        at_s = n * every_s
        seen = desk.see(every_s, *([] if how == "hides" and odd else [shown]))
        track += [(at_s + since_s, judgement) for since_s, judgement in seen]
    assert AUTHORIZED not in states(track) and first(track, UNAUTHORIZED) < 2.5


@pytest.mark.parametrize("live, seconds", [(FAKE, 0.3), (0.0, 0.3), (0.0, 4)])
def test_a_small_one_in_between_clears_nothing(live, seconds):
    desk = Desk()
    show(desk, PHONE)
    desk.see(seconds, Somebody(x=100, y=100, size=60, looks="small", live=live))
    desk.see(GAP_S + 0.1)
    assert first(desk.see(2, PHONE), UNAUTHORIZED) < 0.15


@pytest.mark.parametrize("size, live", [(60, FAKE), (60, LIVE), (90, LIVE)])
def test_a_refused_one_that_withdraws_stays_refused(size, live):
    """Also one that was authorized before."""
    desk = Desk()
    desk.see(1, PHONE.but(size=200, live=live))
    desk.see(2, PHONE.but(size=200))
    for n in range(60):
        desk.see(1 / 30, PHONE.but(size=max(size, 200 - 4 * n), live=0.0))
    assert desk.judgement.state == UNAUTHORIZED and desk.judgement.against == pytest.approx(1)


# --- Over the whole run. ---


def test_what_speaks_against_all_adds_up_until_somebody_is_authorized():
    desk = Desk()
    for n in range(1, 5):
        before = desk.judgement.against
        show(desk, PHONE.but(looks=f"phone {n}"), seconds=0.15)
        desk.see(PASSED_ON_S + 1)
        assert 0.1 < desk.judgement.against - before < 0.4
    assert desk.judgement.against > 0.5, "though none was near a refusal"
    desk.see(0.2, NEAR.but(live=FAKE))
    desk.see(2, NEAR)
    assert desk.judgement.state == AUTHORIZED and desk.judgement.against == 0, "also what spoke against them"


def test_what_passes_on_is_not_counted_twice():
    desk = Desk()
    show(desk, PHONE, seconds=0.2)
    before = desk.judgement.against
    desk.see(1, NEAR.but(live=0.0))
    assert desk.judgement.against == pytest.approx(before) and 0 < before < 0.6


def test_a_stranger_counts_and_so_does_a_refusal_and_a_face_behind_does_not():
    stranger, replay, behind = Desk(owner=True), Desk(), Desk()
    stranger.see(0.6, NEAR.but(like=STRANGER))
    assert stranger.judgement.state == CHECKING and stranger.judgement.against > 0.5
    replay.see(2, PHONE)
    assert replay.judgement.against == pytest.approx(1)
    behind.see(3, NEAR.but(live=0.2, like=OWNER), FAR.but(live=FAKE))
    assert behind.judgement.against == 0
