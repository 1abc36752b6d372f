"""The evidence about whose face it is, of one face and of several."""

import math

import cv2
import numpy as np
import pytest
from identity_parts import AWAY, BOWED, OWNER, STRANGER, TEMPLATES, Desk, Networks, Somebody, first, picture, states

from authentication.identity import CALM_LOOKS_PER_S, LOOKS_PER_S, Identity, identity_of
from authentication.tracks import Tracks
from authentication.verdict import (
    AUTHORIZED,
    CHANGE_S,
    CHECKING,
    CLEAR,
    FEWEST_AGAINST,
    FEWEST_FOR,
    FOR_S,
    THRESHOLD,
    UNAUTHORIZED,
    OwnerTest,
    Verdict,
)
from face_recognizer import NETWORK, unfit
from model_file.owners import write_owners
from model_file.reading import ModelError

PACES = [10, 30, 60]
SEAT, DOOR = Somebody(x=150), Somebody(x=480, size=150, looks="door")
DOUBTFUL = {AUTHORIZED: THRESHOLD + 0.02, UNAUTHORIZED: THRESHOLD - 0.02}


def compare(test: OwnerTest, *scores: float, live: bool = True, start_s: float = 0.0) -> list[bool]:
    """Comparisons as they come at best; whether each was still of the same face."""
    return [test.add(start_s + n / LOOKS_PER_S, score, live) for n, score in enumerate(scores)]


def needed(score: float, state: str, **bounds) -> int:
    """How many such comparisons make that of a face."""
    test = OwnerTest(Verdict(**bounds))
    return next((n for n in range(60) if compare(test, score, start_s=n / LOOKS_PER_S) and test.state == state), 99) + 1


# --- One face. ---


def test_an_owner_needs_so_many_comparisons_over_so_long():
    at_once, slowly = OwnerTest(Verdict()), OwnerTest(Verdict())
    for n in range(20):
        at_once.add(n * 0.99 * FOR_S / 20, OWNER, True)
    assert at_once.state == CHECKING
    at_once.add(FOR_S, OWNER, True)
    assert at_once.state == AUTHORIZED
    for n in range(FEWEST_FOR):
        assert slowly.state == CHECKING
        slowly.add(n * FOR_S, OWNER, True)
    assert slowly.state == AUTHORIZED


@pytest.mark.parametrize("score", [0.9, OWNER, DOUBTFUL[AUTHORIZED]])
def test_no_score_of_a_picture_that_was_not_judged_live_speaks_for_an_owner(score):
    test = OwnerTest(Verdict())
    assert all(compare(test, *[score] * 60, live=False))
    assert test.state == CHECKING and test.share == 0
    compare(test, *[score] * (FEWEST_FOR - 1), start_s=20)
    assert test.state == CHECKING


def test_a_bad_start_does_not_make_an_owner_a_stranger():
    test = OwnerTest(Verdict())
    compare(test, *[STRANGER] * (FEWEST_AGAINST - 1))
    assert test.state == CHECKING
    compare(test, *[OWNER] * 20, start_s=5)
    assert test.state == AUTHORIZED
    assert needed(STRANGER, UNAUTHORIZED) == FEWEST_AGAINST


@pytest.mark.parametrize("state", DOUBTFUL)
def test_a_doubtful_face_takes_longer_and_each_bound_is_that_of_its_own_error(state):
    other = {AUTHORIZED: UNAUTHORIZED, UNAUTHORIZED: AUTHORIZED}[state]
    usual = needed(DOUBTFUL[state], state)
    assert max(FEWEST_AGAINST, FOR_S * LOOKS_PER_S) + 2 < usual < needed(DOUBTFUL[state], other)
    for bound, later in (({"false_pass": 1e-6}, AUTHORIZED), ({"false_lock": 1e-6}, UNAUTHORIZED)):
        assert (needed(DOUBTFUL[state], state, **bound) > usual + 3) == (state == later)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("before, after", [(1, -1), (-1, 1)])
def test_what_is_clearly_of_another_face_is_so_for_a_moment_only(before, after, live):
    def pair(one: float, other: float, between_s: float) -> bool:
        test = OwnerTest(Verdict())
        return test.add(0, THRESHOLD + one, live) and test.add(between_s, THRESHOLD + other, live)

    clear, unclear = 1.01 * CLEAR, 0.99 * CLEAR
    assert not pair(before * clear, after * clear, 0.9 * CHANGE_S)
    assert pair(before * clear, after * clear, 1.1 * CHANGE_S)
    assert pair(before * unclear, after * clear, 0.9 * CHANGE_S)
    assert pair(before * clear, after * unclear, 0.9 * CHANGE_S)
    assert pair(before * clear, before * clear, 0.9 * CHANGE_S)


