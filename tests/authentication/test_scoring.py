"""When the anti-spoofing network looks, and what becomes of its score."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pytorch_parts import stand_in

import livenessnet
from anti_spoofing import Witness
from anti_spoofing.minifasnet import WEIGHTS
from authentication.scoring import LOOKS_PER_S, Scorer
from authentication.tracks import Tracks
from authentication.verdict import Verdict
from face_detector import reach, view
from model_file.scores import CAP, fuse

FRAME = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (320, 240))


class Noting:
    """An anti-spoofing network that notes where it was asked, and gives the scores that it is told to."""

    def __init__(self, *scores: float):
        self.asked, self.scores = [], scores or (0.0,)

    def look(self, frame, box) -> float:
        self.asked.append(tuple(map(float, box)))
        return self.scores[(len(self.asked) - 1) % len(self.scores)]


def faces(*boxes) -> np.ndarray:
    rows = np.zeros((len(boxes), 15), np.float32)
    for row, box in zip(rows, boxes):
        row[:4] = box
    return rows


A, B = (40, 60, 60, 60), (200, 80, 50, 60)


class Scored:
    """A scorer behind the real tracking."""

    def __init__(self, network, anti_spoofing, **more):
        self.scorer, self.tracks = Scorer(network, anti_spoofing, **more), Tracks(Verdict)

    def see(self, time_s: float, *boxes, frame=FRAME, now=()) -> list[float]:
        """The log odds of the faces in these boxes. now: which of them have to be looked at."""
        tracks = self.tracks.follow(time_s, frame, faces(*boxes))
        self.scorer.score(time_s, frame, tracks, [tracks[number] for number in now])
        return [track.log_odds for track in tracks]


@pytest.fixture(scope="module")
def network(trained):
    return livenessnet.load(trained.model, trained.le)


@pytest.fixture
def flat():
    """A LivenessNet that says nothing."""
    return SimpleNamespace(margin=2.7, input_size=32, weight=0.5, log_odds=lambda crops, reach: np.zeros(len(crops)))


@pytest.mark.parametrize("fps", [10, 15, 24, 30, 60, 100])
def test_it_looks_at_a_face_twelve_times_a_second_at_most(flat, fps):
    noting, seconds = Noting(), 10
    scored, times = Scored(flat, noting), []
    for number in range(seconds * fps):
        before = len(noting.asked)
        scored.see(number / fps, A)
        times += [number / fps] * (len(noting.asked) - before)
    assert times[0] == 0, "at once at a new face"
    # As often as it may, and as a verdict needs.
    assert min(fps, LOOKS_PER_S) * seconds - 2 <= len(times) <= LOOKS_PER_S * seconds + 1
    # Pictures come when they come: within a second that begins with one that was late there may be one more.
    for start in times:
        assert sum(start <= time < start + 1 - 1e-9 for time in times) <= LOOKS_PER_S + 1
    assert max(np.diff(times)) <= 1 / LOOKS_PER_S + 1 / fps + 1e-9


def test_after_a_pause_it_does_not_make_up_for_looks_it_missed(flat):
    noting = Noting()
    scored = Scored(flat, noting)
    for time_s in (0, 0.25, 0.26, 0.27, 0.28):
        scored.see(time_s, A)
    assert len(noting.asked) == 2


def test_its_last_score_holds_in_between(flat):
    scored = Scored(flat, Noting(3.0, -3.0))
    assert [scored.see(number / 60, A)[0] for number in range(10)] == [3.0] * 5 + [-3.0] * 5


def test_it_looks_at_once_where_this_very_picture_is_asked_for(flat):
    noting = Noting(*range(1, 9))
    scored = Scored(flat, noting)
    assert scored.see(0, A, B) == [1, 2]
    assert scored.see(0.01, A, B, now=[1]) == [1, 3]
    assert scored.see(0.02, A, B, now=[0, 1]) == [4, 5]
    assert scored.see(0.05, A, B) == [4, 5] and len(noting.asked) == 5, "such a look is one of the twelve"


def test_it_looks_at_once_at_a_face_that_jumped_or_came_back(flat):
    noting = Noting()
    scored = Scored(flat, noting)
    scored.see(0, A)
    scored.see(0.01, (42, 61, 60, 60))  # moved a little: the same
    assert len(noting.asked) == 1
    scored.see(0.02, (90, 61, 60, 60))
    assert noting.asked[1:] == [(90, 61, 60, 60)]
    scored.see(5, (90, 61, 60, 60))
    assert len(noting.asked) == 3


def test_of_pictures_that_need_not_belong_together_it_looks_at_each(flat):
    noting = Noting()
    scored = Scored(flat, noting, every_picture=True)
    for number in range(20):
        scored.see(number / 1000, A, B)
    assert len(noting.asked) == 40


def test_two_faces_keep_their_own_scores(flat):
    scored = Scored(flat, Noting(4.0, -4.0))
    assert scored.see(0, A, B) == [4, -4]
    assert scored.see(0.01, B, A) == [-4, 4]
    assert scored.see(0.02, B) == [-4]


def test_the_log_odds_are_what_both_come_to(network, detector, live_frames):
    frame = live_frames[0]
    box = detector.detect(frame)[0, :4]
    window = view(frame, box, network.margin, network.input_size)
    own = network.log_odds(window[None], [reach(frame.shape, box)])
    for score in (-6.0, -0.5, 0.5, 6.0):
        both = fuse(np.array([score]), own, network.weight)
        assert Scored(network, Noting(score)).see(0, box, frame=frame) == pytest.approx(both.tolist())
    assert Scored(network, None).see(0, box, frame=frame) == pytest.approx(own.tolist()), "alone"


def test_without_a_face_nobody_is_asked(network):
    noting = Noting()
    assert Scored(network, noting).see(0) == [] and not noting.asked
    assert Scored(network, None).see(0) == []


@pytest.mark.parametrize("score, own", [(np.nan, 9.0), (9.0, np.nan)])
def test_what_is_no_number_speaks_for_nobody(flat, score, own):
    flat.log_odds = lambda crops, reach: np.full(len(crops), own)
    assert Scored(flat, Noting(score)).see(0, A) == [-np.inf]


@pytest.mark.parametrize("own, score", [(50.0, -CAP - 0.1), (-50.0, CAP + 0.1)])
def test_a_clear_score_stands_whatever_livenessnet_says(flat, own, score):
    flat.log_odds, flat.weight = lambda crops, reach: np.full(len(crops), own), 1
    assert (Scored(flat, Noting(score)).see(0, A)[0] > 0) == (score > 0)


def test_with_a_network_of_the_real_form(network, detector, live_frames, monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS).write_bytes(stand_in(monkeypatch, tmp_path))
    anti_spoofing = Witness(tmp_path / "weights")
    scored = Scored(network, anti_spoofing)
    for number, frame in enumerate(live_frames[:5]):
        box = detector.detect(frame)[0, :4]
        window = view(frame, box, network.margin, network.input_size)
        own = network.log_odds(window[None], reach(frame.shape, box))
        both = fuse(np.array([anti_spoofing.look(frame, box)]), own, network.weight)
        assert scored.see(number / 10, box, frame=frame) == pytest.approx(both.tolist(), abs=1e-6)


def test_close_up_livenessnet_has_no_say(flat):
    """Where the frame ends at the face, as where a screen fills the view."""
    flat.log_odds = lambda crops, reach: np.full(len(crops), 9.0)
    close_up = FRAME[20:220, 60:260]
    assert Scored(flat, Noting(-0.5)).see(0, (0, 0, 200, 200), frame=close_up) == [-0.5]
    assert Scored(flat, Noting(-0.5)).see(0, A) == pytest.approx([-0.5 + 0.5 * CAP])
