import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authentication.verdict import AUTHORIZED, CHECKING, LOOKS_PER_S, LOOSEST, STRICTEST, UNAUTHORIZED, Verdict

LIVE, REPLAY = 3.0, -3.0
OPPOSITE = {AUTHORIZED: UNAUTHORIZED, UNAUTHORIZED: AUTHORIZED}
# Every pair of bounds that is admitted; the ends are where the guarantees are tightest.
BOUND = st.one_of(st.sampled_from([STRICTEST, 0.001, LOOSEST]), st.floats(STRICTEST, LOOSEST))


def stream(verdict: Verdict, log_odds, seconds: float, fps: float) -> list[tuple[float, str]]:
    """The same log odds at a steady pace, the first picture after one before it where there was any; (time, state) of
    every picture."""
    lasted_s = 0 if verdict.log_odds is None else 1 / fps
    times = [n / fps for n in range(round(seconds * fps))]
    return [(time_s, verdict.update(1 / fps if n else lasted_s, log_odds)) for n, time_s in enumerate(times)]


def decided_at(track, state: str) -> float:
    return next((time_s for time_s, seen in track if seen == state), math.inf)


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("log_odds, state", [(LIVE, AUTHORIZED), (REPLAY, UNAUTHORIZED)])
def test_steady_evidence_decides_within_a_second_at_any_pace(fps, log_odds, state):
    track = stream(Verdict(), log_odds, 2, fps)
    assert 0.3 < decided_at(track, state) <= 1
    assert {seen for _, seen in track} == {CHECKING, state}


def test_the_pace_of_the_camera_does_not_matter():
    times = [decided_at(stream(Verdict(), LIVE, 2, fps), AUTHORIZED) for fps in (10, 30, 60)]
    assert max(times) - min(times) <= 0.1


