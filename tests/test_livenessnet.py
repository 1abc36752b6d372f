import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

import livenessnet
import train
from capture import crops
from livenessnet import ModelError

keras = livenessnet.import_keras()


@pytest.fixture(scope="module")
def real_crops(trained) -> np.ndarray:
    """uint8 (N, side, side, 3): crops of both classes at the network's input size."""
    files = sorted(trained.dataset.rglob("*.png"))[::4]
    size = (train.INPUT_SIZE, train.INPUT_SIZE)
    return np.stack([cv2.resize(crops.read(file).picture, size, interpolation=cv2.INTER_AREA) for file in files])


@pytest.fixture(scope="module")
def fast(trained) -> livenessnet.FastNet:
    return livenessnet.load(trained.model, trained.le)


def test_the_network_is_the_originals():
    model = livenessnet.LivenessNet.build(width=32, height=32, depth=3, classes=2)
    assert model.count_params() == 148_562
    block = ["Conv2D", "BatchNormalization"] * 2 + ["MaxPooling2D", "Dropout"]
    assert [type(layer).__name__ for layer in model.layers] == [
        *block, *block, "Flatten", "Dense", "BatchNormalization", "Dropout", "Dense"]
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
    for reach, offset in zip(calibration["reach"], calibration["offset"]):
        odds = expected[:, 1] / expected[:, 0] * np.exp(offset)
        np.testing.assert_allclose(fast.p_real(real_crops, reach), odds / (1 + odds), atol=1e-4)
    np.testing.assert_array_equal(fast.p_real(real_crops), fast.p_real(real_crops, calibration["reach"][-1]))


def test_the_number_of_faces_changes_no_score(fast, real_crops):
    alone = [fast.p_real(real_crops[n : n + 1])[0] for n in range(6)]
    np.testing.assert_allclose(fast.p_real(real_crops[:6]), alone, atol=1e-6)
    np.testing.assert_allclose(fast.p_real(real_crops[:2]), alone[:2], atol=1e-6)


def test_halves_that_disagree_are_not_written_and_the_old_model_stays(trained, tmp_path, monkeypatch):
    path = tmp_path / "liveness.model"
    shutil.copyfile(trained.model, path)
    before = path.read_bytes()
    model, other = (livenessnet.LivenessNet.build(32, 32, 3, 2) for _ in range(2))
    other.layers[0].set_weights([weight + 0.5 for weight in other.layers[0].get_weights()])
    export = livenessnet._export
    monkeypatch.setattr(livenessnet, "_export", lambda path, _: export(path, other))
    with pytest.raises(ModelError, match="differ"):
        livenessnet.save(model, path, livenessnet.LABELS, {"margin": 2.7, "calibration": {"scale": 1, "offset": 0}})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["liveness.model"]


def test_the_archive_holds_the_network_but_not_the_optimizer(trained):
    with zipfile.ZipFile(trained.model) as members:
        sizes = {info.filename: info.file_size for info in members.infolist()}
    assert sizes["model.weights.h5"] < 1.2 * sizes["liveness.onnx"] < 5e6


def test_calibration_moves_the_operating_point_to_one_half():
    raw = np.array([0.0, 0.2, 0.8, 1.0])
    np.testing.assert_allclose(livenessnet.calibrate(raw, 1, {"scale": 1, "offset": 0}), raw, atol=1e-6)
    at = 0.8
    offset = -np.log(at / (1 - at))
    calibrated = livenessnet.calibrate(raw, 1, {"scale": 1, "offset": offset})
    assert calibrated[2] == pytest.approx(0.5)
    assert (np.diff(calibrated) > 0).all() and calibrated.min() >= 0 and calibrated.max() <= 1


def test_between_two_reaches_the_operating_point_moves_in_a_straight_line():
    calibration = {"scale": 1, "reach": [0.5, 1.0], "offset": [-2, 0]}
    reach = np.array([0.2, 0.5, 0.75, 1.0, np.inf])
    shares = livenessnet.calibrate(np.full(5, 0.5), reach, calibration)
    np.testing.assert_allclose(livenessnet.logit(shares), [-2, -2, -1, 0, 0], atol=1e-9)


