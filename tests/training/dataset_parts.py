"""Data sets of a few crops, each told from the others by its grey."""

import numpy as np

from capture import crops
from capture.crops import Crop


def fill(folder, recording: str, count: int, shade: int = 0, **fields) -> None:
    """count crops of one recording. They carry what the witness said, so that nobody asks it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = np.full((32, 32, 3), (shade + number) % 256, np.uint8)
        known = {"source": "f00d", "time_s": number / 30, "margin": 2.7, "witness": 0.5, **fields}
        crops.write(folder, Crop(picture, recording, number, **known))
