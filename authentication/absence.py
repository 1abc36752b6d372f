"""When nobody has been in sight for so long that the workstation is locked, and what is said before and after it.

absence = Absence(after_s=15)
present = absence.is_present(judgement)
if absence.update(time_s, present, locked):
    ...                                 # lock now
absence.notice(done)                    # "Nobody in sight: locking in 3 s"
"""

import math
from typing import TYPE_CHECKING

from authentication.verdict import AUTHORIZED

if TYPE_CHECKING:
    from authentication.authenticator import Judgement

# The lock is announced so long before: time to lean back into the picture.
ANNOUNCED_S = 3.0
# Shorter times would leave hardly a moment between the last look and the announcement; a day is as good as never.
SHORTEST_S, LONGEST_S = 5.0, 86400.0


class Absence:
    """Counts how long nobody has been in sight, from the first frame on.

    after_s: lock after so many seconds, SHORTEST_S to LONGEST_S. owner: it is an owner who is authorized, and missed.
    what: what is the case then, in words; announcement: the same, with what will come of it, to be spoken.
    left_s: seconds to the lock while it is announced, else None.
    """

    def __init__(self, after_s: float, owner: bool = False):
        self._after_s = after_s
        self.what = "owner out of sight" if owner else "nobody in sight"
        self.announcement = f"{self.what.capitalize()}. Locking in {ANNOUNCED_S:.0f} seconds."
        self._since: float | None = None
        self._asked, self._was_locked = False, False
        self.left_s: float | None = None

    @staticmethod
    def is_present(judgement: "Judgement") -> bool:
        """Is somebody before the camera who keeps the workstation open? A camera that shows nothing, or too little to
        tell, shows nobody."""
        return judgement.state == AUTHORIZED

    def update(self, time_s: float, present: bool, locked: bool) -> bool:
        """Take in a frame; True: lock now.

        time_s: when it was taken, in seconds. locked: whether the screen is known to be locked; of no matter while
        somebody is present. It is locked once: again only after somebody was seen, or after the screen was seen locked
        and unlocked, from when on it counts anew.
        """
        if present or locked or self._since is None or time_s < self._since:
            self._since = time_s
        if present or (self._was_locked and not locked):
            self._asked = False
        self._was_locked = locked
        left_s = self._since + self._after_s - time_s
        if left_s <= 0 and self.left_s is None and not self._asked:
            # The pictures come so rarely that the announcement would have been left out.
            self._since, left_s = time_s - self._after_s + ANNOUNCED_S, ANNOUNCED_S
        self.left_s = left_s if not self._asked and 0 < left_s <= ANNOUNCED_S else None
        if self._asked or left_s > 0:
            return False
        self._asked = True
        return True

    def notice(self, done: str) -> str:
        """For the middle of the picture, "" while somebody is there. done: what became of the lock, in a few words."""
        if self.left_s is not None:
            return f"{self.what.capitalize()}: locking in {math.ceil(self.left_s)} s"
        return f"{self.what.capitalize()}: {done}" if self._asked and done else ""
