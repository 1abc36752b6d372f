"""The fast part of fuzz.py, and by name what it has found."""

import io
import json
import struct
import subprocess
import sys
import time
import zipfile
import zlib

import cv2
import earlier_graphs
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(ROOT / "benchmarks"))

import fuzz  # noqa: E402
import onnx_graph  # noqa: E402

import alerts  # noqa: E402
import livenessnet  # noqa: E402
from capture import crops  # noqa: E402
from capture.opening import open_source  # noqa: E402
from capture.source import SourceError  # noqa: E402
from livenessnet import ModelError  # noqa: E402

INPUTS = {"labels": 250, "settings": 250, "weights": 40, "picture": 200, "video": 100}
HALF_A_GIGABYTE = 512 << 20


@pytest.mark.parametrize("target", INPUTS)
def test_what_comes_from_outside_is_used_or_refused(target):
    counts, findings = fuzz.run(target, INPUTS[target], seeded=int(time.time()))
    assert not findings
    assert counts["refused"] and counts.total() >= 0.9 * INPUTS[target]


def test_damaged_models_are_used_or_refused(trained):
    archive = fuzz.Genuine(trained.model.read_bytes())
    counts, findings = fuzz.run("model", 20, fuzz.changed_archive(archive), seeded=int(time.time()))
    assert not findings
    assert counts["refused"] >= 5


