"""Pictures in the room: posters, photos in frames. Small, and never moving against the room.

    room = Room()
    awake = room.look(time_s, frame, tracks)    # sets track.aside and track.moves

A small face that stands still is set aside: nobody's, and no reason for an alarm. It is remembered, so that somebody
who passes before it changes nothing. Once it moves, grows or changes its content it is a face like any other.
"""

import logging
from typing import NamedTuple

import cv2
import numpy as np

from authentication.tracks import Track

log = logging.getLogger("liveness.authentication")

# Nobody works at so small a face: the box's longer side, in heights of the picture. Live faces on 14 videos: 0.22 and
# more, a phone that fills a third of the picture: 0.17; four portraits of 120 pixels on walls: 0.06 to 0.13, and 0.2.
SMALL = 0.16
# Set aside after so many seconds without a movement.
STILL_S = 3.0
# A user who leaves may uncover a picture, which changes meanwhile. What still moves after this time is a face.
UNCOVERED_S = 0.6
# It stands still where its place looks as it did, however bright: by correlation, on pictures shrunk to SIDE pixels,
# moved by up to JITTER of the picture's height. Live faces: below 0.9 after 3 s in 95 of 100 places; portraits on
# walls, with noise, a camera that trembles and compression: above it.
AS_BEFORE, SIDE, JITTER = 0.9, 32, 0.005
# A change that is shorter is a glitch: noise, a key frame, somebody's hand.
CHANGED_S = 0.15
GROWN = 1.25
# A face so small that the detector often misses it goes on as the same one for so long where it looks as before; and
# for so long where it looks otherwise, less than this many sides away: then it has moved.
MISSED_S, MOVED_WITHIN_S, MOVED_SIDES = 5.0, 1.0, 0.8
MOST_REMEMBERED = 20


class Place(NamedTuple):
    """A face as it looked once. box: x, y, width, height in pixels, whole. look: uint8, grey, shrunk by scale."""

    box: tuple[int, int, int, int]
    look: np.ndarray
    scale: float


class Still:
    """For how long a small face has stood still. place: where and how it has looked since moved_s, when it moved last.
    first_s, seen_s: when it was seen first and last."""

    def __init__(self, time_s: float, place: Place | None):
        self.place = place
        self.first_s = self.moved_s = self.seen_s = time_s
        self.other_s: float | None = None  # since when it has looked otherwise


class Room:
    """Tells the pictures in the room of one source from faces."""

    def __init__(self):
        self._missed: list[Still] = []  # of tracks that have ended
        self._remembered: list[Place] = []

    def look(self, time_s: float, frame: np.ndarray, tracks: list[Track]) -> list[Track]:
        """Take in a picture and the tracks seen in it; returns those that were set aside and have moved now.

        time_s: when it was taken, in seconds. frame: uint8 (height, width, 3) BGR.
        """
        awake = []
        for track in tracks:
            if not track.aside and track.size > SMALL:
                track.moves, track.still = True, None
            elif self._stands_still(time_s, frame, track):
                self._set_aside(track)
            elif track.aside:
                awake.append(track)
        return awake

    def forget(self, tracks: list[Track]) -> None:
        """These tracks have ended; the detector may merely miss their faces for a moment."""
        self._missed += [track.still for track in tracks if track.still]

    def _stands_still(self, time_s: float, frame: np.ndarray, track: Track) -> bool:
        """Whether a small track is a picture by now."""
        if track.still is None:
            track.still = self._known(time_s, frame, track) or Still(time_s, _place(frame, track.face))
        still = track.still
        still.seen_s, still.first_s = time_s, min(still.first_s, track.first_s)
        if still.place is not None and _looks_like(still.place, frame, track):
            still.other_s = None
        elif still.other_s is None:
            still.other_s = time_s
        changed = still.other_s is not None and time_s - still.other_s >= CHANGED_S
        if changed:
            still.place, still.moved_s, still.other_s = _place(frame, track.face), time_s, None
        track.moves = still.moved_s - still.first_s >= UNCOVERED_S
        if changed or track.aside:
            return not changed
        # A user who was authorized and has moved may sit as still as they like.
        if track.authorized_size is not None and track.moves:
            return False
        return time_s - still.moved_s >= STILL_S or any(_looks_like(place, frame, track) for place in self._remembered)

    def _known(self, time_s: float, frame: np.ndarray, track: Track) -> Still | None:
        """What was known of a face that the detector has missed for a moment."""
        self._missed = [still for still in self._missed if still.place and time_s - still.seen_s <= MISSED_S]
        for still in self._missed:
            if _looks_like(still.place, frame, track):
                self._missed.remove(still)
                return still
        for still in self._missed:
            if time_s - still.seen_s <= MOVED_WITHIN_S and _is_near(still.place, track, MOVED_SIDES):
                self._missed.remove(still)
                still.place, still.moved_s = _place(frame, track.face), time_s
                return still
        return None

    def _set_aside(self, track: Track) -> None:
        if track.aside:
            return
        track.aside = True
        place = track.still.place
        x, y, w, h = track.face[:4]
        if not any(_is_near(known, track) for known in self._remembered):
            log.info(
                "a picture in the room, at %.0f, %.0f, of %.0f x %.0f pixels: set aside, it is nobody's face",
                x,
                y,
                w,
                h,
            )
        self._remembered = [known for known in self._remembered if not _is_near(known, track)]
        self._remembered = [*self._remembered, place][-MOST_REMEMBERED:]


def _place(frame: np.ndarray, face: np.ndarray) -> Place | None:
    """How a face looks where it is now; None where too little of it is in the picture."""
    height, width = frame.shape[:2]
    rim = _rim(frame)
    x, y, w, h = (float(value) for value in face[:4])
    left, top = max(round(x), rim), max(round(y), rim)
    box = left, top, min(round(x + w), width - rim) - left, min(round(y + h), height - rim) - top
    if min(box[2:]) < 4:
        return None
    scale = min(1.0, SIDE / max(box[2:]))
    return Place(box, _grey(frame, box, 0, scale), scale)


def _looks_like(place: Place, frame: np.ndarray, track: Track) -> bool:
    if not _is_near(place, track):
        return False
    rim = _rim(frame)
    around = _grey(frame, place.box, rim, place.scale)
    if around.shape[0] < place.look.shape[0] or around.shape[1] < place.look.shape[1]:
        return False
    return float(cv2.matchTemplate(around, place.look, cv2.TM_CCOEFF_NORMED).max()) >= AS_BEFORE


def _is_near(place: Place, track: Track, sides: float = 0.4) -> bool:
    """Whether a track's face is about where, and as large as, the one that was seen there: so many sides away."""
    x, y, w, h = (float(value) for value in track.face[:4])
    left, top, wide, high = place.box
    side = max(wide, high)
    apart = max(abs(x + w / 2 - left - wide / 2), abs(y + h / 2 - top - high / 2))
    return apart <= sides * side and 1 / GROWN <= max(w, h) / side <= GROWN


def _rim(frame: np.ndarray) -> int:
    return max(1, round(JITTER * frame.shape[0]))


def _grey(frame: np.ndarray, box: tuple[int, int, int, int], rim: int, scale: float) -> np.ndarray:
    """A box of the frame and a rim around it, grey and shrunk."""
    left, top, wide, high = box
    part = frame[max(top - rim, 0) : top + high + rim, max(left - rim, 0) : left + wide + rim]
    part = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else part
