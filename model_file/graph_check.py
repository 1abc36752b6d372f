"""Checks an inference graph (ONNX) before OpenCV sees it.

OpenCV's importer trusts what it reads: fuzzed with graphs in which a few numbers, names or operators had been
changed, one in thirty ended in a segmentation fault, a division by zero or an endless loop, and none of those can be
caught. LivenessNet needs fifteen operators and no more, among them those of earlier versions, which laid eight
networks side by side as groups of channels and took their mean. So the file is read here, in Python, where nothing
worse than an exception can happen, and refused unless it is made of those alone, with shapes and sizes that fit
together from the input to the output, for any number of faces.
"""

import math
import re
from collections.abc import Set

import numpy as np

from model_file.protobuf import integers, message, signed

NODE_LIMIT = 1000
# Eight LivenessNets side by side have 8.4e6 values at a time at 256 pixels, and three in a row half of it at 512.
ELEMENT_LIMIT, WORK_LIMIT = 1 << 23, 4e10
FLOAT, INT32, INT64 = 1, 6, 7
_BYTES = {FLOAT: 4, INT32: 4, INT64: 8}
_NAME = re.compile(rb"[\w./:;()-]{1,500}")


class GraphError(ValueError):
    """The graph is not a LivenessNet's; the message says in a few words what is wrong."""


def check(graph: bytes, input_size: int) -> None:
    """Raise GraphError unless the graph takes float32 (N, input_size, input_size, 3) and gives float32 (N, 2).

    graph: an ONNX model. Of the weights, looks only at whether they are numbers.
    """
    try:
        parts = _Parts(graph, input_size)
        for batch in (1, 5):  # sizes in it are fixed or those of its input: what holds for both, holds for any
            _Walk(parts, input_size, batch)
    except GraphError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise GraphError(f"malformed ({type(error).__name__})") from None


def _name(value: memoryview) -> str:
    if not _NAME.fullmatch(value):
        raise GraphError("an odd name")
    return bytes(value).decode("ascii")


# --- ONNX: https://onnx.ai/onnx/api/classes.html ---


class _Parts:
    """What a graph is made of, each part sound by itself.

    constants: (name, shape, values), values only of integers. nodes: (operator, names of inputs, attributes, name of
    the output). input, output: names.
    """

    def __init__(self, data: bytes, input_size: int):
        model = message(
            memoryview(data),
            {1: "ir", 2: "producer", 3: "version", 4: "domain", 5: "number", 6: "doc", 7: "graph"},
            {8: "opsets", 14: "metadata"},
        )
        if not 3 <= model["ir"] <= 20:
            raise GraphError("another version of ONNX")
        self._check_opsets(model["opsets"])
        graph = message(model["graph"], {2: "name", 10: "doc", 11: "input", 12: "output"}, {1: "nodes", 5: "tensors"})
        if len(graph["nodes"]) > NODE_LIMIT or len(graph["tensors"]) > NODE_LIMIT:
            raise GraphError("far too many parts")
        self.constants = [self._constant(tensor) for tensor in graph["tensors"]]
        self.nodes = [self._node(node) for node in graph["nodes"]]
        self.input = _value(graph["input"], [input_size, input_size, 3])
        self.output = _value(graph["output"], [2])

    @staticmethod
    def _check_opsets(opsets: list) -> None:
        for opset in opsets:
            entry = message(opset, {1: "domain", 2: "version"})
            domain = bytes(entry.get("domain", b""))
            if domain not in (b"", b"ai.onnx.ml") or not 1 <= entry["version"] <= 30:
                raise GraphError("operators of another kind")

    @staticmethod
    def _constant(data: memoryview) -> tuple[str, tuple[int, ...], list[int] | None]:
        tensor = message(data, {2: "type", 8: "name", 9: "raw", 12: "doc"}, {1: "dims"})
        name, shape, raw = _name(tensor["name"]), tuple(integers(tensor["dims"])), tensor["raw"]
        if len(shape) > 4 or not all(1 <= side <= ELEMENT_LIMIT for side in shape):
            raise GraphError("weights of an impossible shape")
        size = _BYTES[tensor["type"]]
        if len(raw) != math.prod(shape) * size:
            raise GraphError("weights that do not fill their shape")
        if tensor["type"] == FLOAT:
            # OpenCV's softmax makes one half of what is not a number, which would pass for a doubtful face.
            if not np.isfinite(np.frombuffer(raw, "<f4")).all():
                raise GraphError("weights that are no numbers")
            return name, shape, None
        if len(shape) != 1 or shape[0] > 8:
            raise GraphError("too many sizes")
        return (
            name,
            shape,
            [int.from_bytes(raw[at : at + size], "little", signed=True) for at in range(0, len(raw), size)],
        )

    @staticmethod
    def _node(data: memoryview) -> tuple[str, list[str], dict, str]:
        node = message(
            data, {3: "name", 4: "kind", 6: "doc", 7: "domain"}, {1: "inputs", 2: "outputs", 5: "attributes"}
        )
        if len(node.get("domain", b"")) or len(node["outputs"]) != 1:
            raise GraphError("an operator of another kind")
        names = [_name(value) for value in node["inputs"]]
        attributes = dict(_attribute(value) for value in node["attributes"])
        return _name(node["kind"]), names, attributes, _name(node["outputs"][0])


