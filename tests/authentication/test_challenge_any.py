"""What holds of a challenge whatever comes."""

import itertools

import numpy as np
from heads import BLANK, HEAD, PHOTO, Asked, seen, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from authentication import challenge
from authentication.prompts import LEFT, RIGHT, SENTENCES
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

ANY_FACE = st.builds(
    lambda yaw, at, size, sure, flat: np.append(
        seen(PHOTO if flat else HEAD, turned(yaw), size, (at, 0.5), flat)[:14], sure
    ),
    st.sampled_from([-70, -50, -20, 0, 0, 0, 20, 50, 70]),
    st.sampled_from([0.5, 0.5, 0.5, 0.7, 2]),
    st.sampled_from([100, 100, 100, 180]),
    st.sampled_from([0.95, 0.95, 0.6]),
    st.booleans(),
)
ANY_STRETCH = st.tuples(
    st.sampled_from([1, 3, 10, 30]),  # so many pictures
    st.sampled_from([1 / 60, 1 / 30, 0.1, 0.1, 0.4, 2]),  # so far apart
    st.lists(ANY_FACE, min_size=0, max_size=2) | st.lists(ANY_FACE, min_size=1, max_size=1) | st.none(),
    st.sampled_from([AUTHORIZED] * 5 + [CHECKING, UNAUTHORIZED]),
)
HEAD_TO = {side: [seen(HEAD, turned(yaw), 100)] for side, yaw in ((LEFT, 50), (RIGHT, -50), (None, 0))}


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_STRETCH, max_size=25), st.integers(1, 3), st.booleans())
def test_invariants(stretches, turns, answers):
    """answers: before anything comes, somebody passes; else hardly anybody does."""
    asked, time_s, before, kind = Asked(turns), 0.0, CHECKING, None
    prompted, passed = [], 0

    def see(faces, passive):
        nonlocal time_s, before, kind, prompted, passed
        rows = np.array(faces or []).reshape(-1, 15)
        state, prompt = asked.see(time_s, rows, passive, None if faces is None else BLANK), asked.prompt
        passive = asked.passive
        assert state == asked.state
        if passive == UNAUTHORIZED:
            assert state == UNAUTHORIZED
        if state == AUTHORIZED:
            assert passive == AUTHORIZED
        if prompt:
            assert passive == AUTHORIZED and state != UNAUTHORIZED
            assert prompt.left is None or 0 <= prompt.left <= 1
            assert 0 <= prompt.done <= prompt.turns and turns <= prompt.turns <= turns + challenge.MOST_EXTRA_TURNS
            assert prompt.text
            if prompt.kind in (LEFT, RIGHT) and kind != prompt.kind:
                assert asked.sentence == SENTENCES[prompt.kind]
                prompted.append(asked.track)
        if state == AUTHORIZED and asked.track != passed:
            # A face has a verdict of its own, and not before all turns were asked of it.
            assert prompted.count(asked.track) >= turns and before == CHECKING
            passed, prompted = asked.track, []
        if state != AUTHORIZED and faces is not None:
            passed = 0
        before, kind = state, prompt.kind if prompt else None

    while answers and before != AUTHORIZED:
        time_s += 1 / 30
        assert time_s < 60, "whoever answers passes"
        late = asked.prompt and asked.prompt.left is not None and asked.prompt.left < 0.8
        see(HEAD_TO[asked.prompt.kind if late and asked.prompt.kind in HEAD_TO else None], AUTHORIZED)
    for count, step, faces, passive in stretches:
        for _ in range(count):
            time_s += step
            see(faces, passive)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-15, 0, 0, 10, 15]), st.integers(1, 60)), max_size=30), st.integers(1, 3))
def test_a_user_who_only_looks_ahead_is_never_an_intruder(looks, turns):
    asked, frame = Asked(turns), itertools.count()
    for yaw, count in looks:
        for _ in range(count):
            assert asked.see(next(frame) / 10, seen(HEAD, turned(yaw), 100)[None]) == CHECKING


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([0.1, 0.5, 2, 30]), st.booleans()), max_size=15))
def test_no_gap_between_pictures_makes_an_intruder_of_a_user_who_looks_ahead(gaps):
    asked, time_s, face = Asked(1), 0.0, seen(HEAD, turned(), 100)[None]
    for count, gap_s, silent in gaps:
        for _ in range(count):
            time_s += 1 / 30
            assert asked.see(time_s, face) == CHECKING
        assert not silent or asked.see(time_s + gap_s / 2, face[:0], frame=None) == CHECKING
        time_s += gap_s
    assert not asked._failed