def test_a_stranger_leaves_what_speaks_against_them_and_an_owner_nothing():
    stranger, owner = OwnerTest(Verdict()), OwnerTest(Verdict())
    compare(stranger, *[STRANGER] * 3)
    compare(owner, *[OWNER] * 9)
    assert owner.against == 0 > stranger.against
    owner.burden = stranger.against
    assert owner.against == stranger.against
    owner.unburden()
    assert owner.against == 0 and owner.state == AUTHORIZED
    fresh = owner.fresh()
    assert (fresh.state, fresh.share, fresh.against) == (CHECKING, 0, 0)


def test_nobody_is_a_stranger_for_what_others_left_alone():
    test = OwnerTest(Verdict())
    test.burden = 9 * Verdict().lock_at
    compare(test, *[STRANGER] * (FEWEST_AGAINST - 1))
    assert test.state == CHECKING
    compare(test, STRANGER, start_s=1)
    assert test.state == UNAUTHORIZED


# --- Before the camera. ---


@pytest.mark.parametrize("fps", PACES)
def test_a_steady_stranger_is_one_after_some_comparisons(fps):
    track = Desk(fps, owner=True).see(10, SEAT.but(like=STRANGER))
    assert states(track) == [CHECKING, UNAUTHORIZED] and 0.4 < first(track, UNAUTHORIZED) <= 1


@pytest.mark.parametrize("like, state", [(OWNER, AUTHORIZED), (STRANGER, UNAUTHORIZED)])
@pytest.mark.parametrize("unfit", [{"bow": BOWED}, {"looks": "blurred one"}])
def test_an_unfit_face_is_no_evidence_and_changes_nothing(like, state, unfit):
    desk = Desk(owner=True)
    assert states(desk.see(3, SEAT.but(**unfit))) == [CHECKING] and not desk.networks.compared
    assert states(desk.see(2, SEAT.but(like=like)))[-1] == state
    compared = len(desk.networks.compared)
    assert states(desk.see(20, SEAT.but(like=like, **unfit))) == [state]
    assert len(desk.networks.compared) == compared
    desk.see(1 / 30, SEAT.but(like=like))
    assert len(desk.networks.compared) == compared + 1, "as soon as it is fit"


@pytest.mark.parametrize("turn", [AWAY, -AWAY])
def test_a_face_that_is_turned_away_may_speak_for_an_owner_and_against_nobody(turn):
    turned = SEAT.but(turn=turn)
    assert states(Desk(owner=True).see(3, turned)) == [CHECKING, AUTHORIZED]
    for like in (THRESHOLD + 0.9 * CLEAR, STRANGER):
        assert states(Desk(owner=True).see(20, turned.but(like=like))) == [CHECKING]
        for known, state in ((OWNER, AUTHORIZED), (STRANGER, UNAUTHORIZED)):
            desk = Desk(owner=True)
            desk.see(2, SEAT.but(like=known))
            assert states(desk.see(20, turned.but(like=like))) == [state]


@pytest.mark.parametrize("like", [OWNER, STRANGER])
def test_who_takes_a_known_faces_place_and_never_looks_ahead_is_nobody_known(like):
    desk = Desk(owner=True)
    desk.see(2, SEAT.but(like=like))
    assert states(desk.see(5, SEAT.but(looks="other", bow=BOWED)))[-1] == CHECKING
    assert states(desk.see(1, SEAT.but(looks="other")))[-1] == AUTHORIZED, "until they look ahead"


@pytest.mark.parametrize("fps", PACES)
@pytest.mark.parametrize("before_s", [2.0, 2.2, 2.4])
def test_a_stranger_who_takes_the_owners_place_without_a_trace_is_seen(fps, before_s):
    """Not a jump, and no other content."""
    desk = Desk(fps, owner=True)
    desk.see(before_s, SEAT)
    track = desk.see(4, SEAT.but(like=STRANGER))
    assert states(track)[-2:] == [CHECKING, UNAUTHORIZED]
    assert first(track, CHECKING) <= 1 / CALM_LOOKS_PER_S + 0.1 and first(track, UNAUTHORIZED) <= 2
    behind_a_hand = Desk(fps, owner=True)
    behind_a_hand.see(before_s, SEAT)
    behind_a_hand.see(1, SEAT.but(bow=BOWED))
    assert first(behind_a_hand.see(4, SEAT.but(like=STRANGER)), UNAUTHORIZED) <= 3


def test_a_stranger_who_looks_ahead_only_now_and_then_is_one_all_the_same():
    desk = Desk(owner=True)
    for _ in range(9):
        desk.see(0.3, SEAT.but(bow=BOWED))
        desk.see(2 / 30, SEAT.but(like=STRANGER))
    assert desk.judgement.state == UNAUTHORIZED


@pytest.mark.parametrize("like, glitch", [(OWNER, THRESHOLD - 0.9 * CLEAR), (STRANGER, THRESHOLD + 0.9 * CLEAR)])
def test_a_glitch_changes_nothing(like, glitch):
    desk = Desk(owner=True)
    state = states(desk.see(2, SEAT.but(like=like)))[-1]
    for _ in range(5):
        assert states(desk.see(0.1, SEAT.but(like=glitch)) + desk.see(0.73, SEAT.but(like=like))) == [state]


