"""LivenessNet: the network (Keras), the file it is kept in, and the fast way to run it (OpenCV DNN).

    model = LivenessNet.build(width=64, height=64, depth=3, classes=2)
    save(model, "liveness.model", labels=["fake", "real"], details={...})
    network = load("liveness.model", "le.pickle")
    network.p_real(crops)                            # 0.5 is the operating point

A saved model is one zip: the Keras archive, readable by ``keras.models.load_model`` under a name that
ends in .keras, with two more members that Keras ignores: the same network as ONNX, which OpenCV runs
forty times faster and without importing TensorFlow, and a JSON with what inference must know.
"""

import hashlib
import io
import json
import os
import pickle
import secrets
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np

GRAPH, DETAILS = "liveness.onnx", "liveness.json"
FORMAT = 1
LABELS = ["fake", "real"]
# Both halves of an archive must say the same; float32 leaves about 1e-7.
TOLERANCE = 1e-5
# Far above any LivenessNet (3.8 MB, three at 48 px); a crafted archive may announce gigabytes.
MEMBER_LIMIT = 64 << 20
ENCODER_LIMIT = 1 << 20
# Batch normalisation's running statistics forget in tens of steps: two short videos make for a few hundred
# steps in all, after which Keras' 0.99 still remembers the untrained network.
BN_MOMENTUM = 0.9
HDF5 = b"\x89HDF"
# What the original's scripts fed their network: the bare face box, 32 by 32 pixels.
ORIGINAL = {"input_size": 32, "margin": 1.0}


class ModelError(Exception):
    """A model or its labels cannot be used; the message is one line that says what to do."""


class LivenessNet:
    @staticmethod
    def build(width: int, height: int, depth: int, classes: int, normalization: type | None = None):
        """The original's layers: 148,562 parameters at 32 x 32 x 3 and two classes.

        Input float32 (batch, height, width, depth), 0 to 1, channels BGR; output float32 (batch, classes),
        probabilities. normalization: a kind of Keras' BatchNormalization to use in its place, with the same weights.
        Source: A. Rosebrock, "Liveness Detection with OpenCV", 2019.
        """
        keras = import_keras()
        layers = keras.layers
        normalization = normalization or layers.BatchNormalization
        model = keras.Sequential([keras.Input((height, width, depth))])
        for filters in (16, 32):
            for _ in range(2):
                model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
                model.add(normalization(momentum=BN_MOMENTUM))
            model.add(layers.MaxPooling2D())
            model.add(layers.Dropout(0.25))
        model.add(layers.Flatten())
        model.add(layers.Dense(64, activation="relu"))
        model.add(normalization(momentum=BN_MOMENTUM))
        model.add(layers.Dropout(0.5))
        model.add(layers.Dense(classes, activation="softmax"))
        return model

    @staticmethod
    def average(members: list):
        """One model of several trained LivenessNets, whose output is the mean of theirs.

        What a network of this size makes of an unseen room depends much on chance; the mean of a few does so less.
        """
        keras = import_keras()
        inputs = keras.Input(members[0].input_shape[1:])
        average = keras.layers.Average()([member(inputs) for member in members])
        return keras.Model(inputs, average, name="livenessnet")


