"""LivenessNet fitted as Keras networks are."""

import shutil

import numpy as np
import pytest
from conftest import keras
from dataset_parts import fill

import livenessnet
from face_detector import VIEW_SIDE
from training import fitting
from training.dataset import load
from training.evaluation import cut_ends
from training.learning import BOTH, INPUT_SIZE, OWN, WITNESS, Schedule, judge, learn


@pytest.fixture(scope="module")
def told_apart():
    """Crops, whether each is live, and weights: a dark room round the replayed faces, a bright one round the others."""
    rng = np.random.default_rng(0)
    is_real = np.arange(48) % 2 == 0
    crops = rng.integers(90, 150, (48, VIEW_SIDE, VIEW_SIDE, 3), np.uint8)
    around = np.ones((VIEW_SIDE, VIEW_SIDE), bool)
    around[30:-30, 30:-30] = False
    for crop, real in zip(crops, is_real):
        crop[around] = 220 if real else 20
    return crops, is_real, np.ones(48, np.float32)


def fitted(data, epochs, seed=1):
    keras.utils.set_random_seed(seed)
    model = livenessnet.LivenessNet.build(INPUT_SIZE, INPUT_SIZE, 3, 2)
    history = fitting.fit(
        keras, model, data, data, epochs=epochs, batch_size=16, learning_rate=1e-3, seed=seed, show=False
    )
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), history, model


def test_it_ends_once_nothing_is_gained_and_keeps_the_best_and_so_it_does_again(told_apart, monkeypatch):
    monkeypatch.setattr(fitting, "LEAST_GAIN", 1e9)
    monkeypatch.setattr(fitting, "PATIENCE", 1)
    (first, curves, model), (again, same, _) = (fitted(told_apart, epochs=50) for _ in range(2))
    assert set(curves) == set(fitting.CURVES)
    assert all(len(curve) == 2 for curve in curves.values()), "the first, and one that gained too little"
    shares = model(fitting.as_input(told_apart[0], INPUT_SIZE))
    loss = keras.losses.BinaryCrossentropy()(fitting.one_hot(told_apart[1]), shares)
    assert float(loss) == pytest.approx(curves["val_loss"][0], abs=1e-4), "restored"
    np.testing.assert_allclose(first, again, atol=1e-5)
    np.testing.assert_allclose(curves["loss"], same["loss"], atol=1e-4)


def test_an_epoch_shows_each_crop_once_and_each_time_anew(told_apart):
    crops = np.zeros((20, VIEW_SIDE, VIEW_SIDE, 3), np.uint8)
    crops += np.arange(20, dtype=np.uint8)[:, None, None, None] * 5 + 60
    weights = np.arange(20, dtype=np.float32)
    is_real = np.arange(20) % 3 == 0
    batches = fitting.batches(keras, crops, is_real, weights, INPUT_SIZE, 8, seed=0)
    epochs = []
    for _ in range(2):
        parts = [batches[number] for number in range(len(batches))]
        assert [len(views) for views, _, _ in parts] == [8, 8, 4]
        views, targets, order = (np.concatenate(part) for part in zip(*parts))
        assert views.dtype == np.float32 and 0 <= views.min() and views.max() <= 1
        assert sorted(order) == list(range(20))
        np.testing.assert_array_equal(targets[:, 1] == 1, is_real[order.astype(int)])
        np.testing.assert_array_equal(targets.sum(axis=1), 1)
        epochs.append((order, views[np.argsort(order)]))
        batches.on_epoch_end()
    other = fitting.batches(keras, crops, is_real, weights, INPUT_SIZE, 20, seed=1)[0]
    assert (other[2] != epochs[0][0]).any(), "another seed, another order"
    assert (epochs[0][0] != epochs[1][0]).any() and np.abs(epochs[0][1] - epochs[1][1]).mean() > 0.01


def test_what_the_network_is_shown_is_what_the_authenticator_shows_it(told_apart):
    from face_detector import shrunk

    shown = fitting.as_input(told_apart[0][:3], INPUT_SIZE)
    assert shown.shape == (3, INPUT_SIZE, INPUT_SIZE, 3) and shown.dtype == np.float32
    np.testing.assert_array_equal(shown[1] * 255, shrunk(told_apart[0][1], INPUT_SIZE))


# --- What is made of a fitted network; here one that nobody fitted ---


@pytest.fixture
def examples(unfitted, tmp_path):
    fill(tmp_path / "real", "desk", 24, witness=0.3)
    fill(tmp_path / "fake", "tablet", 24, shade=150, source="cafe", witness=-0.3)
    return load(tmp_path, 2.7, print)


def test_the_same_seed_draws_the_same_network_and_another_seed_another(examples):
    """Before a single step of training: the first weights, too, are drawn by it."""
    rows = np.arange(len(examples.crops))
    drawn = [learn(examples, rows, rows, Schedule(seed=seed), show=False).model.get_weights()[0] for seed in (5, 5, 6)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])


def trained_and_judged(examples):
    rows = np.arange(len(examples.crops))
    train_rows, held = cut_ends(rows, examples.recordings, examples.time_s, 0.5)
    choice, judged = cut_ends(held, examples.recordings, examples.time_s, 0.5)
    trained = learn(examples, train_rows, choice, Schedule(), show=False)
    return trained, *judge(trained, examples, judged), judged


def test_both_words_are_judged_apart_and_together(examples):
    trained, scores, rates, judged = trained_and_judged(examples)
    assert list(rates) == [WITNESS, OWN, BOTH]
    assert rates[WITNESS]["ACER"].value == 0, "it said so of each"
    is_real = examples.is_real[judged]
    assert rates[BOTH]["BPCER"].value == pytest.approx(np.mean(scores[is_real] < 0.5))
    assert rates[BOTH]["APCER"].value == pytest.approx(np.mean(scores[~is_real] >= 0.5))
    assert trained.weight > 0 and trained.calibration["scale"] == 1


def test_where_the_witness_was_not_asked_livenessnet_is_judged_alone(examples):
    examples.witness[:] = np.nan
    trained, _, rates, _ = trained_and_judged(examples)
    assert list(rates) == [OWN, BOTH] and rates[OWN] == rates[BOTH]


def test_simulated_replays_choose_no_operating_point_and_what_was_learned_of_them_counts_nothing(examples, tmp_path):
    shutil.rmtree(tmp_path / "fake")
    examples = load(tmp_path, 2.7, print)
    trained, _, rates, _ = trained_and_judged(examples)
    assert trained.calibration == {"scale": 1.0, "offset": 0.0} and rates[BOTH] == rates[WITNESS] != rates[OWN]
