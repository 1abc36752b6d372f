"""The thread that mails incidents to their owner, sends again what could not be sent, and never sends twice.

    reporter = Reporter(settings, Path("incidents"), mail=True, find_location=...)
    reporter.add(case)                       # at once; a thread of its own does the rest
    reporter.close(deadline)

What cannot be sent now is tried again with growing pauses, and at the next start; that it was sent is on the disk
before anything else happens.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.failure import told
from alerting.incident import Incident, unsent
from alerting.printable import clean
from alerting.settings import EmailSettings

if TYPE_CHECKING:
    from alerting.password import Password

log = logging.getLogger("liveness.alerting")

RETRY_FIRST_S = 15.0  # doubles with every failure ...
RETRY_LONGEST_S = 900.0  # ... up to this
# After a refusal (wrong password, unknown recipient; not of a single mail for its size) nothing is tried for this
# long: servers lock accounts that keep knocking.
REFUSED_PAUSE_S = 3600.0
# So many incidents wait in memory, each with its picture and an open file; the rest wait on the disk, where a server
# that is away for a day may leave a thousand.
WAITING_LIMIT = 20


class Reporter:
    """Mails incidents, one after the other, in a thread of its own; begins with those of earlier runs.

    `mail` False: the thread still calls `find_location` for each new incident, which comes before its mail.
    """

    def __init__(self, email: EmailSettings, root: Path, mail: bool, find_location: Callable[[Incident], None]):
        self._email = email
        self._root = root
        self._mail = mail
        self._find_location = find_location
        self._password: Password | None = None
        self._heap: list[tuple[float, int, Incident, float]] = []  # due, order, incident, next pause
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._busy = True  # until the incidents of earlier runs have been looked through
        self._closed = False
        self._held_until, self._refusal = 0.0, ""
        self._left = False  # incidents wait on the disk alone
        self._sent: set[str] = set()  # in this run: a full disk takes no note of it
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def add(self, case: Incident) -> None:
        """Queue a new incident."""
        self._schedule(case, time.monotonic(), RETRY_FIRST_S)

    def close(self, deadline: float) -> None:
        """End by `deadline` (time.monotonic); tries what is due now as far as time allows."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._is_due(), max(0.0, deadline - time.monotonic()))
            self._closed = True
            self._changed.notify_all()
        self._thread.join(max(0.1, deadline - time.monotonic()))

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

    def _retry(self, case: Incident, due: float, pause: float) -> None:
        """Later: from memory, or where many wait there and the incident is on the disk, from that."""
        if len(self._heap) < WAITING_LIMIT or not case.folder:
            self._schedule(case, due, pause)
            return
        if not self._left:
            log.warning("%d mails wait; further ones wait in %s", WAITING_LIMIT, self._root)
        self._left = True
        case.release()

    def _schedule(self, case: Incident, due: float, pause: float) -> None:
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._order), case, pause))
            self._changed.notify_all()

    def _run(self) -> None:
        if self._mail:
            with told("the incidents of earlier runs could not be mailed"):
                self._take_up_unsent()
        while (entry := self._next()) is not None:
            with told("an incident could not be reported"):
                self._report(*entry)
        for _, _, case, _ in self._heap:
            case.release()

    def _next(self) -> tuple[Incident, float] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._closed and not self._is_due():
                self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
            if self._closed:
                return None
            self._busy = True
            _, _, case, pause = heapq.heappop(self._heap)
            return case, pause

    def _take_up_unsent(self, refused: bool = True) -> None:
        """As many as there is room for; with `refused`, those that a server refused as well."""
        self._left = False
        for case in unsent(self._root, refused):
            mail = case.record["actions"]["mail"]
            if case.name in self._sent:
                case.update("mail", state="sent")
                case.release()
                continue
            if mail["state"] == "refused":
                log.warning(
                    "incident %s was not mailed in an earlier run: %s; trying once more",
                    case.name,
                    clean(mail.get("reason"), 200),
                )
                case.update("mail", state="waiting")
            else:
                log.info("incident %s has not been mailed yet; mailing it now", case.name)
            self._schedule(case, time.monotonic(), RETRY_FIRST_S)
            if len(self._heap) >= WAITING_LIMIT:
                self._left = True
                break

    def _report(self, case: Incident, pause: float) -> None:
        from alerting.delivery import send
        from alerting.mail_failure import MailDelayed, MailRefused, MailTooLarge
        from alerting.message import compose
        from alerting.password import Password

        self._password = self._password or Password(self._email.username)
        if not case.located:
            case.located = True
            with told(f"incident {case.name}: the location could not be looked up"):
                self._find_location(case)
        mail = case.record["actions"]["mail"]
        if mail["state"] != "waiting":
            case.release()
            return
        if time.monotonic() < self._held_until:
            case.update("mail", reason=self._refusal)
            self._retry(case, self._held_until, pause)
            return
        try:
            attempts = mail.get("attempts", 0) + 1
            message = compose(case.record, case.jpeg, self._email.sender, self._email.recipient)
        except Exception as error:  # an incident.json that somebody has edited: others are none the worse for it
            self._refuse(case, 1, f"no mail can be made of incident.json: {type(error).__name__}")
            return
        try:
            send(self._email, message, self._password.get() if self._email.username else "")
        except MailDelayed as error:
            if mail.get("reason") != str(error):  # the same reason again is no news
                log.warning("incident %s: mail waits: %s", case.name, error)
            case.update("mail", attempts=attempts, reason=str(error))
            self._retry(case, time.monotonic() + pause, min(2 * pause, RETRY_LONGEST_S))
        except MailRefused as error:
            self._refuse(case, attempts, str(error))
            if not isinstance(error, MailTooLarge):
                self._held_until, self._refusal = time.monotonic() + REFUSED_PAUSE_S, str(error)
        else:
            self._sent.add(case.name)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            case.update("mail", state="sent", attempts=attempts, reason="", time_utc=now)
            case.release()
            log.info("incident %s: owner notified by mail", case.name)
            if self._left and not self._heap:
                self._take_up_unsent(refused=False)

    def _refuse(self, case: Incident, attempts: int, reason: str) -> None:
        log.error("incident %s: NOT MAILED: %s; the next start tries once more", case.name, reason)
        case.update("mail", state="refused", attempts=attempts, reason=reason)
        case.release()
