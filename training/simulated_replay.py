"""Simulated attacks made from live crops, for those who have filmed themselves but no replay of it.

A live face is put onto a screen or a print as a second camera might see it: recaptured colours, lost sharpness,
moire, glare, bezel or paper, fingers, and another part of the room behind. That stands in for real replays and does
not equal them: train.py uses it only where the user has none, and says so.
"""

import math

import cv2
import numpy as np

from training.sample_video import glare, recapture_colour

PRINTS = 0.25  # share of prints among the attacks
# How far screen or paper reach from the face's middle, in face boxes, on each side its own way. The crop's window
# reaches 1.35: some edges are in view, some are not, and now and then none is, as in a close-up.
REACH = (0.6, 1.8)


def simulate(live: np.ndarray, inside: np.ndarray, margin: float, rng: np.random.Generator) -> np.ndarray:
    """A replay or print of a live crop, which fills the camera's frame.

    live: uint8 BGR (S, S, 3), margin face boxes wide. inside: float (4,), see crops.Crop. Returns the same shape.
    """
    side = live.shape[0]
    box = side / margin
    printed = rng.random() < PRINTS
    shown = print_of(live, rng) if printed else screen_of(live, rng)
    reach = side / 2 + rng.uniform(*REACH, 4) * box * (-1, -1, 1, 1)
    frame = np.asarray(inside) * side
    picture = np.concatenate([np.maximum(reach[:2], frame[:2]), np.minimum(reach[2:], frame[2:])])
    # Where the recording ends before the screen does, black bars fill it; most players leave none.
    edges = reach if rng.random() < 0.3 else picture
    corners = corners_of(edges, box * (rng.uniform(0, 0.12) if printed else rng.uniform(0.02, 0.3)), rng)

    light = rng.uniform(150, 240) if printed or rng.random() < 0.15 else rng.uniform(0, 60)
    device = np.full_like(live, np.clip(light * np.exp(rng.uniform(-0.08, 0.08, 3)), 0, 255).astype(np.uint8))
    x0, y0, x1, y1 = np.clip(np.rint(picture), 0, side).astype(int)
    device[y0:y1, x0:x1] = shown[y0:y1, x0:x1]

    view = fingers(room(live, box, rng), live, corners, box, rng)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    mask = cv2.merge([cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.2))] * 3)
    view = cv2.add(cv2.multiply(device, mask, scale=1 / 255), cv2.multiply(view, 255 - mask, scale=1 / 255))
    return fingers(view, live, corners, box / 2, rng) if rng.random() < 0.5 else view


def screen_of(live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera sees it on a display."""
    picture = recaptured(live, rng)
    if rng.random() < 0.7:
        picture = moire(picture, rng)
    if rng.random() < 0.6:
        picture = glare(picture, rng.uniform(0, 1.2), rng.uniform(0.1, 0.5))
    return picture


def print_of(live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera sees it on paper: dull, coarse, and unevenly lit."""
    picture = recaptured(live, rng)
    side = live.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    coarse = cv2.resize(rng.standard_normal((side // 2, side // 2), np.float32), (side, side))
    shade = 1 + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y + rng.uniform(0, 0.06) * coarse
    return cv2.multiply(picture, cv2.merge([shade.astype(np.float32)] * 3), dtype=cv2.CV_8U)


def recaptured(live: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What filming a picture of a picture does to sharpness, saturation and tones."""
    picture = cv2.GaussianBlur(live, (0, 0), rng.uniform(0.3, 1.6))
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    keep = rng.uniform(0.4, 1.1)
    picture = cv2.addWeighted(picture, keep, grey, 1 - keep, 0)
    gains = np.exp(rng.uniform(-0.3, 0.3) + rng.uniform(-0.18, 0.18, 3))
    black = rng.uniform(0.05, 0.35) if rng.random() < 0.6 else 0.0
    return recapture_colour(picture, gains, np.exp(rng.uniform(-0.5, 0.5)), black)


def moire(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Beats between a display's pixels and the camera's: bent waves, out of phase from colour to colour."""
    side = picture.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5) / side
    cos, sin = math.cos(angle), math.sin(angle)
    along, across = cos * x + sin * y, cos * y - sin * x
    phase = 2 * np.pi * rng.uniform(0.03, 0.4) * (along + bend * across * across / 2)
    strength, spread = rng.uniform(0.01, 0.1), rng.uniform(0, 1.2)
    waves = cv2.merge([(1 + strength * np.sin(phase + k * spread)).astype(np.float32) for k in (-1, 0, 1)])
    return cv2.multiply(picture, waves, dtype=cv2.CV_8U)


def corners_of(edges: np.ndarray, rim: float, rng: np.random.Generator) -> np.ndarray:
    """Corners, float32 (4, 2) in pixels, of the device around the edges of its screen: held at a slant."""
    x0, y0, x1, y1 = edges + rim * rng.choice((1.0, 1.0, 2.0), 4) * (-1, -1, 1, 1)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    angle = np.radians(rng.normal(0, 4))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = corners.mean(axis=0)
    return (corners - middle) @ turn + middle + rng.normal(0, 0.015 * abs(x1 - x0), (4, 2))


def room(live: np.ndarray, box: float, rng: np.random.Generator) -> np.ndarray:
    """Some part of the crop beside the face as the room behind the device, out of focus and in its own light."""
    side = live.shape[0]
    part = round(rng.uniform(0.2, 0.35) * side)
    x = rng.choice((rng.integers(0, 1 + max(0, round(side / 2 - box / 2) - part)), side - part))
    y = rng.integers(0, side - part)
    view = cv2.resize(live[y : y + part, x : x + part], (side, side), interpolation=cv2.INTER_LINEAR)
    view = cv2.GaussianBlur(view, (0, 0), rng.uniform(1, 6))
    light = np.exp(rng.uniform(-1.0, 0.7) + rng.uniform(-0.15, 0.15, 3))
    return np.clip(view * light, 0, 255).astype(np.uint8)


def fingers(
    view: np.ndarray, live: np.ndarray, corners: np.ndarray, box: float, rng: np.random.Generator
) -> np.ndarray:
    """One to four fingers of the live face's colour at one edge of the device."""
    side = view.shape[0]
    face = slice(round(side * 0.45), round(side * 0.6))
    skin = live[face, face].reshape(-1, 3).mean(axis=0) * np.exp(rng.uniform(-0.7, 0.3))
    view = view.copy()
    number = rng.integers(0, 4)
    start, end = corners[number], corners[(number + 1) % 4]
    for _ in range(rng.integers(1, 5)):
        x, y = start + (end - start) * rng.random()
        size = (rng.uniform(0.6, 1.8) * box, rng.uniform(0.2, 0.4) * box)
        colour = np.clip(skin * np.exp(rng.uniform(-0.15, 0.15)), 0, 255)
        cv2.ellipse(view, ((x, y), size, rng.uniform(0, 180)), colour.tolist(), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(view, (0, 0), 0.8)