@pytest.mark.parametrize("fps", [10, 30, 60])
@pytest.mark.parametrize("steady, glitch", [(LIVE, -math.inf), (REPLAY, math.inf)])
def test_a_glitch_of_a_tenth_of_a_second_changes_nothing(fps, steady, glitch):
    """Wherever it falls: before the verdict, at it and after it."""
    expected = {CHECKING, AUTHORIZED if steady == LIVE else UNAUTHORIZED}
    for hit in range(2 * fps):
        verdict, seen = Verdict(), set()
        for n in range(3 * fps):
            inside = hit <= n < hit + max(1, fps // 10)
            seen.add(verdict.update(1 / fps if n else 0, glitch if inside else steady))
        assert seen == expected and verdict.state != CHECKING


@pytest.mark.parametrize("log_odds", [LIVE, REPLAY])
def test_a_single_picture_decides_nothing_however_long_the_pause_before_it(log_odds):
    """A camera that stalls brings one picture's worth of evidence, not that of the pause."""
    verdict, steady = Verdict(), Verdict()
    assert verdict.update(0, log_odds) == verdict.update(100, log_odds) == CHECKING
    stream(steady, log_odds, 0.2, 10)
    assert verdict.share == steady.share != 0


def test_what_says_nothing_decides_nothing():
    assert {state for _, state in stream(Verdict(), 0.0, 60, 30)} == {CHECKING}


def test_a_replay_after_an_hour_of_live_face_is_found_within_a_second():
    verdict = Verdict()
    stream(verdict, LIVE, 3600, 10)
    assert decided_at(stream(verdict, REPLAY, 2, 10), UNAUTHORIZED) <= 1


@settings(max_examples=200, deadline=None)
@given(
    false_pass=BOUND,
    false_lock=BOUND,
    fps=st.sampled_from([10, 25, 30, 60]),
    live=st.booleans(),
    clearer=st.floats(0, 9),
    before=st.floats(0, 3),
)
def test_whatever_the_bounds_clear_evidence_decides_within_a_second(false_pass, false_lock, fps, live, clearer, before):
    """From nothing and from any other evidence, up to the opposite verdict."""
    verdict = Verdict(false_pass, false_lock)
    state, sign = (AUTHORIZED, 1) if live else (UNAUTHORIZED, -1)
    log_odds = sign * (verdict.clear + clearer)
    stream(verdict, -log_odds, before, fps)
    assert decided_at(stream(verdict, log_odds, 2, fps), state) <= 1 + 1e-6
    assert verdict.state == state


@settings(max_examples=300, deadline=None)
@given(
    false_pass=BOUND,
    false_lock=BOUND,
    fps=st.floats(5, 240),
    live=st.booleans(),
    length=st.floats(0, 0.1),
    at=st.floats(0, 2),
    others=st.lists(st.floats(-20, 0), min_size=1, max_size=20),
)
def test_whatever_the_bounds_no_glitch_ever_decides(false_pass, false_lock, fps, live, length, at, others):
    """The other pictures, which say the opposite or nothing, may be of any kind and in any order."""
    verdict, seen, sign = Verdict(false_pass, false_lock), set(), 1 if live else -1
    for n in range(math.ceil(3 * fps)):
        inside = at <= n / fps <= at + length
        seen.add(verdict.update(1 / fps if n else 0, sign * (20 if inside else others[n % len(others)])))
    assert (AUTHORIZED if live else UNAUTHORIZED) not in seen


@pytest.mark.parametrize("state, log_odds", [(AUTHORIZED, LIVE), (UNAUTHORIZED, REPLAY)])
def test_a_verdict_is_harder_to_overturn_than_to_reach(state, log_odds):
    verdict = Verdict()
    reached = decided_at(stream(verdict, log_odds, 3, 60), state)
    overturned = decided_at(stream(verdict, -log_odds, 2, 60), OPPOSITE[state])
    assert 1.8 * reached < overturned


@pytest.mark.parametrize("bounds", [(0, 0.001), (0.001, 0), (0.02, 0.001), (0.001, 1), (math.nan, 0.001), (1e-7, 1e-7)])
def test_bounds_under_which_the_guarantees_would_not_hold_are_refused(bounds):
    with pytest.raises(ValueError, match="error rate"):
        Verdict(*bounds)


def test_stricter_bounds_ask_for_clearer_faces_or_more_time():
    loose, usual, strict = (Verdict(rate, rate) for rate in (0.01, 0.001, 1e-6))
    assert 0.9 < loose.clear < usual.clear < strict.clear < 3.2
    times = [decided_at(stream(verdict, -0.85, 5, 60), UNAUTHORIZED) for verdict in (loose, usual, strict)]
    assert times[0] < times[1] < times[2] < 2


def test_each_bound_moves_its_own_verdict():
    """A doubtful face, so that the evidence is not capped."""
    usual = decided_at(stream(Verdict(), 0.4, 5, 60), AUTHORIZED)
    assert decided_at(stream(Verdict(false_pass=1e-5), 0.4, 5, 60), AUTHORIZED) > usual + 0.5
    assert decided_at(stream(Verdict(false_lock=1e-5), 0.4, 5, 60), AUTHORIZED) == pytest.approx(usual, abs=0.02)


@pytest.mark.parametrize("nothing", [math.nan, -math.nan, -math.inf])
def test_log_odds_that_are_no_number_authorize_nobody(nothing):
    verdict = Verdict()
    assert {state for _, state in stream(verdict, nothing, 3, 30)} == {CHECKING, UNAUTHORIZED}
    assert math.isfinite(verdict.log_odds) and verdict.log_odds < 0


def test_the_error_rates_stay_within_their_bounds_on_independent_looks():
    """Scores as a classifier gives them whose likelihood ratio is what it says: the case Wald's bounds speak of."""
    rng = random.Random(1)
    wrong = trials = 0
    for live in itertools.islice(itertools.cycle((True, False)), 4000):
        verdict = Verdict(0.01, 0.01)
        for n in itertools.count():
            # Normal scores, means +-0.2, variance 0.4: their log-likelihood ratio is the score itself.
            log_odds = rng.gauss(0.2 if live else -0.2, math.sqrt(0.4))
            state = verdict.update(1 / LOOKS_PER_S if n else 0, log_odds)
            if state != CHECKING:
                break
        trials += 1
        wrong += (state == AUTHORIZED) != live
    assert 0 < wrong / trials < 0.01


def test_the_share_fills_from_nothing_to_the_verdict():
    verdict, seen = Verdict(), []
    for n in range(60):
        verdict.update(1 / 60 if n else 0, REPLAY)
        seen.append(verdict.share)
    assert seen[0] == 0 and seen[-1] == -1 and seen == sorted(seen, reverse=True)


# --- What other faces left. ---


def test_what_others_left_counts_against_a_face_as_its_own_evidence_does():
    verdict, burdened = Verdict(), Verdict()
    burdened.burden = burdened.lock_at / 2
    usual, sooner = (decided_at(stream(one, REPLAY, 2, 60), UNAUTHORIZED) for one in (verdict, burdened))
    assert sooner == pytest.approx(usual / 2, abs=1 / 60)
    live, later = Verdict(), Verdict()
    later.burden = later.lock_at
    usual, slower = (decided_at(stream(one, LIVE, 2, 60), AUTHORIZED) for one in (live, later))
    assert slower == pytest.approx(2 * usual, abs=1 / 60), "as after a refusal of its own"


@given(burden=st.floats(-30, 0), live=st.booleans())
def test_whatever_others_left_clear_evidence_decides(burden, live):
    verdict = Verdict()
    verdict.burden = burden
    assert stream(verdict, LIVE if live else REPLAY, 4, 30)[-1][1] == (AUTHORIZED if live else UNAUTHORIZED)


def test_nobody_is_refused_for_what_others_left_alone():
    verdict = Verdict()
    verdict.burden = 3 * verdict.lock_at
    assert {state for _, state in stream(verdict, 0.0, 5, 30)} == {CHECKING}
    assert verdict.update(1 / 30, REPLAY) == UNAUTHORIZED


def test_a_face_leaves_what_speaks_against_it_and_nothing_that_speaks_for_it():
    live, replay, burdened = Verdict(), Verdict(), Verdict()
    stream(live, LIVE, 1, 30)
    assert live.against == 0
    stream(replay, REPLAY, 0.2, 30)
    assert live.lock_at < replay.against < 0
    burdened.burden = -1.0
    stream(burdened, LIVE, 0.2, 30)
    assert burdened.against == -1.0, "also where something speaks for it"
    stream(burdened, REPLAY, 0.4, 30)
    assert burdened.against < -1.0


def test_the_worst_is_remembered_until_it_is_cleared():
    verdict = Verdict()
    stream(verdict, REPLAY, 0.3, 30)
    worst, verdict.burden = verdict.worst, -2.0
    stream(verdict, LIVE, 1, 30)
    assert verdict.worst == worst < 0
    verdict.unburden()
    assert verdict.worst == verdict.burden == verdict.against == 0
    assert verdict.state == AUTHORIZED
    assert decided_at(stream(verdict, REPLAY, 2, 30), UNAUTHORIZED) <= 1, "no more than a verdict needs was kept"


def test_a_fresh_one_has_the_same_bounds_and_has_seen_nothing():
    verdict = Verdict(1e-5, 1e-3)
    stream(verdict, REPLAY, 1, 30)
    verdict.burden = -1.0
    fresh = verdict.fresh()
    assert (fresh.pass_at, fresh.lock_at) == (verdict.pass_at, verdict.lock_at)
    assert (fresh.state, fresh.share, fresh.against, fresh.worst, fresh.log_odds) == (CHECKING, 0, 0, 0, None)
