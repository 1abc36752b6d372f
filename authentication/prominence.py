"""Which of the faces in view has consequences, and what speaks against it that other faces left.

prominence = Prominence()
track = prominence.choose(time_s, seen, ended)      # None where nobody is in view
prominence.against                                  # what speaks against all who were it, without a pass
"""

from typing import NamedTuple

from authentication.tracks import Track
from authentication.verdict import AUTHORIZED, CHECKING, UNAUTHORIZED

# Another face takes over once it has been this many times as large for so long.
LARGER, LARGER_FOR_S = 1.2, 0.5
# Of faces whose sizes differ by no more than this factor the worse is the prominent one.
EVEN = 1.1
# A contender that the detector misses for so long goes on contending, and so do two who take turns.
MISSED_S = 0.15
# What speaks against a face that has gone is kept for so long for the one that comes next.
PASSED_ON_S = 10.0
WORST_FIRST = (UNAUTHORIZED, CHECKING, AUTHORIZED)


class Left(NamedTuple):
    """What faces that have gone left, 0 or below: that they were no live ones, and no owners. at_s: when."""

    liveness: float
    owner: float
    at_s: float


NOTHING = Left(0.0, 0.0, float("-inf"))


class Prominence:
    """Follows the most prominent face of one source: the largest that is not set aside."""

    def __init__(self):
        self.track: Track | None = None
        self.contender: Track | None = None  # a larger one
        self._contends_since = self._larger_s = 0.0
        self._were: dict[int, Track] = {}  # those that have been prominent and are not over
        self._left = NOTHING
        self._against_before = 0.0

    def choose(self, time_s: float, seen: list[Track], ended: list[Track]) -> Track | None:
        """The most prominent track. seen: those of this picture. ended: those that ended with it."""
        for track in ended:
            self._leave(time_s, track)
        if self.track and self.track.aside:
            self._leave(time_s, self.track)
        if self.track and (self.track in ended or self.track.aside):
            self.track = None
        candidates = [track for track in seen if not track.aside]
        if not self.track:
            self.contender = None
            largest = max((track.size for track in candidates), default=0.0)
            self._take(time_s, [track for track in candidates if track.size * EVEN >= largest])
        else:
            self._pass_on(time_s)
            self._challenge(time_s, candidates)
        return self.track

    @property
    def against(self) -> float:
        """What speaks against the faces that were prominent, added up since the last authorization: 1 is what a
        refusal needs."""
        return self._against_before + sum(track.against for track in self._were.values())

    def authorized(self) -> None:
        """The prominent face was authorized: that clears what spoke against it and others before."""
        self._left, self._against_before, self._were = NOTHING, 0.0, {self.track.number: self.track}
        self.track.unburden()

    def _challenge(self, time_s: float, candidates: list[Track]) -> None:
        """Another takes over when it is larger for long enough; and, from one that is not authorized, at once when it
        is about as large and worse."""
        larger = [track for track in candidates if track.size > LARGER * self.track.size]
        if larger:
            self._contends_since = self._contends_since if self.contender else time_s
            self.contender, self._larger_s = max(larger, key=lambda track: track.size), time_s
        elif time_s - self._larger_s > MISSED_S:
            self.contender = None
        if larger and time_s - self._contends_since >= LARGER_FOR_S:
            self._take(time_s, [self.contender])
            return
        if self.track.state != AUTHORIZED:
            even = [track for track in candidates if 1 / EVEN <= track.size / self.track.size <= EVEN]
            worse = [track for track in even if _is_worse(track, self.track)]
            if worse:
                self._take(time_s, worse)

    def _take(self, time_s: float, tracks: list[Track]) -> None:
        """The worst of them is prominent now, and what was left speaks against it."""
        if not tracks:
            return
        track = self.track = min(
            tracks, key=lambda one: (WORST_FIRST.index(one.state), one.liveness.evidence, -one.size)
        )
        self.contender = None
        self._were[track.number] = track
        self._pass_on(time_s)

    def _pass_on(self, time_s: float) -> None:
        """What was left speaks against the face that is prominent now."""
        if self._left is NOTHING:
            return
        if time_s - self._left.at_s <= PASSED_ON_S and self.track.state != AUTHORIZED:
            self.track.burden(self._left.liveness, self._left.owner)
        self._left = NOTHING

    def _leave(self, time_s: float, track: Track) -> None:
        if not self._were.pop(track.number, None):
            return
        self._against_before += track.against
        left = self._left if time_s - self._left.at_s <= PASSED_ON_S else NOTHING
        liveness, owner = track.left
        self._left = Left(left.liveness + liveness, left.owner + owner, time_s)


def _is_worse(track: Track, than: Track) -> bool:
    """By a whole look, so that two that are alike do not take turns."""
    if track.state != than.state:
        return WORST_FIRST.index(track.state) < WORST_FIRST.index(than.state)
    mine, others = track.liveness.evidence, than.liveness.evidence
    return mine < min(0.0, others - track.liveness.clear)
