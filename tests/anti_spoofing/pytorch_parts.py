"""Files as PyTorch writes them, without PyTorch: those of a small network with MiniFASNetV2's layers."""

import hashlib
import io
import pickle
import struct
import sys
from collections import OrderedDict
from types import ModuleType
from unittest import mock

import numpy as np
from conftest import cache_in

from anti_spoofing import graph, minifasnet, pytorch_file

WIDE, NARROW, CODE = 6, 4, 8  # channels; MiniFASNetV2 has up to 512


def _rebuild_tensor_v2(*_):
    pass


class FloatStorage:
    pass


class LongStorage:
    pass


class HalfStorage:
    pass


TORCH, UTILS = ModuleType("torch"), ModuleType("torch._utils")
TORCH._utils = UTILS
for _part in (_rebuild_tensor_v2, FloatStorage, LongStorage, HalfStorage):
    _module = TORCH if isinstance(_part, type) else UTILS
    _part.__module__ = _module.__name__
    _part.__qualname__ = _part.__name__
    setattr(_module, _part.__name__, _part)


class Tensor:
    """What is pickled as a tensor: a view of a storage, by key."""

    def __init__(self, key, count, shape, stride=None, offset=0, kind=FloatStorage):
        self.key, self.count, self.shape, self.offset, self.kind = key, count, shape, offset, kind
        self.stride = stride or tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


class _Pickler(pickle.Pickler):
    def reducer_override(self, what):
        if isinstance(what, Tensor):
            storage = _Storage(what)
            return _rebuild_tensor_v2, (storage, what.offset, what.shape, what.stride, False, OrderedDict())
        return NotImplemented

    def persistent_id(self, what):
        if isinstance(what, _Storage):
            return "storage", what.of.kind, what.of.key, "cpu", what.of.count, None
        return None


class _Storage:
    def __init__(self, of: Tensor):
        self.of = of


def pickled(what) -> bytes:
    data = io.BytesIO()
    with mock.patch.dict(sys.modules, {"torch": TORCH, "torch._utils": UTILS}):
        _Pickler(data, 2).dump(what)
    return data.getvalue()


def head(state, keys: list[str], **machine) -> bytes:
    """The five pickles of a file."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}, **machine}
    return b"".join(map(pickled, (pytorch_file.MAGIC, pytorch_file.PROTOCOL, facts, state, keys)))


def storage(values: np.ndarray) -> bytes:
    return struct.pack("<q", values.size) + values.tobytes()


def file_of(tensors: dict[str, np.ndarray]) -> bytes:
    """A state dict, each tensor with a storage of its own."""
    state, storages = OrderedDict(), b""
    for key, (name, values) in enumerate(tensors.items()):
        kind = LongStorage if values.dtype == np.int64 else FloatStorage
        state[name] = Tensor(str(key), values.size, values.shape, kind=kind)
        storages += storage(values)
    return head(state, [str(key) for key in range(len(tensors))]) + storages


def small_network(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for all of MiniFASNetV2's layers, with few channels."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}

    def normalisation(name, channels):
        tensors[f"module.{name}.weight"] = rng.uniform(0.5, 1.5, channels)
        tensors[f"module.{name}.bias"] = rng.normal(0, 0.2, channels)
        tensors[f"module.{name}.running_mean"] = rng.normal(0, 0.2, channels)
        tensors[f"module.{name}.running_var"] = rng.uniform(0.5, 1.5, channels)

    def convolution(name, channels, depth, side, active=True):
        scale = 1 / np.sqrt(depth * side**2)
        tensors[f"module.{name}.conv.weight"] = rng.normal(0, scale, (channels, depth, side, side))
        normalisation(f"{name}.bn", channels)
        if active:
            tensors[f"module.{name}.prelu.weight"] = rng.uniform(0, 0.3, channels)

    def narrow(name):
        convolution(f"{name}.conv", WIDE, NARROW, 1)
        convolution(f"{name}.conv_dw", WIDE, 1, 3)
        convolution(f"{name}.project", NARROW, WIDE, 1, active=False)

    convolution("conv1", NARROW, 3, 3)
    tensors["module.conv1.conv.weight"] /= 128  # of pixels from 0 to 255
    convolution("conv2_dw", NARROW, 1, 3)
    for stage, count in graph.STAGES.items():
        narrow(f"conv_{int(stage[-1]) - 1}{stage[-1]}")
        for number in range(count):
            narrow(f"{stage}.model.{number}")
    convolution("conv_6_sep", WIDE, NARROW, 1)
    convolution("conv_6_dw", WIDE, 1, 5, active=False)
    tensors["module.linear.weight"] = rng.normal(0, 0.3, (CODE, WIDE))
    normalisation("bn", CODE)
    tensors["module.prob.weight"] = rng.normal(0, 0.3, (3, CODE))
    tensors = {name: values.astype(np.float32) for name, values in tensors.items()}
    tensors["module.bn.num_batches_tracked"] = np.array(7, np.int64)
    return tensors


def stand_in(monkeypatch, tmp_path) -> bytes:
    """The small network's file, taken for the real weights, with no network and an empty cache."""
    weights = file_of(small_network())
    made = graph.write(pytorch_file.read(weights))
    monkeypatch.setattr(minifasnet, "WEIGHTS_SHA256", hashlib.sha256(weights).hexdigest())
    monkeypatch.setattr(minifasnet, "GRAPH_SHA256", hashlib.sha256(made).hexdigest())
    without_network(monkeypatch, tmp_path)
    return weights


def without_network(monkeypatch, tmp_path) -> None:
    """Neither the network nor another folder, and an empty cache."""
    monkeypatch.setattr(minifasnet, "WEIGHTS_URL", "http://127.0.0.1:9/weights.pth")
    monkeypatch.delenv("LIVENESS_WEIGHTS", raising=False)
    for name, folder in cache_in(tmp_path / "cache").items():
        monkeypatch.setenv(name, folder)
