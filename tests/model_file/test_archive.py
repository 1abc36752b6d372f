import io
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from conftest import keras
from graph_parts import DROP, patched

import livenessnet
from capture import crops
from livenessnet import ModelError
from model_file import saving
from model_file.archive import MEMBER_LIMIT
from model_file.scores import DEFAULT_WEIGHT, probability
from training.learning import INPUT_SIZE


@pytest.fixture(scope="module")
def real_crops(trained) -> np.ndarray:
    """uint8 (N, side, side, 3): crops of both classes at the network's input size."""
    files = sorted(trained.dataset.rglob("*.png"))[::4]
    size = (INPUT_SIZE, INPUT_SIZE)
    return np.stack([cv2.resize(crops.read(file).picture, size, interpolation=cv2.INTER_AREA) for file in files])


@pytest.fixture(scope="module")
def fast(trained) -> livenessnet.FastNet:
    return livenessnet.load(trained.model, trained.le)


def test_the_network_is_the_originals():
    model = livenessnet.LivenessNet.build(width=32, height=32, depth=3, classes=2)
    assert model.count_params() == 148_562
    block = ["Conv2D", "BatchNormalization"] * 2 + ["MaxPooling2D", "Dropout"]
    assert [type(layer).__name__ for layer in model.layers] == [
        *block,
        *block,
        "Flatten",
        "Dense",
        "BatchNormalization",
        "Dropout",
        "Dense",
    ]
    assert [layer.rate for layer in model.layers if "Dropout" in type(layer).__name__] == [0.25, 0.25, 0.5]


def test_opencv_and_keras_agree_on_real_crops(trained, fast, real_crops, tmp_path):
    # The archive is a Keras model under any name that Keras accepts.
    archive = tmp_path / "copy.keras"
    shutil.copyfile(trained.model, archive)
    expected = np.asarray(keras.models.load_model(archive)(real_crops.astype(np.float32) / 255))
    with zipfile.ZipFile(trained.model) as members:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(members.read("liveness.onnx"), np.uint8))
    network.setInput(real_crops.astype(np.float32) / 255)
    assert np.ptp(expected[:, 1]) > 0.5, "crops of both classes"
    assert np.abs(network.forward() - expected).max() < 1e-5
    calibration = fast.details["calibration"]
    odds = (expected[:, 1] / expected[:, 0]) ** calibration["scale"] * np.exp(calibration["offset"])
    np.testing.assert_allclose(probability(fast.log_odds(real_crops)), odds / (1 + odds), atol=1e-4)
    np.testing.assert_array_equal(fast.log_odds(real_crops, 0.5), fast.log_odds(real_crops), "near as far")


def test_the_number_of_faces_changes_no_score(fast, real_crops):
    alone = [fast.log_odds(real_crops[n : n + 1])[0] for n in range(6)]
    np.testing.assert_allclose(fast.log_odds(real_crops[:6]), alone, atol=1e-3)
    np.testing.assert_allclose(fast.log_odds(real_crops[:2]), alone[:2], atol=1e-3)


def test_halves_that_disagree_are_not_written_and_the_old_model_stays(trained, tmp_path, monkeypatch):
    path = tmp_path / "liveness.model"
    shutil.copyfile(trained.model, path)
    before = path.read_bytes()
    model, other = (livenessnet.LivenessNet.build(32, 32, 3, 2) for _ in range(2))
    other.layers[0].set_weights([weight + 0.5 for weight in other.layers[0].get_weights()])
    export = saving.export
    monkeypatch.setattr(saving, "export", lambda _: export(other))
    with pytest.raises(ModelError, match="differ"):
        livenessnet.save(model, path, livenessnet.LABELS, {"margin": 2.7, "calibration": {"scale": 1, "offset": 0}})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["liveness.model"]


def test_outputs_that_are_no_numbers_are_not_written(trained, tmp_path):
    model = livenessnet.LivenessNet.build(width=INPUT_SIZE, height=INPUT_SIZE, depth=3, classes=2)
    model.set_weights([np.full_like(weights, 1e9) for weights in model.get_weights()])
    with pytest.raises(ModelError, match="no numbers.*--learning-rate"):
        livenessnet.save(model, tmp_path / "m", ["fake", "real"], {"margin": 2.7})
    assert not (tmp_path / "m").exists()


