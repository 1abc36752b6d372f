"""Strategies that damage genuine inputs: bytes anywhere, or single records with all around them put right."""

import io
import json
import math
import struct
import zipfile
import zlib

from hypothesis import strategies as st

NUMBERS = [0, 1, 2, 255, 65535, 1 << 20, 1 << 27, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1]
INTEGERS = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS).map(lambda n: -n), st.integers(-8, 600))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), st.text(max_size=8), st.sampled_from(["fake", "real"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=8,
)
OPERATORS = (
    "Pad Resize Gemm Concat Slice If Loop LSTM Expand Tile ConstantOfShape Gather Split Einsum Transpose "
    "ConvTranspose Flatten Squeeze Unsqueeze NonZero TopK Range Where ScatterND GRU Attention MatMul ReduceSum "
    "Upsample Softmax Conv Reshape MaxPool Add Mul Relu Shape Cast ReduceMean"
).split()
BOXES = b"tkhd mvhd mdhd stts stsz stsc stco mp4v avc1 elst ctts stss esds avcC".split()
GRAPH_CHANGES = "dim attribute operator remove rewire fewer type shorter more input rank again weights output".split()
ATTRIBUTES = ["axis", "axes", "perm", "pads", "group", "strides", "dilations", "kernel_shape", "to", "auto_pad"]


@st.composite
def damaged(draw, genuine: list[bytes], most: int = 4) -> bytes:
    """A genuine input with a few changes of the kind that disks, networks and vandals make."""
    data = bytearray(draw(st.sampled_from(genuine)))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "set", "number", "number", "cut", "drop", "repeat", "insert", "zeros"]))
        size = draw(st.integers(1, 64))
        if change == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
        elif change == "number":
            number, order = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(["big", "little"]))
            width = draw(st.sampled_from([2, 4, 8]))
            data[at : at + width] = (number & (1 << 8 * width) - 1).to_bytes(width, order)
        elif change == "cut":
            del data[at:]
        elif change == "drop":
            del data[at : at + size]
        elif change == "repeat":
            data[at:at] = data[at : at + size]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        else:
            data[at : at + size] = bytes(len(data[at : at + size]))
    return bytes(data)


def broken(genuine: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(damaged(genuine), damaged(genuine), st.binary(max_size=300))


@st.composite
def changed_graph(draw, graph: bytes) -> bytes:
    """An ONNX model with a few nodes, shapes, names or numbers changed, and all lengths right."""
    import onnx

    model = onnx.load_from_string(graph)
    nodes, tensors = model.graph.node, model.graph.initializer
    names = sorted({name for node in nodes for name in [*node.input, *node.output]} | {""})
    for _ in range(draw(st.integers(1, 4))):
        node, tensor = draw(st.sampled_from(list(nodes))), draw(st.sampled_from(list(tensors)))
        change = draw(st.sampled_from(GRAPH_CHANGES))
        if change == "remove":
            nodes.remove(node)
        elif change == "again":
            nodes.append(node)
        elif change == "input":
            side = draw(st.sampled_from(list(model.graph.input[0].type.tensor_type.shape.dim)))
            side.dim_value = _int64(draw(INTEGERS))
        elif change == "output":
            model.graph.output[0].name = draw(st.sampled_from(names))
        elif change in ("dim", "rank", "type", "shorter", "weights"):
            _change_tensor(draw, change, tensor)
        else:
            _change_node(draw, change, node, names)
    return model.SerializeToString()


def _change_tensor(draw, change: str, tensor) -> None:
    if change == "dim" and tensor.dims:
        tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = _int64(draw(INTEGERS))
    elif change == "rank" and tensor.dims:
        del tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))]
    elif change == "type":
        tensor.data_type = draw(st.integers(0, 25))
    elif change == "shorter":
        tensor.raw_data = tensor.raw_data[: draw(st.integers(0, len(tensor.raw_data)))]
    elif change == "weights":
        value = draw(st.sampled_from([math.nan, math.inf, -3e38, 1e30]))
        tensor.raw_data = struct.pack("<f", value) + tensor.raw_data[4:]


def _change_node(draw, change: str, node, names: list[str]) -> None:
    import onnx

    if change == "attribute" and node.attribute:
        attribute = draw(st.sampled_from(list(node.attribute)))
        if attribute.ints:
            attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = _int64(draw(INTEGERS))
        else:
            attribute.i = _int64(draw(INTEGERS))
    elif change == "operator":
        node.op_type = draw(st.sampled_from(OPERATORS))
    elif change == "rewire" and node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
    elif change == "fewer" and node.input:
        del node.input[draw(st.integers(0, len(node.input) - 1))]
    elif change == "more":
        number = INTEGERS.map(_int64)
        numbers = st.lists(number, min_size=1, max_size=5)
        value = draw(st.one_of(number, numbers, st.just("SAME_UPPER"), st.just(1.5)))
        node.attribute.append(onnx.helper.make_attribute(draw(st.sampled_from(ATTRIBUTES)), value))


def _int64(value: int) -> int:
    return max(-(1 << 63), min((1 << 63) - 1, value))


