"""Writes a trained LivenessNet as an inference graph (ONNX).

Keras can export one too, through tf2onnx: it traces and converts the whole of the network and takes 2.5 s for it, a
third of a training. LivenessNet is made of seven kinds of layers, and their ONNX counterparts can be written down at
once.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 15
IR_VERSION = 8  # the one that came with this opset


class UnknownLayer(ValueError):
    """The network is made of something that LivenessNet is not; the message names it."""


def write(model) -> bytes:
    """The inference graph of a built Keras model, a LivenessNet.

    Takes float32 (N, height, width, depth), N free, and gives float32 (N, classes). Raises UnknownLayer.
    """
    graph = _Graph(model.input_shape[1:])
    for layer in model.layers:
        graph.add(layer)
    return graph.serialized(model.output_shape[1])


class _Graph:
    """Nodes and constants in the making, at the one whose name is ``at``; names are numbers."""

    def __init__(self, shape: tuple[int, int, int]):
        self.nodes, self.constants = [], []
        self.input = self.shape = shape
        self.at = "input"
        self.apply("Transpose", perm=[0, 3, 1, 2])  # filters run over channels first

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def apply(self, kind: str, *constants: np.ndarray, **attributes) -> None:
        inputs = [self.at, *map(self.constant, constants)]
        self.at = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.at], **attributes))

    def add(self, layer) -> None:
        """A layer: float32 (N, channels, height, width) from here on."""
        kind, weights = type(layer).__name__, layer.get_weights()
        height, width, channels = self.shape
        if kind == "Conv2D" and (layer.padding, layer.kernel_size, layer.strides) == ("same", (3, 3), (1, 1)):
            self.convolve(weights[0], weights[1], [1, 1, 1, 1])
            self.shape = height, width, layer.filters
        elif kind == "Dense":
            # As a convolution that covers all there is: Keras flattens with the channels last, as in its filters.
            self.convolve(weights[0].reshape(height, width, channels, -1), weights[1], [0, 0, 0, 0])
            self.shape = 1, 1, layer.units
        elif kind == "BatchNormalization":
            gamma, beta, mean, variance = (weight.reshape(1, -1, 1, 1) for weight in weights)
            scale = gamma / np.sqrt(variance + layer.epsilon)
            self.apply("Mul", scale)
            self.apply("Add", beta - mean * scale)
        elif kind == "MaxPooling2D" and layer.pool_size == layer.strides == (2, 2):
            self.apply("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            self.shape = height // 2, width // 2, channels
        elif kind not in ("InputLayer", "Dropout", "Activation", "Flatten"):
            raise UnknownLayer(kind)
        self.activate(getattr(layer, "activation", None))

    def convolve(self, filters: np.ndarray, biases: np.ndarray, pads: list[int]) -> None:
        self.apply("Conv", filters.transpose(3, 2, 0, 1), biases, kernel_shape=list(filters.shape[:2]), pads=pads)

    def activate(self, function) -> None:
        name = getattr(function, "__name__", "linear")
        if name == "relu":
            self.apply("Relu")
        elif name == "softmax":
            self.apply("Reshape", np.array([0, self.shape[2]]))
            self.apply("Softmax", axis=1)
        elif name != "linear":
            raise UnknownLayer(name)

    def serialized(self, classes: int) -> bytes:
        self.nodes[-1].output[0] = "output"
        graph = helper.make_graph(
            self.nodes,
            "livenessnet",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["faces", *self.input])],
            [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["faces", classes])],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        ).SerializeToString()
