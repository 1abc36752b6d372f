"""When the witness looks, and what becomes of its word."""

from types import SimpleNamespace

import numpy as np
import pytest
from pytorch_parts import stand_in

import livenessnet
from anti_spoofing import Witness
from anti_spoofing.minifasnet import WEIGHTS
from authentication.looks import overlap
from authentication.scoring import LOOKS_PER_S, Scorer
from face_detector import reach, view
from model_file.scores import CAP, fuse, probability

FRAME = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


class Noting:
    """A witness that notes where it was asked, and says what it is told to."""

    def __init__(self, *says: float):
        self.asked, self.says = [], says or (0.0,)

    def look(self, frame, box) -> float:
        self.asked.append(tuple(map(float, box)))
        return self.says[(len(self.asked) - 1) % len(self.says)]


def faces(*boxes) -> np.ndarray:
    rows = np.zeros((len(boxes), 15), np.float32)
    for row, box in zip(rows, boxes):
        row[:4] = box
    return rows


A, B = (40, 60, 60, 60), (200, 80, 50, 60)


@pytest.fixture(scope="module")
def network(trained):
    return livenessnet.load(trained.model, trained.le)


@pytest.fixture
def flat():
    """A LivenessNet that says nothing."""
    return SimpleNamespace(margin=2.7, input_size=32, weight=0.5, log_odds=lambda crops, reach: np.zeros(len(crops)))


@pytest.mark.parametrize("fps", [10, 15, 24, 30, 60, 100])
def test_it_looks_at_a_face_twelve_times_a_second_at_most(flat, fps):
    witness, seconds = Noting(), 10
    scorer = Scorer(flat, witness)
    times = []
    for number in range(seconds * fps):
        before = len(witness.asked)
        scorer.scores(number / fps, FRAME, faces(A))
        times += [number / fps] * (len(witness.asked) - before)
    assert times[0] == 0, "at once at a new face"
    # As often as it may, and as a verdict needs.
    assert min(fps, LOOKS_PER_S) * seconds - 2 <= len(times) <= LOOKS_PER_S * seconds + 1
    # Frames come when they come: within a second that begins with one that was late there may be one more.
    for start in times:
        assert sum(start <= time < start + 1 - 1e-9 for time in times) <= LOOKS_PER_S + 1
    assert max(np.diff(times)) <= 1 / LOOKS_PER_S + 1 / fps + 1e-9


def test_after_a_pause_it_does_not_make_up_for_looks_it_missed(flat):
    witness = Noting()
    scorer = Scorer(flat, witness)
    for time_s in (0, 5, 5.01, 5.02, 5.03, 5.04, 5.05):
        scorer.scores(time_s, FRAME, faces(A))
    assert len(witness.asked) <= 3


def test_its_last_word_holds_in_between(flat):
    scorer = Scorer(flat, Noting(3.0, -3.0))
    said = [scorer.scores(number / 60, FRAME, faces(A))[0] for number in range(10)]
    live, attack = probability(np.array([3.0, -3.0]))
    assert said == pytest.approx([live] * 5 + [attack] * 5)


def test_it_looks_at_once_at_a_face_that_jumped_or_came_back(flat):
    witness = Noting()
    scorer = Scorer(flat, witness)
    scorer.scores(0, FRAME, faces(A))
    scorer.scores(0.01, FRAME, faces((42, 61, 60, 60)))  # moved a little: the same
    assert len(witness.asked) == 1
    scorer.scores(0.02, FRAME, faces((90, 61, 60, 60)))
    assert witness.asked[1:] == [(90, 61, 60, 60)]
    assert scorer.scores(0.03, FRAME, faces()) == []
    scorer.scores(0.04, FRAME, faces((90, 61, 60, 60)))
    assert len(witness.asked) == 3


def test_a_face_that_wanders_is_the_same_all_the_way(flat):
    witness = Noting()
    scorer = Scorer(flat, witness)
    for number in range(24):
        scorer.scores(number / 240, FRAME, faces((20 + 8 * number, 60, 60, 60)))
    assert len(witness.asked) == 2, "a tenth of a second"


