"""Tracks: each is one face, followed from picture to picture, with all that is known of it.

    tracks = Tracks(Verdict)
    seen = tracks.follow(time_s, frame, faces)      # a track for each face, in the order of the faces
    tracks.ended                                    # those that ended with this picture

A face goes on as the same track where its box is near enough and like enough: a move, a change of size or a change of
content that no head makes between two pictures ends the track, and so does a gap. What comes after is another track,
which has shown nothing yet: whatever replaces a face inherits nothing that speaks for it.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from authentication.verdict import AUTHORIZED, CHECKING, STRANGER, UNAUTHORIZED, OwnerTest, Verdict
from face_detector import pitch, yaw

# Between two pictures a face moves by at most JUMP + SPEED a second, in units of its box's longer side. Measured on 13
# live videos of 10 to 30 pictures a second: at most 0.14 between two pictures (2.1 a second), 0.05 in 99 of 100.
# However long it is missing, it is not away to fetch a photo: no more than LONGEST_STEP_S of it counts.
JUMP, SPEED, LONGEST_STEP_S = 0.15, 3.0, 0.1
# ... and grows or shrinks by at most this factor. Measured likewise: 1.15, and 1.32 once, in a dark room.
RESIZE = 1.4
# ... and looks the same: the correlation of the two faces' grey thumbnails. Live faces on one half of the scenes: 0.6
# and more; on the other half 3 of 1,700 pictures below 0.5 and none below 0.4. A photo held before a face: 0.1 to 0.6.
# After ALIKE_S a head that turns fast looks as little alike as 0.22 (rendered heads, at 300 degrees a second).
LEAST_ALIKE, ALIKE_S, LEAST_ALIKE_LATER = 0.4, 0.08, 0.2
THUMB_SIDE = 12
# Beyond these a face is turned away, bowed or raised (see face_detector.yaw and pitch), and below that mean of its grey
# values, 0 to 255, it is dark: MiniFASNetV2 has seen few faces like that.
FARTHEST_TURN, HIGHEST_NOSE, LOWEST_NOSE, DIM = 0.45, 0.4, 0.75, 30.0
# A face that is missing for longer, or pictures that are further apart, end the track. Where pictures always come more
# slowly, it is this many times their usual distance, up to the longest gap.
GAP_S, GAP_PICTURES, LONGEST_GAP_S = 0.3, 1.5, 1.0
# How fast the size of a track follows its box.
SIZE_TIME_S = 0.15


class Thumbnail(NamedTuple):
    """A face in its box, small and grey. light: its mean, 0 to 255. relief: float (THUMB_SIDE, THUMB_SIDE), with mean 0
    and length 1; None where there is nothing to see."""

    light: float
    relief: np.ndarray | None


class Track:
    """One face.

    number: 1, 2, ... in the order in which they came. face: its newest row of FaceDetector.detect, float32 (15,).
    first_s, seen_s: when it was seen first and last. lasted_s: what its newest picture stands for.
    size: the box's longer side, in heights of the picture. authorized_size: that size when it was authorized, or None.
    liveness, owner: the evidence; owner is None where nobody is asked whose face it is.
    log_odds: of a live face, in its newest picture that was judged; None before.
    aside: it is a picture in the room. moves: it is none, as far as can be seen by now. still: room.Still, or None of a
        large face.
    """

    def __init__(
        self,
        number: int,
        time_s: float,
        face: np.ndarray,
        size: float,
        thumb: Thumbnail,
        after_s: float,
        liveness: Verdict,
        owner: OwnerTest | None,
    ):
        self.number, self.face, self.size, self.thumb = number, face, size, thumb
        self.first_s = self.seen_s = time_s
        # A picture before it there was nothing of this face: that counts where it takes over what others left.
        self.lasted_s, self._after_s = 0.0, after_s
        self.liveness = liveness
        self.owner = owner
        self.log_odds: float | None = None
        self.spoof_log_odds: float | None = None
        self.spoof_rate, self.owner_rate = RateLimit(), RateLimit()
        self.authorized_size: float | None = None
        self.aside, self.moves, self.still = False, True, None

    def see(self, time_s: float, face: np.ndarray, size: float, thumb: Thumbnail) -> None:
        """Go on with the face of another picture."""
        self.lasted_s, self.seen_s = time_s - self.seen_s, time_s
        self.size += (size - self.size) * (1 - math.exp(-self.lasted_s / SIZE_TIME_S))
        self.face, self.thumb = face, thumb

    @property
    def state(self) -> str:
        """CHECKING, AUTHORIZED or UNAUTHORIZED, without a challenge."""
        # Nothing is known of what may be a picture in the room until it moves.
        if self.aside or not (self.moves or self.authorized_size):
            return CHECKING
        if self.liveness.state == AUTHORIZED and self.owner:
            return self.owner.state
        return self.liveness.state

    @property
    def reason(self) -> str:
        """STRANGER where that is why it is not authorized, else ""."""
        return STRANGER if self.liveness.state == AUTHORIZED and self.state == UNAUTHORIZED else ""

    def forget(self) -> None:
        """Begin anew with the evidence."""
        self.liveness, self.owner = self.liveness.fresh(), self.owner and self.owner.fresh()
        self.authorized_size = None

    @property
    def against(self) -> float:
        """What speaks against it: 1 is what a refusal needs."""
        if self.aside or not self.moves:
            return 0.0
        worst = self.liveness.worst + (self.owner.worst if self.owner else 0.0)
        return worst / self.liveness.lock_at

    @property
    def left(self) -> tuple[float, float]:
        """What its end leaves to the next face, 0 or below: that it was no live one, and no owner."""
        if self.aside or not self.moves:
            return self.liveness.burden, self.owner.burden if self.owner else 0.0
        return self.liveness.against, self.owner.against if self.owner else 0.0

    def judge(self) -> None:
        """Weigh its newest picture. A face that was authorized may turn away, bow or sit in the dark: what such
        pictures say against it is no evidence."""
        if self.log_odds < 0 and self.state == AUTHORIZED and not self._tells:
            return
        is_first = self.seen_s == self.first_s
        self.liveness.update(0.0 if is_first and self.log_odds > 0 else self.lasted_s, self.log_odds)

    @property
    def _tells(self) -> bool:
        is_ahead = abs(yaw(self.face)) <= FARTHEST_TURN and HIGHEST_NOSE <= pitch(self.face) <= LOWEST_NOSE
        return is_ahead and self.thumb.light >= DIM

    def burden(self, liveness: float, owner: float) -> None:
        """Take over what other faces left, 0 or below; a new face's first picture counts then, so that nobody who
        shows a photo from picture to picture elsewhere wins anything."""
        if self.seen_s == self.first_s:
            self.lasted_s = self._after_s
        self.liveness.add_burden(liveness)
        if self.owner:
            self.owner.add_burden(owner)

    def unburden(self) -> None:
        """What speaks against it, and what other faces left, counts no longer."""
        self.liveness.unburden()
        if self.owner:
            self.owner.unburden()


class Tracks:
    """Follows the faces of one source.

    liveness, owner: make what a new track begins with. related: False where the pictures of a source need not have to
    do with each other, as in a folder of stills: then the largest face of each is one track, and so on.
    ended: the tracks that the last picture ended. paused: it came after a gap that ends a track.
    """

    def __init__(
        self,
        liveness: Callable[[], Verdict],
        owner: Callable[[], OwnerTest | None] = lambda: None,
        related: bool = True,
    ):
        self._liveness, self._owner, self._related = liveness, owner, related
        self._tracks: list[Track] = []
        self._count = 0
        self._last_s: float | None = None  # when the last picture came, and how long after the one before
        self._after_s = 0.0
        self._intervals: deque[float] = deque(maxlen=7)
        self.ended: list[Track] = []
        self.paused = False

    @property
    def gap_s(self) -> float:
        """A longer gap ends a track."""
        usual = GAP_PICTURES * statistics.median(self._intervals) if self._intervals else 0.0
        return max(GAP_S, min(usual, LONGEST_GAP_S))

    def follow(self, time_s: float, frame: np.ndarray, faces: np.ndarray) -> list[Track]:
        """The tracks of the faces in a picture, in their order.

        time_s: when it was taken, in seconds, never falling. frame: uint8 (height, width, 3) BGR. faces: float32
        (N, 15), as FaceDetector.detect returns them.
        """
        self._after_s = max(0.0, time_s - self._last_s) if self._last_s is not None else 0.0
        self.paused = self._related and self._after_s > self.gap_s + 1e-6
        if self._after_s:
            self._intervals.append(self._after_s)
        self._last_s = time_s
        self.wait(time_s)
        if not self._related:
            del self._tracks[1:]
        thumbs = [_thumbnail(frame, face) for face in faces]
        sizes = faces[:, 2:4].max(axis=1) / frame.shape[0] if len(faces) else []
        seen: list[Track | None] = [None] * len(faces)
        for number, track in self._pairs(time_s, faces):
            if not self._related or _alike(time_s - track.seen_s, track.thumb, thumbs[number]):
                track.see(time_s, faces[number], float(sizes[number]), thumbs[number])
                seen[number] = track
            else:
                self._end(track)
        for number, face in enumerate(faces):
            if seen[number] is None:
                seen[number] = self._begin(time_s, face, float(sizes[number]), thumbs[number])
        return seen

    def wait(self, time_s: float) -> None:
        """End the tracks that have been out of sight for too long, also where no picture has come."""
        self.ended = []
        for track in [*self._tracks]:
            if self._related and not 0 <= time_s - track.seen_s <= self.gap_s + 1e-6:
                self._end(track)

    def replace(self, track: Track) -> Track:
        """End a track; its face goes on as another that has shown nothing yet."""
        place = self._tracks.index(track)
        self._end(track)
        other = self._begin(track.seen_s, track.face, track.size, track.thumb)
        self._tracks.insert(place, self._tracks.pop())
        return other

    def _begin(self, time_s: float, face: np.ndarray, size: float, thumb: Thumbnail) -> Track:
        self._count += 1
        track = Track(self._count, time_s, face, size, thumb, self._after_s, self._liveness(), self._owner())
        self._tracks.append(track)
        return track

    def _end(self, track: Track) -> None:
        self._tracks.remove(track)
        self.ended.append(track)

    def _pairs(self, time_s: float, faces: np.ndarray) -> list[tuple[int, Track]]:
        """Which face goes on as which track: the nearest first."""
        if not (len(faces) and self._tracks):
            return []
        if not self._related:
            return [(int(faces[:, 2:4].max(axis=1).argmax()), self._tracks[0])]
        before = np.array([track.face[:4] for track in self._tracks])
        since_s = np.array([time_s - track.seen_s for track in self._tracks])
        sides, sides_before = faces[:, 2:4].max(axis=1), before[:, 2:].max(axis=1).clip(1)
        middles, middles_before = faces[:, :2] + faces[:, 2:4] / 2, before[:, :2] + before[:, 2:] / 2
        distances = np.linalg.norm(middles[:, None] - middles_before, axis=2) / sides_before
        resized = np.abs(np.log(np.maximum(sides, 1)[:, None] / sides_before))
        possible = (distances <= JUMP + SPEED * since_s.clip(max=LONGEST_STEP_S)) & (resized <= math.log(RESIZE))
        pairs, taken = [], set()
        for flat in np.argsort(np.where(possible, distances, np.inf), axis=None, kind="stable"):
            number, place = divmod(int(flat), len(self._tracks))
            if not possible[number, place]:
                break
            if ("face", number) not in taken and ("track", place) not in taken:
                taken |= {("face", number), ("track", place)}
                pairs.append((number, self._tracks[place]))
        return pairs


class RateLimit:
    """Lets something through at most so many times a second of the video's own time."""

    def __init__(self):
        self._last_s = -math.inf

    def due(self, time_s: float, per_s: float) -> bool:
        return time_s >= self._last_s + 1 / per_s - 1e-6

    def done(self, time_s: float, per_s: float) -> None:
        # Counted from when it was due, so that pictures that come a little late do not make it fewer.
        due_s = self._last_s + 1 / per_s
        self._last_s = due_s if due_s <= time_s < due_s + 1 / per_s else time_s


def _thumbnail(frame: np.ndarray, face: np.ndarray) -> Thumbnail:
    height, width = frame.shape[:2]
    x, y, w, h = (float(value) for value in face[:4])
    left, top = max(round(x), 0), max(round(y), 0)
    part = frame[top : max(min(round(y + h), height), 0), left : max(min(round(x + w), width), 0)]
    if min(part.shape[:2]) < 2:
        return Thumbnail(0.0, None)
    # Every pixel of a large face would cost ten times as much.
    step = max(1, min(part.shape[:2]) // (4 * THUMB_SIDE))
    small = cv2.resize(part[::step, ::step], (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA).mean(axis=2)
    light = float(small.mean())
    small -= light
    length = float(np.linalg.norm(small))
    return Thumbnail(light, small / length if length > 1e-3 else None)


def _alike(since_s: float, before: Thumbnail, now: Thumbnail) -> bool:
    if before.relief is None or now.relief is None or since_s > GAP_S:
        return True
    return float((before.relief * now.relief).sum()) >= (LEAST_ALIKE if since_s <= ALIKE_S else LEAST_ALIKE_LATER)
