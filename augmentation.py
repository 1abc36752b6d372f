"""What training does to a crop before LivenessNet sees it, so that it learns replays and not one room.

Two short videos show one person, one room, one camera and one screen. Every crop therefore goes through the
conditions it might as well have been recorded under: another place in the window, distance, frame edge,
light, white balance, focus, noise and compression, drawn alike for bona fide and attack crops, so that none
of them tells the classes apart; to begin with, each is exposed as some other crop of the batch is. Some bona
fide crops also get another background: a replay brings its own surroundings along, bezel and hand among them,
but a live face may stand before anything. And some attack crops are made from bona fide ones: a screen that
shows them, held so near that nothing else is in view.

Crops are square windows around a face, `margin` times the face box wide (see gather_examples.py). `inside` is
the part of a crop that lies within the camera's frame, as x0, y0, x1, y1 in 0..1 of the crop's side; beyond
it stand copies of the frame's edge. Functions here keep no state: threads may share everything but the random
generator.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from face_detector import shrunk
from replay import screen_of

FAKE, REAL = 0, 1    # in the order of the label encoder
# In grey levels: nothing is told from the colour of what is darker. And how much brighter or darker a crop is made.
DARKEST, MOST_GAIN = 4, 4
LEVELS = np.arange(256)[:, None]


@dataclass(frozen=True)
class Recipe:
    """How strongly training varies the crops. Shares are probabilities, ranges are uniform."""

    margin: float = 2.7                     # of the crops, and of the view the model gets at inference
    margins: tuple[float, float] = (2.3, 3.1)    # of the window in training, in face boxes
    shift: float = 0.12                     # of the window, either way, in face boxes
    rotation: float = 10.0                  # of the window, either way, in degrees
    elsewhere_share: float = 0.1            # of bona fide crops: before another background
    # Of attack crops: a simulated screen that shows a bona fide crop of the batch, so near that the frame ends within
    # these limits of its middle, in face boxes: what nobody's two videos show, and attackers do.
    screen_share: float = 0.1
    screen_near: tuple[float, float] = (0.55, 0.9)
    near_share: float = 0.6                 # of windows that a frame edge drawn at random cuts into
    # That edge's distance from the window's centre, in face boxes. Nearer, it hides all that tells the classes apart
    # but one pair of videos, and those are what is learned: from 0.55 on, the ACER of unseen recordings was 0.034
    # instead of 0.017 (two training pairs, four seeds).
    near: tuple[float, float] = (0.8, 1.6)
    gamma: float = 0.8                      # of the tone curve, either way, as a natural logarithm
    gain: float = 0.6                       # of brightness, likewise
    cast: float = 0.3                       # of each colour channel, likewise
    dim_share: float = 0.3                  # in the dim light of an evening
    dim: float = 1.3                        # of brightness, downwards only, as a natural logarithm
    # Of the black level, upwards only, of full scale. Little: the veil of light on a screen tells it from a face
    # where nothing else is in view.
    lift: float = 0.1
    saturation: tuple[float, float] = (0.0, 1.5)
    blur_share: float = 0.35
    blur: float = 0.8                       # largest standard deviation, in pixels of the network's input
    noise_share: float = 0.5
    noise: float = 6.0                      # largest standard deviation, in grey levels
    jpeg_share: float = 0.35
    jpeg: tuple[int, int] = (25, 90)        # quality


def batch(crops: np.ndarray, inside: np.ndarray, labels: np.ndarray, rng: np.random.Generator, size: int,
          recipe: Recipe = Recipe()) -> np.ndarray:
    """The pictures of one training batch: every crop varied at random.

    crops: uint8 BGR (N, S, S, 3). inside: float (N, 4). labels: integers (N,), FAKE or REAL. size: side of
    the network's input in pixels. Returns uint8 BGR (N, size, size, 3).
    """
    views = np.empty((len(crops), size, size, 3), np.uint8)
    live = np.flatnonzero(np.asarray(labels) == REAL)
    tones = [face_tone(crop, recipe) for crop in crops]
    for view, crop, within, label, tone in zip(views, crops, inside, labels, tones):
        if label == REAL and rng.random() < recipe.elsewhere_share:
            crop = elsewhere(crop, crop if rng.random() < 0.5 else crops[rng.integers(len(crops))], rng, recipe)
            tone = face_tone(crop, recipe)
            # The new background goes on beyond the old frame.
            within = within if rng.random() < 0.5 else np.array([0.0, 0.0, 1.0, 1.0])
        elif label == FAKE and len(live) and rng.random() < recipe.screen_share:
            row = rng.choice(live)
            crop = screen_of(crops[row], rng)
            tone = face_tone(crop, recipe)
            within = ended_at(inside[row], rng.uniform(*recipe.screen_near) / recipe.margin)
        drawn = reframe(crop, within, rng, size, recipe)
        drawn = exposed_as(drawn, tone, tones[rng.integers(len(tones))])
        view[:] = degrade(relight(drawn, rng, recipe), rng, recipe)
    return views


def evaluation_batch(crops: np.ndarray, size: int) -> np.ndarray:
    """The crops as the authenticator shows them to the network (face_detector.view): shrunk to size, nothing else.

    crops: uint8 BGR (N, S, S, 3). Returns float32 (N, size, size, 3) in 0..1.
    """
    return np.stack([shrunk(crop, size) for crop in crops]) / np.float32(255)


def elsewhere(crop: np.ndarray, other: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """The person in `crop` before a blurred part of `other`, in other light; all uint8 BGR (S, S, 3)."""
    side = crop.shape[0]
    part = round(rng.uniform(0.25, 0.6) * side)
    x, y = rng.integers(0, side - part, 2)
    if abs(x + part / 2 - side / 2) < side / recipe.margin / 2:    # not another face
        x = int(rng.choice((0, side - part)))
    room = cv2.resize(other[y:y + part, x:x + part], (side, side), interpolation=cv2.INTER_LINEAR)
    room = cv2.GaussianBlur(cv2.flip(room, 1) if rng.random() < 0.5 else room, (0, 0), rng.uniform(0.5, 4))
    light = np.exp(rng.uniform(-1.0, 0.5) + rng.uniform(-0.1, 0.1, 3))
    room = np.clip(room * light, 0, 255).astype(np.uint8)
    person = cv2.merge([_outline(side, side / recipe.margin, rng)] * 3)
    return cv2.add(cv2.multiply(crop, person, scale=1 / 255), cv2.multiply(room, 255 - person, scale=1 / 255))


def _outline(side: int, box: float, rng: np.random.Generator) -> np.ndarray:
    """Soft mask of head, neck and shoulders around a face `box` pixels high, uint8 (side, side)."""
    mask, middle, scale = np.zeros((side, side), np.uint8), side // 2, box * rng.uniform(0.95, 1.25)
    for below, wide, high in ((-0.1, 0.48, 0.68), (1.3, 1.0, 0.75)):
        centre, axes = (middle, round(middle + below * box)), (round(wide * scale), round(high * scale))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
    neck = round(0.3 * box)
    cv2.rectangle(mask, (middle - neck, middle), (middle + neck, round(middle + box)), 255, -1)
    return cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.5, 5))


def reframe(crop: np.ndarray, inside: np.ndarray, rng: np.random.Generator, size: int,
            recipe: Recipe) -> np.ndarray:
    """Place, distance, tilt and mirror image of the window at random, the frame's edge carried on outside."""
    side = crop.shape[0]
    wide = rng.uniform(*recipe.margins) / recipe.margin
    angle = math.radians(rng.uniform(-recipe.rotation, recipe.rotation))
    shift = rng.uniform(-recipe.shift, recipe.shift, 2) * side / recipe.margin
    # Drawn at twice the size and averaged down, as INTER_AREA does at inference: a plain bilinear warp would
    # alias, and teach a texture that is not there.
    out = 2 * size
    zoom = wide * side / out
    along, across = zoom * math.cos(angle), zoom * math.sin(angle)
    mirror = -1 if rng.random() < 0.5 else 1
    x0, y0, x1, y1 = part_of_frame(bring_nearer(inside, rng, recipe), side)
    # From the frame's part alone: warpAffine then carries on its edge, however far the window reaches.
    frame = crop[y0:y1, x0:x1]
    # Of the middle pixel: half a pixel less than what lies in the middle, here and there.
    x, y, middle = (side - 1) / 2 + shift[0] - x0, (side - 1) / 2 + shift[1] - y0, (out - 1) / 2
    matrix = np.array([
        [mirror * along, -across, x - (mirror * along - across) * middle],
        [mirror * across, along, y - (mirror * across + along) * middle],
    ])
    view = cv2.warpAffine(frame, matrix, (out, out),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)


