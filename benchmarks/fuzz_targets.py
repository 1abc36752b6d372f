"""What fuzz.py feeds with what: a reader and its inputs for each kind of thing that comes from outside."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from damaged_inputs import broken, changed_archive, changed_boxes, changed_owners, changed_png, damaged
from genuine_inputs import (
    Genuine,
    genuine_crop,
    genuine_encoders,
    genuine_hdf5,
    genuine_models,
    genuine_pictures,
    genuine_videos,
)
from hypothesis import strategies as st
from made_up_inputs import pickles, toml

ROOT = Path(__file__).resolve().parent.parent


# --- Readers: each says how it went, or raises ---


def one_line(error: Exception) -> str:
    assert "\n" not in str(error) and len(str(error)) < 1000, f"not one line: {error!r:.200}"
    return "refused"


def read_model(path: Path) -> str:
    import livenessnet
    from model_file.scores import fuse, probability

    encoder = path.with_name("le.pickle")
    if not encoder.exists():
        encoder.write_bytes(genuine_encoders()[4])
    try:
        network = livenessnet.load(path, encoder)
    except livenessnet.ModelError as error:
        return one_line(error)
    for faces in (1, 3):
        log_odds = network.log_odds(np.full((faces, network.input_size, network.input_size, 3), 90, np.uint8), 0.6)
        scores = probability(fuse(np.zeros(faces), log_odds, network.weight))
        assert scores.shape == (faces,) and (scores >= 0).all() and (scores <= 1).all(), scores
    return "used"


def read_owners(path: Path) -> str:
    import livenessnet
    from face_recognizer import NETWORK
    from model_file import owners

    try:
        found = owners.read_owners(path, NETWORK)
    except livenessnet.ModelError as error:
        return one_line(error)
    for name, templates in found.items():
        assert name.isprintable() and templates.dtype == np.float32 and templates.shape[1:] == (owners.SIZE,)
        assert 1 <= len(templates) <= owners.MOST_TEMPLATES and np.isfinite(templates @ templates.T).all()
    return "used"


def read_hdf5(path: Path) -> str:
    import livenessnet
    from model_file import original

    try:
        original._load_hdf5(path, path.read_bytes())
    except livenessnet.ModelError as error:
        return one_line(error)
    return "used"


def read_labels(path: Path) -> str:
    import livenessnet

    before = sorted(os.listdir(path.parent))
    try:
        assert sorted(livenessnet.read_labels(path)) == ["fake", "real"]
        return "used"
    except livenessnet.ModelError as error:
        return one_line(error)
    finally:
        assert sorted(os.listdir(path.parent)) == before, "it made something"
        assert not any(name in sys.modules for name in ("numpy.f2py", "sklearn")), "it imported something"


def read_settings(path: Path) -> str:
    import alerts

    try:
        settings = alerts.load_settings(path)
    except alerts.SettingsError as error:
        return one_line(error)
    numbers = [
        settings.location.timeout_s,
        settings.alarm.seconds,
        settings.incidents.cooldown_s,
        settings.email.timeout_s,
    ]
    assert all(map(math.isfinite, numbers))
    texts = [
        settings.email.host,
        settings.email.username,
        settings.alarm.device,
        settings.location.url,
        *settings.lock.command,
    ]
    assert not any("\0" in text for text in texts), "nothing outside takes a NUL"
    return "used"


def read_weights(path: Path) -> str:
    from face_detector import DetectorError, FaceDetector
    from face_detector.yunet import WEIGHTS

    weights = path.with_name(WEIGHTS)
    path.replace(weights)
    try:
        FaceDetector(path.parent)
    except DetectorError as error:
        return one_line(error)
    return "used"


def read_witness(path: Path) -> str:
    from anti_spoofing.pytorch_file import PyTorchFileError, read

    try:
        tensors = read(path.read_bytes())
    except PyTorchFileError as error:
        return one_line(error)
    assert all(isinstance(name, str) and values.dtype in ("f4", "i8") for name, values in tensors.items())
    return "used"


def read_picture(path: Path) -> str:
    from capture import crops

    crop = crops.read(path)
    if crop is None:
        return "refused"
    assert crop.picture.dtype == np.uint8 and crop.picture.ndim == 3 and crop.picture.shape[2] == 3
    assert crop.time_s is None or math.isfinite(crop.time_s)
    assert crop.margin is None or 0 < crop.margin < math.inf
    assert len(crop.inside) == 4 and all(0 <= edge <= 1 for edge in crop.inside)
    return "used"


def read_video(path: Path) -> str:
    from capture.opening import open_source
    from capture.source import SourceError

    try:
        with open_source(str(path)) as source:
            assert 1 <= source.fps <= 1000 and (source.length is None or source.length > 0)
            last = -1.0
            for index, time_s, frame in source.frames():
                assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 and frame.size
                assert math.isfinite(time_s) and time_s >= last, f"time {time_s} after {last}"
                assert time_s <= 60 * (index + 1), f"{time_s} s at frame {index}"
                last = time_s
                if index >= 200:
                    break
    except SourceError as error:
        return one_line(error)
    return "used"


# --- Their inputs ---


def _model_inputs(folder: Path):
    archives = genuine_models(folder)
    return st.one_of(damaged(archives), *[changed_archive(archive) for archive in archives * 2])


def _owners_inputs(folder: Path):
    from face_recognizer import NETWORK
    from model_file import owners

    rows = 1 + np.random.default_rng(0).random((2, 6, owners.SIZE))
    text = owners.written(dict(zip(("one", "two"), rows / np.linalg.norm(rows, axis=2, keepdims=True))), NETWORK)
    return changed_owners(genuine_models(folder)[0], owners.OWNERS, text.encode())


def _picture_inputs(folder: Path):
    crop = genuine_crop(folder)
    return st.one_of(broken(genuine_pictures(folder)), changed_png(crop), changed_png(crop))


def _video_inputs(folder: Path):
    videos = genuine_videos(folder)
    return st.one_of(broken(videos), damaged(videos, 12), changed_boxes(videos[0]))


def _settings_inputs(folder: Path):
    example = (ROOT / "alerts.example.toml").read_bytes()
    return st.one_of(
        toml(), toml(), damaged([example]), damaged([example.replace(b"# ", b"")]), st.binary(max_size=200)
    )


def _weights_inputs(folder: Path):
    from face_detector.yunet import WEIGHTS

    return broken([Genuine((ROOT / "face_detector" / WEIGHTS).read_bytes())])


def _witness_inputs(folder: Path):
    from pytorch_parts import file_of

    tensors = {"a.weight": np.zeros((3, 4), np.float32), "a.count": np.array(5), "b.bias": np.ones(4, np.float32)}
    genuine = Genuine(file_of(tensors))
    return st.one_of(pickles([genuine]), damaged([genuine], 2))


@dataclass(frozen=True)
class Target:
    """memory_mb: how much more than before any one input may take."""

    read: Callable[[Path], str]
    inputs: Callable[[Path], st.SearchStrategy[bytes]]
    suffix: str
    memory_mb: int
    apart: bool = False  # the scripts, too, read it in a process of its own, with a time limit


TARGETS = {
    "model": Target(read_model, _model_inputs, ".model", 300),
    "owners": Target(read_owners, _owners_inputs, ".model", 100),
    "hdf5": Target(read_hdf5, lambda folder: broken(genuine_hdf5(folder)), ".h5", 500, apart=True),
    "labels": Target(read_labels, lambda folder: pickles(genuine_encoders()), ".pickle", 100),
    "settings": Target(read_settings, _settings_inputs, ".toml", 100),
    "weights": Target(read_weights, _weights_inputs, ".onnx", 100),
    "witness": Target(read_witness, _witness_inputs, ".pth", 100),
    "picture": Target(read_picture, _picture_inputs, ".png", 600),
    "video": Target(read_video, _video_inputs, ".mp4", 800),
}
