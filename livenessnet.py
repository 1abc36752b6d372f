"""LivenessNet: the network (Keras), the file it is kept in, and the fast way to run it (OpenCV DNN).

    model = LivenessNet.build(width=64, height=64, depth=3, classes=2)
    save(model, "liveness.model", labels=["fake", "real"], details={...})
    network = load("liveness.model", "le.pickle")
    network.p_real(crops)                            # 0.5 is the operating point

A saved model is one zip: the Keras archive, readable by ``keras.models.load_model`` under a name that
ends in .keras, with two more members that Keras ignores: the same network as ONNX, which OpenCV runs
forty times faster and without importing TensorFlow, and a JSON with what inference must know.
"""

import io
import json
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import onnx_graph

GRAPH, DETAILS = "liveness.onnx", "liveness.json"
FORMAT = 1
LABELS = ["fake", "real"]
# Both halves of an archive must say the same; float32 leaves about 1e-7.
TOLERANCE = 1e-5
# Far above any LivenessNet (0.6 MB at 32 pixels), its details and an encoder (both below 2 kB); a crafted file may
# unpack to gigabytes.
MEMBER_LIMIT = 64 << 20
DETAILS_LIMIT = 1 << 20
ENCODER_LIMIT = 1 << 16
# No encoder needs more memo slots, nor refers back to them more often (29 and 8 were the most, in any pickle
# protocol). A pickle that may do so without bounds doubles what it means with every reference.
MEMO_LIMIT, REFERENCE_LIMIT = 1000, 20
# Batch normalisation's running statistics forget in tens of steps: two short videos make for a few hundred
# steps in all, after which Keras' 0.99 still remembers the untrained network.
BN_MOMENTUM = 0.9
HDF5 = b"\x89HDF"
# Converting takes some 10 s, nearly all of it TensorFlow's start.
CONVERT_LIMIT_S = 180.0
CONVERT_REFUSED = 2
_CONVERT = (
    "import sys; sys.path.insert(0, sys.argv[1]); import livenessnet; sys.exit(livenessnet._convert(*sys.argv[2:]))"
)
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
        # Handed over all at once: with every add() Keras builds the network anew.
        stack = [keras.Input((height, width, depth))]
        for filters in (16, 32):
            for _ in range(2):
                stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
                stack.append(normalization(momentum=BN_MOMENTUM))
            stack.append(layers.MaxPooling2D())
            stack.append(layers.Dropout(0.25))
        stack.append(layers.Flatten())
        stack.append(layers.Dense(64, activation="relu"))
        stack.append(normalization(momentum=BN_MOMENTUM))
        stack.append(layers.Dropout(0.5))
        stack.append(layers.Dense(classes, activation="softmax"))
        return keras.Sequential(stack)

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
    import gc
    import tempfile

    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.stderr.flush()
    kept = os.dup(2)
    collecting = gc.isenabled()
    # A third of the import is the search for garbage among a million objects that are all there to stay.
    gc.disable()
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            import keras
            import tensorflow  # noqa: F401  (the part that talks)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        gc.freeze()
        if collecting:
            gc.enable()
    return keras