def test_the_fuzzer_notices_what_it_is_there_for(monkeypatch, tmp_path):
    """A reader that ends its process, hangs, takes memory or raises something else."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        f"import sys, os, time; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}]\n"
        "import dataclasses, fuzz\n"
        "def read(path):\n"
        "    data = path.read_bytes()\n"
        "    if data == b'end': os._exit(3)\n"
        "    if data == b'hang': time.sleep(60)\n"
        "    if data == b'grow': bytearray(b'x') * (400 << 20)\n"
        "    if data == b'raise': raise KeyError('oops')\n"
        "    return 'used'\n"
        "fuzz.serve(dataclasses.replace(fuzz.TARGETS['labels'], read=read))\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(bad))
    monkeypatch.setattr(fuzz, "TIME_LIMIT_S", 3.0)
    reader = fuzz.Reader("labels")
    try:
        assert reader.read(b"fine") == "used"
        assert "KeyError" in reader.read(b"raise")
        assert "status 3" in reader.read(b"end")
        assert "no answer" in reader.read(b"hang")
        if sys.platform != "win32":
            assert "MB of memory" in reader.read(b"grow")
        assert reader.read(b"fine") == "used"
    finally:
        reader.close()


# --- The model archive ---


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> list[bytes]:
    """Of the mean of two LivenessNets for 16 pixels: as they are written now, and in the earliest form, which has
    other operators."""
    _, now, _, first = fuzz.genuine_models(tmp_path_factory.mktemp("genuine"))
    graphs = []
    for archive in (now, first):
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            graphs.append(fuzz.Genuine(members.read("liveness.onnx")))
    return graphs


@pytest.fixture
def graph(graphs) -> bytes:
    return graphs[0]


@pytest.mark.parametrize("form", [0, 1])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=fuzz.st.data())
def test_a_changed_graph_is_sound_or_refused(graphs, form, data):
    graph = graphs[form]
    try:
        onnx_graph.check(data.draw(fuzz.changed_graph(graph)), 16)
    except onnx_graph.GraphError as error:
        assert "\n" not in str(error)


def edited(graph: bytes, change) -> bytes:
    import onnx

    model = onnx.load_from_string(graph)
    change(model.graph)
    return model.SerializeToString()


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
    set_attribute("Conv", "group", 0), set_attribute("Conv", "group", 3), set_attribute("Conv", "group", -1),
    set_attribute("Conv", "strides", [0, 0]), set_attribute("Conv", "strides", [2, 2]),
    set_attribute("Conv", "pads", [1 << 30] * 4), set_attribute("Conv", "pads", [0, 0, 0, 0]),
    set_attribute("MaxPool", "strides", [0, 0]), set_attribute("MaxPool", "kernel_shape", [0, 0]),
    set_attribute("MaxPool", "pads", [9, 9, 9, 9]), set_attribute("MaxPool", "ceil_mode", 1),
    set_attribute("Transpose", "perm", [0, 9, 1, 2]),
    set_attribute("Softmax", "to", 1), set_attribute("Softmax", "axis", 9), set_attribute("Softmax", "axis", 0),
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
AS_NOW = [
    set_attribute("ReduceMean", "axes", [0]), set_attribute("ReduceMean", "axes", [1, 2]),
    set_attribute("ReduceMean", "keepdims", 1), set_attribute("Softmax", "axis", 1),
    lambda graph: graph.node.remove(node(graph, "ReduceMean")),
    *(lambda graph, sizes=sizes: sizes_of_reshape(graph, sizes)
      for sizes in ([0, 0, 2], [0, -1, 2], [0, 2, 3], [1, 2, 2], [0, 2, 1 << 40], [0, 1, 4], [0, 4])),
    # The second convolution is the first of two groups, the fifth covers all there is.
    set_attribute("Conv", "group", 1, which=1), set_attribute("Conv", "group", 4, which=1),
    set_attribute("Conv", "kernel_shape", [3, 4], which=4), set_attribute("Conv", "pads", [0, 0, 0, 1], which=4),
]
AS_FIRST = [
    set_attribute("Cast", "to", 99), set_attribute("Concat", "axis", 7), set_attribute("Gather", "axis", 1),
    lambda graph: node(graph, "MatMul").input.append("x"),
]


def sizes_of_reshape(graph, sizes: list[int]) -> None:
    from onnx import numpy_helper

    old = next(tensor for tensor in graph.initializer if tensor.name == node(graph, "Reshape").input[1])
    old.CopyFrom(numpy_helper.from_array(np.array(sizes), old.name))


@pytest.mark.parametrize(("form", "change"), [
    *((form, change) for form in (0, 1) for change in ANY_FORM),
    *((0, change) for change in AS_NOW), *((1, change) for change in AS_FIRST),
])
def test_a_graph_that_opencv_might_stumble_over_is_refused(graphs, form, change):
    with pytest.raises(onnx_graph.GraphError):
        onnx_graph.check(edited(graphs[form], change), 16)


def small(group=1, filters=4, kernel=3, pads=1, last_kernel=16, last_pads=0, sizes=(0, 1, 2), early=False,
          **mean) -> bytes:
    """Three layers, the last of which covers all there is; what it is not told is as it should be."""
    from onnx import helper, numpy_helper

    constants = {
        "first": np.ones((4, 3, 3, 3)), "second": np.ones((filters, 4 // group, kernel, kernel)),
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
    nodes = [helper.make_node(kind, [before, *others], [after], **attributes)
             for (kind, others, attributes), before, after in zip(layers, names[:-1], names[1:], strict=True)]
    ends = [helper.make_tensor_value_info(name, 1, ["faces", *shape])
            for name, shape in (("input", (16, 16, 3)), ("output", (2,)))]
    whole = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("sound", [{}, {"group": 2}, {"group": 4, "filters": 8}])
def test_a_small_graph_is_sound_and_runs(sound):
    graph = small(**sound)
    onnx_graph.check(graph, 16)
    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
    network.setInput(np.ones((3, 16, 16, 3), np.float32))
    assert np.allclose(network.forward(), 0.5) and network.forward().shape == (3, 2)


@pytest.mark.parametrize("wrong", [
    {"group": 2, "filters": 5}, {"group": 4, "filters": 6}, {"kernel": 5}, {"kernel": 1}, {"kernel": 1, "pads": 0},
    {"kernel": 3, "pads": 0}, {"last_kernel": 14}, {"last_kernel": 15}, {"last_kernel": 16, "last_pads": 1},
    {"early": True}, {"sizes": (0, 2, 2)}, {"sizes": (0, 2, 1)}, {"sizes": (0, -1, -2)}, {"sizes": (0, 1, -1)},
    {"sizes": (1, 1, 2)}, {"sizes": (0, 1, 2, 1)},
    {"sizes": (2, 1)}, {"axes": None}, {"keepdims": None}, {"axes": [0]}, {"axes": [-1]}, {"noop_with_empty_axes": 1},
], ids=str)
def test_a_small_graph_whose_parts_do_not_fit_is_refused(wrong):
    with pytest.raises(onnx_graph.GraphError):
        onnx_graph.check(small(**wrong), 16)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x00", b"\x08"])
def test_what_is_no_graph_at_all_is_refused(data):
    with pytest.raises(onnx_graph.GraphError):
        onnx_graph.check(data, 16)


def test_graphs_are_sound_for_their_own_input_only(graph):
    onnx_graph.check(graph, 16)
    with pytest.raises(onnx_graph.GraphError, match="another shape"):
        onnx_graph.check(graph, 32)


@pytest.mark.parametrize("form", [earlier_graphs.FIRST, earlier_graphs.SECOND])
def test_archives_of_our_earlier_versions_say_the_same(trained, tmp_path, form):
    path = tmp_path / "old.model"
    path.write_bytes(earlier_graphs.rewritten(trained.model.read_bytes(), form))
    with zipfile.ZipFile(path) as members:
        graph = members.read("liveness.onnx")
    assert b"MatMul" in graph and b"ReduceMean" not in graph
    assert (b"Gather" in graph) == (form == earlier_graphs.FIRST)
    before, now = livenessnet.load(path, trained.le), livenessnet.load(trained.model, trained.le)
    crops = np.random.default_rng(0).integers(0, 256, (3, now.input_size, now.input_size, 3), np.uint8)
    crops[0] //= 4
    scores = now.p_real(crops)
    assert np.ptp(scores) > 1e-3
    assert np.abs(before.p_real(crops) - scores).max() < livenessnet.TOLERANCE


def packed(path, graph: bytes, details: bytes, kind: int = zipfile.ZIP_STORED, announced: int | None = None):
    """An archive of these members; announced: the size of the graph that it tells, whatever is in it."""
    with zipfile.ZipFile(path, "w", kind) as members:
        members.writestr("liveness.onnx", graph)
        members.writestr("liveness.json", details)
    if announced is not None:
        data = bytearray(path.read_bytes())
        for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
            at = data.find(signature) + offset
            data[at : at + 4] = struct.pack("<I", announced)
        path.write_bytes(data)
    return path


def memory_of(code: str, *arguments) -> tuple[str, int]:
    """What the code prints in a process of its own, and how many MB more than before it took at most."""
    frame = (f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'benchmarks')!r}]\nimport fuzz, livenessnet\n"
             f"from capture import crops\nfrom pathlib import Path\nbefore = fuzz.peak_mb()\n{code}\n"
             "print(round(fuzz.peak_mb() - before))")
    done = subprocess.run([sys.executable, "-c", frame, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    *lines, peak = done.stdout.splitlines()
    return "\n".join(lines), int(peak)


LOAD = """
try: livenessnet.load(sys.argv[1], sys.argv[2])
except livenessnet.ModelError as error: print(error)"""


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(trained, tmp_path):
    bomb = packed(tmp_path / "bomb.model", bytes(HALF_A_GIGABYTE), b"{}", zipfile.ZIP_DEFLATED, announced=1000)
    assert bomb.stat().st_size < 1 << 20
    said, peak = memory_of(LOAD, bomb, trained.le)
    assert "damaged" in said and peak < 100


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_are_only_packed_as_train_packs_them(trained, graph, tmp_path, kind):
    with pytest.raises(ModelError, match="packed"):
        livenessnet.load(packed(tmp_path / "x.model", graph, b"{}", kind), trained.le)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["liveness.onnx", "liveness.json"])
def test_what_does_not_match_its_checksum_is_not_used(trained, tmp_path, kind, name):
    with zipfile.ZipFile(trained.model) as members:
        path = packed(tmp_path / "x.model", members.read("liveness.onnx"), members.read("liveness.json"), kind)
    livenessnet.load(path, trained.le)
    data = bytearray(path.read_bytes())
    for signature, offset, name_at in ((b"PK\1\2", 16, 46), (b"PK\3\4", 14, 30)):
        at = data.find(signature)
        while data[at + name_at : at + name_at + len(name)] != name.encode():
            at = data.find(signature, at + 1)
        data[at + offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        livenessnet.load(path, trained.le)


def test_details_that_are_a_book_are_not_read(trained, graph, tmp_path):
    book = b"[" + b"[]," * (1 << 20) + b"[]]"
    with pytest.raises(ModelError, match="larger than any"):
        livenessnet.load(packed(tmp_path / "x.model", graph, book), trained.le)


def test_a_network_that_gives_no_numbers_is_refused(trained, tmp_path):
    import onnx

    with zipfile.ZipFile(trained.model) as members:
        details, graph = members.read("liveness.json"), members.read("liveness.onnx")
    livenessnet.load(packed(tmp_path / "x.model", graph, details), trained.le)

    def poison(graph):
        for weights in graph.initializer:
            if weights.data_type == onnx.TensorProto.FLOAT:
                weights.raw_data = struct.pack("<f", float("nan")) * (len(weights.raw_data) // 4)

    with pytest.raises(ModelError, match="OpenCV can run"):
        livenessnet.load(packed(tmp_path / "x.model", edited(graph, poison), details), trained.le)


def test_a_score_that_is_no_number_counts_as_a_replay():
    assert livenessnet.calibrate(np.array([np.nan]), 1, {"scale": 1, "offset": 0})[0] < 1e-6


def test_an_hdf5_model_cannot_name_code_to_run(tmp_path, monkeypatch):
    """Its configuration may hold a Lambda layer, whose code Keras has been known to run in spite of safe_mode."""
    import h5py

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, trace = tmp_path / "liveness.model", tmp_path / "was here"
    data = fuzz.genuine_hdf5(tmp_path)[0]
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        call = {"class_name": "function", "config": "mkdir", "module": "os", "registered_name": "mkdir"}
        config["config"]["layers"].append({
            "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
            "config": {"name": "evil", "function": call, "arguments": {"path": str(trace)}},
        })
        file.attrs["model_config"] = json.dumps(config)
    livenessnet._load_hdf5(path, path.read_bytes())
    assert not trace.exists()


@pytest.mark.parametrize("ends, said", [("import time; time.sleep(60)", "not converted within 1 s"),
                                        ("import os; os.abort()", "crash")])
def test_an_hdf5_model_that_hangs_or_crashes_its_reader_is_refused(tmp_path, monkeypatch, trained, ends, said):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr(livenessnet, "CONVERT_LIMIT_S", 1.0)
    monkeypatch.setattr(livenessnet, "_CONVERT", ends)
    path = tmp_path / "liveness.model"
    path.write_bytes(b"\x89HDF")
    with pytest.raises(ModelError, match=said):
        livenessnet.load(path, trained.le)


# --- le.pickle ---


def test_a_pickle_cannot_ask_for_a_huge_memo(tmp_path):
    """OP_LONG_BINPUT 2 ** 29: the C unpickler makes, and fills, room for twice as many."""
    path = tmp_path / "le.pickle"
    path.write_bytes(b"\x80\2Nr\0\0\0\x20.")
    said, peak = memory_of("""
