"""Heads and photos of five points, a person who does what a prompt says, and the sample's head in real pixels."""

import itertools
import math
from types import MappingProxyType

import cv2
import numpy as np

from authentication.authenticator import CROWD
from authentication.challenge import Challenge, Followed
from authentication.prominence import Prominence
from authentication.prompts import AHEAD, LEFT, PAUSE, RIGHT, Prompt
from authentication.tracks import Tracks
from authentication.verdict import AUTHORIZED, CHECKING, Verdict

# --- A head of five points: eyes, nose, corners of the mouth, in eye distances; x to the user's left in the
# picture's right, y down, z towards the camera. ---

HEAD = np.array([(-0.5, 0, 0), (0.5, 0, 0), (0, 0.62, 0.5), (-0.4, 1.1, 0.05), (0.4, 1.1, 0.05)])
PHOTO = HEAD * (1, 1, 0)
BOX = np.array([(x, y, 0) for x in (-1, 1) for y in (-0.8, 1.9)])  # of a flat picture of that face
NOBODY = np.empty((0, 15), np.float32)
# A picture on which nothing is to be seen: no content of a face tells whether it is another one.
BLANK = np.full((480, 640, 3), 128, np.uint8)


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Rotation by degrees; yaw above 0 turns the nose to the user's left."""
    around_y = cv2.Rodrigues(np.array([0, math.radians(yaw), 0]))[0]
    around_x = cv2.Rodrigues(np.array([math.radians(pitch), 0, 0]))[0]
    return cv2.Rodrigues(np.array([0, 0, math.radians(roll)]))[0] @ around_x @ around_y


def seen(
    points: np.ndarray,
    rotation: np.ndarray,
    size: float,
    at=(0.5, 0.5),
    flat: bool = False,
    noise: float = 0,
    near: float = 8,
    rng=np.random.default_rng(0),
) -> np.ndarray:
    """A row as the detector's: `size` is the height of the face's box in pixels, `at` its middle in boxes,
    `near` the distance in eye distances, `noise` the landmarks' jitter in boxes."""
    scale = size / 2.7

    def project(model):
        model = model @ rotation.T
        return model[:, :2] * near / (near - model[:, 2:]) * scale + np.array(at) * size

    landmarks = project(points) + rng.normal(0, noise * size, (5, 2))
    if flat:
        corners = project(BOX)
        (x, y), (w, h) = corners.min(axis=0), np.ptp(corners, axis=0)
    else:  # as deep as wide
        w, h = 2 * scale, size
        x, y = np.array(at) * size - (w / 2, 0.8 * scale)
    return np.array([x, y, w, h, *landmarks.ravel(), 0.93])


class Person:
    """Does what the prompt says, a moment later; speed in degrees a second."""

    def __init__(
        self,
        size: float = 200,
        noise: float = 0.0,
        reaction_s: float = 0.5,
        how_far: float = 50,
        sides=MappingProxyType({LEFT: 1, RIGHT: -1}),
        points=HEAD,
        flat: bool = False,
        pitch: float = 5,
        roll: float = -6,
        speed: float = 100,
    ):
        self.sides, self.speed = sides, speed
        self.size, self.noise, self.reaction_s, self.how_far = size, noise, reaction_s, how_far
        self.points, self.flat, self.pitch, self.roll = points, flat, pitch, roll
        self.yaw, self.seen_s, self.kind, self.last_s = 0.0, 0.0, AHEAD, 0.0
        self.rng = np.random.default_rng(7)

    def __call__(self, time_s: float, prompt: Prompt | None) -> np.ndarray:
        kind = prompt.kind if prompt else AHEAD
        if kind != self.kind:
            self.kind, self.seen_s = kind, time_s
        goal = self.sides.get(self.kind, 0) * self.how_far
        if time_s - self.seen_s >= self.reaction_s:
            step = self.speed * (time_s - self.last_s)
            self.yaw += max(-step, min(step, goal - self.yaw))
        self.last_s = time_s
        sway = 0.02 * math.sin(1.3 * time_s), 0.02 * math.sin(0.9 * time_s)
        return seen(
            self.points,
            turned(self.yaw, self.pitch, self.roll),
            self.size,
            (0.5 + sway[0], 0.5 + sway[1]),
            self.flat,
            self.noise,
            rng=self.rng,
        )[None]


