"""What the words of LivenessNet and of the witness come to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_file.scores import CAP, DEFAULT_WEIGHT, calibrate, fuse, logit, probability

ODDS = st.floats(-40, 40)


def test_calibration_moves_the_operating_point_to_zero():
    raw = np.array([0.0, 0.2, 0.8, 1.0])
    np.testing.assert_allclose(probability(calibrate(raw, 1, {"scale": 1, "offset": 0})), raw, atol=1e-6)
    calibrated = calibrate(raw, 1, {"scale": 1, "offset": -np.log(0.8 / 0.2)})
    assert calibrated[2] == pytest.approx(0)
    assert (np.diff(calibrated) > 0).all() and np.isfinite(calibrated).all()
    np.testing.assert_allclose(calibrate(raw, 1, {"scale": 2, "offset": 0}), 2 * logit(raw))


def test_with_one_operating_point_distance_says_nothing():
    raw, calibration = np.full(4, 0.3), {"scale": 1, "offset": 0.2}
    assert np.ptp(calibrate(raw, np.array([0.4, 0.7, 1.35, np.inf]), calibration)) == 0


def test_between_two_distances_the_operating_point_of_earlier_models_moves_in_a_straight_line():
    calibration = {"scale": 1, "reach": [0.5, 1.0], "offset": [-2, 0]}
    reach = np.array([0.2, 0.5, 0.75, 1.0, np.inf])
    np.testing.assert_allclose(calibrate(np.full(5, 0.5), reach, calibration), [-2, -2, -1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_score_that_is_no_number_counts_as_a_replay(value):
    assert probability(calibrate(np.array([np.nan]), 1, {"scale": 1, "offset": 0}))[0] < 1e-6
    assert probability(np.array([value]))[0] < 1e-6


@pytest.mark.filterwarnings("error")
def test_a_probability_is_one_whatever_the_odds():
    shares = probability(np.array([-1e9, -800.0, -5, 0, 5, 800, 1e9, np.inf]))
    assert (shares >= 0).all() and (shares <= 1).all() and (np.diff(shares) >= 0).all()
    assert shares[3] == 0.5 and shares[0] < 1e-6 and shares[-1] > 1 - 1e-6
    assert logit(probability(np.array([1.5])))[0] == pytest.approx(1.5)


@given(witness=ODDS, own=ODDS, weight=st.floats(0, 1))
def test_livenessnet_moves_the_witness_word_by_no_more_than_the_cap(witness, own, weight):
    both = fuse(np.array([witness]), np.array([own]), weight)[0]
    assert abs(both - witness) <= CAP * weight + 1e-9
    assert (both - witness) * own >= -1e-9, "and to its own side"


@given(own=ODDS)
def test_within_the_cap_it_counts_by_its_weight(own):
    both = fuse(np.zeros(1), np.array([own]), 0.5)[0]
    assert both == pytest.approx(0.5 * np.clip(own, -2, 2))


@given(own=st.one_of(ODDS, st.sampled_from([np.inf, -np.inf])), weight=st.floats(0, 1))
def test_what_is_clear_to_the_witness_stays_clear(own, weight):
    """Whatever LivenessNet says: an attack to the witness passes nowhere, a live face is locked out nowhere."""
    words = np.array([-CAP - 0.01, -6.0, CAP + 0.01, 6.0])
    both = probability(fuse(words, np.full(4, own), weight))
    assert (both[:2] < 0.5).all() and (both[2:] > 0.5).all()


def test_without_weight_the_witness_decides_alone():
    words = np.array([-3.0, 0.1, 2.0])
    np.testing.assert_array_equal(fuse(words, np.array([9.0, -9.0, 0.0]), 0), words)


def test_the_default_is_within_what_a_model_may_say():
    assert 0 <= DEFAULT_WEIGHT <= 1
