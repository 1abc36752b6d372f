"""Faces that carry their comparison score with them, and a recognizer that reads it off."""

import numpy as np

from authentication import recognition
from authentication.identity import Identity
from authentication.recognition import Recognition
from authentication.verdict import Verdict

OWNER, STRANGER, BLURRED = 0.65, 0.10, 0.05
UNFIT = 9.0  # as a score: a face that is turned away
SEAT, DOOR = (100, 60, 80, 100), (300, 40, 60, 75)
FRAME = np.zeros((240, 400, 3), np.uint8)
TEMPLATES = [np.eye(2, dtype=np.float32)[:1]]


def faces(*people: tuple[tuple, float]) -> np.ndarray:
    """float32 (N, 15): a box and a score for each."""
    rows = np.zeros((len(people), 15), np.float32)
    for row, (box, score) in zip(rows, people):
        row[:4], row[14] = box, score
    return rows


class Reading:
    """A recognizer that notes which boxes it looked at."""

    def __init__(self):
        self.asked: list[tuple] = []

    def embed(self, frame, face) -> np.ndarray:
        self.asked.append(tuple(map(int, face[:4])))
        return np.array([face[14], (1 - face[14] ** 2) ** 0.5], np.float32)


class Desk:
    """Somebody before the camera, and what becomes of the evidence. who: Identity's; at: when the next frame is."""

    def __init__(self, monkeypatch, fps: float = 30, every_frame: bool = False, **verdict):
        monkeypatch.setattr(recognition, "unfit", lambda frame, face: "turned away" if face[14] == UNFIT else "")
        self.recognizer, self.fps, self.frames = Reading(), fps, 0
        self.recognition = Recognition(self.recognizer, TEMPLATES, every_frame)
        self.who = Identity(self.recognition, Verdict(**verdict))

    def see(self, seconds: float, *people) -> list[tuple[float, str]]:
        """(seconds since this began, state) of every frame."""
        began, track = self.frames, []
        while self.frames - began < round(seconds * self.fps):
            state = self.who.update(self.frames / self.fps, FRAME, faces(*people))
            track.append(((self.frames - began) / self.fps, state))
            self.frames += 1
        return track