class _Walk:
    """Goes through a graph from the input to the output, knowing the shape of every tensor for so many faces.

    shapes: of floating-point tensors; integers: the values of the others, which are all constants or sizes.
    """

    def __init__(self, parts: _Parts, input_size: int, batch: int):
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.integers: dict[str, list[int]] = {}
        self.work = 0.0
        self.names: set[str] = set()
        for name, shape, values in parts.constants:
            if values is None:
                self._define_floats(name, shape)
            else:
                self._define(name)
                self.integers[name] = values
        self._define_floats(parts.input, (batch, input_size, input_size, 3))
        for kind, names, attributes, output in parts.nodes:
            if kind in _ON_INTEGERS:
                self._define(output)
                self.integers[output] = _ON_INTEGERS[kind](self, names, attributes)
            elif kind in _ON_FLOATS:
                self._define_floats(output, *_ON_FLOATS[kind](self, names, attributes))
            else:
                raise GraphError("an operator that no LivenessNet has")
        if self.shapes[parts.output] != (batch, 2):
            raise GraphError("an output of another shape")

    def _define(self, name: str) -> None:
        if name in self.names:
            raise GraphError("a name twice")
        self.names.add(name)

    def _define_floats(self, name: str, shape: tuple[int, ...], work: float = 1) -> None:
        """work: multiplications per value."""
        self._define(name)
        size = math.prod(shape)
        self.work += size * work
        fits = all(1 <= side <= ELEMENT_LIMIT for side in shape)
        if not fits or size > 5 * ELEMENT_LIMIT or self.work > 5 * WORK_LIMIT:  # 5: the larger batch
            raise GraphError("larger than any LivenessNet")
        self.shapes[name] = shape

    # Operators on integers: (input names, attributes) -> the values.

    def _shape(self, names, attributes):
        _expect(attributes, {})
        (name,) = _count(names, 1)
        return list(self.shapes[name])

    def _gather(self, names, attributes):
        _expect(attributes, {"axis": 0})
        data, indices = (self.integers[name] for name in _count(names, 2))
        if not all(0 <= index < len(data) for index in indices):
            raise GraphError("a size that is not there")
        return [data[index] for index in indices]

    def _slice(self, names, attributes):
        _expect(attributes, {})
        data, start, end, axes = (self.integers[name] for name in _count(names, 4))
        if axes != [0] or len(start) != 1 or len(end) != 1 or not 0 <= start[0] < end[0] <= len(data):
            raise GraphError("a size that is not there")
        return data[start[0] : end[0]]

    def _concat(self, names, attributes):
        _expect(attributes, {"axis": 0}, required=True)
        values = [value for name in names for value in self.integers[name]]
        if not 1 <= len(values) <= 8:
            raise GraphError("too many sizes")
        return values

    def _cast(self, names, attributes):
        if attributes not in ({"to": INT32}, {"to": INT64}):
            raise GraphError("an unexpected attribute of Cast")
        (name,) = _count(names, 1)
        return self.integers[name]

    # Operators on floating-point tensors: (input names, attributes) -> (shape, multiplications per value).

    def _same(self, names, attributes):
        _expect(attributes, {})
        (name,) = _count(names, 1)
        return self.shapes[name], 1

    def _softmax(self, names, attributes):
        (name,) = _count(names, 1)
        shape = self.shapes[name]
        last = len(shape) - 1
        # Of two axes the second is the default.
        if last not in (1, 2) or attributes.get("axis", 1) not in (last, -1) or not attributes.keys() <= {"axis"}:
            raise GraphError("a Softmax that is not the last layer's")
        return shape, 8

    def _mean(self, names, attributes):
        _expect(attributes, {"axes": [1], "keepdims": 0}, required=True)
        (name,) = _count(names, 1)
        n, members, classes = self.shapes[name]
        return (n, classes), members

    def _broadcast(self, names, attributes):
        _expect(attributes, {})
        shapes = [self.shapes[name] for name in _count(names, 2)]
        part, whole = sorted(shapes, key=lambda shape: (len(shape), shape))
        padded = (1,) * (len(whole) - len(part)) + part
        if any(b not in (1, a) for a, b in zip(whole, padded)):
            raise GraphError("shapes that do not fit")
        return whole, 1

    def _transpose(self, names, attributes):
        (name,) = _count(names, 1)
        shape = self.shapes[name]
        if len(shape) != 4 or attributes not in ({"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}):
            raise GraphError("an unexpected Transpose")
        return tuple(shape[axis] for axis in attributes["perm"]), 1

    def _conv(self, names, attributes):
        """Either 3 by 3 with a margin, or a dense layer: all there is, without one."""
        _expect(attributes, {"dilations": [1, 1], "strides": [1, 1]}, others={"group", "kernel_shape", "pads"})
        n, channels, height, width = self.shapes[names[0]]
        filters, depth, *kernel = self.shapes[names[1]]
        group = attributes.get("group", 1)
        biases = [self.shapes[name] for name in names[2:]]
        dense = attributes.get("pads") == [0, 0, 0, 0]
        sound = (
            2 <= len(names) <= 3
            and biases in ([], [(filters,)])
            and 1 <= group
            and filters % group == 0
            and depth * group == channels
            and kernel == ([height, width] if dense else [3, 3]) == attributes.get("kernel_shape")
            and (dense or attributes.get("pads") == [1, 1, 1, 1])
        )
        if not sound:
            raise GraphError("an unexpected Conv")
        return (n, filters, *((1, 1) if dense else (height, width))), math.prod(kernel) * depth

    def _max_pool(self, names, attributes):
        _expect(attributes, {"strides": [2, 2], "kernel_shape": [2, 2]}, required=True)
        (name,) = _count(names, 1)
        n, channels, height, width = self.shapes[name]
        return (n, channels, height // 2, width // 2), 4

    def _reshape(self, names, attributes):
        _expect(attributes, {})
        data, wanted = _count(names, 2)
        shape, target = self.shapes[data], self.integers[wanted]
        flat = target in ([shape[0], math.prod(shape[1:])], [0, math.prod(shape[1:])])
        members = len(target) == 3 and target[0] == 0 and min(target[1:]) >= 1
        if not flat and not (members and target[1] * target[2] == math.prod(shape[1:])):
            raise GraphError("an unexpected Reshape")
        return (shape[0], *target[1:]), 1

    def _mat_mul(self, names, attributes):
        _expect(attributes, {})
        left, right = (self.shapes[name] for name in _count(names, 2))
        if len(left) != 2 or len(right) != 2 or left[1] != right[0]:
            raise GraphError("shapes that do not fit")
        return (left[0], right[1]), left[1]


_ON_INTEGERS = {
    "Shape": _Walk._shape,
    "Gather": _Walk._gather,
    "Slice": _Walk._slice,
    "Concat": _Walk._concat,
    "Cast": _Walk._cast,
}
_ON_FLOATS = {
    "Relu": _Walk._same,
    "Softmax": _Walk._softmax,
    "Add": _Walk._broadcast,
    "Mul": _Walk._broadcast,
    "Transpose": _Walk._transpose,
    "Conv": _Walk._conv,
    "MaxPool": _Walk._max_pool,
    "Reshape": _Walk._reshape,
    "ReduceMean": _Walk._mean,
    "MatMul": _Walk._mat_mul,
}


def _count(names: list[str], count: int) -> list[str]:
    if len(names) != count:
        raise GraphError("an operator with too many or too few inputs")
    return names


def _expect(attributes: dict, values: dict, required: bool = False, others: Set[str] = frozenset()) -> None:
    """The attributes must have these values, where they are there; none but them and the others may be."""
    for name, value in values.items():
        if attributes.get(name, None if required else value) != value:
            raise GraphError("an unexpected attribute")
    if not attributes.keys() <= values.keys() | others:
        raise GraphError("an unexpected attribute")


def _attribute(data: memoryview) -> tuple[str, int | list[int]]:
    attribute = message(data, {1: "name", 3: "i", 13: "doc", 20: "type"}, {8: "ints"})
    name, ints = _name(attribute["name"]), integers(attribute["ints"])
    if attribute.get("type") == 2 and not ints:
        return name, signed(attribute["i"])
    if attribute.get("type") == 7 and "i" not in attribute and 1 <= len(ints) <= 4:
        return name, ints
    raise GraphError("an attribute of another kind")


def _value(data: memoryview, sides: list[int]) -> str:
    """The name of the graph's input or output, whose sides beyond the batch's must be these."""
    value = message(data, {1: "name", 2: "type", 3: "doc"})
    tensor = message(message(value["type"], {1: "tensor"})["tensor"], {1: "type", 2: "shape"})
    dims = message(tensor["shape"], {}, {1: "dims"})["dims"]
    found = [message(dim, {1: "size", 2: "symbol"}) for dim in dims]
    if tensor["type"] != FLOAT or [dim.get("size") for dim in found] != [found[0].get("size"), *sides]:
        raise GraphError("an input or output of another shape")
    if found[0].get("size", -1) not in (-1, 1, (1 << 64) - 1):
        raise GraphError("a fixed number of faces")
    return _name(value["name"])
