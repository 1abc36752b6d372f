"""Owners come into a model by a training or without one, go out of it, and are not lost by the next training."""

import os
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line
from dataset_parts import fill
from enrolment_parts import live_crops, looks_at, portraits
from graph_parts import packed

import train
from face_recognizer import NETWORK
from model_file.owners import MOST_OWNERS, OwnersError, read_owners, write_owners
from training import household
from training.dataset import DataError, load

DETAILS = b"""{"format": 1, "labels": ["fake", "real"], "input_size": 64, "margin": 2.7,
    "calibration": {"scale": 1, "offset": 0}}"""


@pytest.fixture(scope="module")
def faces(detector, live_frames, stranger, tmp_path_factory):
    """A folder with the folders man and woman, of one real person's crops each, and wall, of nobody's."""
    folder = tmp_path_factory.mktemp("faces")
    live_crops(folder / "man", "desk", live_frames[:60:8], detector)
    live_crops(folder / "man", "sofa", live_frames[60:82:3], detector)
    live_crops(folder / "woman", "portrait", portraits(stranger, 6), detector)
    fill(folder / "wall", "wall", 9)
    return folder


@pytest.fixture
def model(tmp_path):
    return packed(tmp_path / "liveness.model", b"a graph", DETAILS)


@pytest.fixture
def dataset(faces, tmp_path):
    """The data set of somebody who lives with somebody else, and filmed replays of both."""
    for who in ("man", "woman"):
        shutil.copytree(faces / who, tmp_path / "dataset" / "real", dirs_exist_ok=True)
    fill(tmp_path / "dataset" / "fake", "fake", 9)
    return tmp_path / "dataset"


def of_training(dataset, *owner_from, detector=WEIGHTS) -> tuple[dict, list[str]]:
    """What is enrolled, and what is said."""
    said = []
    examples = load(dataset, 2.7, said.append)
    assert not said
    return household.of_training(examples, list(owner_from), detector, said.append), said


# --- By a training ---


def test_a_training_enrols_whom_its_live_crops_show(recognizer, dataset):
    for file in (dataset / "real").glob("portrait*"):
        file.unlink()
    owners, said = of_training(dataset)
    assert list(owners) == ["owner"] and 5 <= len(owners["owner"]) <= 10
    assert said == [f"owner: enrolled from {len(owners['owner'])} looks in 2 recordings"]


def test_of_several_people_nobody_is_enrolled_until_one_is_named(recognizer, dataset, detector, stranger):
    owners, said = of_training(dataset)
    assert owners == {}
    first, *rest = "\n".join(said).splitlines()
    assert first == "owner: nobody enrolled; the crops show 2 people:"
    assert rest[:2] == ["  8 looks in real/desk, 8 looks in real/sofa;", "  6 looks in real/portrait"]
    assert "--owner-from RECORDING" in rest[2] and "--add-owner" in rest[2] and len(rest) == 3

    her = recognizer.embed(stranger, detector.detect(stranger)[0])
    owners, said = of_training(dataset, "portrait")
    assert (owners["owner"] @ her).max() > 0.9 and said[0].endswith("looks in 1 recording")
    owners, said = of_training(dataset, "real/desk", "sofa")
    assert (owners["owner"] @ her).max() < 0.35 and said[0].endswith("looks in 2 recordings")
    assert of_training(dataset, "real/desk")[1][0].endswith("looks in 1 recording")


def test_recordings_that_do_not_do_are_errors(recognizer, dataset):
    with pytest.raises(DataError, match=r"--owner-from kitchen: .*real/desk, real/portrait, real/sofa$"):
        of_training(dataset, "desk", "kitchen")
    with pytest.raises(DataError, match="no such live recording"):
        of_training(dataset, "fake/fake")
    with pytest.raises(DataError, match=r"(?s)--owner-from desk portrait: .*2 people.*one person"):
        of_training(dataset, "desk", "portrait")


def test_crops_without_faces_enrol_nobody_and_ask_no_network(tmp_path, monkeypatch):
    fill(tmp_path / "real", "wall", 9)
    fill(tmp_path / "fake", "fake", 9)
    monkeypatch.setattr("training.enrolment.Recognizer", None)
    owners, (said,) = of_training(tmp_path)
    assert owners == {} and said.startswith("owner: nobody enrolled; 0 of 9 crops show a face")
    with pytest.raises(DataError, match="--owner-from wall: 0 of 9"):
        of_training(tmp_path, "wall")


