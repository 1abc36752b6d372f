"""The evidence about whose face it is, on tracks of comparison scores."""

import math

import numpy as np
import pytest
from identity_parts import BLURRED, DOOR, FRAME, OWNER, SEAT, STRANGER, TEMPLATES, UNFIT, Desk, faces

from authentication.identity import THRESHOLD, Identity, identity_of
from authentication.recognition import Recognition
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict
from face_recognizer import NETWORK
from model_file.owners import write_owners
from model_file.reading import ModelError

PACES = [10, 30, 60]


def first(track, state: str) -> float:
    return next((time_s for time_s, seen in track if seen == state), math.inf)


def states(track) -> list[str]:
    """Those that follow each other."""
    seen = [state for _, state in track]
    return [state for n, state in enumerate(seen) if n == 0 or seen[n - 1] != state]


@pytest.fixture
def desk(monkeypatch):
    return lambda *args, **kwargs: Desk(monkeypatch, *args, **kwargs)


@pytest.mark.parametrize("fps", PACES)
def test_a_steady_owner_is_known_as_soon_as_a_live_face_is(desk, fps):
    track = desk(fps).see(10, (SEAT, OWNER))
    assert states(track) == [CHECKING, AUTHORIZED] and 0.3 < first(track, AUTHORIZED) <= 0.6


@pytest.mark.parametrize("fps", PACES)
def test_a_steady_stranger_is_one_after_four_looks(desk, fps):
    track = desk(fps).see(10, (SEAT, STRANGER))
    assert states(track) == [CHECKING, UNAUTHORIZED] and 0.8 < first(track, UNAUTHORIZED) <= 1.2


@pytest.mark.parametrize("known", [OWNER, STRANGER])
def test_a_head_that_is_turned_away_changes_nothing(desk, known):
    seat = desk()
    state = seat.see(2, (SEAT, known))[-1][1]
    assert state != CHECKING
    assert states(seat.see(2, (SEAT, UNFIT))) == states(seat.see(2, (SEAT, known))) == [state]


@pytest.mark.parametrize("fps", PACES)
def test_who_takes_a_known_face_s_place_and_never_looks_ahead_is_nobody_known(desk, fps):
    for known, state in ((OWNER, AUTHORIZED), (STRANGER, UNAUTHORIZED)):
        seat = desk(fps)
        seat.see(2, (SEAT, known))
        track = seat.see(5, (DOOR, UNFIT))
        assert states(track) == [state, CHECKING] and first(track, CHECKING) <= 1.2
        assert seat.see(1, (DOOR, OWNER))[-1][1] == AUTHORIZED, "until he looks ahead"


def test_a_turned_head_is_the_same_visit_however_long(desk):
    seat = desk()
    seat.see(1, (SEAT, STRANGER))
    seat.see(20, (SEAT, UNFIT))
    assert seat.who.visit == 0 and seat.who.state == UNAUTHORIZED


@pytest.mark.parametrize("fps", PACES)
def test_half_a_second_of_blur_does_not_cost_the_owner_his_place(desk, fps):
    seat = desk(fps)
    seat.see(2, (SEAT, OWNER))
    for pause_s in (1.0, 1.1, 1.3, 1.7):
        assert states(seat.see(0.5, (SEAT, BLURRED))) == [AUTHORIZED]
        assert states(seat.see(pause_s, (SEAT, OWNER))) == [AUTHORIZED]


@pytest.mark.parametrize("fps", PACES)
def test_a_bad_start_does_not_make_the_owner_a_stranger(desk, fps):
    seat = desk(fps)
    assert states(seat.see(0.6, (SEAT, BLURRED)) + seat.see(1, (SEAT, OWNER))) == [CHECKING, AUTHORIZED]


@pytest.mark.parametrize("fps", PACES)
@pytest.mark.parametrize("place", [SEAT, DOOR])
@pytest.mark.parametrize("before_s", [2.0, 2.2, 2.4])
def test_a_stranger_who_takes_the_owners_place_without_a_gap_is_seen(desk, fps, place, before_s):
    seat = desk(fps)
    seat.see(before_s, (SEAT, OWNER))
    track = seat.see(4, (place, STRANGER))
    assert states(track) == [AUTHORIZED, UNAUTHORIZED] and first(track, UNAUTHORIZED) <= 2.5


def test_a_stranger_who_looks_ahead_only_now_and_then_is_one_all_the_same(desk):
    """Three fit looks a second would never be four within one."""
    seat = desk()
    seat.see(2, (SEAT, OWNER))
    for _ in range(9):
        seat.see(0.3, (SEAT, UNFIT))
        seat.see(2 / 30, (SEAT, STRANGER))
    assert seat.who.state == UNAUTHORIZED


