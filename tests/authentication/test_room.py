"""Pictures in the room, with the real detector: a portrait is a frame of the sample, on the wall of a room."""

import math
from itertools import groupby

import cv2
import numpy as np
import pytest
from identity_parts import FAKE, LIVE, Desk, Somebody, states

from authentication.authenticator import ASIDE, Authenticator, Found, Judgement
from authentication.room import MISSED_S, SMALL, STILL_S, UNCOVERED_S
from authentication.verdict import AUTHORIZED, CHECKING, PICTURE, UNAUTHORIZED, Verdict

FPS, HEIGHT, WIDTH = 10, 360, 480
RANDOM = np.random.default_rng(5)
WALL = cv2.resize(RANDOM.integers(60, 190, (12, 16, 3), np.uint8), (WIDTH, HEIGHT))
NOISE = RANDOM.normal(0, 3, (9, HEIGHT, WIDTH, 3)).astype(np.float32)
FACE = 63  # pixels, of the sample's frames
# Of the people and portraits that are far off.
SCALE = 0.85 * SMALL * HEIGHT / FACE
PORTRAIT = 300, 60


class Place:
    """A room with a camera that trembles by a pixel, and is noisy. live: what faces are scored that are far off; near:
    what others are. exposed: the exposure changes."""

    def __init__(self, detector, live: float, near: float = LIVE, exposed: bool = False):
        self.detector, self.live, self.near, self.exposed = detector, live, near, exposed
        self.authenticator = Authenticator(self, Verdict())
        self.random, self.count = np.random.default_rng(0), 0

    def score(self, time_s: float, frame, tracks, now=()) -> None:
        for track in tracks:
            track.log_odds = self.live if track.size <= SMALL else self.near

    def see(self, seconds: float, *pictures) -> list[Judgement]:
        """pictures: each at its place, (frame, x, y, scale), or a function of the seconds that gives that; later ones
        cover earlier ones."""
        judgements = []
        for n in range(round(seconds * FPS)):
            room = WALL.copy()
            for one in pictures:
                paste(room, *(one(n / FPS) if callable(one) else one))
            room = np.roll(room, self.random.integers(-1, 2, 2), axis=(0, 1))
            light = 1 + 0.25 * math.sin(self.count / FPS) * self.exposed
            room = (room * np.float32(light) + NOISE[self.count % len(NOISE)]).clip(0, 255).astype(np.uint8)
            found = Found(False, self.detector.detect(room))
            judgements.append(self.authenticator.judge(self.count / FPS, room, found))
            self.count += 1
        return judgements


def paste(room: np.ndarray, frame: np.ndarray, x: float, y: float, scale: float) -> None:
    """The frame's middle is put at x, y, in pixels; it may reach beyond the room."""
    move = np.array([[scale, 0, x - scale * frame.shape[1] / 2], [0, scale, y - scale * frame.shape[0] / 2]])
    cv2.warpAffine(frame, move, (WIDTH, HEIGHT), dst=room, borderMode=cv2.BORDER_TRANSPARENT, flags=cv2.INTER_AREA)


def order(judgements: list[Judgement]) -> list[str]:
    return [state for state, _ in groupby(judgement.state for judgement in judgements)]


def aside(judgements: list[Judgement]) -> list[bool]:
    """For every picture, whether a face in it is set aside."""
    return [any(face.state == ASIDE for face in judgement.faces) for judgement in judgements]


@pytest.fixture
def portrait(live_frames):
    return live_frames[0], *PORTRAIT, SCALE


@pytest.fixture
def film(live_frames):
    """The sample as it moves, to and fro, at a place."""
    frames = [*live_frames, *live_frames[::-1]]
    return lambda x, y, scale: lambda time_s: (frames[round(time_s * 30) % len(frames)], x, y, scale)


@pytest.mark.parametrize("exposed", [False, True])
def test_a_small_portrait_on_the_wall_is_set_aside_and_told_once(detector, portrait, lines, exposed):
    place = Place(detector, FAKE, exposed=exposed)
    judgements = place.see(STILL_S + 5, portrait)
    assert order(judgements) == [CHECKING]
    assert all(aside(judgements)[round((STILL_S + 0.7) * FPS) :])
    assert judgements[-1].reason == PICTURE and all(one.against == 0 for one in judgements)
    assert len([line for line in lines if "picture in the room" in line]) == 1


def test_a_large_one_is_not(detector, live_frames):
    judgements = Place(detector, LIVE, near=FAKE).see(STILL_S + 2, (live_frames[0], 240, 180, 2.0))
    assert order(judgements) == [CHECKING, UNAUTHORIZED] and not any(aside(judgements))


