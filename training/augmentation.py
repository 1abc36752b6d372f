"""What training does to a crop before LivenessNet sees it: the original's variations, and light.

Two short videos show one room in one light, in which live and replayed faces differ by exposure and colour; varied
alike for both classes, neither tells them apart.
"""

import math

import cv2
import numpy as np

# Either way, uniform: the window's turn in degrees, its shift and zoom in parts of its side (the original's).
ROTATION, SHIFT, ZOOM = 20.0, 0.1, 0.15
# Either way, as natural logarithms: brightness, each colour channel, tone curve.
GAIN, CAST, GAMMA = 0.5, 0.2, 0.5
_LEVELS = np.arange(256)[:, None] / 255


def vary(crop: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A crop, uint8 (S, S, 3) BGR, S from size, varied at random: uint8 (size, size, 3)."""
    return relit(reframed(crop, size, rng), rng)


def reframed(crop: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Mirrored, turned, moved and zoomed, with the crop's edge carried on outside."""
    side, out = crop.shape[0], 2 * size  # averaged down, as inference does: a bilinear warp alone would alias
    middle, scale = (side - 1) / 2, out / side * math.exp(rng.uniform(-ZOOM, ZOOM))
    matrix = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-ROTATION, ROTATION), scale)
    matrix[:, 2] += (out - 1) / 2 - middle + rng.uniform(-SHIFT, SHIFT, 2) * out
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += out - 1
    view = cv2.warpAffine(crop, matrix, (out, out), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def relit(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In other light: brightness, white balance and tone curve."""
    gains = np.exp(rng.uniform(-GAIN, GAIN) + rng.uniform(-CAST, CAST, 3))
    table = 255 * gains * _LEVELS ** math.exp(rng.uniform(-GAMMA, GAMMA))
    return cv2.LUT(view, table.clip(0, 255).astype(np.uint8)[:, None, :])
