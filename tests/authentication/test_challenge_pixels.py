"""Heads and photos in real pixels, through the real detector, and the gate that challenges them."""

import csv
import itertools
import math

import cv2
import numpy as np
import pytest
from conftest import WEIGHTS
from heads import Person, asks, big, play, reasons, relief, states, tilt, turned

import liveness_main
from authentication import challenge
from authentication.prompts import LEFT, RIGHT
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED


@pytest.fixture(scope="module")
def turning(live_frames, detector) -> dict[int, np.ndarray]:
    """Pictures of the sample's head by degrees of its turn."""
    frame = big(live_frames[8])
    face = detector.detect(frame)[0]
    return {yaw: relief(frame, face, yaw) if yaw else frame for yaw in (-46, -40, -30, -20, -10, 0, 10, 20, 30, 40, 46)}


@pytest.mark.parametrize("order", [[LEFT], [RIGHT, LEFT]])
def test_a_head_in_real_pixels_passes(turning, detector, order):
    found = {yaw: detector.detect(picture) for yaw, picture in turning.items()}

    class Real(Person):
        def __call__(self, time_s, prompt):
            super().__call__(time_s, prompt)
            self.nearest = min(found, key=lambda yaw: abs(yaw - self.yaw))
            return found[self.nearest]

    for sides, end in (({LEFT: 1, RIGHT: -1}, AUTHORIZED), ({LEFT: -1, RIGHT: 1}, UNAUTHORIZED)):
        real = Real(how_far=46, sides=sides)
        played = play(asks(*order), real, 20, frame=lambda: turning[real.nearest])
        assert states(played) == [CHECKING, end]
        assert set(reasons(played)) == (set() if end == AUTHORIZED else {challenge.WRONG}), "one and the same face"


PHOTO_SIDE = 160


def printed(photo: np.ndarray, rotation: np.ndarray, bend: float, bend_axis: float, near: float) -> np.ndarray:
    """A print, uint8 (PHOTO_SIDE, PHOTO_SIDE, 3), bent to an arc of `bend` radians about an axis in its plane,
    turned, and seen from `near` halves of its width. A grid of the print is mapped by homographies, cell by cell."""
    steps = 9 if bend else 2
    u, v = np.meshgrid(*[np.linspace(-1, 1, steps)] * 2)
    cos, sin = math.cos(bend_axis), math.sin(bend_axis)
    along, across = u * cos + v * sin, v * cos - u * sin
    depth = np.zeros_like(u)
    if bend:
        radius = 2 / bend
        depth, along = radius * (np.cos(along / radius) - 1), radius * np.sin(along / radius)
    paper = np.stack([along * cos - across * sin, along * sin + across * cos, depth], axis=-1) @ rotation.T
    corners = (paper[..., :2] * near / (near - paper[..., 2:]) * 0.36 + 0.5) * PHOTO_SIDE
    source = np.stack([u, v], axis=-1) * (PHOTO_SIDE / 2) + PHOTO_SIDE / 2
    picture = np.full_like(photo, (150, 160, 150))
    cells = sorted(itertools.product(range(steps - 1), repeat=2), key=lambda at: paper[at[0], at[1], 2])
    for i, j in cells:
        cell = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        here = np.array([source[at] for at in cell], np.float32)
        there = np.array([corners[at] for at in cell], np.float32)
        mapped = cv2.warpPerspective(photo, cv2.getPerspectiveTransform(here, there), (PHOTO_SIDE, PHOTO_SIDE))
        mask = np.zeros((PHOTO_SIDE, PHOTO_SIDE), np.uint8)
        cv2.fillConvexPoly(mask, np.round(there * 4).astype(np.int32), 255, shift=2)
        picture[mask > 0] = mapped[mask > 0]
    return picture


