"""Writes a trained LivenessNet as an inference graph (ONNX).

Keras can export one too, through tf2onnx: it traces and converts the whole of the network and takes 2.5 s for it, a
third of a training. LivenessNet is made of seven kinds of layers, and their ONNX counterparts can be written down at
once.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 15
IR_VERSION = 8    # the one that came with this opset


class UnknownLayer(ValueError):
    """The network has a layer that LivenessNet has not; the message names it."""


def write(model) -> bytes:
    """The inference graph of a built Keras model: one LivenessNet, or several under one Average layer.

    Takes float32 (N, height, width, depth), N free, and gives float32 (N, classes). Raises UnknownLayer.
    """
    graph = _Graph(model.input_shape[1:])
    members = [layer for layer in model.layers if hasattr(layer, "layers")] or [model]
    outputs = [graph.member(member, model.input_shape[1:]) for member in members]
    total = outputs[0]
    for output in outputs[1:]:
        total = graph.node("Add", total, output)
    # By a constant at the end in any case: the graph's output needs a name of its own.
    graph.nodes.append(helper.make_node("Mul", [total, graph.constant(np.float32([1 / len(outputs)]))], ["output"]))
    return graph.serialized(model.output_shape[1])


class _Graph:
    """Nodes and constants in the making; names are numbers, and what a method returns is the name of its result."""

    def __init__(self, shape: tuple[int, int, int]):
        self.nodes, self.constants, self.shape = [], [], shape
        # Filters run over channels first.
        self.picture = self.node("Transpose", "input", perm=[0, 3, 1, 2])
        size = self.node("Shape", "input")
        zero = self.constant(np.array([0], np.int64))
        self.count = self.node("Slice", size, zero, self.constant(np.array([1], np.int64)), zero)

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def member(self, network, shape: tuple[int, int, int]) -> str:
        """One LivenessNet, from the picture to its probabilities."""
        at, flattened = self.picture, None
        for layer in network.layers:
            kind, weights = type(layer).__name__, layer.get_weights()
            if kind == "Conv2D" and (layer.padding, layer.kernel_size, layer.strides) == ("same", (3, 3), (1, 1)):
                filters = self.constant(weights[0].transpose(3, 2, 0, 1))
                at = self.node("Conv", at, filters, self.constant(weights[1]), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
                shape = (*shape[:2], weights[1].size)
            elif kind == "BatchNormalization":
                gamma, beta, mean, variance = weights
                scale = gamma / np.sqrt(variance + layer.epsilon)
                each = (-1,) if flattened else (1, -1, 1, 1)
                at = self.node("Mul", at, self.constant(scale.reshape(each)))
                at = self.node("Add", at, self.constant((beta - mean * scale).reshape(each)))
            elif kind == "MaxPooling2D" and layer.pool_size == layer.strides == (2, 2):
                at = self.node("MaxPool", at, kernel_shape=[2, 2], strides=[2, 2])
                shape = (shape[0] // 2, shape[1] // 2, shape[2])
            elif kind == "Flatten":
                size = self.constant(np.array([np.prod(shape)], np.int64))
                at = self.node("Reshape", at, self.node("Concat", self.count, size, axis=0))
                flattened = shape
            elif kind == "Dense":
                kernel = weights[0]
                if len(kernel) == np.prod(flattened):
                    # Keras flattens with the channels last.
                    kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                at = self.node("Add", self.node("MatMul", at, self.constant(kernel)), self.constant(weights[1]))
            elif kind not in ("InputLayer", "Dropout", "Activation"):
                raise UnknownLayer(kind)
            at = self._activation(at, getattr(layer, "activation", None))
        return at

    def _activation(self, at: str, function) -> str:
        name = getattr(function, "__name__", "linear")
        if name == "relu":
            return self.node("Relu", at)
        if name == "softmax":
            return self.node("Softmax", at, axis=1)
        if name == "linear":
            return at
        raise UnknownLayer(name)

    def serialized(self, classes: int) -> bytes:
        graph = helper.make_graph(
            self.nodes, "livenessnet",
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["faces", *self.shape])],
            [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["faces", classes])], self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        ).SerializeToString()
