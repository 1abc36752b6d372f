"""Tensors are read, and nothing else that a file may ask for."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from conftest import memory_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_parts import HalfStorage, LongStorage, Tensor, file_of, head, pickled, storage

from anti_spoofing import pytorch_file
from anti_spoofing.pytorch_file import PyTorchFileError, read

TWO = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 7, "b.count": np.array([5, -6], np.int64)}
GENUINE = file_of(TWO)


def test_tensors_come_bit_for_bit_and_in_their_shape():
    found = read(GENUINE)
    assert list(found) == list(TWO)
    for name, values in TWO.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert read(file_of({"one": np.array(7, np.int64)}))["one"].shape == ()


def test_tensors_share_a_storage():
    values = np.arange(10, dtype=np.float32)
    state = OrderedDict(a=Tensor("0", 10, (2, 2)), b=Tensor("0", 10, (3,), offset=7))
    found = read(head(state, ["0"]) + storage(values))
    np.testing.assert_array_equal(found["a"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(found["b"], [7, 8, 9])


class Evil:
    def __init__(self, call, *arguments):
        self.asked = call, arguments

    def __reduce__(self):
        return self.asked


@pytest.mark.parametrize("place", ["magic", "machine", "state", "value", "name", "keys"])
def test_a_pickle_that_asks_for_anything_else_runs_nothing(tmp_path, place):
    trace = tmp_path / "was here"
    for call, arguments in (
        (os.mkdir, [str(trace)]),
        (os.system, [f"mkdir '{trace}'"]),
        (eval, [f"__import__('os').mkdir({str(trace)!r})"]),
        (open, [str(trace), "w"]),
    ):
        evil = Evil(call, *arguments)
        parts = {
            "magic": pytorch_file.MAGIC,
            "protocol": pytorch_file.PROTOCOL,
            "machine": {"little_endian": True},
            "state": OrderedDict(a=Tensor("0", 1, (1,))),
            "keys": ["0"],
        }
        if place in parts:
            parts[place] = evil
        else:
            parts["state"] = OrderedDict(a=evil) if place == "value" else {evil: Tensor("0", 1, (1,))}
        with pytest.raises(PyTorchFileError, match="it asks for") as error:
            read(b"".join(map(pickled, parts.values())) + storage(np.zeros(1, np.float32)))
        assert "\n" not in str(error.value) and not trace.exists()
    pickle.loads(pickle.dumps(evil))
    assert trace.exists(), "the pickle is really malicious"


@pytest.mark.parametrize(
    "name",
    [
        "numpy.core.multiarray\n_reconstruct",
        "collections\nCounter",
        "torch\nHalfStorage",
        "torch._utils\n_rebuild_tensor",
        "anti_spoofing.pytorch_file\nread",
        "io\nopen_code",
        "collections\nOrderedDict.fromkeys",
        "torch\nstorage\x1b[2J",
    ],
)
def test_nor_does_it_get_what_looks_harmless(name):
    with pytest.raises(PyTorchFileError, match="it asks for") as error:
        read(b"c" + name.encode() + b"\n.")
    assert "\x1b" not in str(error.value)


def test_cut_at_any_byte_it_is_refused():
    for end in range(len(GENUINE)):
        with pytest.raises(PyTorchFileError):
            read(GENUINE[:end])


@pytest.mark.parametrize(
    "state, keys, storages",
    [
        (OrderedDict(a=Tensor("0", 4, (4,), kind=HalfStorage)), ["0"], bytes(100)),  # another type
        (OrderedDict(a=Tensor("0", 4, (4,), kind=LongStorage)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 6, (2, 3), (1, 2))), ["0"], storage(np.zeros(6, np.float32))),  # column by column
        (OrderedDict(a=Tensor("0", 6, (3,), (2,))), ["0"], storage(np.zeros(6, np.float32))),
        (OrderedDict(a=Tensor("0", 6, (2, 3), (0, 0))), ["0"], storage(np.zeros(6, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (4,), offset=1)), ["0"], storage(np.zeros(4, np.float32))),  # beyond its storage
        (OrderedDict(a=Tensor("0", 4, (4,), offset=4)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (0,), offset=9)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (2,), offset=-3)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (4,), offset=1 << 70)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (-1,), (1,))), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (-2, -2), (-2, 1))), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (5,))), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (2.0, 2), (2, 1))), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (1,) * 70)), ["0"], storage(np.zeros(4, np.float32))),
        (OrderedDict(a=Tensor("0", 4, (4,))), ["1"], storage(np.zeros(4, np.float32))),  # another storage
        (OrderedDict(a=Tensor("0", 4, (4,))), [], b""),
        (OrderedDict(a=Tensor("0", 4, (4,))), None, b""),
        (OrderedDict(a="no tensor"), ["0"], b""),
        (OrderedDict(a=OrderedDict()), ["0"], b""),
        ("no dict", [], b""),
        ({7: Tensor("0", 4, (4,))}, ["0"], storage(np.zeros(4, np.float32))),  # no name
    ],
    ids=range(22),
)
def test_what_is_no_dense_tensor_of_its_storage_is_refused(state, keys, storages):
    with pytest.raises(PyTorchFileError):
        read(head(state, keys) + storages)


def test_other_formats_are_refused():
    for data in (
        b"",
        b"PK\3\4" + bytes(100),
        pickle.dumps({"a": 1}),
        b"\x89HDF\r\n",
        pickled(1) * 5,
        head(OrderedDict(), [], little_endian=False),
    ):
        with pytest.raises(PyTorchFileError):
            read(data)


@pytest.mark.parametrize(
    "count", [1 << 20, 1 << 40, (1 << 60) + 1, 1 << 61, 1 << 62, (1 << 62) + 2, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
)
def test_a_storage_that_announces_too_much_takes_no_memory(count, tmp_path):
    data = head(OrderedDict(a=Tensor("0", 2, (2,))), ["0"]) + count.to_bytes(8, "little") + bytes(8)
    with pytest.raises(PyTorchFileError):
        read(data)


@pytest.mark.parametrize("shape", [(1 << 62,), (1 << 40, 1 << 40), (3, 1 << 63), (1 << 62, 4)])
def test_a_shape_that_is_huge_is_refused(shape):
    stride = tuple(int(np.prod([int(n) for n in shape[axis + 1 :]], dtype=object)) for axis in range(len(shape)))
    with pytest.raises(PyTorchFileError):
        read(head(OrderedDict(a=Tensor("0", 2, shape, stride)), ["0"]) + storage(np.zeros(2, np.float32)))


BOMBS = {
    # LONG_BINPUT 2 ** 29: the C unpickler makes, and fills, room for twice as many.
    "memo": b"\x80\2Nr\0\0\0\x20.",
    "memo, as text": b"Np536870912\n.",
    # As the key of a dictionary, whose hash takes 2 ** 26 steps.
    "doubled": b"\x80\2})" + b"2\x86" * 26 + b"Ns.",
    "doubled by reference": b"\x80\2})" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(26)) + b"Ns.",
    "long string": b"\x80\4\x8d" + (1 << 40).to_bytes(8, "little") + b"a.",
    "long bytes": b"\x80\5\x96" + (1 << 40).to_bytes(8, "little") + b"a.",
    "long frame": b"\x80\4\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
    "long number": b"\x80\2\x8b" + (1 << 30).to_bytes(4, "little") + b"1.",
}


def test_bombs_take_neither_memory_nor_time(tmp_path):
    for name, data in BOMBS.items():
        (tmp_path / name).write_bytes(data)
    huge = head(OrderedDict(a=Tensor("0", 2, (2,))), ["0"]) + (1 << 40).to_bytes(8, "little") + bytes(8)
    (tmp_path / "storage").write_bytes(huge)
    said, peak = memory_of(
        """
import time
began = time.process_time()
for file in sorted(Path(sys.argv[1]).iterdir()):
    try: pytorch_file.read(file.read_bytes())
    except pytorch_file.PyTorchFileError as error: print("refused")
print(time.process_time() - began < 1)""",
        tmp_path,
    )
    assert said.split() == ["refused"] * (len(BOMBS) + 1) + ["True"] and peak < 100


@settings(max_examples=400, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(GENUINE) - 1), st.binary(max_size=9), st.integers(0, 9)), min_size=1, max_size=4
    )
)
def test_a_damaged_file_is_read_or_refused(edits):
    data = GENUINE
    for at, new, dropped in edits:
        data = data[:at] + new + data[at + dropped :]
    try:
        for name, values in read(data).items():
            assert isinstance(name, str) and isinstance(values, np.ndarray) and values.size <= len(data)
    except PyTorchFileError as error:
        assert "\n" not in str(error)