def bring_nearer(inside: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """`inside` as if the camera's frame ended nearer to the face, on all sides alike or on each its own way.

    An attacker comes as near as he likes, so how far a crop reaches over the frame must say little about its
    class; and with the surroundings out of the frame, the face has to speak for itself, as in a close-up.
    """
    if rng.random() >= recipe.near_share:
        return np.asarray(inside)
    return ended_at(inside, rng.uniform(*recipe.near, 1 if rng.random() < 0.5 else 4) / recipe.margin)


def ended_at(inside: np.ndarray, reach: np.ndarray | float) -> np.ndarray:
    """`inside` as if the frame ended at `reach` from the crop's middle, or where it does end if that is nearer.

    reach: 0 to 0.5 of the crop's side, one for all sides or four: left, top, right, bottom.
    """
    edges = 0.5 + reach * np.array((-1, -1, 1, 1))
    return np.concatenate([np.maximum(inside[:2], edges[:2]), np.minimum(inside[2:], edges[2:])])


def as_close_up(crop: np.ndarray, inside: np.ndarray, reach: float) -> np.ndarray:
    """The crop, uint8 BGR (S, S, 3), as if the camera's frame ended on all sides at `reach` from its middle, 0 to 0.5
    of its side, or where it does end (`inside`) if that is nearer."""
    side = crop.shape[0]
    x0, y0, x1, y1 = part_of_frame(ended_at(inside, reach), side)
    return cv2.copyMakeBorder(crop[y0:y1, x0:x1], y0, side - y1, x0, side - x1, cv2.BORDER_REPLICATE)


def part_of_frame(inside: np.ndarray, side: int) -> tuple[int, int, int, int]:
    """`inside` in pixels: left, top, right, bottom. At least one: a face whose box hangs over the frame's edge can
    leave next to nothing of it."""
    x0, y0, x1, y1 = (round(float(edge) * side) for edge in inside)
    x0, y0 = min(max(x0, 0), side - 1), min(max(y0, 0), side - 1)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def face_tone(crop: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The mean colour of the face in a crop, uint8 BGR (S, S, 3): float (3,), grey levels."""
    side = crop.shape[0]
    start, end = round(side * (0.5 - 0.4 / recipe.margin)), round(side * (0.5 + 0.4 / recipe.margin))
    return np.array(cv2.mean(crop[start:end, start:end])[:3])


def exposed_as(view: np.ndarray, tone: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A view of a crop, uint8 BGR, with brightness and white balance such that its face has the mean colour of
    another's; tone and other: see face_tone(), of the crop and of that other one.

    In one person's two videos one class is brighter, or bluer, than the other, and whatever is varied from there on
    leaves it so more often than not. After this, both classes are exposed alike.
    """
    gains = ((other + DARKEST) / (tone + DARKEST)).clip(1 / MOST_GAIN, MOST_GAIN)
    return cv2.LUT(view, (LEVELS * gains).clip(0, 255).astype(np.uint8)[:, None, :])


def relight(view: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """Exposure, tone curve, white balance, black level and saturation of `view` (uint8 BGR) at random."""
    grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    keep = rng.uniform(*recipe.saturation)
    view = cv2.addWeighted(view, keep, grey, 1 - keep, 0)
    gamma = math.exp(rng.uniform(-recipe.gamma, recipe.gamma))
    gain = rng.uniform(-recipe.gain, recipe.gain) + rng.uniform(-recipe.cast, recipe.cast, 3)
    if rng.random() < recipe.dim_share:
        gain -= rng.uniform(0, recipe.dim)
    black = rng.uniform(0, recipe.lift)
    tones = 255 * (black + (1 - black) * (LEVELS / 255) ** gamma * np.exp(gain))
    return cv2.LUT(view, tones.clip(0, 255).astype(np.uint8)[:, None, :])


def degrade(view: np.ndarray, rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """Focus, sensor noise and compression of `view` (uint8 BGR) at random."""
    if rng.random() < recipe.blur_share:
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, recipe.blur))
    if rng.random() < recipe.noise_share:
        grain = rng.standard_normal(view.shape, np.float32)
        view = cv2.add(view, grain * np.float32(rng.uniform(0, recipe.noise)), dtype=cv2.CV_8U)
    if rng.random() < recipe.jpeg_share:
        quality = int(rng.integers(recipe.jpeg[0], recipe.jpeg[1] + 1))
        _, data = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, quality])
        view = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return view