# --- Damaged and foreign models ---


def patched(model, path, **details):
    """A copy of the archive whose liveness.json says something else."""
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "liveness.json":
                data = json.dumps({**json.loads(data), **details})
            new.writestr(name, data)
    return path


def test_what_is_no_model_is_refused_in_one_line(trained, tmp_path):
    whole = trained.model.read_bytes()
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as members:
        members.writestr("letter.txt", "Dear Sir or Madam")
    for data, part in (
        (b"", "empty"), (whole[:1000], "cut off"), (whole[: len(whole) // 2], "cut off"), (whole[:-30], "cut off"),
        (other_zip.getvalue(), "not one that train.py wrote"), (b"\x89HDF\r\n\x1a\n" + bytes(500), "not a model"),
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


@pytest.mark.parametrize("details", [
    {"format": 2}, {"labels": ["cat", "dog"]}, {"labels": None}, {"input_size": 100_000}, {"input_size": "64"},
    {"margin": -1}, {"margin": float("nan")}, {"calibration": {}}, {"calibration": {"scale": True, "offset": 0}},
    {"calibration": {"scale": 0, "offset": 0}}, {"calibration": {"scale": 1, "offset": float("inf")}},
    {"calibration": {"scale": 1, "offset": [0.1]}}, {"calibration": {"scale": 1, "reach": [], "offset": []}},
    {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": [0.1]}},
    {"calibration": {"scale": 1, "reach": [1, 1], "offset": [0.1, 0.2]}},
    {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": 0.1}},
    {"calibration": {"scale": 1, "reach": None, "offset": 0.1}},
    {"calibration": {"scale": 1, "reach": [0.5, "1"], "offset": [0.1, 0.2]}},
    {"calibration": {"scale": 1, "reach": [0.5, 1], "offset": [0.1, None]}},
])
def test_details_that_inference_cannot_rely_on_are_refused(trained, tmp_path, details):
    with pytest.raises(ModelError, match="another version"):
        livenessnet.load(patched(trained.model, tmp_path / "x.model", **details), trained.le)


def test_a_model_with_one_operating_point_for_all_reaches_is_still_read(trained, fast, real_crops, tmp_path):
    old = patched(trained.model, tmp_path / "x.model", calibration={"scale": 1.0, "offset": 0.2})
    network = livenessnet.load(old, trained.le)
    np.testing.assert_array_equal(network.p_real(real_crops, 0.5), network.p_real(real_crops))


def test_a_graph_that_is_not_what_the_details_say_is_refused(trained, tmp_path):
    with pytest.raises(ModelError, match="OpenCV can run"):
        livenessnet.load(patched(trained.model, tmp_path / "x.model", input_size=48), trained.le)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(trained, tmp_path):
    bomb = tmp_path / "bomb.model"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("liveness.onnx", bytes(livenessnet.MEMBER_LIMIT + 1))
        members.writestr("liveness.json", "{}")
    assert bomb.stat().st_size < 1e6
    with pytest.raises(ModelError, match="larger than any"):
        livenessnet.load(bomb, trained.le)


def test_labels_in_another_order_than_the_models_are_refused(trained, tmp_path):
    swapped = patched(trained.model, tmp_path / "x.model", labels=["real", "fake"])
    with pytest.raises(ModelError, match="are not those of"):
        livenessnet.load(swapped, trained.le)


# --- le.pickle ---


def encoder(*labels, dtype=None) -> LabelEncoder:
    fitted = LabelEncoder().fit(["fake", "real"])
    fitted.classes_ = np.array(labels or ["fake", "real"], dtype=dtype)
    return fitted


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<U4", ">U4", "<U9", object])
def test_encoders_are_read_in_every_pickle_protocol(tmp_path, protocol, dtype):
    path = tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(encoder(dtype=dtype), protocol))
    assert livenessnet.read_labels(path) == ["fake", "real"]


@pytest.mark.parametrize("old, new", [
    (b"sklearn.preprocessing._label\n", b"sklearn.preprocessing.label\n"),
    (b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"),
])
def test_encoders_of_old_scikit_learn_and_numpy_are_read(tmp_path, old, new):
    """Protocol 0 spells module names out, so that those of other versions can be put in."""
    data = pickle.dumps(encoder(), 0)
    assert old in data
    path = tmp_path / "le.pickle"
    path.write_bytes(data.replace(old, new))
    assert livenessnet.read_labels(path) == ["fake", "real"]


def test_scikit_learn_reads_what_train_wrote(trained):
    fitted = pickle.loads(trained.le.read_bytes())
    assert isinstance(fitted, LabelEncoder) and list(fitted.classes_) == ["fake", "real"]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_runs_nothing(tmp_path):
    path, trace = tmp_path / "le.pickle", tmp_path / "was here"
    disguised = encoder()
    disguised.classes_ = Evil(trace)
    for thing in (Evil(trace), disguised, [Evil(trace)]):
        path.write_bytes(pickle.dumps(thing))
        with pytest.raises(ModelError, match="mkdir"):
            livenessnet.read_labels(path)
        assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the pickle is really malicious"


@pytest.mark.parametrize("labels", [["cat", "dog"], ["real"], ["fake", "maybe", "real"], ["Fake", "Real"]])
def test_other_labels_are_refused(tmp_path, labels):
    path = tmp_path / "le.pickle"
    path.write_bytes(pickle.dumps(encoder(*labels)))
    with pytest.raises(ModelError, match="exactly 'fake' and 'real'"):
        livenessnet.read_labels(path)


def test_a_missing_encoder_is_named(tmp_path):
    with pytest.raises(ModelError, match="le.pickle: no such file"):
        livenessnet.read_labels(tmp_path / "le.pickle")


GENUINE = [pickle.dumps(encoder(), protocol) for protocol in range(6)]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda genuine, at, with_: genuine[: at % len(genuine)] + with_ + genuine[at % len(genuine) + len(with_):],
        st.sampled_from(GENUINE), st.integers(0, 1000), st.binary(min_size=1, max_size=6),
    ),
    st.builds(lambda genuine, at: genuine[: at % len(genuine)], st.sampled_from(GENUINE), st.integers(0, 1000)),
))
def test_a_damaged_pickle_is_an_encoder_or_an_error(tmp_path, data):
    path = tmp_path / "le.pickle"
    path.write_bytes(data)
    try:
        assert sorted(livenessnet.read_labels(path)) == ["fake", "real"]
    except ModelError as error:
        assert "\n" not in str(error)


# --- Models of the original ---


@pytest.fixture
def original(tmp_path, monkeypatch):
    """A model as the original's train.py wrote it: HDF5 under the name liveness.model."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    model = livenessnet.LivenessNet.build(width=32, height=32, depth=3, classes=2)
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
    rng = np.random.default_rng(0)
    model.set_weights([weight + rng.random(weight.shape) * 0.05 for weight in model.get_weights()])
    hdf5 = tmp_path / "model.h5"
    model.save(hdf5)
    path = tmp_path / "liveness.model"
    hdf5.rename(path)
    assert path.read_bytes()[:4] == b"\x89HDF"
    le = tmp_path / "le.pickle"
    le.write_bytes(pickle.dumps(encoder(), 0).replace(b"._label\n", b".label\n").replace(b"._core.", b".core."))
    return model, path, le


def test_a_model_of_the_original_runs_and_is_converted_once(original, capsys):
    model, path, le = original
    faces = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    network = livenessnet.load(path, le)
    assert (network.input_size, network.margin) == (32, 1.0)
    expected = np.asarray(model(faces.astype(np.float32) / 255))[:, 1]
    np.testing.assert_allclose(network.p_real(faces), expected, atol=1e-5)
    assert "converting it once" in capsys.readouterr().err

    # From then on without TensorFlow.
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); import livenessnet; "
            f"livenessnet.load({str(path)!r}, {str(le)!r}); sys.exit('tensorflow' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_an_hdf5_model_of_another_shape_is_refused(original, tmp_path):
    _, path, le = original
    hdf5 = tmp_path / "other.h5"
    livenessnet.LivenessNet.build(width=48, height=48, depth=3, classes=2).save(hdf5)
    hdf5.replace(path)
    with pytest.raises(ModelError, match="32x32x3"):
        livenessnet.load(path, le)