def import_keras():
    """Keras on TensorFlow, imported without what TensorFlow has to say about this machine's processor.

    Its C++ part writes those lines straight to standard error before any setting can reach it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            import keras
            import tensorflow  # noqa: F401  (the part that talks)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    return keras


def save(model, path: str | Path, labels: list[str], details: dict, check: np.ndarray | None = None) -> None:
    """Write a Keras model, its inference graph and its details into one archive at exactly ``path``.

    labels: class names in the order of the model's outputs.
    details: at least ``margin`` (how wide crops are cut, in units of the face box) and ``calibration``,
        {"scale", "offset"} of the logit; all of it must be JSON.
    check: float32 (N, height, width, depth), 0 to 1: real crops on which both halves must agree, beside
        random ones.
    The archive is written beside ``path`` and renamed, so that a model that works is replaced only by one
    that does. Raises ModelError if the two halves disagree by more than 1e-5, OSError if it cannot be written.
    """
    path = Path(path)
    height, width, depth = model.input_shape[1:]
    samples = np.random.default_rng(0).random((4, height, width, depth), np.float32)
    if check is not None:
        samples = np.concatenate([samples, check])
    with tempfile.TemporaryDirectory() as folder:
        # Without the optimizer's state, which is twice the size of the network.
        bare = model.from_config(model.get_config())
        bare.set_weights(model.get_weights())
        archive = Path(folder, "model.keras")
        bare.save(archive)
        expected = np.asarray(bare(samples))  # Keras exports only a model that has been called
        graph = _export(bare, Path(folder, GRAPH))
        apart = float(np.abs(_forward(_network(graph), samples) - expected).max())
        if not apart <= TOLERANCE:
            raise ModelError(
                f"{path}: not written: OpenCV's outputs differ from Keras' by {apart:.1e}; "
                "another version of opencv-python, tf2onnx or keras is needed (see pip-list.txt)"
            )
        details = {"format": FORMAT, "labels": labels, "input_size": width, **details}
        with zipfile.ZipFile(archive, "a") as members:
            members.writestr(GRAPH, graph)
            members.writestr(DETAILS, json.dumps(details, indent=1))
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            shutil.copyfile(archive, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def load(path: str | Path, encoder: str | Path) -> "FastNet":
    """Load a model for inference, ours or one that the original's train.py wrote (HDF5).

    encoder: the le.pickle that belongs to it. Raises ModelError.
    """
    path = Path(path)
    labels = read_labels(encoder)
    head = _read(path, 4, "train one with train.py, or name yours with --model")
    if head == HDF5:
        path = _converted(path, labels)
    graph, details = _read_archive(path)
    if details["labels"] != labels:
        raise ModelError(
            f"{encoder}: its labels {labels} are not those of {path}, {details['labels']}; "
            "take the two files that one training wrote together"
        )
    try:
        return FastNet(_network(graph), details)
    except cv2.error:
        raise ModelError(f"{path}: its network is not one that OpenCV can run; train it again") from None


class FastNet:
    """LivenessNet in OpenCV DNN: some 2 ms a face, no TensorFlow.

    input_size: side in pixels of the crops it takes. margin: how wide they are cut. details: all that
    the archive says about itself.
    """

    def __init__(self, network: "cv2.dnn.Net", details: dict):
        self.details = details
        self.input_size: int = details["input_size"]
        self.margin: float = details["margin"]
        self._network = network
        self._real = details["labels"].index("real")
        self._scale, self._offset = details["calibration"]["scale"], details["calibration"]["offset"]
        # The first call sets up the engine; better now than while somebody waits. It also shows whether
        # the graph is what the details say.
        probe = np.zeros((1, self.input_size, self.input_size, 3), np.float32)
        if _forward(self._network, probe).shape != (1, len(LABELS)):
            raise cv2.error("not a LivenessNet")

    def p_real(self, crops: np.ndarray) -> np.ndarray:
        """How likely each crop shows a live face, calibrated so that 0.5 is the operating point.

        crops: uint8 (N, input_size, input_size, 3) BGR, N from 1. Returns float64 (N,), 0 to 1.
        """
        raw = _forward(self._network, np.asarray(crops, np.float32) / 255)[:, self._real]
        return calibrate(raw, self._scale, self._offset)


def calibrate(raw: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Map the network's probability of "real", 0 to 1, to one whose operating point is 0.5: the logit
    times scale plus offset (Platt, 1999)."""
    # Farther out float32's softmax is 0 or 1, and the logit infinite.
    raw = np.clip(np.asarray(raw, np.float64), 1e-7, 1 - 1e-7)
    return 1 / (1 + np.exp(-(scale * np.log(raw / (1 - raw)) + offset)))


