"""Genuine inputs of every kind that the suite reads, for fuzz.py and the tests of damaged ones."""

import pickle
from pathlib import Path

import cv2
import numpy as np


class Genuine(bytes):
    """Hypothesis spells out what a strategy is made of; megabytes of it help nobody."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def genuine_models(folder: Path) -> list[bytes]:
    """Small, untrained networks: one as it is written now, and the mean of two as our earlier versions wrote it."""
    import earlier_graphs

    import livenessnet

    livenessnet.import_keras().utils.set_random_seed(1)
    calibration = {"scale": 1.0, "reach": [0.5, 0.8, 1.35], "offset": [-0.6, 0.1, 0.3]}
    details = {"margin": 2.7, "weight": 0.25, "calibration": calibration}
    path = folder / "genuine.model"
    first, second, third = (livenessnet.LivenessNet.build(16, 16, 3, 2) for _ in range(3))
    livenessnet.save(first, path, livenessnet.LABELS, details)
    archives = [Genuine(path.read_bytes())]
    del details["weight"]
    pair = earlier_graphs.average([second, third])
    for form in (earlier_graphs.THIRD, earlier_graphs.SECOND, earlier_graphs.FIRST):
        archives.append(Genuine(earlier_graphs.write(path, pair, form, details).read_bytes()))
    return archives


def genuine_hdf5(folder: Path) -> list[bytes]:
    import livenessnet

    livenessnet.import_keras()
    livenessnet.LivenessNet.build(32, 32, 3, 2).save(folder / "genuine.h5")
    return [Genuine((folder / "genuine.h5").read_bytes())]


def genuine_encoders() -> list[bytes]:
    from sklearn.preprocessing import LabelEncoder

    encoders = []
    for dtype in ("<U4", ">U4", object):
        encoder = LabelEncoder().fit(["fake", "real"])
        encoder.classes_ = np.array(["fake", "real"], dtype)
        encoders += [pickle.dumps(encoder, protocol) for protocol in range(6)]
    return encoders


def picture_of(side: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.dstack([rows * 5, columns * 5, rows ^ columns]).astype(np.uint8)


def genuine_crop(folder: Path) -> bytes:
    from capture import crops

    crop = crops.Crop(picture_of(), "kitchen", 3, "0123456789ab", 1.5, 2.7, (0.0, 0.1, 1.0, 0.9))
    return Genuine(crops.write(folder, crop).read_bytes())


def genuine_pictures(folder: Path) -> list[bytes]:
    kinds = [cv2.imencode(suffix, picture_of())[1].tobytes() for suffix in (".jpg", ".webp", ".bmp", ".tiff", ".png")]
    return [genuine_crop(folder), *kinds]


def genuine_videos(folder: Path) -> list[bytes]:
    """A few frames in every container and codec that OpenCV can write, and one whose frames change size."""
    videos = []
    for name, code in (("v.mp4", "mp4v"), ("v.avi", "MJPG"), ("v.webm", "VP80"), ("v.mkv", "mp4v")):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*code), 30, (64, 48))
        for n in range(12):
            writer.write(np.roll(picture_of(64)[:48], n * 4, 1))
        writer.release()
        videos.append(Genuine((folder / name).read_bytes()))
    frames = [cv2.imencode(".jpg", picture_of(side))[1].tobytes() for side in (48, 48, 160, 16)]
    return [*videos, Genuine(b"".join(frames * 3))]  # a raw MJPEG stream
