"""Reads the tensors of a PyTorch file without PyTorch, and without running what the file says.

The legacy format (PyTorch before 1.6): pickles of a magic number, a protocol version, facts about the machine, the
state dict and the list of its storages' keys; behind them, storage after storage, an int64 count and so many values,
little-endian. Source: torch/serialization.py, _legacy_load.
"""

import io
import math
import pickle
import pickletools
from collections import OrderedDict

import numpy as np

from storage import pickles

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
# All that such pickles are written with; of what went before they refer to names alone. MiniFASNetV2's fills 3,332
# slots of the memo.
_OPERATIONS = frozenset(
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE "
    "TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS GLOBAL REDUCE BUILD BINPERSID BINPUT LONG_BINPUT "
    "BINGET LONG_BINGET".split()
)
MEMO_LIMIT = 1 << 16


class PyTorchFileError(ValueError):
    """The file is no legacy PyTorch file of plain tensors; the message says in a few words why."""


def read(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name: float32 and int64, each in its own shape. Raises PyTorchFileError."""
    file = io.BytesIO(data)
    try:
        magic, protocol, machine = (_load(file) for _ in range(3))
        if (magic, protocol) != (MAGIC, PROTOCOL) or not machine["little_endian"]:
            raise PyTorchFileError("another format")
        tensors: dict[str, _Tensor] = _load(file)
        storages = {key: None for key in _load(file)}
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        if not all(isinstance(name, str) for name in tensors):
            raise PyTorchFileError("a tensor without a name")
        for key in storages:
            count = int.from_bytes(file.read(8), "little")
            values = file.read(count * dtypes[key].itemsize)
            storages[key] = np.frombuffer(values, dtypes[key], count)
        return {name: tensor.of(storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except PyTorchFileError:
        raise
    except pickles.DAMAGED as error:
        raise PyTorchFileError(f"damaged ({type(error).__name__})") from None


def _load(file: io.BytesIO):
    """The next pickle. Refused first of all: what a few bytes can blow up, a memo as large as its highest number and
    tuples of themselves."""
    start, before, names = file.tell(), "", set()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name not in _OPERATIONS:
            raise PyTorchFileError(f"an operation that no state dict needs, {operation.name}")
        if operation.name.endswith("PUT"):
            if argument >= MEMO_LIMIT:
                raise PyTorchFileError("more memory than any state dict needs")
            if before in ("GLOBAL", "BINUNICODE"):
                names.add(argument)
            else:
                names.discard(argument)
        elif operation.name.endswith("GET") and argument not in names:
            raise PyTorchFileError("it refers to more than names")
        before = operation.name
    file.seek(start)
    return _Unpickler(file).load()


class _Storage:
    """Stands for a torch.Storage, whose values follow behind the pickles."""

    def __init__(self, kind: str, key: str):
        self.dtype, self.key = _DTYPES[kind], key


class _Tensor:
    """Stands for what torch._utils._rebuild_tensor_v2 makes: a view of a storage."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple, stride: tuple, *_):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def of(self, values: np.ndarray) -> np.ndarray:
        dense = tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))
        if self.stride != dense:
            raise PyTorchFileError("a tensor that is not laid out row by row")
        end = self.offset + math.prod(self.shape)
        if min((self.offset, *self.shape)) < 0 or end > len(values):
            raise PyTorchFileError("a tensor beyond its storage")
        return values[self.offset : end].reshape(self.shape)


class _Unpickler(pickle.Unpickler):
    """Admits what a state dict of plain tensors is made of, and nothing that could run."""

    _ADMITTED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module, name):
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            # As a literal: the names are the file's, control characters and all.
            raise PyTorchFileError(f"it asks for {module + '.' + name!r:.80}") from None

    def persistent_load(self, identity):
        what, kind, key, _, _, _ = identity
        if what != "storage":
            raise PyTorchFileError("it refers to something else than tensors")
        return _Storage(kind, key)