def save(model, path: str | Path, labels: list[str], details: dict, check: np.ndarray | None = None) -> None:
    """Write a Keras model, its inference graph and its details into one archive at exactly ``path``.

    model: one LivenessNet, or the average of several; its optimizer, if it has one, goes into the archive too.
    labels: class names in the order of the model's outputs.
    details: at least ``margin`` (how wide crops are cut, in units of the face box) and ``calibration``, see
        calibrate(); all of it must be JSON.
    check: float32 (N, height, width, depth), 0 to 1: real crops on which both halves must agree, beside
        random ones.
    The archive is written beside ``path`` and renamed, so that a model that works is replaced only by one
    that does. Raises ModelError if the two halves disagree by more than 1e-5, OSError if it cannot be written.
    """
    import shutil
    import tempfile

    path = Path(path)
    height, width, depth = model.input_shape[1:]
    samples = np.random.default_rng(0).random((4, height, width, depth), np.float32)
    if check is not None:
        samples = np.concatenate([samples, check])
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "model.keras")
        model.save(archive)
        expected = np.asarray(model(samples))
        graph = _export(path, model)
        apart = float(np.abs(_forward(_network(graph), samples) - expected).max())
        if not apart <= TOLERANCE:
            raise ModelError(
                f"{path}: not written: OpenCV's outputs differ from Keras' by {apart:.1e}; "
                "another version of opencv-python, onnx or keras is needed (see pip-list.txt)"
            )
        details = {"format": FORMAT, "labels": labels, "input_size": width, **details}
        with zipfile.ZipFile(archive, "a") as members:
            members.writestr(GRAPH, graph)
            members.writestr(DETAILS, json.dumps(details, indent=1))
        part = _beside(path)
        try:
            shutil.copyfile(archive, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def in_opencv(model) -> Callable[[np.ndarray], np.ndarray]:
    """A trained Keras model as inference runs it, not calibrated yet: float32 (N, height, width, depth), 0 to 1, ->
    float32 (N, classes). For one thread at a time. Raises ModelError if it is no LivenessNet."""
    network = _network(_export("the model", model))
    return lambda images: _forward(network, images)


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
        onnx_graph.check(graph, details["input_size"])
        return FastNet(_network(graph), details)
    except (cv2.error, onnx_graph.GraphError):
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
        self._calibration = details["calibration"]
        # The first call sets up the engine; better now than while somebody waits. It also shows whether
        # the graph is what the details say.
        probe = np.zeros((1, self.input_size, self.input_size, 3), np.float32)
        shares = _forward(self._network, probe)
        if shares.shape != (1, len(LABELS)) or not abs(shares.sum() - 1) < 1e-3 or shares.min() < 0:
            raise cv2.error("not a LivenessNet")

    def p_real(self, crops: np.ndarray, reach: np.ndarray | float = np.inf) -> np.ndarray:
        """How likely each crop shows a live face, calibrated so that 0.5 is the operating point.

        crops: uint8 (N, input_size, input_size, 3) BGR, N from 1. reach: float (N,), see face_detector.reach, or one
        for all; infinite where the frame goes on beyond the crop. Returns float64 (N,), 0 to 1.
        """
        raw = _forward(self._network, np.asarray(crops, np.float32) / 255)[:, self._real]
        return calibrate(raw, reach, self._calibration)


def calibrate(raw: np.ndarray, reach: np.ndarray | float, calibration: dict) -> np.ndarray:
    """Map the network's probability of "real", 0 to 1, to one whose operating point is 0.5: the logit times "scale"
    plus "offset" (Platt, 1999).

    calibration: offset is one number, or several, each for one "reach" (rising); linear in between.
    """
    offset = np.interp(reach, np.atleast_1d(calibration.get("reach", 0.0)), np.atleast_1d(calibration["offset"]))
    return 1 / (1 + np.exp(-(calibration["scale"] * logit(raw) + offset)))


def logit(share: np.ndarray) -> np.ndarray:
    """log(share / (1 - share)), float64, within 16 of 0."""
    # Farther out float32's softmax is 0 or 1, and the logit infinite. What is not a number has seen no live face.
    share = np.minimum(np.fmax(np.asarray(share, np.float64), 1e-7), 1 - 1e-7)
    return np.log(share / (1 - share))


def write_labels(encoder, path: str | Path) -> None:
    """Pickle a fitted scikit-learn LabelEncoder, beside ``path`` first. Raises OSError."""
    path = Path(path)
    part = _beside(path)
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
        _refuse_bombs(data)
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
        raise ModelError(f"{path}: labels {labels[:4]!r:.80}; the authenticator needs exactly 'fake' and 'real'")
    return labels


# --- Reading a LabelEncoder without running what it says ---


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no encoder is made of."""


def _refuse_bombs(data: bytes) -> None:
    """Nothing that a few bytes can blow up: a memo as large as its highest number, tuples of themselves."""
    import pickletools

    references = 0
    for operation, argument, _ in pickletools.genops(data):
        references += operation.name.endswith("GET")
        if operation.name == "DUP" or references > REFERENCE_LIMIT:
            raise _Refused("more than it has room for")
        if operation.name.endswith("PUT") and argument > MEMO_LIMIT:
            raise _Refused("more memory than any encoder")


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
            graph = _member(path, members, GRAPH, MEMBER_LIMIT)
            details = json.loads(_member(path, members, DETAILS, DETAILS_LIMIT))
    except KeyError:
        raise ModelError(f"{path}: a zip, but not one that train.py wrote; name the model with --model") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
            ValueError, OSError, struct.error):
        raise ModelError(f"{path}: empty, cut off or damaged; train it again with train.py") from None
    _check_details(path, details)
    return graph, details


def _member(path: Path, members: zipfile.ZipFile, name: str, limit: int) -> bytes:
    info = members.getinfo(name)
    if info.file_size > limit:
        raise ModelError(f"{path}: {name} in it is larger than any LivenessNet; train it again")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelError(f"{path}: {name} in it is packed as train.py does not; train it again")
    with members.open(info) as member:
        # Not read() without a size: that unpacks all there is before it looks at the size announced.
        data = member.read(info.file_size)
    if len(data) != info.file_size:
        raise EOFError
    return data


def _check_details(path: Path, details: dict) -> None:
    def number(value, low, high):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    def numbers(values, low, high):
        sound = isinstance(values, list) and 0 < len(values) < 100
        return sound and all(number(value, low, high) for value in values)

    def offsets(calibration):
        offset = calibration.get("offset")
        if "reach" not in calibration:      # the same everywhere, as before there were several
            return number(offset, -1e6, 1e6)
        reach = calibration["reach"]
        rising = numbers(reach, 0, 1e6) and all(low < high for low, high in zip(reach, reach[1:]))
        return rising and numbers(offset, -1e6, 1e6) and len(offset) == len(reach)

    calibration = details.get("calibration") if isinstance(details, dict) else None
    sound = (
        isinstance(calibration, dict)
        and details.get("format") == FORMAT
        and isinstance(details.get("labels"), list)
        and sorted(map(str, details["labels"])) == LABELS
        and isinstance(details.get("input_size"), int) and number(details["input_size"], 8, 512)
        and number(details.get("margin"), 0.5, 10)
        and number(calibration.get("scale"), 1e-6, 1e6)
        and offsets(calibration)
    )
    if not sound:
        raise ModelError(f"{path}: written by another version, or damaged; train it again with train.py")


def _beside(path: Path) -> Path:
    """A name of nobody else's, in the same folder."""
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")


def _export(path: str | Path, model) -> bytes:
    """The model as ONNX, one that load() takes. path: of the archive, for the message."""
    import onnx_writer

    try:
        graph = onnx_writer.write(model)
        onnx_graph.check(graph, model.input_shape[1])
    except (onnx_writer.UnknownLayer, onnx_graph.GraphError) as error:
        raise ModelError(f"{path}: not written: the network is no LivenessNet ({error}); train it again") from None
    return graph


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
    import hashlib

    data = _read(path, MEMBER_LIMIT, "name yours with --model")
    cached = cache_folder() / f"{hashlib.sha256(data + repr(labels).encode()).hexdigest()[:16]}.model"
    if cached.is_file():
        return cached
    print(f"{path}: a model of the original; converting it once for OpenCV", file=sys.stderr)
    _convert_apart(path, cached, labels)
    return cached


def _convert_apart(path: Path, cached: Path, labels: list[str]) -> None:
    """In a process of its own: a damaged file can lead the HDF5 library into a loop without end (the fuzzer found
    two) or worse. It also leaves this process without TensorFlow."""
    import subprocess

    # -P: not from the folder that the user happens to be in.
    here = str(Path(__file__).resolve().parent)
    command = [sys.executable, "-P", "-c", _CONVERT, here, str(path), str(cached), *labels]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=CONVERT_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{path}: not converted within {CONVERT_LIMIT_S:g} s; it is damaged, train it again"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: the converter cannot be started ({error.strerror})") from None
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()
    if done.returncode == CONVERT_REFUSED and lines:
        raise ModelError(lines[-1])
    raise ModelError(f"{path}: not a model of the original; reading it ended in a crash; train it again")


