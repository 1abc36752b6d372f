"""Archives that lie about what is in them."""

import struct
import zipfile

import pytest
from conftest import memory_of
from graph_parts import edited, packed

import livenessnet
from livenessnet import ModelError

HALF_A_GIGABYTE = 512 << 20
LOAD = """
try: livenessnet.load(sys.argv[1], sys.argv[2])
except livenessnet.ModelError as error: print(error)"""


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(trained, tmp_path):
    bomb = packed(tmp_path / "bomb.model", bytes(HALF_A_GIGABYTE), b"{}", zipfile.ZIP_DEFLATED, announced=1000)
    assert bomb.stat().st_size < 1 << 20
    said, peak = memory_of(LOAD, bomb, trained.le)
    assert "damaged" in said and peak < 100


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_are_only_packed_as_train_packs_them(trained, tmp_path, kind):
    with pytest.raises(ModelError, match="packed"):
        livenessnet.load(packed(tmp_path / "x.model", b"", b"{}", kind), trained.le)


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


def test_details_that_are_a_book_are_not_read(trained, tmp_path):
    book = b"[" + b"[]," * (1 << 20) + b"[]]"
    with pytest.raises(ModelError, match="larger than any"):
        livenessnet.load(packed(tmp_path / "x.model", b"", book), trained.le)


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
