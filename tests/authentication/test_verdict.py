import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authentication.verdict import AUTHORIZED, CHECKING, LOOKS_PER_S, LOOSEST, STRICTEST, UNAUTHORIZED, Verdict

LIVE, REPLAY = 0.95, 0.05
OPPOSITE = {AUTHORIZED: UNAUTHORIZED, UNAUTHORIZED: AUTHORIZED}
# Every pair of bounds that is admitted; the ends are where the guarantees are tightest.
BOUND = st.one_of(st.sampled_from([STRICTEST, 0.001, LOOSEST]), st.floats(STRICTEST, LOOSEST))


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


@settings(max_examples=200, deadline=None)
@given(
    false_pass=BOUND,
    false_lock=BOUND,
    fps=st.sampled_from([10, 25, 30, 60]),
    live=st.booleans(),
    clearer=st.floats(0, 1),
    before=st.floats(0, 3),
)
def test_whatever_the_bounds_clear_evidence_decides_within_a_second(false_pass, false_lock, fps, live, clearer, before):
    """From nothing and from any other evidence, up to the opposite verdict."""
    verdict = Verdict(false_pass, false_lock)
    clear = verdict.clear + clearer * (1 - verdict.clear)
    state, score = (AUTHORIZED, clear) if live else (UNAUTHORIZED, 1 - clear)
    stream(verdict, 1 - score, before, fps)
    start = round(before * fps) / fps
    track = stream(verdict, score, 2, fps, start=start)
    assert decided_at(track, state) - start <= 1 + 1e-6
    assert verdict.state == state


@settings(max_examples=300, deadline=None)
@given(
    false_pass=BOUND,
    false_lock=BOUND,
    fps=st.floats(5, 240),
    live=st.booleans(),
    length=st.floats(0, 0.1),
    at=st.floats(0, 2),
    others=st.lists(st.floats(0, 0.5), min_size=1, max_size=20),
)
def test_whatever_the_bounds_no_glitch_ever_decides(false_pass, false_lock, fps, live, length, at, others):
    """The other frames, which say the opposite or nothing, may be of any kind and in any order."""
    verdict, seen = Verdict(false_pass, false_lock), set()
    for n in range(math.ceil(3 * fps)):
        inside = at <= n / fps <= at + length
        p_real = 1.0 if inside else others[n % len(others)]
        seen.add(verdict.update(n / fps, p_real if live else 1 - p_real))
    assert (AUTHORIZED if live else UNAUTHORIZED) not in seen


@pytest.mark.parametrize("state, score", [(AUTHORIZED, LIVE), (UNAUTHORIZED, REPLAY)])
def test_a_verdict_is_harder_to_overturn_than_to_reach(state, score):
    verdict = Verdict()
    reached = decided_at(stream(verdict, score, 3, 60), state)
    overturned = decided_at(stream(verdict, 1 - score, 2, 60, start=3), OPPOSITE[state]) - 3
    assert 1.8 * reached < overturned


@pytest.mark.parametrize("bounds", [(0, 0.001), (0.001, 0), (0.02, 0.001), (0.001, 1), (math.nan, 0.001), (1e-7, 1e-7)])
def test_bounds_under_which_the_guarantees_would_not_hold_are_refused(bounds):
    with pytest.raises(ValueError, match="error rate"):
        Verdict(*bounds)


def test_stricter_bounds_ask_for_clearer_faces_or_more_time():
    loose, usual, strict = (Verdict(rate, rate) for rate in (0.01, 0.001, 1e-6))
    assert 0.7 < loose.clear < usual.clear < strict.clear < 0.96
    times = [decided_at(stream(verdict, 0.3, 5, 60), UNAUTHORIZED) for verdict in (loose, usual, strict)]
    assert times[0] < times[1] < times[2] < 2


def test_each_bound_moves_its_own_verdict():
    """A doubtful face, so that the evidence is not capped."""
    usual = decided_at(stream(Verdict(), 0.6, 5, 60), AUTHORIZED)
    assert decided_at(stream(Verdict(false_pass=1e-5), 0.6, 5, 60), AUTHORIZED) > usual + 0.5
    assert decided_at(stream(Verdict(false_lock=1e-5), 0.6, 5, 60), AUTHORIZED) == pytest.approx(usual, abs=0.02)


@pytest.mark.parametrize("nothing", [math.nan, -math.nan])
def test_a_score_that_is_no_number_authorizes_nobody(nothing):
    verdict = Verdict()
    assert AUTHORIZED not in {state for _, state in stream(verdict, nothing, 3, 30)}
    assert 0 <= verdict.score <= 1


@pytest.mark.parametrize("later", [0.0, -5.0, math.nan, -math.inf])
def test_a_clock_that_runs_backwards_starts_a_new_visit(later):
    verdict = Verdict()
    stream(verdict, LIVE, 1, 30, start=10)
    assert verdict.state == AUTHORIZED
    assert verdict.update(later, LIVE) == CHECKING and verdict.confidence == 0


def test_the_error_rates_stay_within_their_bounds_on_independent_looks():
    """Scores as a classifier gives them whose likelihood ratio is what it says: the case Wald's bounds speak of."""
    rng = random.Random(1)
    wrong = trials = 0
    for live in itertools.islice(itertools.cycle((True, False)), 4000):
        verdict = Verdict(0.01, 0.01)
        for n in itertools.count():
            # Normal scores, means +-0.2 logit, variance 0.4: their log-likelihood ratio is the score itself.
            logit = rng.gauss(0.2 if live else -0.2, math.sqrt(0.4))
            state = verdict.update(n / LOOKS_PER_S, 1 / (1 + math.exp(-logit)))
            if state != CHECKING:
                break
        trials += 1
        wrong += (state == AUTHORIZED) != live
    assert 0 < wrong / trials < 0.01


def test_confidence_fills_from_nothing_to_the_verdict():
    verdict = Verdict()
    seen = []
    for n in range(60):
        verdict.update(n / 60, REPLAY)
        seen.append(verdict.confidence)
    assert seen[0] == 0 and seen[-1] == -1 and seen == sorted(seen, reverse=True)