def test_of_pictures_that_need_not_belong_together_it_looks_at_each(flat):
    witness = Noting()
    scorer = Scorer(flat, witness, every_frame=True)
    for number in range(20):
        scorer.scores(number / 1000, FRAME, faces(A, B))
    assert len(witness.asked) == 40


def test_two_faces_keep_their_own_words(flat):
    scorer = Scorer(flat, Noting(4.0, -4.0))
    live, attack = probability(np.array([4.0, -4.0]))
    assert scorer.scores(0, FRAME, faces(A, B)) == pytest.approx([live, attack])
    assert scorer.scores(0.01, FRAME, faces(B, A)) == pytest.approx([attack, live])
    assert scorer.scores(0.02, FRAME, faces(B)) == pytest.approx([attack])


def test_p_real_is_what_both_come_to(network, detector, live_frames):
    frame = live_frames[0]
    face = detector.detect(frame)
    window = view(frame, face[0, :4], network.margin, network.input_size)
    own = network.log_odds(window[None], [reach(frame.shape, face[0, :4])])
    for word in (-6.0, -0.5, 0.5, 6.0):
        said = Scorer(network, Noting(word)).scores(0, frame, face)
        assert said == pytest.approx(probability(fuse(np.array([word]), own, network.weight)).tolist())
    assert Scorer(network, None).scores(0, frame, face) == pytest.approx(probability(own).tolist()), "alone"


def test_without_a_face_nobody_is_asked(network):
    witness = Noting()
    assert Scorer(network, witness).scores(0, FRAME, faces()) == [] and not witness.asked
    assert Scorer(network, None).scores(0, None, faces()) == []


@pytest.mark.parametrize("own, word", [(50.0, -CAP - 0.1), (-50.0, CAP + 0.1)])
def test_a_clear_word_stands_whatever_livenessnet_says(flat, own, word):
    flat.log_odds, flat.weight = lambda crops, reach: np.full(len(crops), own), 1
    said = Scorer(flat, Noting(word)).scores(0, FRAME, faces(A))[0]
    assert (said > 0.5) == (word > 0)


def test_with_a_network_of_the_witness_form(network, detector, live_frames, monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS).write_bytes(stand_in(monkeypatch, tmp_path))
    witness = Witness(tmp_path / "weights")
    scorer = Scorer(network, witness)
    for number, frame in enumerate(live_frames[:5]):
        face = detector.detect(frame)
        said = scorer.scores(number / 10, frame, face)
        window = view(frame, face[0, :4], network.margin, network.input_size)
        own = network.log_odds(window[None], reach(frame.shape, face[0, :4]))
        word = np.array([witness.look(frame, face[0, :4])])
        assert said == pytest.approx(probability(fuse(word, own, network.weight)).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "a, b, share",
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1),
        ((0, 0, 10, 10), (5, 0, 10, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 0, 5, 5), 0),
        ((0, 0, 10, 10), (2, 2, 5, 5), 0.25),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
        ((0, 0, 10, 10), (20, 20, 5, 5), 0),
    ],
)
def test_overlap_is_the_share_that_two_boxes_have_in_common(a, b, share):
    assert overlap(np.array(a, float), np.array(b, float)) == pytest.approx(share)
    assert overlap(np.array(b, float), np.array(a, float)) == pytest.approx(share)


def test_close_up_livenessnet_has_no_say(flat):
    """Where the frame ends at the face, as where a screen fills the view."""
    flat.log_odds = lambda crops, reach: np.full(len(crops), 9.0)
    box = (60, 20, 200, 200)
    far, near = (
        Scorer(flat, Noting(-0.5)).scores(0, frame, faces(face))[0]
        for frame, face in ((FRAME, A), (FRAME[20:220, 60:260], (0, 0, *box[2:])))
    )
    assert near == pytest.approx(probability(-0.5)) and far == pytest.approx(probability(-0.5 + 0.5 * CAP))