def write_labels(encoder, path: str | Path) -> None:
    """Pickle a fitted scikit-learn LabelEncoder, beside ``path`` first. Raises OSError."""
    path = Path(path)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(pickle.dumps(encoder))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_labels(path: str | Path) -> list[str]:
    """The class names in a pickled LabelEncoder of scikit-learn 0.2x to 1.x, in the order of the outputs.

    No code in the pickle can run, and neither scikit-learn nor NumPy's unpickling is involved.
    Raises ModelError if it is anything but an encoder of "fake" and "real".
    """
    data = _read(Path(path), ENCODER_LIMIT, "train.py writes it beside the model; name yours with --le")
    try:
        labels = _EncoderUnpickler(io.BytesIO(data)).load().labels()
    except _Refused as error:
        raise ModelError(f"{path}: not the label encoder that train.py writes (it asks for {error})") from None
    # A damaged pickle can fail in any of these ways, by the byte.
    except (
        ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, RecursionError, TypeError,
        ValueError, pickle.UnpicklingError,
    ):
        raise ModelError(f"{path}: damaged; it is no label encoder that train.py writes") from None
    if sorted(labels) != LABELS:
        raise ModelError(f"{path}: labels {labels[:4]}; the authenticator needs exactly 'fake' and 'real'")
    return labels


# --- Reading a LabelEncoder without running what it says ---


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no encoder is made of."""


class _Encoder:
    """Stands for sklearn.preprocessing.LabelEncoder."""

    def __setstate__(self, state):
        self.classes = state["classes_"]

    def labels(self) -> list[str]:
        return self.classes.values()


class _Dtype:
    """Stands for numpy.dtype: what it was called with is all that is needed."""

    def __init__(self, code, *_):
        self.code = code
        self.order = "<"

    def __setstate__(self, state):
        self.order = state[1]


class _Array:
    """Stands for numpy.ndarray: of strings, in bytes of UTF-32 or in a list of objects."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        _, _, self.dtype, _, self.data = state

    def values(self) -> list[str]:
        if isinstance(self.data, list):
            return [str(value) for value in self.data if isinstance(value, str)]
        code = self.dtype.code
        if not (code.startswith("U") and code[1:].isdecimal() and int(code[1:])):
            raise ValueError(code)
        encoding = "utf-32-be" if self.dtype.order == ">" else "utf-32-le"
        step = 4 * int(code[1:])
        return [
            bytes(self.data[start : start + step]).decode(encoding).rstrip("\0")
            for start in range(0, len(self.data), step)
        ]


def _array_from_buffer(data, dtype, *_):
    array = _Array()
    array.data, array.dtype = data, dtype
    return array


def _encoder_from(cls, *_):
    """How pickle protocols 0 and 1 make an object."""
    if cls is not _Encoder:
        raise _Refused(f"a {cls!r:.60}")
    return _Encoder()


def _latin1(text: str, encoding: str) -> bytes:
    """How pickle protocols 0 to 2 spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"the encoding {encoding!r:.60}")
    return text.encode("latin1")


class _EncoderUnpickler(pickle.Unpickler):
    """Admits a LabelEncoder and NumPy's arrays, by stand-ins that only keep what they are given."""

    _ADMITTED = {
        ("sklearn.preprocessing._label", "LabelEncoder"): _Encoder,
        ("sklearn.preprocessing.label", "LabelEncoder"): _Encoder,  # before scikit-learn 0.22
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,  # NumPy 2
        ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,  # pickle protocol 5
        ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
        ("_codecs", "encode"): _latin1,
        ("copy_reg", "_reconstructor"): _encoder_from,
        ("__builtin__", "object"): object,
    }

    def find_class(self, module, name):
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            # As a literal: the names are the pickle's, control characters and all.
            raise _Refused(f"{module + '.' + name!r:.80}") from None


# --- The archive ---