@pytest.mark.parametrize("fps", PACES)
def test_comparisons_are_few_and_fewer_once_they_bring_no_news(fps):
    for like in (OWNER, STRANGER, THRESHOLD):
        desk = Desk(fps, owner=True)
        desk.see(1, SEAT.but(like=like))
        assert len(desk.networks.compared) == pytest.approx(LOOKS_PER_S, abs=2)
        desk.see(1, SEAT.but(like=like))
        before = len(desk.networks.compared)
        desk.see(5, SEAT.but(like=like))
        per_s = LOOKS_PER_S if like == THRESHOLD else CALM_LOOKS_PER_S
        assert len(desk.networks.compared) - before == pytest.approx(per_s * 5, abs=1)


def test_only_the_prominent_face_and_one_about_to_be_it_are_compared():
    desk = Desk(owner=True)
    desk.see(3, SEAT, DOOR.but(size=120, like=STRANGER))
    assert {person.looks for person in desk.networks.compared} == {SEAT.looks}
    desk.see(0.2, SEAT, DOOR.but(size=225, like=STRANGER))
    assert {person.looks for person in desk.networks.compared} == {SEAT.looks, DOOR.looks}


@pytest.mark.parametrize("failure", [cv2.error("network\nfailed"), ValueError("no landmarks")])
def test_a_network_that_fails_knows_nobody_and_is_told_once(lines, failure):
    desk = Desk(owner=True)

    def fail(*_):
        raise failure

    desk.networks.embed = fail
    assert states(desk.see(3, SEAT)) == [CHECKING]
    assert len([line for line in lines if "could not be compared" in line]) == 1
    assert "\n" not in "".join(lines)


def test_a_score_that_is_no_number_makes_nobody_an_owner():
    for embedding in ((math.nan, 0.0), (math.inf, 0.0)):
        desk = Desk(owner=True)
        desk.networks.embed = lambda *_: np.array(embedding, np.float32)
        assert states(desk.see(3, SEAT)) == [CHECKING] and desk.judgement.progress == 0


# --- The owners' templates. ---


def score_of(identity: Identity, frame: np.ndarray, face: np.ndarray) -> float:
    """What the first comparison comes to, as evidence."""
    track = Tracks(Verdict, identity.test).follow(0, frame, face[None])[0]
    track.log_odds = 1.0
    assert identity.due(0, frame, track) and identity.compare(0, frame, track, ahead=True)
    return track.owner.evidence


def test_of_several_owners_the_one_most_alike_counts():
    networks, (frame, rows) = Networks(), picture(SEAT)
    networks.people = {tuple(rows[0, :4]): SEAT.but(like=0.2)}
    other = np.array([[0.0, 1.0]], np.float32)  # like 0.98
    assert score_of(Identity(networks, TEMPLATES, Verdict()), frame, rows[0]) < 0
    assert score_of(Identity(networks, [*TEMPLATES, other], Verdict()), frame, rows[0]) > 0


def test_the_owners_of_the_model_are_asked_for(trained, tmp_path):
    model = tmp_path / "liveness.model"
    model.write_bytes(trained.model.read_bytes())
    write_owners(model, {}, NETWORK)
    with pytest.raises(ModelError, match="knows no owner.*--add-owner"):
        identity_of(model, lambda: pytest.fail("waited for the network"), Verdict(), None)
    one, two, nobody = np.eye(128, dtype=np.float32)[:3]
    write_owners(model, {"one": np.array([one] * 6), "two": np.array([two] * 6)}, NETWORK)
    (frame, rows), networks, like = picture(SEAT), Networks(), THRESHOLD + 0.1
    for embedding, dial, known in ((one, None, 1), (two, None, 1), (two, like + 0.1, -1), (nobody, None, -1)):
        networks.embed = lambda frame, face: like * embedding
        identity = identity_of(model, lambda: networks, Verdict(), dial)
        assert np.sign(score_of(identity, frame, rows[0])) == known


def test_the_real_network_knows_the_sample_by_other_pictures_of_them(recognizer, detector, live_frames, stranger):
    found = [detector.detect(frame) for frame in live_frames]
    theirs = np.array([recognizer.embed(live_frames[n], found[n][0]) for n in range(0, 40, 8)])
    others = recognizer.embed(stranger, detector.detect(stranger)[0])[None]
    known, unknown = (Identity(recognizer, templates, Verdict()) for templates in ([theirs, others], [others]))
    for n in (n for n in range(60, 120, 8) if not unfit(live_frames[n], found[n][0])):
        frame, face = live_frames[n], found[n][0]
        assert score_of(known, frame, face) > 0 > score_of(unknown, frame, face)