@st.composite
def changed_archive(draw, archive: bytes) -> bytes:
    """A model whose members say something else, packed as a zip can be packed, with sizes that may be lies."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        graph, details = old.read("liveness.onnx"), json.loads(old.read("liveness.json"))
    change = draw(
        st.sampled_from(["graph", "graph", "graph", "bytes", "details", "calibration", "text", "sizes", "missing"])
    )
    if change == "graph":
        graph = draw(changed_graph(graph))
    elif change == "bytes":
        graph = draw(damaged([graph]))
    elif change == "details":
        names = ["format", "labels", "input_size", "margin", "weight", "calibration"]
        details[draw(st.sampled_from(names))] = draw(JSON)
    elif change == "calibration":
        details["calibration"][draw(st.sampled_from(["scale", "reach", "offset"]))] = draw(
            JSON | st.lists(st.floats() | st.integers(), min_size=1, max_size=6)
        )
    elif change == "missing":
        del details[draw(st.sampled_from(["format", "labels", "input_size", "margin", "calibration"]))]
    text = draw(damaged([json.dumps(details).encode()])) if change == "text" else json.dumps(details).encode()
    packed, kind = io.BytesIO(), draw(st.sampled_from([0, 0, 8, 12, 14])) if change == "sizes" else 0
    with zipfile.ZipFile(packed, "w", kind) as new:
        new.writestr("liveness.onnx", graph)
        new.writestr("liveness.json", text)
    data = bytearray(packed.getvalue())
    if change == "sizes":
        for signature, offset in ((b"PK\1\2", 20), (b"PK\3\4", 18)):
            at = data.find(signature) + offset + draw(st.sampled_from([0, 4]))
            data[at : at + 4] = struct.pack("<I", draw(st.sampled_from(NUMBERS)) & 0xFFFFFFFF)
    return bytes(data)


@st.composite
def changed_owners(draw, archive: bytes, member: str, text: bytes) -> bytes:
    """A model archive with the member of its owners, in which something of the text stands for something else."""
    said = json.loads(text)
    name, templates = draw(st.sampled_from([*said["owners"].items()]))
    row, place = (draw(st.integers(0, length - 1)) for length in (len(templates), len(templates[0])))
    change = draw(
        st.sampled_from(["number", "number", "template", "templates", "name", "owners", "network", "all", "text"])
    )
    value = draw(JSON)
    if change == "number":
        templates[row][place] = value
    elif change == "template":
        templates[row] = draw(st.sampled_from([value, templates[row][:place], [0] * place]))
    elif change == "templates":
        said["owners"][name] = draw(st.sampled_from([value, [], templates * 9, [templates[row]] * 2]))
    elif change == "name":
        said["owners"][draw(st.text(max_size=50))] = templates
    elif change == "owners":
        said["owners"] = draw(st.sampled_from([value, {str(number): templates for number in range(30)}]))
    elif change == "network":
        said["network"] = value
    elif change == "all":
        said = value
    text = json.dumps(said).encode()
    if change == "text":
        text = draw(damaged([text]))
    file = io.BytesIO(archive)
    with zipfile.ZipFile(file, "a") as members:
        members.writestr(member, text)
    return file.getvalue()


@st.composite
def changed_png(draw, png: bytes) -> bytes:
    """A PNG with a chunk changed, left out or repeated, and its checksum put right."""
    chunks, at = [], 8
    while at < len(png):
        size = struct.unpack(">I", png[at : at + 4])[0]
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + size]))
        at += 12 + size
    kinds = [kind for kind, _ in chunks]
    for _ in range(draw(st.integers(1, 2))):
        which = draw(st.integers(0, len(chunks) - 1))
        kind, body = chunks[which]
        change = draw(st.sampled_from(["damage", "damage", "size", "text", "drop", "repeat", "kind"]))
        if change == "damage":
            chunks[which] = kind, draw(damaged([body], 2))
        elif change == "size" and kind == b"IHDR":
            chunks[which] = kind, struct.pack(">II", *draw(st.tuples(*[st.sampled_from(NUMBERS[:8])] * 2))) + body[8:]
        elif change == "text" and b"crop:" in body:
            value = draw(
                st.sampled_from(
                    [b"nan", b"inf", b"-1", b"1e999", b"", b"1:2", b"0:0:0:0:0", b"nan:0:1:1", b"9:9:9:9", b"x" * 999]
                )
            )
            name = draw(st.sampled_from([b"margin", b"source", b"time_s", b"inside"]))
            start = body.find(b"crop:" + name + b'="')
            end = body.find(b'"', start + len(name) + 7)
            chunks[which] = kind, body[:start] + b"crop:" + name + b'="' + value + body[end:]
        elif change == "drop" and len(chunks) > 1:
            del chunks[which]
        elif change == "repeat":
            chunks.insert(which, chunks[which])
        elif change == "kind":
            chunks[which] = draw(st.sampled_from([*kinds, b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"PLTE"])), body
    return png[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@st.composite
def changed_boxes(draw, video: bytes) -> bytes:
    """An MP4 with numbers changed in its tables: sizes, times, durations, offsets."""
    data = bytearray(video)
    names = [name for name in BOXES if name in video]
    for _ in range(draw(st.integers(1, 3))):
        at = video.find(draw(st.sampled_from(names))) + 4 + draw(st.integers(0, 90))
        width = draw(st.sampled_from([1, 2, 4]))
        number = draw(st.one_of(st.sampled_from(NUMBERS), st.integers(0, 255)))
        data[at : at + width] = (number & (1 << 8 * width) - 1).to_bytes(width, "big")
    return bytes(data)