def _read(path: Path, limit: int, remedy: str) -> bytes:
    """The first ``limit`` bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None


def _read_archive(path: Path) -> tuple[bytes, dict]:
    """Graph and details of a model archive, checked for what inference relies on."""
    try:
        with zipfile.ZipFile(path) as members:
            for name in (GRAPH, DETAILS):
                if members.getinfo(name).file_size > MEMBER_LIMIT:
                    raise ModelError(f"{path}: {name} in it is larger than any LivenessNet; train it again")
            graph, details = members.read(GRAPH), json.loads(members.read(DETAILS))
    except KeyError:
        raise ModelError(f"{path}: a zip, but not one that train.py wrote; name the model with --model") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, ValueError,
            OSError, RecursionError) as error:
        del error  # what a zip reader says of a broken zip helps nobody
        raise ModelError(f"{path}: empty, cut off or damaged; train it again with train.py") from None
    _check_details(path, details)
    return graph, details


def _check_details(path: Path, details: dict) -> None:
    def number(value, low, high):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    calibration = details.get("calibration") if isinstance(details, dict) else None
    sound = (
        isinstance(calibration, dict)
        and details.get("format") == FORMAT
        and isinstance(details.get("labels"), list)
        and sorted(map(str, details["labels"])) == LABELS
        and isinstance(details.get("input_size"), int) and number(details["input_size"], 8, 512)
        and number(details.get("margin"), 0.5, 10)
        and number(calibration.get("scale"), 1e-6, 1e6)
        and number(calibration.get("offset"), -1e6, 1e6)
    )
    if not sound:
        raise ModelError(f"{path}: written by another version, or damaged; train it again with train.py")


def _export(model, path: Path) -> bytes:
    """The model as ONNX, with a free batch size."""
    # tf2onnx logs every step, and Keras' use of it draws NumPy's warnings.
    import logging
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            model.export(path, format="onnx", verbose=False)
    finally:
        logging.disable(before)
    return path.read_bytes()


def _network(graph: bytes) -> "cv2.dnn.Net":
    return cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))


def _forward(network: "cv2.dnn.Net", images: np.ndarray) -> np.ndarray:
    """float32 (N, height, width, depth), 0 to 1 -> float32 (N, classes)."""
    network.setInput(images)
    # OpenCV 4 returns (N, 1, classes) for a batch.
    return network.forward().reshape(len(images), -1)


# --- Models of the original ---


def _converted(path: Path, labels: list[str]) -> Path:
    """An HDF5 model as one of our archives, converted once and kept in the user's cache folder."""
    data = _read(path, MEMBER_LIMIT, "name yours with --model")
    cached = cache_folder() / f"{hashlib.sha256(data + repr(labels).encode()).hexdigest()[:16]}.model"
    if cached.is_file():
        return cached
    print(f"{path}: a model of the original; converting it once for OpenCV", file=sys.stderr)
    model = _load_hdf5(path, data)
    if model.input_shape[1:] != (ORIGINAL["input_size"], ORIGINAL["input_size"], 3) or model.output_shape[1] != 2:
        raise ModelError(f"{path}: takes {model.input_shape[1:]}, not the original's 32x32x3; train it again")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        unfitted = {"scale": 1.0, "offset": 0.0}
        details = {"margin": ORIGINAL["margin"], "calibration": unfitted, "dataset": path.name}
        save(model, cached, labels, details)
    except OSError as error:
        raise ModelError(
            f"{cached.parent}: cannot be written ({error.strerror}); the converted model goes there"
        ) from None
    return cached


def _load_hdf5(path: Path, data: bytes):
    """Keras reads HDF5 under a name that ends in .h5 only."""
    keras = import_keras()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "model.h5")
        copy.write_bytes(data)
        try:
            # compile=False: the original's optimizer settings are not those of Keras 3, nor needed.
            return keras.models.load_model(copy, compile=False, safe_mode=True)
        # Keras and h5py raise whatever a damaged file leads them into.
        except Exception as error:
            reason = str(error).split("\n")[0][:100]
            raise ModelError(f"{path}: not a model that Keras can load ({reason}); train it again") from None


def cache_folder() -> Path:
    """Where this system keeps what can be made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "liveness-authentication"
