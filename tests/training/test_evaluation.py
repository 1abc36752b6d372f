import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from model_file.scores import calibrate
from training import evaluation

OWN = {"scale": 1.0, "offset": 0.0}


def dataset(**frames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """is_real, recordings, time_s of recordings at 30 frames/s: dataset(real_desk=60, fake_desk=60)."""
    names = np.array([name for name, count in frames.items() for _ in range(count)])
    time_s = np.concatenate([np.arange(count) / 30 for count in frames.values()])
    return np.char.startswith(names, "real"), names, time_s


def test_neighbouring_frames_never_fall_on_both_sides():
    is_real, names, time_s = dataset(real_desk=300, fake_desk=200)
    shuffled = np.random.default_rng(0).permutation(500)
    is_real, names, time_s = is_real[shuffled], names[shuffled], time_s[shuffled]
    train_rows, held_rows, meaning = evaluation.split(is_real, names, time_s)
    assert meaning == evaluation.SAME
    for name, count in (("real_desk", 300), ("fake_desk", 200)):
        learned, held = (time_s[rows[names[rows] == name]] for rows in (train_rows, held_rows))
        assert len(held) == count / 4 and len(learned) == count * 0.7
        assert held.min() - learned.max() > 0.04 * count / 30, "a gap between them"


def test_whole_recordings_are_held_out_where_each_class_has_several():
    is_real, names, time_s = dataset(real_desk=200, real_car=60, fake_desk=200, fake_tv=90, fake_phone=10)
    train_rows, held_rows, meaning = evaluation.split(is_real, names, time_s)
    assert meaning == evaluation.UNSEEN
    assert set(names[held_rows]) == {"real_car", "fake_tv"}
    assert not set(names[held_rows]) & set(names[train_rows])
    assert len(train_rows) + len(held_rows) == len(names)


def test_one_recording_in_either_class_is_split_in_time():
    *_, meaning = evaluation.split(*dataset(real_desk=200, real_car=60, fake_desk=200))
    assert meaning == evaluation.SAME


def test_the_frames_of_an_incident_are_all_learned():
    for recordings, meaning in (
        (dict(real_desk=200, real_incident=10, fake_desk=200), evaluation.SAME),
        (dict(real_desk=200, real_incident=10, fake_desk=200, fake_phone=3), evaluation.SAME),
        (dict(real_desk=90, real_car=90, real_incident=10, fake_tv=70, fake_desk=200), evaluation.UNSEEN),
    ):
        is_real, names, time_s = dataset(**recordings)
        train_rows, held_rows, told = evaluation.split(is_real, names, time_s)
        assert told == meaning
        assert not set(names[held_rows]) & {"real_incident", "fake_phone"}
        assert np.sum(names[train_rows] == "real_incident") == 10
        assert all(np.sum(is_real[held_rows] == kind) > 20 for kind in (True, False))


def test_with_many_recordings_one_of_each_class_is_held_out():
    recordings = {f"{kind}_{number:02}": 30 for kind in ("real", "fake") for number in range(20)}
    *_, names = [*dataset(**recordings)][:2]
    train_rows, held_rows, meaning = evaluation.split(*dataset(**recordings))
    assert meaning == evaluation.UNSEEN and len(set(names[held_rows])) == 2 and len(train_rows) == 38 * 30


def test_folds_hold_out_every_recording():
    is_real, names, _ = dataset(real_a=5, real_b=6, fake_a=7, fake_b=8, fake_c=9)
    folds = [set(names[rows]) for rows in evaluation.folds(is_real, names)]
    assert folds == [{"real_a", "fake_a"}, {"real_b", "fake_b"}, {"real_a", "fake_c"}]
    with pytest.raises(ValueError, match="two recordings"):
        evaluation.folds(*dataset(real_a=5, real_b=6, fake_a=7)[:2])


def test_error_rates_are_those_of_the_standard():
    scores = np.array([0.9, 0.8, 0.4, 0.7, 0.2, 0.1, 0.1, 0.3])
    is_real = np.array([True, True, True, False, False, False, False, False])
    metrics = evaluation.evaluate(scores, is_real, np.where(is_real, "real", "fake"), np.arange(8.0))
    assert metrics["BPCER"].value == pytest.approx(1 / 3) and metrics["APCER"].value == pytest.approx(1 / 5)
    assert metrics["ACER"].value == pytest.approx((1 / 3 + 1 / 5) / 2)
    assert metrics["AUC"].value == pytest.approx(14 / 15)
    assert all(rate.low <= rate.value <= rate.high for rate in metrics.values())


def test_frames_of_one_second_count_as_one_observation():
    """Sixty frames a second of the same ten seconds prove no more than one."""
    intervals = []
    for fps in (1, 60):
        time_s = np.tile(np.arange(10 * fps) / fps, 2)
        is_real = np.repeat([True, False], 10 * fps)
        metrics = evaluation.evaluate(is_real.astype(float), is_real, np.where(is_real, "r", "f"), time_s)
        intervals.append((metrics["APCER"], metrics["AUC"]))
    assert intervals[0] == intervals[1]
    apcer, auc = intervals[0]
    assert apcer.value == 0 and 0.2 < apcer.high < 0.35, "ten seconds without an error prove little"
    assert auc.value == 1 and auc.low < 0.8


def test_wilsons_interval_covers_as_often_as_it_says():
    for share in (0.05, 0.2, 0.5):
        counts = np.arange(41)
        inside = [evaluation.wilson(n / 40, 40).low <= share <= evaluation.wilson(n / 40, 40).high for n in counts]
        assert 0.92 < binom.pmf(counts, 40, share)[inside].sum() < 0.99


@given(share=st.floats(0, 1), count=st.integers(1, 10**6))
def test_every_interval_holds_its_share(share, count):
    rate = evaluation.wilson(share, count)
    assert 0 <= rate.low <= share <= rate.high <= 1


def test_the_operating_point_is_where_errors_are_least():
    raw = np.array([0.1, 0.2, 0.3, 0.4, 0.45, 0.7])
    is_real = np.array([False, False, False, True, True, True])
    calibration = evaluation.calibrate(raw, is_real)
    np.testing.assert_array_equal(calibrate(raw, 1, calibration) >= 0, is_real)
    assert calibration["scale"] == 1 and calibration["offset"] > 0.3
    # A class that outnumbers the other counts no more than it.
    many = np.concatenate([raw, np.full(60, 0.42)])
    crowded = np.concatenate([is_real, np.zeros(60, bool)])
    assert np.mean(calibrate(many, 1, evaluation.calibrate(many, crowded))[crowded] >= 0) <= 2 / 3


def test_where_everything_is_told_apart_the_operating_point_is_the_networks_own():
    assert evaluation.calibrate(np.array([0.1, 0.9]), np.array([False, True])) == OWN
    assert evaluation.calibrate(np.array([0.0, 1.0]), np.array([False, True])) == OWN, "as sure as a softmax gets"


def test_where_nothing_is_told_apart_the_operating_point_is_the_networks_own():
    assert evaluation.calibrate(np.full(6, 0.3), np.arange(6) % 2 == 0) == OWN


@pytest.mark.parametrize(
    "recordings",
    [
        dict(real_desk=300, fake_desk=200),
        dict(real_desk=41, fake_desk=20),
        dict(real_a=9, fake_a=8),
        dict(real_a=60, real_b=50, fake_a=70, fake_b=80),
        dict(real_a=90, real_b=30, real_c=5, fake_a=50),
        dict(real_a=100, fake_a=60, fake_b=60, fake_c=3),
    ],
)
def test_nothing_that_is_judged_was_trained_or_chosen_on(recordings):
    is_real, names, time_s = dataset(**recordings)
    shuffled = np.random.default_rng(0).permutation(len(names))
    is_real, names, time_s = is_real[shuffled], names[shuffled], time_s[shuffled]
    train_rows, held_rows, _ = evaluation.split(is_real, names, time_s)
    choice_rows, judged_rows = evaluation.cut_ends(held_rows, names, time_s, 0.5)
    parts = [set(rows) for rows in (train_rows, choice_rows, judged_rows)]
    assert all(len(part) == len(rows) for part, rows in zip(parts, (train_rows, choice_rows, judged_rows)))
    assert sum(map(len, parts)) == len(set.union(*parts)), "no row in two parts"
    for rows in (train_rows, choice_rows, judged_rows):
        assert {True, False} == set(is_real[rows]), "both classes in each"
    for name in set(names):
        ends = [sorted(time_s[rows[names[rows] == name]]) for rows in (train_rows, choice_rows, judged_rows)]
        ends = [end for end in ends if end]
        for earlier, later in zip(ends, ends[1:]):
            assert earlier[-1] < later[0], f"{name}: in the order of time"


def test_a_gap_is_left_before_an_end():
    rows = np.random.default_rng(0).permutation(200)
    fronts, ends = evaluation.cut_ends(rows, np.full(200, "a"), np.arange(200) / 30, 0.25)
    assert sorted(fronts) == list(range(140)) and sorted(ends) == list(range(150, 200))
    fronts, ends = evaluation.cut_ends(np.arange(100, 200), np.full(200, "a"), np.arange(200) / 30, 0.5)
    assert sorted(fronts) == list(range(100, 145)) and sorted(ends) == list(range(150, 200))


def test_each_recording_has_an_end_of_its_own():
    names = np.repeat(["a", "b"], [40, 80])
    _, ends = evaluation.cut_ends(np.arange(120), names, np.tile(np.arange(40), 3) / 30, 0.25)
    assert np.sum(names[ends] == "a") == 10 and np.sum(names[ends] == "b") == 20


def test_the_sentence_says_what_was_judged():
    assert "same recordings" in evaluation.explain(evaluation.SAME)
    assert "unseen recordings" in evaluation.explain(evaluation.UNSEEN)


def test_a_class_with_one_held_out_crop_is_chosen_on_and_judged():
    recordings = np.array(["real/a"] * 6 + ["fake/b"])
    is_real, rows = np.arange(7) < 6, np.arange(7)
    choice, judged = evaluation.halves(rows, is_real, recordings, rows / 30)
    assert set(is_real[choice]) == set(is_real[judged]) == {True, False}
    choice, judged = evaluation.halves(rows[:6], np.arange(7) % 2 == 0, recordings, rows / 30)
    assert set(choice) & set(judged) == set(), "else they are apart"
