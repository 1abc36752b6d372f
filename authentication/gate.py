"""The gate (--once): whether it looks at all, what it counts, and what it answers.

gate = Gate("0", armed=False, as_json=False, lockout=Lockout())
closed = gate.closed(allow_remote=False)    # before anything is opened
if closed:
    status = gate.refuse(closed)
...
gate.count(outcome, source.live)            # at once after the verdict
status = gate.answer(source.name, outcome)
"""

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from authentication.asker import why_elsewhere
from authentication.lockout import REFUSALS, WITHIN_S, Lockout, LockoutError
from authentication.verdict import AUTHORIZED, CHECKING, STRANGER, UNAUTHORIZED

if TYPE_CHECKING:
    from authentication.session import Outcome

NO_VERDICT = 3
HALF = 0.5
STATUS = {AUTHORIZED: 0, UNAUTHORIZED: 1, CHECKING: NO_VERDICT}


class Closed(NamedTuple):
    """Why no look is taken: in a few words, and what to do about it."""

    reason: str
    advice: str


class Gate:
    """source: as the user names it. armed: even a file has consequences. as_json: how it answers. lockout: None where
    refusals do not close it."""

    def __init__(self, source: str, armed: bool, as_json: bool, lockout: Lockout | None):
        self._source, self._armed, self._as_json, self._lockout = source, armed, as_json, lockout

    def closed(self, allow_remote: bool) -> Closed | None:
        """Why the gate takes no look, None where it does. Raises LockoutError."""
        try:
            closed = self._why_closed(allow_remote)
        except LockoutError:
            if self._is_rehearsal():
                return None
            raise
        return None if closed and self._is_rehearsal() else closed

    def _why_closed(self, allow_remote: bool) -> Closed | None:
        why = "" if allow_remote else why_elsewhere(os.environ)
        if why:
            return Closed(why, "who asks need not be the one before the camera; --allow-remote looks all the same")
        left_s = self._lockout.left_s() if self._lockout else 0.0
        if not left_s:
            return None
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + left_s))
        return Closed(
            "locked out",
            f"until {until}, after {REFUSALS} refusals within {WITHIN_S:.0f} s; "
            "to end it, the same user runs liveness_main.py --reset-lockout",
        )

    def _is_rehearsal(self) -> bool:
        # Asked only where there is a reason to close: it brings OpenCV, which has its own turn in a start.
        from capture.address import means_a_file

        return means_a_file(self._source) and not self._armed

    def refuse(self, closed: Closed) -> int:
        """Say why no look is taken; returns the status."""
        import logging

        from capture.address import is_camera_number, shown

        name = f"camera {self._source}" if is_camera_number(self._source) else shown(self._source)
        line = f"{name}: no verdict: {closed.reason}: {closed.advice}"
        logging.getLogger("liveness.authentication").warning("%s", line)
        if self._as_json:
            _print_json(name, CHECKING, 0.0, 0.0, closed.reason)
        print(line, file=sys.stderr, flush=True)
        return NO_VERDICT

    def count(self, outcome: "Outcome", live: bool) -> None:
        """Keep what the verdict means for the next: a refusal counts, until somebody is authorized, and so does more
        than HALF of what a refusal needs, where a face went away before its verdict. A rehearsal, of a file that is
        neither live nor armed, is not counted."""
        if not (self._lockout and (live or self._armed)):
            return
        state = _state(outcome)
        if state == UNAUTHORIZED or (state == CHECKING and outcome.judgement and outcome.judgement.against > HALF):
            self._lockout.refused()
        elif state == AUTHORIZED:
            with contextlib.suppress(LockoutError):  # told before the next look
                self._lockout.clear()

    def answer(self, name: str, outcome: "Outcome") -> int:
        """Print the answer on one line; returns the status. name: the source's."""
        state = _state(outcome)
        if self._as_json:
            score, reason = (outcome.judgement.score, outcome.judgement.reason) if outcome.judgement else (0.0, "")
            _print_json(name, state, score, outcome.time_s, reason if state == UNAUTHORIZED else outcome.why_undecided)
        elif state == CHECKING:
            print(f"{name}: no verdict: {outcome.why_undecided}", file=sys.stderr)
        else:
            stranger = f" ({STRANGER})" if outcome.judgement.reason == STRANGER else ""
            print(f"{name}: {state}{stranger} after {outcome.time_s:.2f} s", flush=True)
        return STATUS[state]


def reset() -> int:
    """End a lockout, and say so; returns the status. Raises LockoutError."""
    print("refusals forgotten: the gate looks again" if Lockout().clear() else "there are no refusals to forget")
    return 0


def _state(outcome: "Outcome") -> str:
    return outcome.judgement.state if outcome.judgement else CHECKING


def _print_json(name: str, state: str, score: float, time_s: float, reason: str) -> None:
    """One object; without a verdict there is no score. reason: why nobody is authorized, "" where somebody is."""
    import json

    decided = state != CHECKING
    said = {"verdict": state if decided else None, "score": round(score, 4) if decided else None}
    said |= {"time_s": round(time_s, 2), "source": name} | ({"reason": reason} if reason else {})
    print(json.dumps(said), flush=True)
