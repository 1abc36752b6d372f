"""What the tests of models and graphs share."""

import io
import json
import struct
import zipfile

import genuine_inputs
import numpy as np


def used(network, rng):
    """Weights as after training: nothing in them is 0, 1 or symmetric."""
    for weight in network.weights:
        low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -0.3
        weight.assign(weight + rng.uniform(low, low + 0.6, weight.shape) / (10 if "kernel" in weight.path else 1))
    return network


def genuine_graphs(folder) -> list[bytes]:
    """Of LivenessNets for 16 pixels: one as it is written now, and the mean of two side by side and in the earliest
    form, which have other operators."""
    graphs = []
    now, third, _, first = genuine_inputs.genuine_models(folder)
    for archive in (now, third, first):
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            graphs.append(genuine_inputs.Genuine(members.read("liveness.onnx")))
    return graphs


def edited(graph: bytes, change) -> bytes:
    import onnx

    model = onnx.load_from_string(graph)
    change(model.graph)
    return model.SerializeToString()


def patched(model, path, **details):
    """A copy of the archive whose liveness.json says something else, or, where it is DROP, nothing."""
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "liveness.json":
                changed = {**json.loads(data), **details}
                data = json.dumps({name: value for name, value in changed.items() if value is not DROP})
            new.writestr(name, data)
    return path


DROP = object()


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


def encoder(*labels, dtype=None):
    from sklearn.preprocessing import LabelEncoder  # seconds, for those who need it

    fitted = LabelEncoder().fit(["fake", "real"])
    fitted.classes_ = np.array(labels or ["fake", "real"], dtype=dtype)
    return fitted
