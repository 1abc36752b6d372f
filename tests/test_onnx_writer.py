"""The inference graph says what Keras says, whatever the weights are."""

import cv2
import numpy as np
import pytest

import livenessnet
import onnx_graph
import onnx_writer
from livenessnet import LivenessNet

keras = livenessnet.import_keras()


def used(network, rng):
    """Weights as after training: nothing in them is 0, 1 or symmetric."""
    for weight in network.weights:
        low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -0.3
        weight.assign(weight + rng.uniform(low, low + 0.6, weight.shape) / (10 if "kernel" in weight.path else 1))
    return network


@pytest.mark.parametrize(("members", "side"), [(1, 32), (3, 48), (2, 33), (8, 24)])
def test_opencv_makes_of_the_graph_what_keras_makes_of_the_network(members, side):
    keras.utils.set_random_seed(members)
    rng = np.random.default_rng(members)
    networks = [used(LivenessNet.build(side, side, 3, 2), rng) for _ in range(members)]
    model = LivenessNet.average(networks) if members > 1 else networks[0]
    graph = onnx_writer.write(model)
    onnx_graph.check(graph, side)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    for faces in (1, 4, 2):
        pictures = rng.random((faces, side, side, 3), np.float32)
        pictures *= rng.random((faces, 1, 1, 3), np.float32)
        expected = np.asarray(model(pictures))
        assert 0.001 < expected.min() < 0.499, "neither sure of everything nor of nothing"
        network.setInput(pictures)
        assert np.abs(network.forward().reshape(faces, 2) - expected).max() < livenessnet.TOLERANCE / 5


@pytest.mark.parametrize("layer", [
    keras.layers.Conv2D(4, 3, padding="valid"), keras.layers.Conv2D(4, 5, padding="same"),
    keras.layers.Conv2D(4, 3, padding="same", strides=2), keras.layers.MaxPooling2D(3),
    keras.layers.AveragePooling2D(2),
    keras.layers.Activation("tanh"),
], ids=lambda layer: layer.name)
def test_a_network_of_other_layers_is_refused_in_one_line(layer, tmp_path):
    model = keras.Sequential([
        keras.Input((32, 32, 3)), layer, keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
    path = tmp_path / "x.model"
    with pytest.raises(livenessnet.ModelError, match="no LivenessNet") as error:
        livenessnet.save(model, path, livenessnet.LABELS, {"margin": 1, "calibration": {"scale": 1, "offset": 0}})
    assert "\n" not in str(error.value) and not path.exists()


def test_members_that_differ_cannot_lie_side_by_side():
    small = LivenessNet.build(32, 32, 3, 2)
    large = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(),
                              keras.layers.Dense(2, activation="softmax")])
    with pytest.raises(onnx_writer.UnknownLayer, match="differ"):
        onnx_writer.write(LivenessNet.average([small, large]))