class Asked(Challenge):
    """A challenge behind the real tracking; the largest face is asked, as the authenticator chooses it.

    track: the number of the one that is asked, 0 for none. passive: its state without a challenge.
    """

    def __init__(self, turns: int, **more):
        super().__init__(turns, **more)
        self._tracks, self._prominence = Tracks(Verdict), Prominence()
        self.track, self.passive = 0, CHECKING

    def see(self, time_s: float, faces: np.ndarray, passive: str = AUTHORIZED, frame: np.ndarray | None = BLANK) -> str:
        """Take in a picture of these faces, (N, 15); frame: None where the camera gave none. Without a face in view the
        passive state is that of no evidence, as the authenticator has it."""
        picture = frame is not None
        if picture:
            seen = self._tracks.follow(time_s, frame, faces.astype(np.float32))
        else:
            self._tracks.wait(time_s)
            seen = []
        track = self._prominence.choose(time_s, seen, self._tracks.ended)
        others = [one for one in seen if one is not track]
        self.track = track.number if track else 0
        followed = Followed(
            self.track,
            track.face if track in seen else None,
            crowd=track is not None and any(one.size >= CROWD * track.size for one in others),
            picture=picture,
            paused=picture and self._tracks.paused,
        )
        self.passive = passive if track else CHECKING
        return self.update(time_s, self.passive, followed)


def asks(*order: str, pause_s: float = 0.5) -> Asked:
    """A challenge that asks for these turns, over and over, in every round."""
    return Asked(
        len(order), draw_turns=lambda n: list(itertools.islice(itertools.cycle(order), n)), draw_pause=lambda: pause_s
    )


def play(
    asked: Asked, actor, seconds: float = 12, fps: float = 30, start: float = 0.0, passive=AUTHORIZED, frame=BLANK
):
    """Pictures of the faces that actor(time_s, prompt) gives; None: the camera gives no picture. frame: the picture, or
    what gives it. Returns [(time_s, state, prompt)]. Ends with a verdict."""
    played = []
    for n in range(round(seconds * fps)):
        time_s = start + n / fps
        faces = actor(time_s, asked.prompt)
        now = passive(time_s) if callable(passive) else passive
        picture = None if faces is None else frame() if callable(frame) else frame
        state = asked.see(time_s, NOBODY if faces is None else faces, now, picture)
        played.append((time_s, state, asked.prompt))
        if state != CHECKING:
            break
    return played


def nobody(time_s: float, prompt: Prompt | None) -> np.ndarray:
    return NOBODY


def no_picture(time_s: float, prompt: Prompt | None) -> None:
    return None


def states(played) -> list[str]:
    return [state for state, _ in itertools.groupby(item[1] for item in played)]


def reasons(played) -> list[str]:
    """Why there was another round, each time."""
    texts = [item[2].text if item[2] and item[2].kind == PAUSE else None for item in played]
    return [text for text, _ in itertools.groupby(texts) if text]


def tilt(axis: float, angle: float) -> np.ndarray:
    """Rotation by degrees about an axis in the picture."""
    axis, angle = math.radians(axis), math.radians(angle)
    return cv2.Rodrigues(angle * np.array([math.cos(axis), math.sin(axis), 0]))[0]


def big(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, (352, 288), interpolation=cv2.INTER_CUBIC)


def relief(frame: np.ndarray, face: np.ndarray, yaw: float) -> np.ndarray:
    """The frame with its head, an ellipsoid with a nose that wears the frame's own pixels, turned by so many
    degrees; above 0: to the user's left."""
    right_eye, left_eye = face[4:6].astype(float), face[6:8].astype(float)
    middle, unit = (right_eye + left_eye) / 2, math.dist(right_eye, left_eye)
    fine = 720
    y, x = np.mgrid[-1.5 : 2.4 : fine * 1j, -1.15 : 1.15 : fine * 1j].astype(np.float32)
    inside = 1 - (x / 1.15) ** 2 - ((y - 0.45) / 1.9) ** 2
    z = 1.2 * np.sqrt(np.maximum(inside, 0)) - 0.2 + 0.55 * np.exp(-((x / 0.22) ** 2) - ((y - 0.55) / 0.3) ** 2)
    places = np.stack([middle[0] + x * unit, middle[1] + y * unit], axis=-1).astype(np.float32)
    skin = cv2.remap(frame, places, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    sin, cos = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    column = np.round(middle[0] + (x * cos + z * sin) * unit).astype(int)
    row = np.round(middle[1] + y * unit).astype(int)
    depth = z * cos - x * sin
    height, width = frame.shape[:2]
    drawn = (inside > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    order = np.argsort(depth[drawn], kind="stable")  # what is nearer is drawn last
    picture = frame.copy()
    picture[row[drawn][order], column[drawn][order]] = skin[drawn][order]
    return picture
