"""Crops of two real people, and looks at people who do not exist."""

from pathlib import Path

import cv2
import numpy as np

from capture import crops
from face_detector import CROP_MARGIN, cut


def live_crops(folder: Path, recording: str, frames, detector, margin: float = CROP_MARGIN) -> list[Path]:
    """The crops of these frames, each with one face, in folder. They carry a witness' word, so that nobody asks it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, frame in enumerate(frames):
        picture, inside = cut(frame, detector.detect(frame)[0, :4], margin)
        inside = tuple(float(edge) for edge in inside)
        crop = crops.Crop(picture, recording, number, recording.encode().hex(), number / 4, margin, inside, 0.5)
        files.append(crops.write(folder, crop))
    return files


def portraits(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """The one picture there is of somebody, in several sizes and lights."""
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    sizes = np.linspace(0.7, 1, count)
    return [cv2.resize((small * light).astype(np.uint8), None, fx=light, fy=light) for light in sizes]


def looks_at(person: int, count: int, spread: float = 0.5) -> np.ndarray:
    """float32 (count, 128) of length 1: any two looks at a person score about 1 / (1 + spread ** 2), at two about 0."""
    rng = np.random.default_rng(person)
    looks = rng.standard_normal(128) + spread * rng.standard_normal((count, 128))
    return (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)
