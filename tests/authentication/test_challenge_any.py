"""What holds of a challenge whatever comes."""

import itertools

import numpy as np
from heads import HEAD, PHOTO, seen, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from authentication import challenge
from authentication.challenge import Challenge
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
    st.sampled_from([1, 3, 10, 30]),  # so many frames
    st.sampled_from([1 / 60, 1 / 30, 0.1, 0.1, 0.4, 2]),  # so far apart
    st.lists(ANY_FACE, min_size=0, max_size=2) | st.lists(ANY_FACE, min_size=1, max_size=1),
    st.sampled_from([AUTHORIZED] * 5 + [CHECKING, UNAUTHORIZED]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_STRETCH, max_size=25), st.integers(1, 3))
def test_invariants(stretches, turns):
    asked, time_s, before, kind = Challenge(turns), 0.0, CHECKING, None
    prompted, passed_visit = [], None
    for count, step, faces, passive in stretches:
        rows = np.array(faces).reshape(-1, 15)
        for _ in range(count):
            time_s += step
            state, prompt = asked.update(time_s, rows, passive), asked.prompt
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
                    prompted.append(prompt.kind)
            if state == AUTHORIZED and before != AUTHORIZED:
                # One verdict for one visit, and not before all turns were asked for.
                assert asked.visit != passed_visit and len(prompted) >= turns
                passed_visit, prompted = asked.visit, []
            before, kind = state, prompt.kind if prompt else None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-15, 0, 0, 10, 15]), st.integers(1, 60)), max_size=30), st.integers(1, 3))
def test_whoever_only_looks_ahead_is_never_an_intruder(looks, turns):
    asked, frame = Challenge(turns), itertools.count()
    for yaw, count in looks:
        for _ in range(count):
            assert asked.update(next(frame) / 10, seen(HEAD, turned(yaw), 100)[None], AUTHORIZED) == CHECKING
