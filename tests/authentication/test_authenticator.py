"""From pictures to a judgement: all parts together, and the attacks that they are for."""

import itertools

import cv2
import numpy as np
import pytest
from heads import Person
from identity_parts import AWAY, BOWED, FAKE, LIVE, OWNER, STRANGER, Desk, Somebody, first, states

import livenessnet
from authentication.authenticator import (
    EVIDENCE_FRAMES,
    EVIDENCE_GAP_S,
    MOST_JUDGED,
    PACE_S,
    SLOWEST_PER_S,
    Evidence,
    find,
)
from authentication.challenge import Challenge
from authentication.prompts import LEFT, RIGHT
from authentication.room import SMALL, STILL_S
from authentication.scoring import Scorer
from authentication.tracks import GAP_S, Tracks
from authentication.verdict import (
    AUTHORIZED,
    CHALLENGE,
    CHECKING,
    FEWEST_FOR,
    FOR_S,
    PICTURE,
    REPLAY,
    TOO_SLOW,
    UNAUTHORIZED,
    UNKNOWN,
    Verdict,
)
from authentication.verdict import STRANGER as A_STRANGER
from face_detector import VIEW_SIDE, cut, shrunk

USER = Somebody()
HELD = USER.but(like=STRANGER)  # a live stranger, who holds something before their face
PHOTO = Somebody(looks="photo", live=FAKE)  # of an owner
OPEN, BARRED = (AUTHORIZED, ""), (UNAUTHORIZED, A_STRANGER)
START, WHO = (CHECKING, ""), (CHECKING, UNKNOWN)


def reasons(track) -> list[tuple[str, str]]:
    """State and reason, those that follow each other."""
    return [pair for pair, _ in itertools.groupby((one.state, one.reason) for _, one in track)]


# --- What is handed on and kept. ---


def test_evidence_is_the_last_frames_a_little_apart():
    evidence = Evidence()
    for number in range(100):
        evidence.add(number / 30, np.array([number]))
    times = np.array([frame[0] for frame in evidence.frames()]) / 30
    assert len(times) == EVIDENCE_FRAMES and times[-1] > 3.1
    assert (np.diff(times) >= EVIDENCE_GAP_S - 1e-9).all()


def test_in_a_dark_frame_nobody_looks_for_faces(detector, live_frames):
    dark = live_frames[0] // 9
    assert len(detector.detect(dark)) == 1, "there is a face that could be found"
    found = find(detector, dark)
    assert found.dark and not len(found.faces)
    assert not find(detector, live_frames[0]).dark


def score(scorer: Scorer, frame: np.ndarray, face: np.ndarray) -> float:
    """The log odds of a face in its first picture."""
    tracks = Tracks(Verdict).follow(0, frame, face[None])
    scorer.score(0, frame, tracks)
    return tracks[0].log_odds


def test_an_earlier_model_judges_a_face_that_fills_the_frame_as_a_close_up(detector, trained, live_frames):
    network = livenessnet.load(trained.model, trained.le)
    # An operating point that only close-ups miss.
    network.details["calibration"] = {"scale": 1e-3, "reach": [0.75, 0.95], "offset": [-9.0, 9.0]}
    frame = live_frames[0]
    face = detector.detect(frame)[0]
    x, y, w, h = face[:4].round().astype(int)
    half = round(0.62 * max(w, h))
    top, left = y + h // 2 - half, x + w // 2 - half
    close_up = frame[top : top + 2 * half, left : left + 2 * half]
    assert close_up.shape[:2] == (2 * half, 2 * half), "the sample's face lies well within the frame"
    within = face.copy()
    within[:2] -= left, top
    scorer = Scorer(network, None)
    assert score(scorer, frame, face) > 5 and score(scorer, close_up, within) < -5


