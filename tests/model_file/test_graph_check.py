"""What is no LivenessNet's graph is refused before OpenCV sees it, of which some would end the process."""

import cv2
import damaged_inputs
import numpy as np
import pytest
from graph_parts import edited, genuine_graphs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_file import graph_check

NOW, THIRD, FIRST = range(3)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> list[bytes]:
    return genuine_graphs(tmp_path_factory.mktemp("genuine"))


@pytest.mark.parametrize("form", [NOW, THIRD, FIRST])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_changed_graph_is_sound_or_refused(graphs, form, data):
    graph = graphs[form]
    try:
        graph_check.check(data.draw(damaged_inputs.changed_graph(graph)), 16)
    except graph_check.GraphError as error:
        assert "\n" not in str(error)


def node(graph, kind: str, which: int = 0):
    return [node for node in graph.node if node.op_type == kind][which]


def filters(graph):
    return next(tensor for tensor in graph.initializer if len(tensor.dims) == 4)


def set_attribute(kind: str, name: str, value, which: int = 0):
    """As OpenCV reads it: some of these end the process, in a division by zero or a segmentation fault."""

    def change(graph):
        import onnx

        changed = node(graph, kind, which)
        kept = [attribute for attribute in changed.attribute if attribute.name != name]
        del changed.attribute[:]
        changed.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


ANY_FORM = [
    set_attribute("Conv", "group", 0),
    set_attribute("Conv", "group", 3),
    set_attribute("Conv", "group", -1),
    set_attribute("Conv", "strides", [0, 0]),
    set_attribute("Conv", "strides", [2, 2]),
    set_attribute("Conv", "pads", [1 << 30] * 4),
    set_attribute("Conv", "pads", [0, 0, 0, 0]),
    set_attribute("MaxPool", "strides", [0, 0]),
    set_attribute("MaxPool", "kernel_shape", [0, 0]),
    set_attribute("MaxPool", "pads", [9, 9, 9, 9]),
    set_attribute("MaxPool", "ceil_mode", 1),
    set_attribute("Transpose", "perm", [0, 9, 1, 2]),
    set_attribute("Softmax", "to", 1),
    set_attribute("Softmax", "axis", 9),
    set_attribute("Softmax", "axis", 0),
    set_attribute("Relu", "axis", 0),
    lambda graph: setattr(node(graph, "Relu"), "op_type", "Loop"),
    lambda graph: setattr(node(graph, "Relu"), "domain", "com.example"),
    lambda graph: node(graph, "Relu").input.__setitem__(0, graph.output[0].name),
    lambda graph: node(graph, "Add").input.append("x"),
    lambda graph: node(graph, "Conv").input.append("x"),
    lambda graph: graph.initializer[0].dims.__setitem__(0, 1 << 40),
    lambda graph: graph.initializer[0].dims.append(0),
    lambda graph: setattr(filters(graph), "raw_data", filters(graph).raw_data[:-4]),
    lambda graph: setattr(filters(graph), "raw_data", filters(graph).raw_data * 2),
    lambda graph: setattr(graph.initializer[0], "data_type", 11),
    lambda graph: setattr(graph.initializer[0], "data_location", 1),  # in another file
    lambda graph: graph.node.append(node(graph, "Relu")),
    lambda graph: graph.node.remove(node(graph, "MaxPool")),
    lambda graph: graph.input.append(graph.input[0]),
    lambda graph: graph.output[0].type.tensor_type.shape.dim.pop(),
    lambda graph: graph.sparse_initializer.add(),
]
AS_THIRD = [
    set_attribute("ReduceMean", "axes", [0]),
    set_attribute("ReduceMean", "axes", [1, 2]),
    set_attribute("ReduceMean", "keepdims", 1),
    set_attribute("Softmax", "axis", 1),
    lambda graph: graph.node.remove(node(graph, "ReduceMean")),
    *(
        lambda graph, sizes=sizes: sizes_of_reshape(graph, sizes)
        for sizes in ([0, 0, 2], [0, -1, 2], [0, 2, 3], [1, 2, 2], [0, 2, 1 << 40], [0, 1, 4], [0, 4])
    ),
    # The second convolution is the first of two groups, the fifth covers all there is.
    set_attribute("Conv", "group", 1, which=1),
    set_attribute("Conv", "group", 4, which=1),
    set_attribute("Conv", "kernel_shape", [3, 4], which=4),
    set_attribute("Conv", "pads", [0, 0, 0, 1], which=4),
]
AS_FIRST = [
    set_attribute("Cast", "to", 99),
    set_attribute("Concat", "axis", 7),
    set_attribute("Gather", "axis", 1),
    lambda graph: node(graph, "MatMul").input.append("x"),
]


