"""How fast a recording really is: announced rates are a container's guess, and its time stamps are right."""

from dataclasses import dataclass

import cv2

# So many packets of a file are read for it, none of them decoded: some 100 seconds, and as many milliseconds.
MOST_PACKETS = 3000
# An announced rate that is nearer than this to the measured one is the exact one, such as 30000 / 1001.
NEAR = 0.1


@dataclass(frozen=True)
class Pace:
    """fps: frames per second, None where there are no time stamps. count: of frames. whole: is that all of them?"""

    fps: float | None
    count: int
    whole: bool


def measure(packets: cv2.VideoCapture, most: int = MOST_PACKETS) -> Pace:
    """packets: a file opened with CAP_PROP_FORMAT -1, from its start, of which so many are read at most."""
    first, last, count = float("inf"), float("-inf"), 0
    while (grabbed := packets.grab()) and count < most:
        # Not in order: some frames are made from later ones.
        stamp = packets.get(cv2.CAP_PROP_POS_MSEC) / 1000
        first, last, count = min(first, stamp), max(last, stamp), count + 1
    return Pace((count - 1) / (last - first) if last > first else None, count, not grabbed)


def agreed(announced_fps: float | None, announced_count: int | None, pace: Pace) -> tuple[float | None, int | None]:
    """Frames per second and number of frames by both, None where neither knows."""
    if pace.fps is None or announced_fps and abs(announced_fps / pace.fps - 1) < NEAR:
        return announced_fps, announced_count or (pace.whole and pace.count) or None
    if pace.whole:
        return pace.fps, pace.count
    # Most containers hold how long they last, and the count was worked out from that.
    known = announced_fps and announced_count
    return pace.fps, round(announced_count / announced_fps * pace.fps) if known else None
