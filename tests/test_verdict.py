import itertools
import math
import random

import pytest

from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict

LIVE, REPLAY = 0.95, 0.05


def stream(verdict: Verdict, score, seconds: float, fps: float, start: float = 0.0) -> list[tuple[float, str]]:
    """Feed the same score at a steady pace; returns (time, state) of every frame."""
    frames = (start + n / fps for n in range(round(seconds * fps)))
    return [(time_s, verdict.update(time_s, score)) for time_s in frames]


def decided_at(track, state: str) -> float:
    return next((time_s for time_s, seen in track if seen == state), math.inf)


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("score, state", [(LIVE, AUTHORIZED), (REPLAY, UNAUTHORIZED)])
def test_steady_evidence_decides_within_a_second_at_any_pace(fps, score, state):
    track = stream(Verdict(), score, 2, fps)
    assert 0.3 < decided_at(track, state) <= 1
    assert {seen for _, seen in track} == {CHECKING, state}


def test_the_pace_of_the_camera_does_not_matter():
    times = [decided_at(stream(Verdict(), LIVE, 2, fps), AUTHORIZED) for fps in (10, 30, 60)]
    assert max(times) - min(times) <= 0.1


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("steady, glitch", [(LIVE, 0.0), (REPLAY, 1.0)])
def test_a_glitch_of_a_tenth_of_a_second_changes_nothing(fps, steady, glitch):
    """Wherever it falls: before the verdict, at it and after it."""
    expected = {CHECKING, AUTHORIZED if steady == LIVE else UNAUTHORIZED}
    for hit in range(2 * fps):
        verdict, seen = Verdict(), set()
        for n in range(3 * fps):
            inside = hit <= n < hit + max(1, fps // 10)
            seen.add(verdict.update(n / fps, glitch if inside else steady))
        assert seen == expected and verdict.state != CHECKING


def test_a_single_frame_decides_nothing():
    verdict = Verdict()
    assert verdict.update(0, 0.0) == CHECKING
    assert verdict.update(100, 0.0) == CHECKING


def test_a_pause_is_no_evidence():
    """A camera that stalls for most of a second brings one frame's worth of evidence, not a second's."""
    verdict = Verdict()
    verdict.update(0, REPLAY)
    assert verdict.update(0.9, REPLAY) == CHECKING
    steady = Verdict()
    stream(steady, REPLAY, 0.2, 10)
    assert verdict.confidence == steady.confidence


@pytest.mark.parametrize("score", [0.5, None])
def test_what_says_nothing_decides_nothing(score):
    assert {state for _, state in stream(Verdict(), score, 60, 30)} == {CHECKING}


def test_no_face_for_a_second_ends_the_visit():
    verdict = Verdict()
    stream(verdict, LIVE, 1, 30)
    assert verdict.state == AUTHORIZED and verdict.visit == 1
    assert verdict.update(1.9, None) == AUTHORIZED
    assert verdict.update(2.1, None) == CHECKING
    assert verdict.score is None
    stream(verdict, LIVE, 1, 30, start=3)
    assert verdict.state == AUTHORIZED and verdict.visit == 2


def test_a_face_that_comes_back_after_a_pause_without_frames_starts_anew():
    verdict = Verdict()
    stream(verdict, LIVE, 1, 30)
    assert verdict.update(10, LIVE) == CHECKING


def test_a_replay_after_an_hour_of_live_face_is_found_within_a_second():
    verdict = Verdict()
    stream(verdict, LIVE, 3600, 10)
    track = stream(verdict, REPLAY, 2, 10, start=3600)
    assert decided_at(track, UNAUTHORIZED) - 3600 <= 1


def test_tighter_bounds_take_longer():
    loose = decided_at(stream(Verdict(0.01, 0.01), REPLAY, 2, 60), UNAUTHORIZED)
    tight = decided_at(stream(Verdict(1e-6, 1e-6), REPLAY, 2, 60), UNAUTHORIZED)
    assert loose < decided_at(stream(Verdict(), REPLAY, 2, 60), UNAUTHORIZED) < tight


def test_the_error_rates_stay_within_their_bounds_on_independent_looks():
    """Scores as a classifier gives them whose likelihood ratio is what it says: the case Wald's bounds speak of."""
    rng = random.Random(1)
    wrong = trials = 0
    for live in itertools.islice(itertools.cycle((True, False)), 2000):
        verdict = Verdict(0.02, 0.02)
        for n in itertools.count():
            # Normal scores, means +-0.5 logit, variance 1: their log-likelihood ratio is the score itself. One
            # look each 1/15 s is what LOOKS_PER_S takes for independent.
            logit = rng.gauss(0.5 if live else -0.5, 1)
            state = verdict.update(n / 15, 1 / (1 + math.exp(-logit)))
            if state != CHECKING:
                break
        trials += 1
        wrong += (state == AUTHORIZED) != live
    assert wrong / trials < 0.02


def test_confidence_fills_from_nothing_to_the_verdict():
    verdict = Verdict()
    seen = []
    for n in range(60):
        verdict.update(n / 60, REPLAY)
        seen.append(verdict.confidence)
    assert seen[0] == 0 and seen[-1] == -1 and seen == sorted(seen, reverse=True)