try: livenessnet.read_labels(sys.argv[1])
except livenessnet.ModelError as error: print(error)""", path)
    assert "more memory" in said and peak < 100


@pytest.mark.parametrize("doubled", [
    b"2\x86" * 24,                                             # DUP
    b"".join(b"q%ch%c\x86" % (n, n) for n in range(24)),       # by reference
])
def test_a_pickle_cannot_double_what_it_means_with_every_byte(tmp_path, doubled):
    """As the key of a dictionary, whose hash takes 2 ** 24 steps: a second; each more of them doubles that."""
    path = tmp_path / "le.pickle"
    path.write_bytes(b"\x80\2})" + doubled + b"Ns.")
    with pytest.raises(ModelError, match="more than it has room for"):
        livenessnet.read_labels(path)


def test_encoders_of_every_protocol_are_far_from_the_limits():
    import pickletools

    for data in fuzz.genuine_encoders():
        names = [(operation.name, argument) for operation, argument, _ in pickletools.genops(data)]
        assert 2 * sum(name.endswith("GET") for name, _ in names) <= livenessnet.REFERENCE_LIMIT
        assert all(20 * argument < livenessnet.MEMO_LIMIT for name, argument in names if name.endswith("PUT"))


# --- alerts.toml ---


@pytest.mark.parametrize("content", [
    b"a = " + b"[" * 3000, b"[email]\nport = " + b"9" * 5000,
    b'[email]\nhost = "h"\nsender = "a@b"\nrecipient = "a@b"\nca_file = "~nobody-knows/x"',
    b'[email]\nhost = "h"\nsender = "a@b"\nrecipient = "a@b"\nca_file = "' + b"x" * 5000 + b'"',
    b'[lock]\ncommand = ["a\\u0000b"]', b"#" * 70000,
    b"\xff\xfe[\0", b'[alarm]\nseconds = nan', b'"\\ud800" = 1',
])
def test_settings_that_trip_up_the_parser_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "alerts.toml"
    path.write_bytes(content)
    with pytest.raises(alerts.SettingsError) as error:
        alerts.load_settings(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_settings_saved_by_windows_notepad_are_read(tmp_path):
    path = tmp_path / "alerts.toml"
    path.write_bytes(b"\xef\xbb\xbf[incidents]\r\ncooldown_s = 5\r\n")
    assert alerts.load_settings(path).incidents.cooldown_s == 5


# --- Pictures ---

READ = "crop = crops.read(Path(sys.argv[1])); print(crop if crop is None else crop.picture.shape)"


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, fuzz.picture_of())[1].tobytes()


def huge_png() -> bytes:
    """30,000 by 30,000 black pixels in 3 MB."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(1), []
    for _ in range(300):
        rows.append(packer.compress(bytes(100 * (1 + 30_000 // 8))))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    pixels = b"".join(rows) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def huge_jpeg() -> bytes:
    data = encoded(".jpg")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 30_000, 30_000) + data[at + 4:]


def huge_bmp() -> bytes:
    """Run-length encoded: "all black", in two bytes."""
    header = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 8, 1, 2, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 1080, 0, 0, 1078) + header + bytes(1024) + b"\0\1"


def endless_png() -> bytes:
    """A chunk that says it is 4 GB long."""
    data = encoded(".png")
    return data[:33] + b"\xff\xff\0\x09" + data[37:]


@pytest.mark.parametrize("make", [huge_png, huge_jpeg, huge_bmp, endless_png])
def test_a_picture_that_announces_too_much_is_not_read(tmp_path, make):
    path = tmp_path / "x.png"
    path.write_bytes(make())
    assert path.stat().st_size < 4 << 20
    said, peak = memory_of(READ, path)
    assert said == "None" and peak < 100


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_pictures_of_every_kind_are_read(tmp_path, suffix):
    path = tmp_path / ("x" + suffix)
    path.write_bytes(encoded(suffix))
    assert crops.read(path).picture.shape == (48, 48, 3)


@pytest.mark.parametrize("old, new", [
    (b'margin="2.7"', b'margin="nan"'), (b'margin="2.7"', b'margin="-1."'), (b'time_s="1.5"', b'time_s="inf"'),
    (b'inside="0.0', b'inside="9.0'), (b":0.10000:", b":0.1000::"),
])
def test_a_crop_whose_notes_make_no_sense_is_read_as_another_tools(tmp_path, old, new):
    data = fuzz.genuine_crop(tmp_path)
    changed, at = bytearray(data[:8]), 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        chunk = data[at + 4 : at + 8 + size].replace(old, new)
        changed += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + size
    path = tmp_path / "kitchen_000003.png"
    path.write_bytes(data)
    assert crops.read(path).margin == 2.7
    path.write_bytes(changed)
    assert changed != data
    crop = crops.read(path)
    assert (crop.recording, crop.frame, crop.margin, crop.time_s, crop.inside) == ("kitchen", 3, None, None,
                                                                                   (0, 0, 1, 1))


# --- Video files ---


def test_a_video_of_a_hundred_megapixels_is_refused(tmp_path):
    path = tmp_path / "huge.mjpeg"
    path.write_bytes(cv2.imencode(".jpg", np.zeros((9_000, 12_000), np.uint8))[1].tobytes() * 2)
    with pytest.raises(SourceError, match="12000x9000"):
        open_source(str(path))


def test_frames_that_change_their_size_come_in_the_size_of_the_first(tmp_path):
    path = tmp_path / "x.mjpeg"
    sizes = [(48, 48), (48, 48), (160, 160), (64, 96), (16, 16)]
    path.write_bytes(b"".join(
        cv2.imencode(".jpg", np.full((*size, 3), 99, np.uint8))[1].tobytes() for size in sizes))
    with open_source(str(path)) as source:
        seen = [frame.shape[:2] for _, _, frame in source.frames()]
    assert seen == [(48, 48)] * 5


def test_a_time_stamp_that_leaps_ahead_does_not_stop_the_clock(live_frames, write_video):
    """In Matroska each block carries its time in milliseconds, two bytes behind the track's number."""
    video = write_video(live_frames[:10], "x.mkv")
    data = bytearray(video.read_bytes())
    with open_source(str(video)) as source:
        expected = [time_s for _, time_s, _ in source.frames()]
    at = data.find(b"\x81" + struct.pack(">h", 133))  # the fifth frame, at 4/30 s
    assert at > 0
    data[at + 1 : at + 3] = struct.pack(">h", 32_000)
    video.write_bytes(data)
    with open_source(str(video)) as source:
        times = [time_s for _, time_s, _ in source.frames()]
    assert len(times) == 10 and times == sorted(set(times))
    np.testing.assert_allclose(times, expected, atol=0.05)


def test_an_empty_picture_in_a_folder_is_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(encoded(".png"))
    (tmp_path / "c.png").mkdir()
    with open_source(str(tmp_path)) as source:
        assert [index for index, _, _ in source.frames()] == [1] and source.length == 2
