"""Inference graphs as our earlier versions wrote them; models with such graphs are still out there."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import livenessnet

FIRST, SECOND = "as tf2onnx exports it", "members one after the other"


def rewritten(archive: bytes, form: str) -> bytes:
    """A model's archive with its graph in an earlier form."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(archive)
        model = livenessnet.import_keras().models.load_model(path)
    members["liveness.onnx"] = graph(model, form)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return packed.getvalue()


def graph(model, form: str) -> bytes:
    """Of a LivenessNet or an average of several: each written down whole, then added up."""
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
                at = node("Conv", at, constant(weights[0].transpose(3, 2, 0, 1)), constant(weights[1]),
                          kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            elif kind == "BatchNormalization":
                gamma, beta, mean, variance = weights
                scale, each = gamma / np.sqrt(variance + layer.epsilon), (-1,) if shape else (1, -1, 1, 1)
                at = node("Add", node("Mul", at, constant(scale.reshape(each))),
                          constant((beta - mean * scale).reshape(each)))
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
    members = [layer for layer in model.layers if hasattr(layer, "layers")] or [model]
    total = member(members[0])
    for network in members[1:]:
        total = node("Add", total, member(network))
    nodes.append(helper.make_node("Mul", [total, constant(np.float32([1 / len(members)]))], ["output"]))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["faces", *shape[1:]])]
        for name, shape in (("input", model.input_shape), ("output", model.output_shape))
    )
    whole = helper.make_graph(nodes, "livenessnet", inputs, outputs, constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()
