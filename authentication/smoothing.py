"""Boxes that follow faces smoothly, whatever the detector's tremble and the rate of the pictures.

boxes = SmoothBoxes()
shown = boxes.update(time_s, {track.number: track.face[:4]})
"""

import math

import numpy as np

# Boxes, in units of their longer side. A deviation well below JITTER fades within STILL_S, one well above at once.
# Measured on four videos at 30 frames/s: the detector's boxes tremble by 0.4 to 3 % (second difference), those shown
# by 0.05 to 1 %; and they are 4 % behind a head that moves by its own size in half a second.
JITTER, STILL_S = 0.03, 0.25
SHORTEST_STEP_S = 1 / 60
# The detector misses a face now and then for a frame or two: its box stays that long.
HOLD_S = 0.15


class SmoothBoxes:
    """The boxes to show of tracks: they neither tremble with the detector nor trail behind a head.

    Counted in seconds, not in pictures. A new track's box starts where its face is.
    """

    def __init__(self):
        self._boxes: dict[int, _Box] = {}

    def update(self, time_s: float, boxes: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """The boxes to show at that time, float (4,) x, y, width, height, by the number of their track.

        boxes: those of this picture, the same four first. Those of tracks missed for less than HOLD_S are among what is
        returned.
        """
        for number, box in boxes.items():
            x, y, w, h = (float(value) for value in box[:4])
            aim = (x + w / 2, y + h / 2, w, h)
            self._boxes.setdefault(number, _Box(time_s, aim)).follow(time_s, aim)
        self._boxes = {number: box for number, box in self._boxes.items() if 0 <= time_s - box.time_s <= HOLD_S}
        return {number: box.shown() for number, box in self._boxes.items()}


class _Box:
    """Where a face was seen last, and where it is shown; both as the box's middle, width and height."""

    def __init__(self, time_s: float, aim: tuple[float, float, float, float]):
        self.time_s, self._aim, self._shown = time_s, aim, list(aim)

    def shown(self) -> np.ndarray:
        x, y, w, h = self._shown
        return np.array([x - w / 2, y - h / 2, w, h])

    def follow(self, time_s: float, aim: tuple) -> None:
        """Move on to that time. The face is taken to have moved evenly since it was seen last, in steps so small
        that the rate of the pictures makes no difference."""
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