def _convert(path: str, cached: str, *labels: str) -> int:
    """The whole of that other process; returns its exit status."""
    try:
        model = _load_hdf5(Path(path), _read(Path(path), MEMBER_LIMIT, "name yours with --model"))
        Path(cached).parent.mkdir(parents=True, exist_ok=True)
        unfitted = {"scale": 1.0, "offset": 0.0}
        details = {"margin": ORIGINAL["margin"], "calibration": unfitted, "dataset": Path(path).name}
        save(model, cached, list(labels), details)
    except ModelError as error:
        print(error)
    except OSError as error:
        print(f"{Path(cached).parent}: cannot be written ({error.strerror}); the converted model goes there")
    else:
        return 0
    return CONVERT_REFUSED


def _load_hdf5(path: Path, data: bytes):
    """The weights in HDF5, in a network of our own making: what else such a file says can name code to be run."""
    import tempfile

    import_keras()
    side = ORIGINAL["input_size"]
    model = LivenessNet.build(width=side, height=side, depth=3, classes=len(LABELS))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "model.h5")  # Keras reads HDF5 under a name that ends in .h5 only
        copy.write_bytes(data)
        try:
            model.load_weights(copy)
        # Keras and h5py raise whatever a damaged file leads them into.
        except Exception as error:
            reason = " ".join(str(error).split())[:100]
            raise ModelError(f"{path}: not a model of the original, which takes 32x32x3 ({reason}); train it again"
                             ) from None
    return model


def cache_folder() -> Path:
    """Where this system keeps what can be made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "liveness-authentication"
