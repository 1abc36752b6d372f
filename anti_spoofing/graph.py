"""Writes MiniFASNetV2 as an inference graph (ONNX) that OpenCV DNN runs.

The layers are those of src/model_lib/MiniFASNet.py in minivision-ai/Silent-Face-Anti-Spoofing: a stem, three stages of
inverted residuals with depthwise filters between narrow ones, and two dense layers. Batch normalisation is folded into
the layer before it, number by number: so the graph is the same, to the bit, on every machine.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIDE = 80
OPSET = 15
IR_VERSION = 8  # the one that came with this opset
EPSILON = 1e-5  # of PyTorch's batch normalisation
# Inverted residuals in each stage, behind the block that halves the picture.
STAGES = {"conv_3": 4, "conv_4": 6, "conv_5": 2}


def write(tensors: dict[str, np.ndarray]) -> bytes:
    """The graph of these weights (see pytorch_file.read): float32 (N, 3, 80, 80) BGR, 0 to 255, N free, to logits,
    float32 (N, 3), of which the second speaks for live. Raises KeyError where one is missing."""
    graph = _Graph({name.removeprefix("module."): np.float64(values) for name, values in tensors.items()})
    graph.convolve("conv1", stride=2)
    graph.convolve("conv2_dw")
    for stage, count in STAGES.items():
        graph.narrow(f"conv_{int(stage[-1]) - 1}{stage[-1]}")
        for number in range(count):
            graph.residual(f"{stage}.model.{number}")
    graph.convolve("conv_6_sep")
    graph.convolve("conv_6_dw", padded=False)
    graph.classify()
    return graph.serialized()


class _Graph:
    """Nodes and constants in the making, at the one whose name is ``at``."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors, self.nodes, self.constants, self.at = tensors, [], [], "input"

    def apply(self, kind: str, *inputs: str, **attributes) -> None:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.at, *inputs], [name], **attributes))
        self.at = name

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def normalisation(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """What it multiplies by, and what it adds."""
        scale, shift, mean, variance = (
            self.tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + EPSILON)
        return scale, shift - mean * scale

    def convolve(self, name: str, stride: int = 1, padded: bool = True) -> None:
        """Filters, normalised, and the PReLU behind them where there is one."""
        filters = self.tensors[f"{name}.conv.weight"]
        scale, shift = self.normalisation(f"{name}.bn")
        side = filters.shape[2]
        self.apply(
            "Conv",
            self.constant(filters * scale[:, None, None, None]),
            self.constant(shift),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2 if padded else 0] * 4,
            group=len(filters) if filters.shape[1] == 1 else 1,
        )
        slopes = self.tensors.get(f"{name}.prelu.weight")
        if slopes is not None:
            self.apply("PRelu", self.constant(slopes[:, None, None]))

    def narrow(self, name: str, stride: int = 2) -> None:
        """Widen, filter each channel by itself, narrow."""
        self.convolve(f"{name}.conv")
        self.convolve(f"{name}.conv_dw", stride)
        self.convolve(f"{name}.project")

    def residual(self, name: str) -> None:
        before = self.at
        self.narrow(name, stride=1)
        self.apply("Add", before)

    def classify(self) -> None:
        scale, shift = self.normalisation("bn")
        self.apply("Flatten", axis=1)
        weights = self.tensors["linear.weight"] * scale[:, None]
        self.apply("Gemm", self.constant(weights), self.constant(shift), transB=1)
        classes = self.tensors["prob.weight"]
        self.apply("Gemm", self.constant(classes), self.constant(np.zeros(len(classes))), transB=1)

    def serialized(self) -> bytes:
        self.nodes[-1].output[0] = "logits"
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "MiniFASNetV2",
            [value("input", onnx.TensorProto.FLOAT, ["faces", 3, SIDE, SIDE])],
            [value("logits", onnx.TensorProto.FLOAT, ["faces", 3])],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        ).SerializeToString(deterministic=True)
