from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from heads import HEAD, Person, seen, turned
from identity_parts import Desk

import livenessnet
from authentication.authenticator import EVIDENCE_FRAMES, EVIDENCE_GAP_S, Authenticator, Evidence, Found, find
from authentication.challenge import Challenge
from authentication.prompts import LEFT, RIGHT
from authentication.scoring import Scorer
from authentication.verdict import (
    AUTHORIZED,
    CHALLENGE,
    CHECKING,
    REPLAY,
    STRANGER,
    UNAUTHORIZED,
    UNKNOWN,
    Verdict,
)
from face_detector import VIEW_SIDE, cut, shrunk


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
    far, near = scorer.scores(0, frame, face[None]) + scorer.scores(1, close_up, within[None])
    assert far > 0.99 and near < 0.01


def test_the_network_is_shown_the_view_that_training_shows_it(detector, trained, live_frames):
    network = livenessnet.load(trained.model, trained.le)
    shown = []
    network.log_odds = lambda crops, reach: shown.append(crops) or np.zeros(len(crops))
    frame = live_frames[0]
    face = detector.detect(frame)[0]
    Scorer(network, None).scores(0, frame, face[None])
    stored, _ = cut(frame, face[:4])
    kept = cv2.resize(stored, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(shown[0][0].astype(float) - shrunk(kept, network.input_size)).mean() < 1


# --- Liveness, identity and challenge together. ---

LIVE, FAKE = 0.95, 0.05
AS_OWNER, AS_STRANGER, AS_NOBODY = 0.65, 0.10, 9.0


class Room:
    """Somebody before the camera: how live he looks, how like an owner, and how he answers a challenge."""

    def __init__(self, monkeypatch, challenge=None):
        self.time_s, self.look, self.p_real = 0.0, None, LIVE
        identity = Desk(monkeypatch).who
        scorer = SimpleNamespace(scores=lambda time_s, frame, faces: [self.p_real] * len(faces))
        self.authenticator = Authenticator(scorer, Verdict(), challenge, identity)

    def see(self, seconds: float, p_real: float, likeness: float, head=None) -> list[tuple[str, str]]:
        """(state, reason) of each frame, those that follow each other."""
        self.p_real, track = p_real, []
        for _ in range(round(seconds * 30)):
            prompt = self.look.prompt if self.look else None
            face = head(self.time_s, prompt) if head else seen(HEAD, turned(pitch=5), 200)[None]
            face[:, 14] = likeness
            self.look = self.authenticator.judge(self.time_s, None, Found(False, face.astype(np.float32)))
            self.time_s += 1 / 30
            if track[-1:] != [(self.look.state, self.look.reason)]:
                track.append((self.look.state, self.look.reason))
        return track


OPEN, BARRED = (AUTHORIZED, ""), (UNAUTHORIZED, STRANGER)
START, WHO = (CHECKING, ""), (CHECKING, UNKNOWN)


@pytest.fixture
def room(monkeypatch):
    return lambda challenge=None: Room(monkeypatch, challenge)


@pytest.mark.parametrize(
    "p_real, likeness, track",
    [
        (LIVE, AS_OWNER, [START, OPEN]),
        (LIVE, AS_STRANGER, [START, WHO, BARRED]),
        (LIVE, AS_NOBODY, [START, WHO]),
        (FAKE, AS_OWNER, [START, (UNAUTHORIZED, REPLAY)]),
        (FAKE, AS_STRANGER, [START, (UNAUTHORIZED, REPLAY)]),
        (FAKE, AS_NOBODY, [START, (UNAUTHORIZED, REPLAY)]),
    ],
)
def test_both_must_hold_and_a_replay_outweighs_everything(room, p_real, likeness, track):
    assert room().see(3, p_real, likeness) == track


def test_without_an_identity_whoever_is_live_is_authorized(room):
    place = room()
    place.authenticator = Authenticator(place.authenticator._scorer, Verdict())
    assert place.see(2, LIVE, AS_STRANGER) == [START, OPEN]
    assert place.look.visit == (1, 0, 0)


def test_the_bar_shows_the_lesser_of_both(room):
    place = room()
    place.see(0.5, LIVE, AS_STRANGER)
    assert place.look.state == CHECKING and place.look.progress < 0.1, "live for long, and hardly known"
    place.see(3, LIVE, AS_STRANGER)
    assert place.look.progress == 1


def test_a_swap_within_one_visit_is_news_each_time(room):
    place, visits = room(), []
    for likeness, state in ((AS_OWNER, OPEN), (AS_STRANGER, BARRED), (AS_OWNER, OPEN), (AS_STRANGER, BARRED)):
        assert place.see(3, LIVE, likeness)[-1] == state
        visits.append(place.look.visit)
    assert visits[0] == visits[1] != visits[2] == visits[3]


def test_only_somebody_who_passed_both_is_challenged(room):
    turns = {"draw_turns": lambda count: [LEFT] * count, "draw_pause": lambda: 0.3}
    for likeness in (AS_STRANGER, AS_NOBODY):
        place = room(Challenge(1, **turns))
        track = place.see(6, LIVE, likeness, Person())
        assert AUTHORIZED not in {state for state, _ in track} and place.look.prompt is None
    place = room(Challenge(1, **turns))
    assert place.see(12, LIVE, AS_OWNER, Person()) == [START, OPEN]
    track = place.see(3, LIVE, AS_STRANGER)
    assert track[-1] == BARRED and place.look.visit[2] == 1, "what the owner passed is over"


def test_who_fails_the_challenge_is_told_so_and_a_stranger_after_him_is_one(room):
    place = room(Challenge(1, draw_turns=lambda count: [LEFT] * count, draw_pause=lambda: 0.3))
    wrong_way = Person(sides={LEFT: -1, RIGHT: 1})
    assert (UNAUTHORIZED, CHALLENGE) in place.see(25, LIVE, AS_OWNER, wrong_way)
    assert place.see(3, LIVE, AS_STRANGER)[-1] == BARRED
