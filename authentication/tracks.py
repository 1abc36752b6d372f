"""Boxes that follow faces smoothly, whatever the detector's tremble and the pace of the frames.

boxes = SmoothBoxes()
boxes.update(time_s, faces)
"""

import math

import numpy as np

# Boxes, in units of their longer side. A deviation well below JITTER fades within STILL_S, one well above at once.
# Measured on four videos at 30 frames/s: the detector's boxes tremble by 0.4 to 3 % (second difference), those shown
# by 0.05 to 1 %; and they are 4 % behind a head that moves by its own size in half a second.
JITTER, STILL_S = 0.03, 0.25
SHORTEST_STEP_S = 1 / 60
# Faces moved by up to 1.8 of their sides a second; see challenge.py. Further away it is another face.
JUMP, JUMP_A_SECOND = 0.3, 3.0
# The detector misses a face now and then for a frame or two: its box stays that long.
HOLD_S = 0.15


class SmoothBoxes:
    """Boxes that follow faces smoothly: they neither tremble with the detector nor trail behind a head.

    Counted in seconds, not in frames. A new face, or one that jumped, starts where it is.
    """

    def __init__(self):
        self._tracks: list[_Track] = []

    def update(self, time_s: float, faces: np.ndarray) -> np.ndarray:
        """The boxes to show at that time, float (M, 4) x, y, width, height.

        faces: (N, >=4), the same four first, as the detector gives them. The first N boxes are theirs, in their
        order; behind them come those of faces missed for less than HOLD_S.
        """
        tracks = [track for track in self._tracks if 0 <= time_s - track.time_s <= HOLD_S]
        shown = []
        aims = [(x + w / 2, y + h / 2, w, h) for x, y, w, h in faces[:, :4].astype(float).tolist()]
        nearest = sorted(
            (track.distance(aim), a, t)
            for a, aim in enumerate(aims)
            for t, track in enumerate(tracks)
            if track.may_be(aim, time_s)
        )
        pairs: dict[int, int] = {}
        for _, a, t in nearest:
            if a not in pairs and t not in pairs.values():
                pairs[a] = t
        for a, aim in enumerate(aims):
            track = tracks[pairs[a]] if a in pairs else _Track(time_s, aim)
            track.follow(time_s, aim)
            shown.append(track)
        missed = [track for t, track in enumerate(tracks) if t not in pairs.values()]
        self._tracks = shown + missed
        return np.array([track.box() for track in self._tracks], np.float64).reshape(-1, 4)


class _Track:
    """One face: where it was seen last, and where it is shown; both as the box's middle, width and height."""

    def __init__(self, time_s: float, aim: tuple[float, float, float, float]):
        self.time_s, self._aim, self._shown = time_s, aim, list(aim)

    def box(self) -> tuple[float, float, float, float]:
        x, y, w, h = self._shown
        return x - w / 2, y - h / 2, w, h

    def distance(self, aim: tuple) -> float:
        """From where it was seen last, in its box's longer side."""
        return math.hypot(aim[0] - self._aim[0], aim[1] - self._aim[1]) / max(*self._aim[2:], 1.0)

    def may_be(self, aim: tuple, time_s: float) -> bool:
        """Whether the face can have come there by now."""
        return self.distance(aim) <= JUMP + JUMP_A_SECOND * (time_s - self.time_s)

    def follow(self, time_s: float, aim: tuple) -> None:
        """Move on to that time. The face is taken to have moved evenly since it was seen last, in steps so small
        that the rate of the frames makes no difference."""
        since_s = time_s - self.time_s
        steps = max(1, math.ceil(since_s / SHORTEST_STEP_S - 1e-6))
        for n in range(1, steps + 1):
            target = [a + (b - a) * n / steps for a, b in zip(self._aim, aim)]
            for part in ((0, 1), (2, 3)):  # place and size, each by its own deviation
                self._approach(part, target, since_s / steps)
        self.time_s, self._aim = time_s, aim

    def _approach(self, part: tuple[int, int], target: list[float], step_s: float) -> None:
        gaps = [target[i] - self._shown[i] for i in part]
        far = math.hypot(*gaps) / max(self._shown[2] + self._shown[3], 1.0) * 2 / JITTER
        pull = 1 - math.exp(-step_s * (1 + far * far) / STILL_S)
        for i, gap in zip(part, gaps):
            self._shown[i] += gap * pull
