"""The inference graph says what Keras says, whatever the weights are."""

import cv2
import numpy as np
import pytest
from conftest import keras
from earlier_graphs import average
from graph_parts import used

import livenessnet
from livenessnet import LivenessNet
from model_file import graph_check, graph_writer
from model_file.saving import TOLERANCE


@pytest.mark.parametrize("side", [32, 48, 33])
def test_opencv_makes_of_the_graph_what_keras_makes_of_the_network(side):
    keras.utils.set_random_seed(side)
    rng = np.random.default_rng(side)
    model = used(LivenessNet.build(side, side, 3, 2), rng)
    graph = graph_writer.write(model)
    graph_check.check(graph, side)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    for faces in (1, 4, 2):
        pictures = rng.random((faces, side, side, 3), np.float32)
        pictures *= rng.random((faces, 1, 1, 3), np.float32)
        expected = np.asarray(model(pictures))
        assert 0.001 < expected.min() < 0.499, "neither sure of everything nor of nothing"
        network.setInput(pictures)
        assert np.abs(network.forward().reshape(faces, 2) - expected).max() < TOLERANCE / 5


@pytest.mark.parametrize(
    "kind, options",
    [
        ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "valid"}),
        ("Conv2D", {"filters": 4, "kernel_size": 5, "padding": "same"}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2}),
        ("MaxPooling2D", {"pool_size": 3}),
        ("AveragePooling2D", {"pool_size": 2}),
        ("Activation", {"activation": "tanh"}),
    ],
)
def test_a_network_of_other_layers_is_refused_in_one_line(kind, options, tmp_path):
    layer = getattr(keras.layers, kind)(**options)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), layer, keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    path = tmp_path / "x.model"
    with pytest.raises(livenessnet.ModelError, match="no LivenessNet") as error:
        livenessnet.save(model, path, livenessnet.LABELS, {"margin": 1, "calibration": {"scale": 1, "offset": 0}})
    assert "\n" not in str(error.value) and not path.exists()


def test_the_mean_of_several_networks_is_no_livenessnet():
    with pytest.raises(graph_writer.UnknownLayer):
        graph_writer.write(average([LivenessNet.build(32, 32, 3, 2) for _ in range(2)]))
