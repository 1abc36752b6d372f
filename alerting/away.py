"""The lock without an incident: when nobody is in sight, and during the cool-down. No alarm, no mail."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from alerting.bounded import Call
from alerting.failure import told

if TYPE_CHECKING:
    from alerting.lock import Lock

log = logging.getLogger("liveness.alerting")

# What is told of a lock by its state, on the screen; see lock.Lock.
LOCK_WORDS = {
    "pending": "locking",
    "accepted": "lock requested",
    "confirmed": "workstation locked",
    "unconfirmed": "LOCK NOT CONFIRMED",
    "failed": "LOCK FAILED",
}
LOCK_FAILED_SENTENCE = "Warning. This workstation could not be locked."
# The system is asked whether the screen is locked at most so often: it takes a program of its own.
ASK_AGAIN_S = 1.0


class AwayLock:
    """Locks, and knows whether the screen is locked, in threads of its own.

    command: as lock.lock_workstation takes it. acts: False in a rehearsal. say: speaks a sentence.
    status: what became of the last lock, in a few words; "" before there was one.
    """

    def __init__(self, command: list[str], acts: bool, say: Callable[[str], None]):
        self._command, self._acts, self._say = command, acts, say
        self._locked, self._look, self._look_at = False, None, float("-inf")
        self._asked = threading.Event()  # the system was asked to lock
        self._asked.set()
        self.status = ""

    @property
    def locked(self) -> bool:
        """Whether the system said so when it was last asked; to read this is to have it asked again."""
        now = time.monotonic()
        if self._acts and now >= self._look_at and (not self._look or self._look.wait(0)):
            self._look_at, self._look = now + ASK_AGAIN_S, Call(self._ask)
        return self._locked

    def lock(self, why: str = "nobody in sight") -> None:
        """Lock; returns at once. why: for the log."""
        if not self._acts:
            self.status = "rehearsal, nothing locked"
            return
        self.status = LOCK_WORDS["pending"]
        self._asked.clear()
        Call(self._run, why)

    def close(self, limit_s: float) -> None:
        """Wait until the lock, if any, was asked for."""
        if not self._asked.wait(limit_s):
            log.error("the workstation was still being locked when the program ended")

    def _ask(self) -> None:
        from alerting.lock import screen_locked

        self._locked = screen_locked()

    def _run(self, why: str) -> None:
        from alerting.lock import confirm_lock, lock_workstation

        lock = lock_workstation(self._command)
        self._asked.set()
        self._tell(lock, why)
        confirmed = confirm_lock(lock)
        if confirmed != lock:
            self._tell(confirmed, why)
        if confirmed.state in ("failed", "unconfirmed"):
            self._say(LOCK_FAILED_SENTENCE)

    def _tell(self, lock: "Lock", why: str) -> None:
        self.status = LOCK_WORDS[lock.state]
        with told("the lock could not be logged"):
            if lock.state in ("confirmed", "accepted"):
                log.warning("%s: lock %s (%s)", why, lock.state, lock.how)
            else:
                log.critical("%s: LOCK %s (%s): %s", why, lock.state.upper(), lock.how, lock.reason)
