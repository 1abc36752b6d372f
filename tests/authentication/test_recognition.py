"""When the recognition network looks at a face, and what stands behind its word."""

import cv2
import numpy as np
import pytest
from identity_parts import DOOR, FRAME, OWNER, SEAT, STRANGER, TEMPLATES, UNFIT, Desk, faces

from authentication.identity import THRESHOLD
from authentication.recognition import CALM_LOOKS_PER_S, HOLD_S, LOOKS_PER_S, NOTHING, Recognition
from face_recognizer import unfit


@pytest.fixture
def desk(monkeypatch):
    return lambda *args, **kwargs: Desk(monkeypatch, *args, **kwargs)


def looks(desk, seconds: float, *people) -> int:
    before = len(desk.recognizer.asked)
    desk.see(seconds, *people)
    return len(desk.recognizer.asked) - before


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_looks_are_few_and_fewer_once_they_bring_no_news(desk, fps):
    seat = desk(fps)
    assert looks(seat, 0.45, (SEAT, OWNER)) == 1, "at once, and a clear one is enough"
    assert looks(seat, 10, (SEAT, OWNER)) == pytest.approx(CALM_LOOKS_PER_S * 10, abs=1)
    doubtful = looks(desk(fps), 0.9, (SEAT, THRESHOLD))
    assert doubtful == pytest.approx(LOOKS_PER_S * 0.9, abs=1)
    settled = desk(fps)
    assert looks(settled, 1, (SEAT, STRANGER)) == pytest.approx(LOOKS_PER_S, abs=1)
    settled.see(1, (SEAT, STRANGER))
    assert looks(settled, 5, (SEAT, STRANGER)) == pytest.approx(CALM_LOOKS_PER_S * 5, abs=1)


def test_a_look_that_brings_news_is_followed_by_others(desk):
    seat = desk()
    seat.see(3, (SEAT, OWNER))
    assert looks(seat, 1.2, (SEAT, STRANGER)) >= 4
    seat.see(3, (SEAT, STRANGER))
    assert looks(seat, 0.9, (SEAT, OWNER)) >= 3


def test_it_looks_at_once_at_a_new_face_and_at_one_that_jumped(desk):
    seat = desk()
    seat.see(2, (SEAT, OWNER))
    for people in ([(SEAT, OWNER), (DOOR, STRANGER)], [(SEAT, OWNER), ((20, 20, 60, 75), STRANGER)]):
        seat.see(1 / seat.fps, *people)
        assert seat.recognizer.asked[-1] == people[-1][0]


def test_an_unfit_face_is_looked_at_as_soon_as_it_is_fit(desk):
    seat = desk()
    assert looks(seat, 1, (SEAT, UNFIT)) == 0
    assert looks(seat, 1 / 30, (SEAT, OWNER)) == 1


def test_a_face_that_the_detector_misses_for_a_moment_is_not_new(desk):
    recognition = desk().recognition
    his, nobody = faces((SEAT, OWNER)), faces()

    def see(time_s: float, found) -> int:
        return recognition.likeness(time_s, FRAME, found, calm=True).looks

    assert [see(0, his), see(0.4, his)] == [1, 1]
    assert see(0.8, nobody) == 0
    assert see(0.85, his) == 2
    assert see(0.85 + HOLD_S, nobody) == 0
    assert see(0.9 + HOLD_S, his) == 1, "away for longer"


def test_who_comes_where_a_face_has_just_moved_away_is_new(desk):
    seat, (x, *rest) = desk(), SEAT
    for step in range(5):
        seat.see(1 / 30, ((x + 20 * step, *rest), OWNER))
    assert looks(seat, 1 / 30, ((x + 100, *rest), OWNER), (SEAT, STRANGER)) == 1
    assert seat.recognizer.asked[-1] == SEAT


def test_a_folder_of_pictures_is_looked_at_picture_by_picture(desk):
    seat = desk(every_frame=True)
    assert looks(seat, 1, (SEAT, OWNER), (DOOR, STRANGER)) == 60


def test_the_word_is_the_best_of_a_second_and_of_four_looks_at_least(desk):
    recognition = desk().recognition

    def see(time_s: float, score: float) -> tuple[float, int]:
        likeness = recognition.likeness(time_s, FRAME, faces((SEAT, score)), calm=False)
        return pytest.approx(likeness.score, abs=1e-6), likeness.looks

    assert recognition.likeness(0, FRAME, faces((SEAT, UNFIT)), calm=False) == NOTHING
    assert see(0.1, 0.5) == (0.5, 1)
    assert see(0.2, 0.9) == (0.5, 1), "not due"
    assert [see(0.3 + n / 5, 0.1) for n in range(4)] == [(0.5, 2), (0.5, 3), (0.5, 4), (0.5, 5)]
    assert see(1.15, 0.2) == (0.2, 5), "the good one is more than a second old"
    assert see(1.9, UNFIT) == (0.2, 4)
    assert see(2.2, UNFIT) == (0.2, 0), "nothing is known now"
    assert see(3.2, 0.15) == (0.2, 4), "the last four, however old, with a new one"


def test_of_several_owners_and_faces_the_most_alike_counts(desk):
    seat = desk()
    both = Recognition(seat.recognizer, [*TEMPLATES, np.array([[0.0, 1.0]], np.float32)])
    assert both.likeness(0, FRAME, faces((SEAT, 0.6)), calm=False).score == pytest.approx(0.8), "the second owner's"
    likeness = seat.recognition.likeness(0, FRAME, faces((DOOR, STRANGER), (SEAT, OWNER)), calm=False)
    assert likeness.score == pytest.approx(OWNER, abs=1e-6)


@pytest.mark.parametrize("failure", [cv2.error("network\nfailed"), ValueError("no landmarks")])
def test_a_network_that_fails_knows_nobody_and_is_told_once(desk, lines, failure):
    seat = desk()

    def fail(*_):
        raise failure

    seat.see(0.2, (SEAT, OWNER))
    seat.recognizer.embed = fail
    track = seat.see(3, (DOOR, OWNER))
    assert {state for _, state in track} == {"checking"}
    assert len([line for line in lines if "could not be compared" in line]) == 1
    assert "\n" not in "".join(lines)


def test_the_real_network_knows_the_sample_by_other_frames_of_his(recognizer, detector, live_frames, stranger):
    found = [detector.detect(frame) for frame in live_frames]
    his = np.array([recognizer.embed(live_frames[n], found[n][0]) for n in range(0, 40, 8)])
    hers = recognizer.embed(stranger, detector.detect(stranger)[0])[None]
    himself, other = Recognition(recognizer, [his, hers]), Recognition(recognizer, [hers])
    for n in (n for n in range(60, 120, 8) if not unfit(live_frames[n], found[n][0])):
        scores = [known.likeness(n / 30, live_frames[n], found[n], calm=False).score for known in (himself, other)]
        assert scores[0] > THRESHOLD > scores[1]
