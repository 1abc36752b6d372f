"""Writes a trained LivenessNet: the Keras archive, with its inference graph and its details in it."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from model_file import graph_check, graph_writer
from model_file.archive import DETAILS, FORMAT, GRAPH
from model_file.opencv import in_opencv
from model_file.owners import OWNERS, written
from model_file.reading import ModelError
from storage.beside import beside

# Both halves of an archive must say the same; float32 leaves about 1e-7.
TOLERANCE = 1e-5


def save(
    model,
    path: str | Path,
    labels: list[str],
    details: dict,
    check: np.ndarray | None = None,
    owners: dict[str, np.ndarray] | None = None,
    network: str = "",
) -> None:
    """Write a Keras model, its inference graph and its details into one archive at exactly ``path``.

    model: a LivenessNet; its optimizer, if it has one, is left out.
    labels: class names in the order of the model's outputs.
    details: at least ``margin`` (how wide crops are cut, in units of the face box) and ``calibration``, see
        scores.calibrate; all of it must be JSON.
    check: float32 (N, height, width, depth), 0 to 1: real crops on which both halves must agree, beside
        random ones.
    owners, network: see owners.write_owners; with owners the file is private.
    A model that works is replaced only by one that does, see storage.beside. Raises ModelError if the two halves
    disagree by more than 1e-5 or give no numbers, OSError if it cannot be written.
    """
    path = Path(path)
    height, width, depth = model.input_shape[1:]
    samples = np.random.default_rng(0).random((4, height, width, depth), np.float32)
    owners_json = written(owners, network) if owners else None
    if check is not None:
        samples = np.concatenate([samples, check])
    graph = export(model)
    apart = float(np.abs(in_opencv(graph)(samples) - np.asarray(model(samples))).max())
    if np.isnan(apart):
        raise ModelError(
            f"{path}: not written: the network's outputs are no numbers; train it with a lower --learning-rate"
        )
    if apart > TOLERANCE:
        raise ModelError(
            f"{path}: not written: OpenCV's outputs differ from Keras' by {apart:.1e}; "
            "another version of opencv-python, onnx or keras is needed (see pip-list.txt)"
        )
    details = {"format": FORMAT, "labels": labels, "input_size": width, **details}
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "model.keras")
        _without_optimizer(model).save(archive)
        with zipfile.ZipFile(archive, "a") as members:
            members.writestr(GRAPH, graph)
            members.writestr(DETAILS, json.dumps(details, indent=1))
            if owners_json:
                members.writestr(OWNERS, owners_json)
        with beside(path, private=owners_json is not None) as part:
            shutil.copyfile(archive, part)


def export(model) -> bytes:
    """The model as ONNX, one that load() takes. Raises ModelError if it is no LivenessNet."""
    try:
        graph = graph_writer.write(model)
        graph_check.check(graph, model.input_shape[1])
    except (graph_writer.UnknownLayer, graph_check.GraphError) as error:
        raise ModelError(f"not written: the network is no LivenessNet ({error}); train it again") from None
    return graph


def _without_optimizer(model):
    """The same network, not compiled: with its optimizer's moments the archive would be three times as large."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