def test_the_owner_comes_back_at_once_and_the_next_stranger_is_news(desk):
    seat = desk()
    seat.see(2, (SEAT, STRANGER))
    track = seat.see(2, (SEAT, OWNER))
    assert states(track) == [UNAUTHORIZED, AUTHORIZED] and first(track, AUTHORIZED) <= 1.5
    assert seat.who.visit == 1
    assert seat.see(3, (SEAT, STRANGER))[-1][1] == UNAUTHORIZED and seat.who.visit == 1
    seat.see(1.5)
    assert seat.see(0.1, (SEAT, STRANGER))[-1][1] == CHECKING, "a second without a face ends the visit"
    assert seat.who.visit == 2


def test_no_fit_look_decides_nothing(desk):
    seat = desk()
    assert states(seat.see(10, (SEAT, UNFIT)) + seat.see(10)) == [CHECKING]
    assert seat.who.progress == 0 and not seat.recognizer.asked


@pytest.mark.parametrize("known, glitch", [(OWNER, STRANGER), (STRANGER, 0.39)])
def test_a_glitch_changes_nothing(desk, known, glitch):
    seat = desk()
    state = seat.see(2, (SEAT, known))[-1][1]
    for _ in range(5):
        assert states(seat.see(0.1, (SEAT, glitch)) + seat.see(0.73, (SEAT, known))) == [state]


def test_an_owner_beside_a_stranger_is_an_owner_even_turned_to_him(desk):
    seat = desk()
    assert states(seat.see(3, (DOOR, STRANGER), (SEAT, OWNER))) == [CHECKING, AUTHORIZED]
    assert states(seat.see(5, (DOOR, STRANGER), (SEAT, UNFIT))) == [AUTHORIZED]
    track = seat.see(3, (DOOR, STRANGER))
    assert states(track) == [AUTHORIZED, UNAUTHORIZED], "once he has gone he counts no more"


def test_a_face_too_far_off_to_be_known_covers_no_stranger(desk):
    """Somebody in the background, who keeps the visit from ending."""
    seat = desk()
    seat.see(2, (SEAT, OWNER), (DOOR, UNFIT))
    assert seat.see(3, (SEAT, STRANGER), (DOOR, UNFIT))[-1][1] == UNAUTHORIZED


@pytest.mark.parametrize("score, state", [(THRESHOLD + 0.02, AUTHORIZED), (THRESHOLD - 0.02, UNAUTHORIZED)])
def test_a_doubtful_face_takes_longer(desk, score, state):
    track = desk().see(5, (SEAT, score))
    assert states(track) == [CHECKING, state] and first(track, state) > 1.3


def test_the_threshold_is_a_dial(monkeypatch, desk):
    for threshold, state in ((0.6, AUTHORIZED), (0.7, UNAUTHORIZED)):
        seat = desk()
        who = Identity(seat.recognition, Verdict(), threshold)
        for number in range(90):
            who.update(number / 30, FRAME, faces((SEAT, OWNER)))
            if number == 10:
                assert len(seat.recognizer.asked) == 3, "no clear look"
        assert who.state == state


def test_each_bound_is_that_of_its_own_error(desk):
    """Doubtful faces, so that the evidence is not capped."""
    near = {AUTHORIZED: THRESHOLD + 0.02, UNAUTHORIZED: THRESHOLD - 0.02}
    usual = {state: first(desk().see(9, (SEAT, score)), state) for state, score in near.items()}
    for bound, later in (({"false_pass": 1e-6}, AUTHORIZED), ({"false_lock": 1e-6}, UNAUTHORIZED)):
        for state, score in near.items():
            took = first(desk(**bound).see(9, (SEAT, score)), state)
            assert (took > usual[state] + 0.5) == (state == later)


def test_the_owners_of_the_model_are_asked_for(trained, tmp_path):
    model = tmp_path / "liveness.model"
    model.write_bytes(trained.model.read_bytes())
    write_owners(model, {}, NETWORK)
    with pytest.raises(ModelError, match="knows no owner.*--add-owner"):
        identity_of(model, lambda: pytest.fail("waited for the network"), False, Verdict(), None)
    rng = np.random.default_rng(0)
    one, two = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in 1 + rng.random((2, 6, 128)))
    write_owners(model, {"one": one, "two": two}, NETWORK)
    who = identity_of(model, lambda: None, False, Verdict(), 0.55)
    assert who._recognition._templates.shape == (12, 128) and who._threshold == 0.55
    assert identity_of(model, lambda: None, False, Verdict(), None)._threshold == THRESHOLD


def test_a_score_that_is_no_number_makes_nobody_an_owner(desk):
    seat = desk()
    assert states(seat.see(3, (SEAT, math.nan))) == [CHECKING]
    who = Identity(Recognition(seat.recognizer, [TEMPLATES[0] * math.nan]), Verdict())
    for number in range(60):
        assert who.update(number / 30, FRAME, faces((SEAT, OWNER))) == CHECKING
