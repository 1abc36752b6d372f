import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import evaluation
import numpy as np
import pytest
from augmentation import Recipe
from conftest import assert_one_line, born_with

import livenessnet
import train
from capture import crops
from capture.crops import Crop


def fill(folder, recording: str, count: int, shade: int = 0, **fields) -> None:
    """count crops of one recording, each told from the others by its grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = np.full((32, 32, 3), (shade + number) % 256, np.uint8)
        known = {"source": "f00d", "time_s": number / 30, "margin": 2.7, **fields}
        crops.write(folder, Crop(picture, recording, number, **known))


@pytest.fixture
def dataset(tmp_path):
    fill(tmp_path / "dataset" / "real", "real", 20)
    fill(tmp_path / "dataset" / "fake", "fake", 20, shade=100)
    return tmp_path / "dataset"


def test_training_writes_model_encoder_and_plot(trained):
    with zipfile.ZipFile(trained.model) as members:
        details = json.loads(members.read("liveness.json"))
    assert details["labels"] == ["fake", "real"]
    assert (details["input_size"], details["margin"]) == (train.INPUT_SIZE, 2.7)
    assert details["dataset"] == {"fake/fake": 120, "real/real": 120}
    assert details["metrics"]["judged_on"] == "the same recordings"
    assert set(details["metrics"]) == {"APCER", "BPCER", "ACER", "AUC", "judged_on"}
    assert 0 <= details["metrics"]["BPCER"]["low"] <= details["metrics"]["BPCER"]["value"]
    assert details["training"]["epochs"] == 8 and "keras" in details["versions"]
    plot = cv2.imread(str(trained.plot))
    assert plot.shape[1] > 1000 and plot.std() > 20
    assert sorted(file.name for file in trained.model.parent.iterdir()) == [
        "dataset", "le.pickle", "liveness.model", "plot.png"]


def test_the_originals_command_line_shows_progress_and_a_report(run, dataset, tmp_path):
    done = run("train.py", "--dataset", "dataset", "--model", "liveness.model", "--le", "le.pickle", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), done.stderr
    assert "Epoch 2/2" in done.stdout and "precision" in done.stdout
    assert re.search(r"APCER [01]\.\d+ \[[01]\.\d+, [01]\.\d+\] +BPCER [01]\.\d+ \[", done.stdout)
    assert "not how it does in another room" in done.stdout
    assert all((tmp_path / name).is_file() for name in ("liveness.model", "le.pickle", "plot.png"))


def test_the_recipe_follows_the_width_of_the_crops(dataset):
    examples, recipe = train.load(dataset, 2.7), Recipe()
    assert train.recipe_for(examples) == recipe
    tight = train.recipe_for(replace(examples, margin=1.35))
    assert tight == replace(recipe, margin=1.35, margins=tuple(margin / 2 for margin in recipe.margins))


def test_crops_are_held_as_bytes(dataset):
    """Memory grows by the image: 28 kB for each, whatever the number of epochs."""
    examples = train.load(dataset, 2.7)
    assert examples.crops.dtype == np.uint8
    assert examples.crops.nbytes == 40 * train.VIEW_SIDE**2 * 3


def test_crops_of_other_tools_are_taken_as_wide_as_margin_says(dataset, tmp_path):
    for path in dataset.rglob("*.png"):
        path.unlink()
    for label in ("real", "fake"):
        for number in range(10):
            cv2.imwrite(str(dataset / label / f"{number}.jpg"), np.full((40, 30, 3), number, np.uint8))
    assert train.load(dataset, 1.0).margin == 1.0
    examples = train.load(dataset, 1.6)
    assert examples.margin == 1.6
    assert set(examples.recordings) == {"real/", "fake/"}
    assert sorted(examples.time_s[:10] * 30) == list(range(10))


def test_wider_crops_are_cut_down_to_the_narrowest(dataset):
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[40:80, 40:80] = 255  # the middle third
    crops.write(dataset / "real", Crop(picture, "wide", 0, "f00d", 0.0, 8.1, (0.5, 0.0, 1.0, 1.0)))
    examples = train.load(dataset, 2.7)
    row = list(examples.recordings).index("real/wide")
    assert examples.margin == 2.7
    assert examples.crops[row][4:-4, 4:-4].min() == 255
    np.testing.assert_allclose(examples.inside[row], (0.5, 0, 1, 1), atol=0.02)


def test_undecodable_pictures_are_named_skipped_and_counted(dataset, capsys):
    (dataset / "real" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no picture")
    (dataset / "fake" / "empty.png").write_bytes(b"")
    assert len(train.load(dataset, 2.7).crops) == 40
    first, second, counted = capsys.readouterr().err.splitlines()
    assert "empty.png: not a picture" in first and "broken.png: not a picture" in second
    assert counted == "2 of 42 pictures left out"


def test_bad_data_is_told_in_one_line_and_the_old_model_stays(run, dataset, tmp_path):
    model = tmp_path / "liveness.model"
    model.write_text("precious")
    out = ("--model", model, "--le", "le.pickle")
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "one" / "fake", "fake", 9)
    fill(tmp_path / "cats" / "cat", "cat", 9)
    fill(tmp_path / "cats" / "dog", "dog", 9)
    fill(tmp_path / "three" / "real", "a", 1), fill(tmp_path / "three" / "fake", "a", 1), fill(tmp_path / "three" / "x", "a", 1)
    fill(tmp_path / "few" / "real", "a", 2), fill(tmp_path / "few" / "fake", "a", 20)

    assert_one_line(run("train.py", "--dataset", "missing", *out), "missing", "no such folder")
    assert_one_line(run("train.py", "--dataset", "empty", *out), "empty", "no pictures")
    assert_one_line(run("train.py", "--dataset", "one", *out), "only fake", "gather", "real")
    assert_one_line(run("train.py", "--dataset", "cats", *out), "cat, dog", "named real and fake")
    assert_one_line(run("train.py", "--dataset", "three", *out), "fake, real, x")
    assert_one_line(run("train.py", "--dataset", "few", *out), "2 crops", "at least")
    assert_one_line(run("train.py", "--dataset", dataset, "--model", model, "--le", "no/le.pickle"), "no folder")
    assert_one_line(run("train.py", "--dataset", dataset, *out, "--plot", tmp_path), "cannot be written")
    assert_one_line(run("train.py", "--dataset", dataset, *out, "--epochs", "0"), "--epochs")
    assert model.read_text() == "precious"
    assert not (tmp_path / "le.pickle").exists()


@pytest.mark.parametrize("fakes", [0, 5])
def test_without_real_replays_some_are_simulated_from_the_live_crops(tmp_path, fakes):
    fill(tmp_path / "real", "desk", 20)
    fill(tmp_path / "real", "kitchen", 10)
    if fakes:
        fill(tmp_path / "fake", "tv", fakes, shade=100)
    examples = train.load(tmp_path, 2.7)
    names, counts = np.unique(examples.recordings[~examples.is_real], return_counts=True)
    filmed = {"fake/tv": 5} if fakes else {}
    assert dict(zip(names, counts)) == filmed | {"fake/simulated: desk": 20, "fake/simulated: kitchen": 10}
    assert examples.is_simulated.sum() == 30 and not examples.is_simulated[examples.is_real].any()
    desk = examples.recordings == "real/desk"
    replayed = examples.recordings == "fake/simulated: desk"
    np.testing.assert_array_equal(examples.time_s[desk], examples.time_s[replayed])
    assert np.abs(examples.crops[desk].astype(int) - examples.crops[replayed]).mean() > 5
    assert any("replays are simulated" in warning for warning in train.warnings_about(examples))
    # They stand before another background themselves; live crops with one would look like them.
    assert train.recipe_for(examples).elsewhere_share == 0


def test_real_crops_alone_make_a_model_that_says_what_it_was_judged_on(run, tmp_path):
    fill(tmp_path / "dataset" / "real", "desk", 20)
    done = run("train.py", "--dataset", "dataset", "--model", "liveness.model", "--le", "le.pickle", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert "no fake crops: replays are simulated" in done.stderr
    assert "little about real replays" in done.stdout
    with zipfile.ZipFile(tmp_path / "liveness.model") as members:
        details = json.loads(members.read("liveness.json"))
    assert details["simulated_replays"] == 20 and details["metrics"]["judged_on"] == "simulated replays"
    # Held-out simulated replays say nothing about real ones: the operating point is not fitted to them.
    assert details["calibration"]["offset"][-1] == evaluation.AFAR_SIMULATED


def test_the_same_seed_trains_the_same_model_and_another_seed_another(dataset):
    examples, rows = train.load(dataset, 2.7), np.arange(40)
    weights, curves = {}, {}
    for run, seed in enumerate((1, 1, 2)):
        args = argparse.Namespace(seed=seed, epochs=3, batch_size=8, learning_rate=2e-3)
        model, curves[run] = train.train(examples, rows, rows[::3], args, show=False)
        weights[run] = np.concatenate([weight.ravel() for weight in model.get_weights()])
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-5)
    assert np.abs(weights[0] - weights[2]).max() > 0.05
    assert set(curves[0]) == set(train.CURVES) and all(len(curve) == 3 for curve in curves[0].values())
    np.testing.assert_allclose(curves[0]["loss"], curves[1]["loss"], atol=1e-4)


def trained_on(examples, rows, **options):
    """The model, its members and the curves."""
    args = argparse.Namespace(seed=0, learning_rate=2e-3, **options)
    model, curves = train.train(examples, rows, rows, args, show=False)
    return model, [layer for layer in model.layers if hasattr(layer, "layers")], curves


def test_members_are_trained_apart_and_averaged(dataset):
    examples, rows = train.load(dataset, 2.7), np.arange(40)
    # A room round the live faces, and black round the replayed ones; in brightness both are made alike.
    examples.crops[:] = 120
    around = np.ones(examples.crops.shape[1:3], bool)
    around[30:-30, 30:-30] = False
    for row in np.flatnonzero(~examples.is_real):
        examples.crops[row][around] = 0
    model, members, curves = trained_on(examples, rows, epochs=20, batch_size=32)
    views, _ = train.batch_of(examples, rows)
    shares = np.array([np.asarray(member(views)) for member in members])
    assert len(members) == train.MEMBERS and np.ptp(shares[:, :, 1], axis=0).max() > 0.01
    np.testing.assert_allclose(np.asarray(model(views)), shares.mean(axis=0), atol=1e-6)
    # They have learned.
    assert curves["loss"][-1] < 0.7 * curves["loss"][0]
    assert curves["val_accuracy"][-1] > 0.9


def test_the_curves_tell_of_each_epoch_as_it_ends(dataset):
    examples, rows = train.load(dataset, 2.7), np.arange(40)
    loss_of = livenessnet.import_keras().losses.CategoricalCrossentropy(label_smoothing=train.LABEL_SMOOTHING)
    for epochs in (1, 3):
        _, members, curves = trained_on(examples, rows, epochs=epochs, batch_size=8)
        losses = []
        # The members take turns: of the last epoch's watchers the first is that one.
        first = train.WATCHERS * (epochs - 1) % train.MEMBERS
        for member, shown in zip(members[first:], train.shared_out(rows)):
            views, targets = train.batch_of(examples, shown)
            losses.append(float(loss_of(targets, member(views))))
        assert len(losses) == train.WATCHERS and len(curves["val_loss"]) == epochs
        assert curves["val_loss"][-1] == pytest.approx(np.mean(losses), abs=1e-5)


def test_an_epoch_ends_after_whole_steps_and_has_one_of_its_own():
    assert train.ends_of_epochs(48, 32, 6) == [1, 3, 4, 6, 7, 9]
    assert train.ends_of_epochs(20, 32, 3) == [1, 2, 3]
    assert train.ends_of_epochs(64, 32, 3) == [2, 4, 6]


def test_an_epochs_loss_is_the_mean_of_its_own_steps(dataset, monkeypatch):
    examples, rows, learn = train.load(dataset, 2.7), np.arange(40), train.Fit.learn
    told = []

    def learn_and_tell(self, state, step, *batch):
        state, now = learn(self, state, step, *batch)
        told.append((step, now[0]))
        return state, now

    monkeypatch.setattr(train.Fit, "learn", learn_and_tell)
    _, _, curves = trained_on(examples, rows, epochs=9, batch_size=32)
    steps = np.array([step for step, _ in told])
    losses = [np.mean([loss for step, loss in told if step == number]) for number in range(steps.max() + 1)]
    # 40 crops an epoch are 1.25 steps: the fourth and the eighth have two.
    assert train.ends_of_epochs(40, 32, 9) == [1, 2, 3, 5, 6, 7, 8, 10, 11] and len(losses) == 11
    expected = [*losses[:3], np.mean(losses[3:5]), *losses[5:8], np.mean(losses[8:10]), losses[10]]
    np.testing.assert_allclose(curves["loss"], expected, atol=1e-5)


@pytest.fixture(scope="module")
def fit():
    return train.Fit(livenessnet.import_keras())


def some_views():
    return np.random.default_rng(0).integers(0, 256, (8, train.INPUT_SIZE, train.INPUT_SIZE, 3), np.uint8)


def learning(fit, numbers):
    """A new member, and what it is after each of these steps with the same eight crops."""
    keras = livenessnet.import_keras()
    keras.utils.set_random_seed(0)
    states = [train.fresh(keras, livenessnet.LivenessNet.build(train.INPUT_SIZE, train.INPUT_SIZE, 3, 2))]
    for number in numbers:
        states.append(fit.learn(states[-1], number, 1e-3, some_views(), np.uint8([0, 1] * 4))[0])
    return states


def test_no_weight_moves_farther_than_the_learning_rate_in_the_first_steps(fit):
    weights = [state.weights.numpy() for state in learning(fit, (0, 1, 2))]
    for before, after in zip(weights, weights[1:]):
        # Adam's steps are of the rate's size where gradients agree, and smaller where not.
        assert 3e-4 < np.abs(after - before).max() < 1.05e-3


def test_running_statistics_begin_with_the_first_batch(fit):
    first, second = (learning(fit, (number,))[1] for number in (0, 1))
    untrained = learning(fit, ())[0]
    means = [number for number, kept in enumerate(untrained.others) if kept.shape == (16,) and not np.any(kept)]
    assert means
    keras = livenessnet.import_keras()
    keras.utils.set_random_seed(0)
    network = livenessnet.LivenessNet.build(train.INPUT_SIZE, train.INPUT_SIZE, 3, 2)
    for number in means[:1]:    # of the first layer, which no dropout comes before
        # Of what the authenticator would show the network: 0 to 1.
        expected = np.asarray(network.layers[0](some_views() / np.float32(255))).mean(axis=(0, 1, 2))
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(first.others[number], expected, rtol=1e-3)
        np.testing.assert_allclose(second.others[number], first.others[number] / 2, rtol=1e-4)


def test_what_is_watched_is_shared_out_among_the_watchers():
    shares = train.shared_out(np.arange(1000))
    assert shares.shape == (train.WATCHERS, train.WATCHED // train.WATCHERS)
    assert len(np.unique(shares)) == shares.size
    # Each sees some of all that there is, such as both classes.
    assert (shares.min(axis=1) < 250).all() and (shares.max(axis=1) > 750).all()
    few = train.shared_out(np.array([7]))
    assert few.shape == (train.WATCHERS, 1) and set(few.ravel()) == {7}


def test_close_ups_have_an_operating_point_of_their_own():
    side, count = train.VIEW_SIDE, 20
    # Grey faces in a grey room, and grey faces on a white screen that begins 0.7 face boxes from their middle.
    pictures = np.full((2 * count, side, side, 3), 90, np.uint8)
    edge = round(side * 0.7 / 2.7)
    for picture in pictures[count:]:
        picture[:] = 255
        inner = slice(side // 2 - edge, side // 2 + edge)
        picture[inner, inner] = 90
    examples = train.Examples(
        pictures, np.tile(np.float32([0, 0, 1, 1]), (2 * count, 1)), np.repeat([1, 0], count),
        np.repeat(["real/a", "fake/a"], count), np.repeat("", 2 * count), np.arange(2 * count) / 30, 2.7,
    )

    def says_fake_of_what_ends_white(views):
        shares = np.where(views[:, 0, 0, 0] > 0.9, 0.01, 0.99)
        return np.stack([1 - shares, shares], axis=1)

    calibration = train.expected(says_fake_of_what_ends_white, examples, np.arange(2 * count))
    by_reach = dict(zip(calibration["reach"], calibration["offset"]))
    assert list(by_reach) == [*evaluation.REACHES, 1.35]
    # Near the face both classes are the same to it, and look live.
    assert by_reach[0.5] == by_reach[0.6] == pytest.approx(-evaluation.FADING * np.log(99), abs=1e-3)
    assert by_reach[0.8] == by_reach[1.35] == 0


def test_the_learning_rate_rises_and_falls_once():
    rates = np.array([train.learning_rate(step, 100, 0.002) for step in range(100)])
    assert rates[0] == pytest.approx(0.002 / 25) and rates[25] == pytest.approx(0.002) and rates[-1] < 1e-5
    assert (np.diff(rates[:26]) > 0).all() and (np.diff(rates[25:]) < 0).all()
    assert train.learning_rate(0, 1, 0.002) > 0


def test_what_makes_a_poor_model_is_warned_about(dataset):
    assert [text.split(";")[0] for text in train.warnings_about(train.load(dataset, 2.7))] == [
        "only 20 real crops", "only 20 fake crops",
        "crops of fake/fake and real/real come from the same video, which cannot be both: delete those that are wrong"]
    fill(dataset / "fake", "tablet", 580, source="beef")
    fill(dataset / "real", "kitchen", 120, source="cafe")
    for path in (dataset / "fake").glob("fake_*.png"):
        path.unlink()
    (warning,) = train.warnings_about(train.load(dataset, 2.7))
    assert warning.startswith("580 fake crops and 140 real ones")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_told_in_one_line(dataset, tmp_path):
    """No file may grow beyond 100 kB."""
    import resource

    done = subprocess.run(
        [sys.executable, train.__file__, "-d", dataset, "-m", "m.model", "-l", "le.pickle"], cwd=tmp_path, text=True,
        capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    said = done.stderr.splitlines()
    assert done.returncode == 2 and [line for line in said if not line.startswith("warning: ")] == said[-1:]
    assert "cannot be written" in said[-1] and "make room there for 1 MB" in said[-1]
    assert not (tmp_path / "m.model").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_ctrl_c_ends_it_in_one_line_and_leaves_no_process(dataset, tmp_path):
    script = Path(train.__file__)
    command = [sys.executable, script, "-d", dataset, "-m", "m.model", "-l", "le.pickle", "--epochs", "5000"]
    # What is made for the batches goes into this folder too.
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    with born_with(signal.SIGINT, signal.SIG_DFL):
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not running.stdout.readline().startswith("Epoch 3/"):
        assert running.poll() is None, running.stderr.read()
    os.killpg(running.pid, signal.SIGINT)    # as a terminal does: to all of them
    _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert [line for line in said.splitlines() if not line.startswith("warning: ")] == [
        "train.py: interrupted; no model was written"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dataset", "temporary"]
    assert not list((tmp_path / "temporary").iterdir())
    until = time.monotonic() + 20
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(running.pid, 0)
            time.sleep(0.1)


def test_cross_validation_leaves_each_recording_out_in_turn(dataset, tmp_path, capsys, monkeypatch):
    fill(dataset / "real", "kitchen", 20, shade=20)
    fill(dataset / "fake", "tablet", 20, shade=120)
    chosen_on, expected = [], train.expected
    monkeypatch.setattr(train, "expected", lambda network, examples, rows: (
        chosen_on.append(set(examples.recordings[rows])) or expected(network, examples, rows)))
    paths = [text for name in ("model", "le", "plot") for text in (f"--{name}", str(tmp_path / f"{name}.png"))]
    assert train.main(["--dataset", str(dataset), *paths, "--epochs", "1", "--cross-validate"]) == 0
    out = capsys.readouterr().out
    told = re.findall(r"fold (\d) of 2: (\w+/\w+) [01]\.\d", out)
    assert told == [("1", "fake/fake"), ("1", "real/kitchen"), ("2", "fake/tablet"), ("2", "real/real")]
    # No operating point is chosen on what is judged by it.
    assert chosen_on[:2] == [{"fake/tablet", "real/real"}, {"fake/fake", "real/kitchen"}]
    assert re.search(r"cross-validation: APCER [01]\.\d+ \[", out) and "Judged on unseen recordings" in out


def test_cross_validation_of_single_recordings_is_refused_in_one_line(run, dataset):
    done = run("train.py", "-d", "dataset", "-m", "m", "-l", "l", "--cross-validate")
    assert_one_line(done, "--cross-validate", "two recordings", "gather more")
