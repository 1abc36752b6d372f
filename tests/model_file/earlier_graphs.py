"""Inference graphs as our earlier versions wrote them; models with such graphs are still out there."""

import json
import zipfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import livenessnet

FIRST, SECOND, THIRD = "as tf2onnx exports it", "members one after the other", "members side by side"


def average(members: list):
    """One model of several LivenessNets, whose output is the mean of theirs: what train.py made until it had a witness
    beside it."""
    keras = livenessnet.import_keras()
    inputs = keras.Input(members[0].input_shape[1:])
    mean = keras.layers.Average()([member(inputs) for member in members])
    return keras.Model(inputs, mean, name="livenessnet")


def write(path: Path, model, form: str, details: dict) -> Path:
    """An archive as that version wrote it."""
    everything = {"format": 1, "labels": livenessnet.LABELS, "input_size": model.input_shape[1], **details}
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("liveness.onnx", graph(model, form))
        members.writestr("liveness.json", json.dumps(everything))
    return path


def graph(model, form: str) -> bytes:
    """Of a LivenessNet or an average of several."""
    return _side_by_side(model) if form == THIRD else _one_after_the_other(model, form)


def _members(model) -> list:
    return [layer for layer in model.layers if hasattr(layer, "layers")] or [model]


def _serialized(model, nodes: list, constants: list) -> bytes:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["faces", *shape[1:]])]
        for name, shape in (("input", model.input_shape), ("output", model.output_shape))
    )
    whole = helper.make_graph(nodes, "livenessnet", inputs, outputs, constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


def _side_by_side(model) -> bytes:
    """The channels of all members one beside the other, each a group of its own from the second layer on."""
    nodes, constants, members = [], [], _members(model)
    shape = model.input_shape[1:]

    def node(kind: str, *values, **attributes) -> None:
        at = nodes[-1].output[0] if nodes else "input"
        for value in values:
            constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"c{len(constants)}"))
        names = [constant.name for constant in constants[len(constants) - len(values) :]]
        nodes.append(helper.make_node(kind, [at, *names], [f"n{len(nodes)}"], **attributes))

    def convolve(filters, biases, pads: int) -> None:
        group = len(members) if any(node.op_type == "Conv" for node in nodes) else 1
        node(
            "Conv",
            filters.transpose(3, 2, 0, 1),
            biases,
            kernel_shape=list(filters.shape[:2]),
            pads=[pads] * 4,
            group=group,
        )

    node("Transpose", perm=[0, 3, 1, 2])
    for layers in zip(*(member.layers for member in members), strict=True):
        layer, kind = layers[0], type(layers[0]).__name__
        weights = [np.concatenate(same, axis=-1) for same in zip(*(each.get_weights() for each in layers))]
        height, width, channels = shape
        if kind == "Conv2D":
            convolve(*weights, 1)
            shape = height, width, layer.filters
        elif kind == "Dense":
            convolve(weights[0].reshape(height, width, channels, -1), weights[1], 0)
            shape = 1, 1, layer.units
        elif kind == "BatchNormalization":
            gamma, beta, mean, variance = (weight.reshape(1, -1, 1, 1) for weight in weights)
            scale = gamma / np.sqrt(variance + layer.epsilon)
            node("Mul", scale)
            node("Add", beta - mean * scale)
        elif kind == "MaxPooling2D":
            node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            shape = height // 2, width // 2, channels
        name = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if name == "relu":
            node("Relu")
        elif name == "softmax":
            node("Reshape", np.array([0, len(members), shape[2]]))
            node("Softmax", axis=2)
            node("ReduceMean", axes=[1], keepdims=0)
    nodes[-1].output[0] = "output"
    return _serialized(model, nodes, constants)


def _one_after_the_other(model, form: str) -> bytes:
    """Each written down whole, then added up."""
    nodes, constants = [], []

    def constant(values) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"c{len(constants)}"))
        return constants[-1].name

    def node(kind: str, *inputs: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"n{len(nodes)}:0"], **attributes))
        return nodes[-1].output[0]

    def flat(at: str, size: int) -> str:
        if form == SECOND:
            return node("Reshape", at, node("Concat", count, constant(np.array([size])), axis=0))
        sizes = node("Cast", node("Gather", node("Shape", at), constant(np.array([0, 2, 3, 1]))), to=6)
        first = constant(np.zeros(1, np.int32))
        sizes = node("Slice", sizes, first, constant(np.ones(1, np.int32)), first)
        sizes = node("Concat", sizes, constant(np.array([size], np.int32)), axis=0)
        return node("Reshape", node("Transpose", at, perm=[0, 2, 3, 1]), node("Cast", sizes, to=7))

    def member(network) -> str:
        at, shape = picture, ()
        for layer in network.layers:
            kind, weights = type(layer).__name__, layer.get_weights()
            if kind == "Conv2D":
                at = node(
                    "Conv",
                    at,
                    constant(weights[0].transpose(3, 2, 0, 1)),
                    constant(weights[1]),
                    kernel_shape=[3, 3],
                    pads=[1, 1, 1, 1],
                )
            elif kind == "BatchNormalization":
                gamma, beta, mean, variance = weights
                scale, each = gamma / np.sqrt(variance + layer.epsilon), (-1,) if shape else (1, -1, 1, 1)
                at = node(
                    "Add", node("Mul", at, constant(scale.reshape(each))), constant((beta - mean * scale).reshape(each))
                )
            elif kind == "MaxPooling2D":
                at = node("MaxPool", at, kernel_shape=[2, 2], strides=[2, 2])
            elif kind == "Flatten":
                shape = layer.input.shape[1:]
                at = flat(at, int(np.prod(shape)))
            elif kind == "Dense":
                kernel = weights[0]
                if form == SECOND and len(kernel) == np.prod(shape):
                    kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                at = node("Add", node("MatMul", at, constant(kernel)), constant(weights[1]))
            name = getattr(getattr(layer, "activation", None), "__name__", "linear")
            if name != "linear":
                at = node("Relu", at) if name == "relu" else node("Softmax", at, axis=1)
        return at

    picture = node("Transpose", "input", perm=[0, 3, 1, 2])
    zero = constant(np.zeros(1, np.int64))
    count = node("Slice", node("Shape", "input"), zero, constant(np.ones(1, np.int64)), zero)
    members = _members(model)
    total = member(members[0])
    for network in members[1:]:
        total = node("Add", total, member(network))
    nodes.append(helper.make_node("Mul", [total, constant(np.float32([1 / len(members)]))], ["output"]))
    return _serialized(model, nodes, constants)