def attack(photo: np.ndarray, detector, rng: np.random.Generator) -> list[np.ndarray]:
    """What the detector sees of a photo that is moved, tilted about some axis to some 25 to 65 degrees, bent
    meanwhile or not, held, and brought back; a frame each tenth of a second."""
    axis, angle = rng.uniform(0, 360), rng.uniform(25, 65)
    if rng.random() < 0.5:  # most attackers try the vertical one, it looks like turning
        axis = rng.choice([90, 270]) + rng.normal(0, 8)
    bend = rng.choice([0, 0, rng.uniform(0.4, 1.5)])
    bend_axis, near, roll = rng.uniform(0, math.pi), rng.uniform(2, 8), rng.normal(0, 5)
    found = []
    for share in (0, 0.35, 0.7, 1, 1, 1, 0.7, 0.35):
        rotation = tilt(axis, share * angle) @ turned(roll=roll)
        shift = np.float32([[1, 0, 4 * share], [0, 1, 3 * share]])
        picture = printed(photo, rotation, share * bend, bend_axis, near)
        found.append(
            detector.detect(
                cv2.warpAffine(picture, shift, (PHOTO_SIDE, PHOTO_SIDE), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
            )
        )
    return found


def test_fifty_photos_tilted_bent_and_moved_at_the_prompt_fail(live_frames, detector):
    rng = np.random.default_rng(3)
    seen_at_all = far = 0
    for number in range(50):
        frame = live_frames[rng.integers(0, 80)]
        x, y, w, h = detector.detect(frame)[0][:4]
        side = 2 * max(w, h)
        scale = PHOTO_SIDE / side
        window = np.float32(
            [[scale, 0, PHOTO_SIDE / 2 - scale * (x + w / 2)], [0, scale, PHOTO_SIDE / 2 - scale * (y + h / 2)]]
        )
        photo = cv2.warpAffine(frame, window, (PHOTO_SIDE, PHOTO_SIDE), None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        movement = attack(photo, detector, rng)
        seen_at_all += len(movement[0]) == 1
        far += len(movement[4]) == 1
        for side in (LEFT, RIGHT):
            asked, moves = asks(side, pause_s=0.3), itertools.cycle(movement)
            played = play(
                asked, lambda _, prompt: next(moves) if prompt and prompt.kind in (LEFT, RIGHT) else movement[0], 8, 10
            )
            assert AUTHORIZED not in states(played), (number, side)
    assert seen_at_all > 45 and far > 25, "photos that are not seen prove nothing"


@pytest.fixture
def watch(trained, tmp_path, monkeypatch):
    """Run the authenticator on a video with challenges of a known order; returns its status and its scores."""
    monkeypatch.chdir(tmp_path)

    def start(source, order, *options):
        monkeypatch.setattr(challenge, "Challenge", lambda turns: asks(*order))
        status = liveness_main.main(
            [
                "--model",
                str(trained.model),
                "--le",
                str(trained.le),
                "--detector",
                str(WEIGHTS),
                "--source",
                str(source),
                "--no-display",
                "--no-voice",
                "--scores",
                "scores.csv",
                "--challenge",
                str(len(order)),
                *options,
            ]
        )
        with open(tmp_path / "scores.csv", newline="") as file:
            return status, list(csv.DictReader(file))

    return start


@pytest.fixture
def obedient(turning, write_video):
    """A video of the sample's head that looks ahead for 2.2 s, turns to one side, and comes back."""

    def write(side: int):
        degrees = [0] * 66 + [10, 20, 30, 40] + [46] * 12 + [40, 30, 20, 10] + [0] * 30
        return write_video([turning[side * yaw] for yaw in degrees], f"turn{side}.avi", "MJPG")

    return write


def test_the_gate_opens_for_the_right_turn(watch, obedient, tmp_path):
    status, rows = watch(obedient(1), [LEFT], "--once")
    assert status == 0
    verdicts = [row["verdict"] for row in rows]
    assert verdicts == [CHECKING] * (len(rows) - 1) + [AUTHORIZED]
    assert 2.5 < float(rows[-1]["time_s"]) < 4
    assert not (tmp_path / "incidents").exists()


def test_the_gate_stays_shut_for_no_turn_and_for_the_wrong_one(watch, obedient, sample, tmp_path, capsys):
    status, rows = watch(sample.real, [LEFT], "--once")
    assert status == 3 and {row["verdict"] for row in rows} == {CHECKING}
    assert "no verdict" in capsys.readouterr().err
    status, rows = watch(obedient(1), [RIGHT], "--once")
    assert status == 3 and {row["verdict"] for row in rows} == {CHECKING}
    assert not (tmp_path / "incidents").exists()


def test_two_wrong_turns_are_an_incident(watch, turning, write_video, tmp_path):
    once = [0] * 66 + [20, 40] + [46] * 12 + [40, 20] + [0] * 15
    twice = write_video([turning[yaw] for yaw in once + [0] * 60 + once], "wrong.avi", "MJPG")
    status, rows = watch(twice, [RIGHT], "--once")
    assert status == 1 and rows[-1]["verdict"] == UNAUTHORIZED
    assert AUTHORIZED not in {row["verdict"] for row in rows}
    (incident,) = (tmp_path / "incidents").iterdir()
    assert (incident / "snapshot.jpg").is_file() and list((incident / "frames").iterdir())


def test_a_replay_is_unauthorized_without_waiting_for_an_answer(watch, sample):
    status, rows = watch(sample.fake, [LEFT], "--once")
    assert status == 1 and float(rows[-1]["time_s"]) <= 1
