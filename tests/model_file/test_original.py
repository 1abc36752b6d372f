"""Models that the original's train.py wrote, in HDF5."""

import json
import pickle
import subprocess
import sys

import genuine_inputs
import numpy as np
import pytest
from conftest import ROOT, keras
from graph_parts import encoder

import livenessnet
from livenessnet import ModelError
from model_file import original as hdf5
from model_file.scores import DEFAULT_WEIGHT, probability


@pytest.fixture
def original(tmp_path, empty_cache):
    """A model as the original's train.py wrote it: HDF5 under the name liveness.model."""
    model = livenessnet.LivenessNet.build(width=32, height=32, depth=3, classes=2)
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
    rng = np.random.default_rng(0)
    model.set_weights([weight + rng.random(weight.shape) * 0.05 for weight in model.get_weights()])
    saved = tmp_path / "model.h5"
    model.save(saved)
    path = tmp_path / "liveness.model"
    saved.rename(path)
    assert path.read_bytes()[:4] == b"\x89HDF"
    le = tmp_path / "le.pickle"
    le.write_bytes(pickle.dumps(encoder(), 0).replace(b"._label\n", b".label\n").replace(b"._core.", b".core."))
    return model, path, le


def test_a_model_of_the_original_runs_and_is_converted_once(original, capsys):
    model, path, le = original
    faces = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    network = livenessnet.load(path, le)
    assert (network.input_size, network.margin, network.weight) == (32, 1.0, DEFAULT_WEIGHT)
    expected = np.asarray(model(faces.astype(np.float32) / 255))[:, 1]
    np.testing.assert_allclose(probability(network.log_odds(faces)), expected, atol=1e-5)
    assert "converting it once" in capsys.readouterr().err

    # From then on without TensorFlow.
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import livenessnet; "
        f"livenessnet.load({str(path)!r}, {str(le)!r}); sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_an_hdf5_model_of_another_shape_is_refused(original, tmp_path):
    _, path, le = original
    other = tmp_path / "other.h5"
    livenessnet.LivenessNet.build(width=48, height=48, depth=3, classes=2).save(other)
    other.replace(path)
    with pytest.raises(ModelError, match="32x32x3"):
        livenessnet.load(path, le)


def test_an_hdf5_model_cannot_name_code_to_run(tmp_path, empty_cache):
    """Its configuration may hold a Lambda layer, whose code Keras has been known to run in spite of safe_mode."""
    import h5py

    path, trace = tmp_path / "liveness.model", tmp_path / "was here"
    data = genuine_inputs.genuine_hdf5(tmp_path)[0]
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        call = {"class_name": "function", "config": "mkdir", "module": "os", "registered_name": "mkdir"}
        config["config"]["layers"].append(
            {
                "module": "keras.layers",
                "class_name": "Lambda",
                "registered_name": None,
                "config": {"name": "evil", "function": call, "arguments": {"path": str(trace)}},
            }
        )
        file.attrs["model_config"] = json.dumps(config)
    hdf5._load_hdf5(path, path.read_bytes())
    assert not trace.exists()


@pytest.mark.parametrize(
    "ends, said", [("import time; time.sleep(60)", "not converted within 1 s"), ("import os; os.abort()", "crash")]
)
def test_an_hdf5_model_that_hangs_or_crashes_its_reader_is_refused(
    tmp_path, monkeypatch, empty_cache, trained, ends, said
):
    monkeypatch.setattr(hdf5, "CONVERT_LIMIT_S", 1.0)
    monkeypatch.setattr(hdf5, "_CONVERT", ends)
    path = tmp_path / "liveness.model"
    path.write_bytes(b"\x89HDF")
    with pytest.raises(ModelError, match=said):
        livenessnet.load(path, trained.le)