def test_the_network_is_shown_the_view_that_training_shows_it(detector, trained, live_frames):
    network = livenessnet.load(trained.model, trained.le)
    shown = []
    network.log_odds = lambda crops, reach: shown.append(crops) or np.zeros(len(crops))
    frame = live_frames[0]
    face = detector.detect(frame)[0]
    score(Scorer(network, None), frame, face)
    stored, _ = cut(frame, face[:4])
    kept = cv2.resize(stored, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(shown[0][0].astype(float) - shrunk(kept, network.input_size)).mean() < 1


# --- Liveness, identity and challenge together. ---


@pytest.mark.parametrize(
    "live, changes, track",
    [
        (LIVE, {}, [START, WHO, OPEN]),
        (LIVE, {"like": STRANGER}, [START, WHO, BARRED]),
        (LIVE, {"bow": BOWED}, [START, WHO]),
        (FAKE, {}, [START, (UNAUTHORIZED, REPLAY)]),
        (FAKE, {"like": STRANGER}, [START, (UNAUTHORIZED, REPLAY)]),
        (FAKE, {"bow": BOWED}, [START, (UNAUTHORIZED, REPLAY)]),
    ],
)
def test_both_must_hold_and_a_replay_outweighs_everything(live, changes, track):
    assert reasons(Desk(owner=True).see(3, USER.but(live=live, **changes))) == track


def test_without_an_identity_whoever_is_live_is_authorized():
    desk = Desk()
    assert reasons(desk.see(2, HELD)) == [START, OPEN] and not desk.networks.compared


def test_the_bar_shows_the_lesser_of_both():
    desk = Desk(owner=True)
    desk.see(1, USER.but(bow=BOWED))
    assert desk.judgement.state == CHECKING and desk.judgement.progress == 0, "live for long, and not known"
    desk.see(3, HELD)
    assert desk.judgement.progress == pytest.approx(1)


def test_the_judgement_says_which_face_it_is_about_and_what_each_is():
    desk = Desk()
    desk.see(2, USER, PHOTO.but(x=480, size=120))
    user, photo = desk.judgement.faces
    assert (user.prominent, user.state, user.track) == (True, AUTHORIZED, desk.judgement.track)
    assert (photo.prominent, photo.state) == (False, UNAUTHORIZED) and photo.track != user.track
    assert (user.log_odds, photo.log_odds) == (LIVE, FAKE) and desk.judgement.score > 0.9
    desk.see(1)
    assert (desk.judgement.faces, desk.judgement.track, desk.judgement.state) == ((), 0, CHECKING)
    assert desk.judgement.score > 0.9, "the last one"
    desk.see(1, PHOTO)
    assert desk.judgement.track > photo.track and desk.judgement.score < 0.1


TURN = {"draw_turns": lambda count: [LEFT] * count, "draw_pause": lambda: 0.3}


def test_only_somebody_who_passed_both_is_challenged():
    for changes in ({"like": STRANGER}, {"live": FAKE}):
        desk = Desk(owner=True, challenge=Challenge(1, **TURN))
        track = desk.see(6, USER.but(head=Person(), **changes))
        assert AUTHORIZED not in states(track) and all(one.prompt is None for _, one in track)
    desk = Desk(owner=True, challenge=Challenge(1, **TURN))
    assert states(desk.see(12, USER.but(head=Person()))) == [CHECKING, AUTHORIZED]
    track = desk.see(3, HELD.but(head=Person()))
    assert reasons(track)[-1] == BARRED and states(track)[1] == CHECKING, "what the owner passed is over"


def test_who_fails_the_challenge_is_told_so_and_a_stranger_after_them_is_one():
    desk = Desk(owner=True, challenge=Challenge(1, **TURN))
    wrong_way = Person(sides={LEFT: -1, RIGHT: 1})
    assert (UNAUTHORIZED, CHALLENGE) in reasons(desk.see(25, USER.but(head=wrong_way)))
    desk.see(2)
    assert reasons(desk.see(3, HELD))[-1] == BARRED


# --- An owner's photo before a stranger's face. ---


def flashes(desk: Desk, flash_s: float, every_s: float, photo: Somebody, between: Somebody, times: int = 12):
    """The photo first, as before a camera that has seen nobody."""
    return [one for _ in range(times) for one in desk.see(flash_s, photo) + desk.see(every_s - flash_s, between)]


@pytest.mark.parametrize("flash_s", [0.04, 0.1, 0.2, 0.35])
@pytest.mark.parametrize("live", [FAKE, LIVE])
@pytest.mark.parametrize("traceless", [True, False])
@pytest.mark.parametrize("every_s", [0.6, 0.9])
def test_a_glimpse_of_an_owners_photo_never_authorizes_a_stranger(flash_s, live, traceless, every_s):
    """Also one that scores live; as another content of the same place, and where nothing tells so."""
    photo = PHOTO.but(live=live, looks=HELD.looks if traceless else PHOTO.looks)
    desk = Desk(owner=True)
    track = flashes(desk, flash_s, every_s, photo, HELD)
    assert AUTHORIZED not in states(track) and any(one.like == OWNER for one in desk.networks.compared)


@pytest.mark.parametrize("where", [{"x": 230}, {"x": 450, "size": 200}, {"size": 230}, {"x": 330, "y": 300}])
def test_nor_does_one_beside_it_or_of_another_size(where):
    for live in (FAKE, LIVE):
        assert AUTHORIZED not in states(flashes(Desk(owner=True), 0.35, 0.9, PHOTO.but(live=live, **where), HELD))
        both = Desk(owner=True)
        for _ in range(12):
            track = both.see(0.35, HELD, PHOTO.but(x=480, size=220, live=live)) + both.see(0.55, HELD)
            assert AUTHORIZED not in states(track)


def test_glimpses_one_after_the_other_add_up_to_no_owner():
    """Between them a face that is turned away, so that nothing says clearly that it is another."""
    desk = Desk(owner=True)
    assert AUTHORIZED not in states(flashes(desk, 0.35, 0.7, PHOTO.but(live=LIVE), HELD.but(turn=AWAY)))


def test_a_score_counts_only_where_the_same_picture_is_live():
    """A face that scores live on the whole, but not in the pictures that are compared."""
    desk = Desk(owner=True)

    def judge(time_s, frame, tracks, now=()):
        for track in tracks:
            track.log_odds = FAKE if track in now else LIVE

    desk.networks.score = judge
    assert reasons(desk.see(5, USER)) == [START, WHO] and len(desk.networks.compared) > 20


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_an_owner_needs_three_comparisons_over_half_a_second(fps):
    desk = Desk(fps, owner=True)
    assert FOR_S - 1e-6 <= first(desk.see(2, USER), AUTHORIZED) <= FOR_S + 0.15
    rarely = Desk(owner=True)
    for _ in range(FEWEST_FOR - 1):
        rarely.see(1 / 30, USER)
        assert AUTHORIZED not in states(rarely.see(1, USER.but(bow=BOWED)))
    assert AUTHORIZED in states(rarely.see(1 / 30, USER))


# --- What ends an authorization, and what does not. ---


@pytest.mark.parametrize("live", [LIVE, FAKE])
def test_an_owner_in_profile_stays_authorized_for_minutes(live):
    desk = Desk(10, owner=True)
    desk.see(2, USER)
    assert states(desk.see(300, USER.but(turn=AWAY, like=STRANGER, live=live))) == [AUTHORIZED]
    assert states(desk.see(1, USER)) == [AUTHORIZED]


@pytest.mark.parametrize("fps", [10, 15, 30])
def test_who_sits_down_in_profile_after_an_owner_is_nobody(fps):
    desk = Desk(fps, owner=True)
    desk.see(2, USER)
    track = desk.see(20, HELD.but(looks="somebody else", turn=AWAY))
    assert states(track) == [CHECKING] and desk.judgement.reason == UNKNOWN


@pytest.mark.parametrize("gap_s, same", [(0.9 * GAP_S, True), (0.35, False), (9.0, False)])
@pytest.mark.parametrize("picture", [True, False])
def test_after_a_gap_a_face_starts_at_nothing(gap_s, same, picture):
    """Without the face, and without any picture."""
    desk = Desk(60)
    desk.see(2, USER)
    if picture:
        desk.see(gap_s - 1 / 60)
    else:
        desk.time_s += gap_s - 1 / 60
    track = desk.see(2, USER)
    assert states(track) == ([AUTHORIZED] if same else [CHECKING, AUTHORIZED])
    assert (track[0][1].progress > 0.9) == same and (track[0][1].track == 1) == same


def test_a_camera_that_gives_no_picture_shows_nobody():
    desk = Desk()
    desk.see(2, USER)
    assert states(desk.no_picture(1)) == [AUTHORIZED, CHECKING] and desk.judgement.faces == ()


# --- No abstention authorizes. ---


@pytest.mark.parametrize("per_s", [0.15, 0.9, 1.2])
@pytest.mark.parametrize("live", [LIVE, FAKE])
def test_a_camera_that_is_too_slow_gives_no_verdict_and_says_so(lines, per_s, live):
    desk = Desk(per_s)
    track = desk.see(60, USER.but(live=live))
    assert states(track) == [CHECKING]
    assert all(one.reason.startswith(TOO_SLOW) for since_s, one in track if since_s > 2 * PACE_S)
    assert len([line for line in lines if TOO_SLOW in line]) == 1


def test_nor_does_one_that_is_a_little_too_slow_at_first():
    assert states(Desk(0.95 * SLOWEST_PER_S).see(20, USER)) == [CHECKING]


def test_nor_does_one_that_brings_a_picture_every_five_seconds_without_a_word():
    desk = Desk()
    for _ in range(4):
        desk.see(1 / 30, USER)
        desk.no_picture(5)
    desk.see(1 / 30, USER)
    assert desk.judgement.reason.startswith(TOO_SLOW)


@pytest.mark.parametrize("live, state", [(LIVE, AUTHORIZED), (FAKE, UNAUTHORIZED)])
def test_two_pictures_a_second_suffice(live, state):
    assert states(Desk(2).see(20, USER.but(live=live))) == [CHECKING, state]


def test_a_camera_that_was_slow_for_a_while_is_judged_again():
    desk = Desk(30)
    desk.see(2, USER)
    desk.fps = 1
    desk.see(10, USER)
    assert desk.judgement.reason.startswith(TOO_SLOW) and desk.judgement.state == CHECKING
    desk.fps = 30
    assert states(desk.see(3, USER)) == [CHECKING, AUTHORIZED]
    desk.no_picture(20)
    assert states(desk.see(2, USER)) == [CHECKING, AUTHORIZED], "and no picture at all is not a slow camera"


def test_of_sixty_faces_the_four_largest_are_judged():
    desk, judged = Desk(), []
    grade = desk.networks.score
    desk.networks.score = lambda time_s, frame, tracks, now=(): (
        judged.append(sorted(track.size for track in tracks)) or grade(time_s, frame, tracks, now)
    )
    sheet = [
        Somebody(40 + 62 * (n % 10), 40 + 78 * (n // 10), 40 + n / 4, f"print {n}", FAKE, STRANGER) for n in range(60)
    ]
    desk.see(1, *sheet)
    assert {len(sizes) for sizes in judged} == {MOST_JUDGED} == {len(desk.judgement.faces)}
    assert min(judged[0]) > max(sorted(one.size for one in sheet)[: 60 - MOST_JUDGED]) / 480
    user = Somebody(320, 240, 300)
    assert states(desk.see(3, *sheet, user))[-1] == AUTHORIZED


def test_a_picture_in_the_room_is_nobody():
    desk = Desk()
    portrait = Somebody(x=500, y=80, size=0.8 * SMALL * 480, looks="portrait", live=FAKE)
    desk.see(STILL_S + 1, portrait)
    assert (desk.judgement.state, desk.judgement.reason, desk.judgement.track) == (CHECKING, PICTURE, 0)
    assert states(desk.see(2, portrait, USER)) == [CHECKING, AUTHORIZED] and desk.judgement.reason == ""
    assert states(desk.see(2, portrait)) == [AUTHORIZED, CHECKING] and desk.judgement.reason == PICTURE


# --- A folder of stills. ---


def test_stills_come_to_a_verdict_whoever_is_where_in_each():
    for live, state in ((LIVE, AUTHORIZED), (FAKE, UNAUTHORIZED)):
        desk, track = Desk(owner=True, related=False), []
        for n in range(60):
            track += desk.see(1 / 30, Somebody(x=120 + 90 * (n % 5), size=60 + 30 * (n % 4), looks=f"{n}", live=live))
        assert states(track) == [CHECKING, state] and {one.track for _, one in track} == {1}


def test_a_second_face_in_one_still_does_not_keep_the_others_from_a_verdict():
    desk = Desk(owner=True, related=False)
    desk.see(1 / 30, HELD, PHOTO.but(x=480, size=60))
    assert states(desk.see(2, USER))[-1] == AUTHORIZED
