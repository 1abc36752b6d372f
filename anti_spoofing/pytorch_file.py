"""Reads the tensors of a PyTorch file without PyTorch, and without running what the file says.

The legacy format (PyTorch before 1.6): pickles of a magic number, a protocol version, facts about the machine, the
state dict and the list of its storages' keys; behind them, storage after storage, an int64 count and so many values,
little-endian. Source: torch/serialization.py, _legacy_load.
"""

import io
import math
import pickle
from collections import OrderedDict

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class PyTorchFileError(ValueError):
    """The file is no legacy PyTorch file of plain tensors; the message says in a few words why."""


def read(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name: float32 and int64, each in its own shape. Raises PyTorchFileError."""
    file = io.BytesIO(data)
    try:
        magic, protocol, machine = (_Unpickler(file).load() for _ in range(3))
        if (magic, protocol) != (MAGIC, PROTOCOL) or not machine["little_endian"]:
            raise PyTorchFileError("another format")
        tensors: dict[str, _Tensor] = _Unpickler(file).load()
        storages = {key: None for key in _Unpickler(file).load()}
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        for key in storages:
            count = int.from_bytes(file.read(8), "little")
            values = file.read(count * dtypes[key].itemsize)
            storages[key] = np.frombuffer(values, dtypes[key], count)
        return {name: tensor.of(storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except PyTorchFileError:
        raise
    # A damaged pickle can fail in any of these ways, by the byte.
    except (ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, RecursionError,
            TypeError, ValueError, pickle.UnpicklingError) as error:
        raise PyTorchFileError(f"damaged ({type(error).__name__})") from None


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
        return values[self.offset : self.offset + math.prod(self.shape)].reshape(self.shape)


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