@pytest.mark.parametrize("live, state", [(FAKE, UNAUTHORIZED), (LIVE, AUTHORIZED)])
def test_one_that_is_held_in_a_hand_is_not(detector, live_frames, live, state):
    def in_a_hand(time_s):
        return live_frames[0], 300 + 9 * math.sin(3 * time_s), 70 + 6 * math.sin(4.1 * time_s), SCALE

    judgements = Place(detector, live).see(2 * STILL_S, in_a_hand)
    assert order(judgements) == [CHECKING, state] and not any(aside(judgements))


def test_a_head_that_moves_within_a_phone_that_stands_still_is_not(detector, film):
    judgements = Place(detector, FAKE).see(3 * STILL_S, film(*PORTRAIT, SCALE))
    assert order(judgements) == [CHECKING, UNAUTHORIZED] and not any(aside(judgements))


def test_it_is_remembered_when_somebody_has_passed_before_it(detector, portrait, live_frames, lines):
    place = Place(detector, FAKE)
    place.see(STILL_S + 1, portrait)
    place.see(1, portrait, lambda time_s: (live_frames[0], 500 - 400 * time_s, 150, 1.5))
    place.see(MISSED_S + 1, portrait, (live_frames[0], *PORTRAIT, 1.5))
    judgements = place.see(2, portrait)
    assert all(aside(judgements)[round(0.7 * FPS) :])
    assert len([line for line in lines if "picture in the room" in line]) == 1


def test_a_portrait_that_a_user_uncovers_when_they_leave_is_no_reason_for_an_alarm(detector, portrait, film):
    place = Place(detector, FAKE)
    user = film(280, 150, 2.0)
    assert order(place.see(2, portrait, user)) == [CHECKING, AUTHORIZED]
    leaving = place.see(0.6, portrait, lambda time_s: (user(time_s)[0], 280 - 600 * time_s, 150, 2.0))
    after = place.see(STILL_S + UNCOVERED_S + 1, portrait)
    assert UNAUTHORIZED not in order(leaving + after)
    assert aside(after)[-1] and after[-1].against == 0


def test_a_user_who_was_authorized_may_sit_still_however_far_off(detector, film, live_frames):
    place = Place(detector, LIVE)
    place.see(2, film(*PORTRAIT, SCALE))
    judgements = place.see(3 * STILL_S, film(*PORTRAIT, SCALE)(2))
    assert order(judgements) == [AUTHORIZED] and not any(aside(judgements))


def test_so_may_one_who_was_authorized_close_by_and_leans_back(detector, film, live_frames):
    place = Place(detector, LIVE)
    assert order(place.see(2, film(*PORTRAIT, 1.5 * SCALE))) == [CHECKING, AUTHORIZED]
    frame = film(0, 0, 1)(2)[0]
    place.see(1, lambda time_s: (frame, *PORTRAIT, SCALE * (1.5 - 0.5 * time_s)))
    judgements = place.see(3 * STILL_S, (frame, *PORTRAIT, SCALE))
    assert order(judgements) == [AUTHORIZED] and not any(aside(judgements))


@pytest.mark.parametrize("how", ["moves", "grows", "changes"])
def test_once_it_moves_grows_or_changes_it_starts_at_nothing(detector, portrait, live_frames, how):
    place = Place(detector, LIVE)
    before = place.see(STILL_S + 2, portrait)
    frame, x, y, scale = portrait

    def now(time_s):
        return {
            "moves": (frame, x - 40 * time_s, y, scale),
            "grows": (frame, x, y, scale * (1 + 0.6 * min(time_s, 1))),
            "changes": (live_frames[60 + round(20 * time_s)], x, y, scale),
        }[how]

    judgements = place.see(2, now)
    face = next(face for judgement in judgements for face in judgement.faces if face.state != ASIDE)
    assert face.state == CHECKING and face.track > before[-1].faces[0].track
    seen_s = next(n for n, judgement in enumerate(judgements) if judgement.track) / FPS
    authorized_s = next((n for n, one in enumerate(judgements) if one.state == AUTHORIZED), math.inf) / FPS
    assert 0.3 < authorized_s - seen_s < 1.5


def test_it_is_never_authorized(detector, portrait):
    place = Place(detector, FAKE)
    place.see(STILL_S + 1, portrait)
    place.live = LIVE
    assert order(place.see(5, portrait)) == [CHECKING]


def test_nor_is_one_that_scores_live_before_it_is_set_aside(detector, portrait):
    assert order(Place(detector, LIVE).see(STILL_S + 1, portrait)) == [CHECKING]


def test_nor_is_one_that_scores_live_a_stranger(detector):
    desk = Desk(owner=True)
    assert states(desk.see(STILL_S + 1, Somebody(size=60, like=0.1))) == [CHECKING]


def test_a_user_before_it_is_judged_as_if_it_were_not_there(detector, portrait, film):
    for near, state in ((LIVE, AUTHORIZED), (FAKE, UNAUTHORIZED)):
        judgements = Place(detector, -near, near).see(STILL_S + 2, portrait, film(110, 220, 1.5))
        assert order(judgements) == [CHECKING, state] and aside(judgements)[-1]
