"""train.py as a user runs it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, assert_one_line, born_with
from dataset_parts import fill

import train
from training import learning
from training.learning import INPUT_SIZE, WEIGHT

OUT = ("--model", "liveness.model", "--le", "le.pickle")


@pytest.fixture
def dataset(tmp_path):
    fill(tmp_path / "dataset" / "real", "real", 20)
    fill(tmp_path / "dataset" / "fake", "fake", 20, shade=100)
    return tmp_path / "dataset"


def details_of(model) -> dict:
    with zipfile.ZipFile(model) as members:
        return json.loads(members.read("liveness.json"))


def test_training_writes_model_encoder_and_plot(trained):
    details = details_of(trained.model)
    assert details["labels"] == ["fake", "real"]
    assert (details["input_size"], details["margin"]) == (INPUT_SIZE, 2.7)
    assert details["weight"] == WEIGHT and "reach" not in details["calibration"]
    assert details["dataset"] == {"fake/fake": 60, "real/real": 60}
    assert details["metrics"]["judged_on"] == "the same recordings"
    assert set(details["metrics"]) == {"APCER", "BPCER", "ACER", "AUC", "judged_on"}
    assert 0 <= details["metrics"]["BPCER"]["low"] <= details["metrics"]["BPCER"]["value"]
    assert details["training"]["epochs"] == 16 and "keras" in details["versions"]
    plot = cv2.imread(str(trained.plot))
    assert plot.shape[1] > 1000 and plot.std() > 20
    assert sorted(file.name for file in trained.model.parent.iterdir()) == [
        "dataset",
        "le.pickle",
        "liveness.model",
        "plot.png",
    ]
    assert trained.model.stat().st_size < 2e6


def test_the_originals_command_line_shows_progress_and_a_report(run, dataset, tmp_path):
    done = run("train.py", "--dataset", "dataset", "--model", "liveness.model", "--le", "le.pickle", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), done.stderr
    assert "Epoch 2/2" in done.stdout and "precision" in done.stdout
    assert "LivenessNet alone" in done.stdout and re.search(r"witness alone +APCER [01]\.\d{3} +BPCER", done.stdout)
    assert re.search(r"both +APCER [01]\.\d{3} +BPCER [01]\.\d{3}", done.stdout)
    assert re.search(r"APCER [01]\.\d+ \[[01]\.\d+, [01]\.\d+\] +BPCER [01]\.\d+ \[", done.stdout)
    assert "not how it does in another room" in done.stdout
    assert all((tmp_path / name).is_file() for name in ("liveness.model", "le.pickle", "plot.png"))


def test_bad_data_is_told_in_one_line_and_the_old_model_stays(run, dataset, tmp_path):
    model = tmp_path / "liveness.model"
    model.write_text("precious")
    out = ("--model", model, "--le", "le.pickle")
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "one" / "fake", "fake", 9)
    fill(tmp_path / "cats" / "cat", "cat", 9)
    fill(tmp_path / "cats" / "dog", "dog", 9)
    for name in ("real", "fake", "x"):
        fill(tmp_path / "three" / name, "a", 1)
    fill(tmp_path / "few" / "real", "a", 1)
    fill(tmp_path / "few" / "fake", "a", 20)

    assert_one_line(run("train.py", "--dataset", "missing", *out), "missing", "no such folder")
    assert_one_line(run("train.py", "--dataset", "empty", *out), "empty", "no pictures")
    assert_one_line(run("train.py", "--dataset", "one", *out), "only fake", "gather", "real")
    assert_one_line(run("train.py", "--dataset", "cats", *out), "cat, dog", "named real and fake")
    assert_one_line(run("train.py", "--dataset", "three", *out), "fake, real, x")
    assert_one_line(run("train.py", "--dataset", "few", *out), "1 crop;", "at least")
    assert_one_line(run("train.py", "--dataset", dataset, "--model", model, "--le", "no/le.pickle"), "no folder")
    assert_one_line(run("train.py", "--dataset", dataset, *out, "--plot", tmp_path), "cannot be written")
    assert_one_line(run("train.py", "--dataset", dataset, *out, "--epochs", "0"), "--epochs")
    for seed in ("-1", 2**31, "9" * 5000, "1.5"):
        assert_one_line(run("train.py", "--dataset", dataset, *out, "--seed", seed), "--seed", "from 0 to")
    assert model.read_text() == "precious"
    assert not (tmp_path / "le.pickle").exists()


def test_training_that_comes_to_no_numbers_is_told_in_one_line(dataset, tmp_path, capsys):
    model = tmp_path / "liveness.model"
    options = ["-d", dataset, "-m", model, "-l", tmp_path / "le.pickle", "-p", tmp_path / "plot.png"]
    assert train.main([*map(str, options), "--epochs", "2", "--learning-rate", "1e38"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1 and "training has come to no numbers" in said[0] and "--learning-rate" in said[0]
    assert not model.exists() and not (tmp_path / "plot.png").exists()


# --- Fault 8: two outputs that are one file, outputs among the crops ---


@pytest.mark.parametrize(
    "one, other",
    [
        (("-m", "x"), ("-l", "x")),
        (("-m", "x.png"), ("-p", "x.png")),
        (("-l", "plot.png"), ()),
        (("-m", "a"), ("-l", "./a")),
        (("-m", "a"), ("-l", "A")),
        (("-m", "stra\u00dfe"), ("-l", "STRASSE")),
        (("-m", "caf\u00e9"), ("-l", "cafe\u0301")),
        (("-m", "dataset/../a"), ("-l", "a")),
    ],
)
def test_two_outputs_are_two_files(dataset, tmp_path, monkeypatch, capsys, one, other):
    monkeypatch.chdir(tmp_path)
    options = dict([("-m", "m"), ("-l", "l"), ("-p", "plot.png"), one, *([other] if other else [])])
    assert train.main(["-d", "dataset", *(text for pair in options.items() for text in pair)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "choose two files" in said
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.skipif(sys.platform == "win32", reason="links ask for a privilege there")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_nor_are_they_one_by_a_link(dataset, tmp_path, monkeypatch, capsys, link):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").write_text("precious")
    link("m", "l")
    assert train.main(["-d", "dataset", "-m", "m", "-l", "l"]) == 2
    assert "choose two files" in capsys.readouterr().err and (tmp_path / "m").read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="links ask for a privilege there")
def test_nor_by_a_link_to_what_is_not_there_yet(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.symlink("m", "l")
    assert train.main(["-d", "dataset", "-m", "m", "-l", "l"]) == 2
    assert "choose two files" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-m", "-l", "-p"])
@pytest.mark.parametrize(
    "file",
    ["dataset/real/real_000001.png", "dataset/fake/new.png", "dataset/real/deeper/x", "link/real/x.png", "crops/x.png"],
)
def test_no_output_goes_among_the_crops(dataset, tmp_path, monkeypatch, capsys, option, file):
    monkeypatch.chdir(tmp_path)
    if sys.platform != "win32":
        (tmp_path / "link").symlink_to(dataset)
        (tmp_path / "crops").symlink_to(dataset / "real")
    elif file[0] in "lc":
        pytest.skip("links ask for a privilege there")
    (dataset / "real" / "deeper").mkdir()
    before = {path: path.read_bytes() for path in dataset.rglob("*.png")}
    options = {"-m": "m", "-l": "l", "-p": "plot.png", option: file}
    assert train.main(["-d", "dataset", *(text for pair in options.items() for text in pair)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "lies among the crops" in said
    assert {path: path.read_bytes() for path in dataset.rglob("*.png")} == before


# --- Faults 4 and 5, from videos to the report ---


def test_real_crops_alone_make_a_model_that_says_what_it_was_judged_on(unfitted, tmp_path, monkeypatch, capsys):
    fill(tmp_path / "dataset" / "real", "desk", 20)
    monkeypatch.chdir(tmp_path)
    assert train.main(["--dataset", "dataset", *OUT]) == 0
    said = capsys.readouterr()
    assert "no fake crops: replays are simulated" in said.err
    assert "little about real replays" in said.out
    details = details_of(tmp_path / "liveness.model")
    assert details["simulated_replays"] == 20 and details["metrics"]["judged_on"] == "simulated replays"
    # Held-out simulated replays say nothing about real ones, nor does what was learned of them.
    assert (details["calibration"]["offset"], details["weight"]) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_told_in_one_line(dataset, tmp_path):
    """No file may grow beyond 100 kB."""
    import resource

    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import train; from training import fitting, learning\n"
    code += "learning.fit = lambda *_, **__: {name: [0.5] for name in fitting.CURVES}\n"  # what it is does not matter
    code += f"sys.exit(train.main(['-d', {str(dataset)!r}, '-m', 'm.model', '-l', 'le.pickle']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    said = done.stderr.splitlines()
    assert done.returncode == 2 and [line for line in said if not line.startswith("warning: ")] == said[-1:]
    assert "cannot be written" in said[-1]
    assert not (tmp_path / "m.model").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_ctrl_c_ends_it_in_one_line_and_leaves_no_process(dataset, tmp_path):
    script = Path(train.__file__)
    command = [sys.executable, script, "-d", dataset, "-m", "m.model", "-l", "le.pickle", "--epochs", "5000"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    with born_with(signal.SIGINT, signal.SIG_DFL):
        running = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    while not running.stdout.readline().startswith("Epoch 3/"):
        assert running.poll() is None, running.stderr.read()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert [line for line in said.splitlines() if not line.startswith("warning: ")] == [
        "train.py: interrupted; no model was written"
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dataset", "temporary"]
    assert not list((tmp_path / "temporary").iterdir())
    until = time.monotonic() + 20
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(running.pid, 0)
            time.sleep(0.1)


def test_cross_validation_leaves_each_recording_out_in_turn(unfitted, dataset, tmp_path, capsys, monkeypatch):
    fill(dataset / "real", "kitchen", 20, shade=20, source="beef")
    fill(dataset / "fake", "tablet", 20, shade=120, source="cafe")
    seen, learn = [], learning.learn

    def noting(examples, train_rows, choice_rows, *more, **options):
        seen.append([set(examples.recordings[rows]) for rows in (train_rows, choice_rows)])
        assert not set(train_rows) & set(choice_rows)
        return learn(examples, train_rows, choice_rows, *more, **options)

    monkeypatch.setattr(learning, "learn", noting)
    paths = [text for name in ("model", "le", "plot") for text in (f"--{name}", str(tmp_path / f"{name}.png"))]
    assert train.main(["--dataset", str(dataset), *paths, "--cross-validate"]) == 0
    out = capsys.readouterr().out
    told = re.findall(r"fold (\d) of 2: (\w+/\w+) [01]\.\d", out)
    assert told == [("1", "fake/fake"), ("1", "real/kitchen"), ("2", "fake/tablet"), ("2", "real/real")]
    # Neither learned from nor chosen on is what is judged.
    assert seen == [[{"fake/tablet", "real/real"}] * 2, [{"fake/fake", "real/kitchen"}] * 2]
    assert re.search(r"cross-validation: APCER [01]\.\d+ \[", out) and "Judged on unseen recordings" in out


def test_cross_validation_of_single_recordings_is_refused_in_one_line(run, dataset):
    done = run("train.py", "-d", "dataset", "-m", "m", "-l", "l", "--cross-validate")
    assert_one_line(done, "--cross-validate", "two recordings", "gather more")