def test_without_the_networks_a_training_goes_on(dataset, tmp_path, monkeypatch):
    owners, (said,) = of_training(dataset, detector=tmp_path / "nowhere")
    assert owners == {} and "nowhere: no such folder" in said and said.startswith("owner: nobody enrolled; ")

    def missing():
        raise household.RecognizerError("face recognition weights: cannot be fetched")

    monkeypatch.setattr("training.enrolment.Recognizer", missing)
    assert of_training(dataset) == ({}, ["owner: nobody enrolled; face recognition weights: cannot be fetched"])


def test_the_owners_before_are_known_and_what_is_no_model_had_none(model, tmp_path):
    assert household.before(tmp_path / "nowhere.model") == household.before(model) == {}
    write_owners(model, {"anna": looks_at(1, 5)}, NETWORK)
    assert list(household.before(model)) == ["anna"]
    write_owners(model, {"anna": looks_at(1, 5)}, "another")
    with pytest.raises(OwnersError, match="another network"):
        household.before(model)
    for data in (b"", b"precious", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        model.write_bytes(data)
        assert household.before(model) == {}


def test_a_household_that_no_model_holds_is_told_before_the_training():
    household.check({})
    many = {f"owner {n}": looks_at(n, 1) for n in range(MOST_OWNERS)}
    household.check(many)
    with pytest.raises(OwnersError, match="21 owners"):
        household.check({**many, "owner": looks_at(30, 1)})


def test_a_household_of_one_too_many_stops_the_training(recognizer, dataset, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_owners(model, {f"owner {n}": looks_at(n, 1) for n in range(MOST_OWNERS)}, NETWORK)
    monkeypatch.setattr(train, "learn", None)
    options = ["-d", "dataset", "-m", "liveness.model", "-l", "le.pickle", "--detector", str(WEIGHTS)]
    assert train.main([*options, "--owner-from", "desk"]) == 2
    assert "21 owners" in capsys.readouterr().err


def test_the_whole_training_keeps_a_household(unfitted, recognizer, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = packed(tmp_path / "liveness.model", b"a graph", DETAILS)
    os.chmod(model, 0o644)
    household_before = {"anna": looks_at(1, 5), "owner": looks_at(2, 6)}
    write_owners(model, household_before, NETWORK)
    options = ["-d", "dataset", "-m", "liveness.model", "-l", "le.pickle", "--detector", str(WEIGHTS), "--epochs", "1"]

    # Somebody who is added while a training runs is not lost either.
    learn = train.learn
    monkeypatch.setattr(
        train,
        "learn",
        lambda *what: (write_owners(model, {**household_before, "ben": looks_at(3, 5)}, NETWORK), learn(*what))[1],
    )
    assert train.main([*options, "--owner-from", "desk", "sofa"]) == 0
    out = capsys.readouterr().out
    assert "owner: enrolled from" in out and "kept from the model before: anna\n" in out
    after = read_owners(model, NETWORK)
    assert list(after) == ["anna", "owner", "ben"]
    np.testing.assert_allclose(after["anna"], household_before["anna"], atol=1e-5)
    assert (after["owner"] @ household_before["owner"].T).max() < 0.5
    assert sys.platform == "win32" or stat.S_IMODE(model.stat().st_mode) == 0o600


# --- Without one ---


def test_somebody_is_added_replaced_and_removed(recognizer, model, faces, detector, stranger):
    said = household.add(model, "Anna", [faces / "woman"], WEIGHTS)
    assert said.startswith("Anna: enrolled from ") and said.endswith(" looks in 1 recording; owners: Anna")
    said = household.add(model, "Ben", [faces / "man"], WEIGHTS)
    assert said.endswith(" looks in 2 recordings; owners: Anna, Ben")
    her = recognizer.embed(stranger, detector.detect(stranger)[0])
    owners = read_owners(model, NETWORK)
    assert (owners["Anna"] @ her).max() > 0.9 and (owners["Ben"] @ her).max() < 0.35
    said = household.add(model, "Anna", [faces / "man"], WEIGHTS)
    assert "in place of what was enrolled before" in said
    assert (read_owners(model, NETWORK)["Anna"] @ her).max() < 0.35
    assert household.remove(model, "Anna") == "Anna: removed; owners: Ben"
    assert household.remove(model, "Ben") == "Ben: removed; no owners"
    assert read_owners(model, NETWORK) == {}


def test_what_does_not_do_changes_nothing(recognizer, model, faces, tmp_path):
    write_owners(model, {"anna": looks_at(1, 5)}, NETWORK)
    before = model.read_bytes()
    for name, folders, part in (
        ("\n", ["man"], "letters that can be printed"),
        ("ben", ["man", "woman"], r"(?s)2 people.*16|desk.*one person's crops"),
        ("ben", ["wall"], "0 of 9 crops"),
        ("ben", ["."], "no pictures in it"),
        ("ben", ["nowhere"], "cannot be read"),
    ):
        with pytest.raises(DataError, match=part):
            household.add(model, name, [faces / folder for folder in folders], WEIGHTS)
    with pytest.raises(DataError, match="nobody of that name .*owners: anna$"):
        household.remove(model, "Anna")
    assert model.read_bytes() == before


def test_crops_are_told_apart_by_folder_too(recognizer, model, faces, tmp_path):
    """The same names in two folders are two recordings."""
    for name in ("one", "other"):
        shutil.copytree(faces / "man", tmp_path / name)
    for file in (tmp_path / "one").glob("desk*"):
        file.unlink()
    for file in (tmp_path / "other").glob("desk*"):
        file.rename(file.with_name(file.name.replace("desk", "sofa")))
    said = household.add(model, "Ben", [tmp_path / "one", tmp_path / "other"], WEIGHTS)
    assert "in 2 recordings" in said


# --- The command line ---


def test_nothing_heavy_is_imported_to_add_an_owner(recognizer, model, faces):
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import train; status = train.main(sys.argv[1:]); "
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))); sys.exit(status)"
    )
    options = ["--add-owner", "Ben", str(faces / "man"), "--model", str(model), "--detector", str(WEIGHTS)]
    done = subprocess.run([sys.executable, "-c", code, str(ROOT), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("Ben: enrolled from") and done.stdout.splitlines()[1:] == ["[]"]


def test_wrong_options_and_models_are_told_in_one_line(run, model, faces, tmp_path):
    add = ("--add-owner", "Ben", faces / "man")
    m = ("--model", model, "--detector", WEIGHTS)
    (tmp_path / "h5.model").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    before = model.read_bytes()
    assert_one_line(run("train.py", *m, "--add-owner", "Ben"), "--add-owner", "folders of crops")
    assert_one_line(run("train.py", *m, *add, "--remove-owner", "Ben"), "--remove-owner", "not allowed with")
    assert_one_line(run("train.py", *m, *add, "--dataset", "d", "--owner-from", "x"), "--dataset, --owner-from")
    assert_one_line(run("train.py", *m), "required", "-d/--dataset, -l/--le")
    assert_one_line(run("train.py", *m, "--remove-owner", ""), "nobody of that name", "no owners")
    assert_one_line(run("train.py", "--model", "h5.model", *add), "h5.model", "of the original", "no owners")
    assert_one_line(run("train.py", "--model", "no.model", *add), "no.model", "no such file")
    assert_one_line(run("train.py", "--model", model, *add), "face_detector", "--detector names")
    assert model.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_model_that_cannot_be_written_is_told_in_one_line(model, monkeypatch, capsys):
    write_owners(model, {"anna": looks_at(1, 5)}, NETWORK)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert train.main(["--remove-owner", "anna", "--model", str(model)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "liveness.model" in said and "cannot be written" in said
    monkeypatch.undo()
    assert list(read_owners(model, NETWORK)) == ["anna"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_owners_that_cannot_be_trusted_stop_a_training_before_it_begins(dataset, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_owners(model, {"anna": looks_at(1, 5)}, NETWORK)
    os.chmod(model, 0o666)
    assert train.main(["-d", "dataset", "-m", "liveness.model", "-l", "le.pickle"]) == 2
    said = capsys.readouterr()
    assert (
        said.err.splitlines()
        == ["train.py: liveness.model: others may write it, and with that become its owner: chmod 600 liveness.model"]
        or "chmod 600 liveness.model" in said.err
    )
    assert "Epoch" not in said.out and not (tmp_path / "le.pickle").exists()
