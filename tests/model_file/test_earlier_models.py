"""Models of our earlier versions: the mean of several networks, an operating point for each distance, no weight."""

import zipfile

import numpy as np
import pytest
from conftest import keras
from earlier_graphs import FIRST, SECOND, THIRD, average, write
from graph_parts import used

import livenessnet
from model_file.scores import DEFAULT_WEIGHT, logit, probability

CALIBRATION = {"scale": 1.25, "reach": [0.5, 0.8, 1.35], "offset": [-0.6, 0.1, 0.3]}


@pytest.fixture(scope="module")
def eight():
    """The mean of eight networks of 24 pixels: what train.py made last."""
    keras.utils.set_random_seed(8)
    rng = np.random.default_rng(8)
    return average([used(livenessnet.LivenessNet.build(24, 24, 3, 2), rng) for _ in range(8)])


@pytest.mark.parametrize("form", [FIRST, SECOND, THIRD])
def test_they_still_load_and_score_as_before(eight, trained, tmp_path, form):
    path = write(tmp_path / "old.model", eight, form, {"margin": 2.7, "calibration": CALIBRATION})
    with zipfile.ZipFile(path) as members:
        graph = members.read("liveness.onnx")
    assert (b"ReduceMean" in graph, b"Gather" in graph) == (form == THIRD, form == FIRST)
    network = livenessnet.load(path, trained.le)
    assert (network.input_size, network.margin, network.weight) == (24, 2.7, DEFAULT_WEIGHT)
    crops = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    crops[0] //= 4
    raw = np.asarray(eight(crops.astype(np.float32) / 255))[:, 1]
    assert np.ptp(raw) > 1e-3
    for reach, offset in ((0.4, -0.6), (0.5, -0.6), (0.65, -0.25), (1.35, 0.3), (np.inf, 0.3)):
        expected = probability(1.25 * logit(raw) + offset)
        np.testing.assert_allclose(probability(network.log_odds(crops, reach)), expected, atol=1e-4)
    each = network.log_odds(crops, np.array([0.5, 0.65, 1.35, 9.0]))
    np.testing.assert_allclose(each, 1.25 * logit(raw) + [-0.6, -0.25, 0.3, 0.3], atol=1e-3)


def test_a_single_network_as_it_was_exported_first(trained, tmp_path):
    archive = tmp_path / "copy.keras"
    archive.write_bytes(trained.model.read_bytes())
    now = livenessnet.load(trained.model, trained.le)
    details = {"margin": now.margin, "calibration": now.details["calibration"]}
    before = livenessnet.load(
        write(tmp_path / "old.model", keras.models.load_model(archive), FIRST, details), trained.le
    )
    crops = np.random.default_rng(0).integers(0, 256, (3, now.input_size, now.input_size, 3), np.uint8)
    np.testing.assert_allclose(before.log_odds(crops), now.log_odds(crops), atol=1e-3)