def sizes_of_reshape(graph, sizes: list[int]) -> None:
    from onnx import numpy_helper

    old = next(tensor for tensor in graph.initializer if tensor.name == node(graph, "Reshape").input[1])
    old.CopyFrom(numpy_helper.from_array(np.array(sizes), old.name))


@pytest.mark.parametrize(
    ("form", "change"),
    [
        *((form, change) for form in (NOW, THIRD, FIRST) for change in ANY_FORM),
        *((THIRD, change) for change in AS_THIRD),
        *((FIRST, change) for change in AS_FIRST),
    ],
)
def test_a_graph_that_opencv_might_stumble_over_is_refused(graphs, form, change):
    with pytest.raises(graph_check.GraphError):
        graph_check.check(edited(graphs[form], change), 16)


def small(
    group=1, filters=4, kernel=3, pads=1, last_kernel=16, last_pads=0, sizes=(0, 1, 2), early=False, **mean
) -> bytes:
    """Three layers, the last of which covers all there is; what it is not told is as it should be."""
    from onnx import helper, numpy_helper

    constants = {
        "first": np.ones((4, 3, 3, 3)),
        "second": np.ones((filters, 4 // group, kernel, kernel)),
        "last": np.ones((2, filters, last_kernel, last_kernel)),
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    tensors.append(numpy_helper.from_array(np.array(sizes), "sizes"))
    layers = [
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["first"], {"kernel_shape": [3, 3], "pads": [1] * 4}),
        ("Conv", ["second"], {"kernel_shape": [kernel] * 2, "pads": [pads] * 4, "group": group}),
        ("Conv", ["last"], {"kernel_shape": [last_kernel] * 2, "pads": [last_pads] * 4}),
        ("Reshape", ["sizes"], {}),
        ("Softmax", [], {"axis": 3 if early else 2}),
        ("ReduceMean", [], {"axes": [1], "keepdims": 0} | mean),
    ]
    if early:
        layers[4:6] = layers[5], layers[4]
    names = ["input", *"abcdef", "output"]
    nodes = [
        helper.make_node(kind, [before, *others], [after], **attributes)
        for (kind, others, attributes), before, after in zip(layers, names[:-1], names[1:], strict=True)
    ]
    ends = [
        helper.make_tensor_value_info(name, 1, ["faces", *shape])
        for name, shape in (("input", (16, 16, 3)), ("output", (2,)))
    ]
    whole = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("sound", [{}, {"group": 2}, {"group": 4, "filters": 8}])
def test_a_small_graph_is_sound_and_runs(sound):
    graph = small(**sound)
    graph_check.check(graph, 16)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    network.setInput(np.ones((3, 16, 16, 3), np.float32))
    assert np.allclose(network.forward(), 0.5) and network.forward().shape == (3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": 2, "filters": 5},
        {"group": 4, "filters": 6},
        {"kernel": 5},
        {"kernel": 1},
        {"kernel": 1, "pads": 0},
        {"kernel": 3, "pads": 0},
        {"last_kernel": 14},
        {"last_kernel": 15},
        {"last_kernel": 16, "last_pads": 1},
        {"early": True},
        {"sizes": (0, 2, 2)},
        {"sizes": (0, 2, 1)},
        {"sizes": (0, -1, -2)},
        {"sizes": (0, 1, -1)},
        {"sizes": (1, 1, 2)},
        {"sizes": (0, 1, 2, 1)},
        {"sizes": (2, 1)},
        {"axes": None},
        {"keepdims": None},
        {"axes": [0]},
        {"axes": [-1]},
        {"noop_with_empty_axes": 1},
    ],
    ids=str,
)
def test_a_small_graph_whose_parts_do_not_fit_is_refused(wrong):
    with pytest.raises(graph_check.GraphError):
        graph_check.check(small(**wrong), 16)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x00", b"\x08"])
def test_what_is_no_graph_at_all_is_refused(data):
    with pytest.raises(graph_check.GraphError):
        graph_check.check(data, 16)


@pytest.mark.parametrize("form", [NOW, THIRD, FIRST])
def test_graphs_are_sound_for_their_own_input_only(graphs, form):
    graph_check.check(graphs[form], 16)
    with pytest.raises(graph_check.GraphError, match="another shape"):
        graph_check.check(graphs[form], 32)