def test_the_archive_holds_the_network_but_not_the_optimizer(trained):
    with zipfile.ZipFile(trained.model) as members:
        sizes = {info.filename: info.file_size for info in members.infolist()}
    assert sizes["model.weights.h5"] < 1.2 * sizes["liveness.onnx"] < 5e6


# --- Damaged and foreign models; see also test_damaged_archives.py ---


def test_what_is_no_model_is_refused_in_one_line(trained, tmp_path):
    whole = trained.model.read_bytes()
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as members:
        members.writestr("letter.txt", "Dear Sir or Madam")
    for data, part in (
        (b"", "empty"),
        (whole[:1000], "cut off"),
        (whole[: len(whole) // 2], "cut off"),
        (whole[:-30], "cut off"),
        (other_zip.getvalue(), "not one that train.py wrote"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "not a model"),
        (b"hello", "damaged"),
    ):
        path = tmp_path / "broken.model"
        path.write_bytes(data)
        with pytest.raises(ModelError, match=part) as error:
            livenessnet.load(path, trained.le)
        assert "\n" not in str(error.value) and "broken.model" in str(error.value)
    with pytest.raises(ModelError, match="no such file"):
        livenessnet.load(tmp_path / "missing.model", trained.le)
    with pytest.raises(ModelError, match="cannot be read"):
        livenessnet.load(tmp_path, trained.le)


@pytest.mark.parametrize(
    "details",
    [
        {"format": 2},
        {"labels": ["cat", "dog"]},
        {"labels": None},
        {"input_size": 100_000},
        {"input_size": "64"},
        {"margin": -1},
        {"margin": float("nan")},
        {"calibration": {}},
        {"calibration": {"scale": True, "offset": 0}},
        {"calibration": {"scale": 0, "offset": 0}},
        {"calibration": {"scale": 1, "offset": float("inf")}},
        {"calibration": {"scale": 1, "offset": [0.1]}},
        {"calibration": {"scale": 1, "reach": [], "offset": []}},
        {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": [0.1]}},
        {"calibration": {"scale": 1, "reach": [1, 1], "offset": [0.1, 0.2]}},
        {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": 0.1}},
        {"calibration": {"scale": 1, "reach": None, "offset": 0.1}},
        {"calibration": {"scale": 1, "reach": [0.5, "1"], "offset": [0.1, 0.2]}},
        {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": [0.1, None]}},
    ],
)
def test_details_that_inference_cannot_rely_on_are_refused(trained, tmp_path, details):
    with pytest.raises(ModelError, match="another version"):
        livenessnet.load(patched(trained.model, tmp_path / "x.model", **details), trained.le)


@pytest.mark.parametrize("weight", [-0.1, 1.1, 2, float("nan"), float("inf"), "0.5", None, True, [0.5], {}])
def test_a_weight_that_is_no_share_is_refused(trained, tmp_path, weight):
    with pytest.raises(ModelError, match="another version"):
        livenessnet.load(patched(trained.model, tmp_path / "x.model", weight=weight), trained.le)


@pytest.mark.parametrize("weight, used", [(0, 0), (1, 1), (0.25, 0.25), (DROP, DEFAULT_WEIGHT)])
def test_the_weight_is_what_the_model_says_and_else_the_default(trained, tmp_path, weight, used):
    assert livenessnet.load(patched(trained.model, tmp_path / "x.model", weight=weight), trained.le).weight == used


def test_a_graph_that_is_not_what_the_details_say_is_refused(trained, tmp_path):
    with pytest.raises(ModelError, match="OpenCV can run"):
        livenessnet.load(patched(trained.model, tmp_path / "x.model", input_size=48), trained.le)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(trained, tmp_path):
    bomb = tmp_path / "bomb.model"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("liveness.onnx", bytes(MEMBER_LIMIT + 1))
        members.writestr("liveness.json", "{}")
    assert bomb.stat().st_size < 1e6
    with pytest.raises(ModelError, match="larger than any"):
        livenessnet.load(bomb, trained.le)


def test_labels_in_another_order_than_the_models_are_refused(trained, tmp_path):
    swapped = patched(trained.model, tmp_path / "x.model", labels=["real", "fake"])
    with pytest.raises(ModelError, match="are not those of"):
        livenessnet.load(swapped, trained.le)
