"""What follows a verdict, in its order: the incident, the lock, alarm and voice, the owner's mail.

An unauthorized face makes an incident: it is put on the disk, then the workstation is locked, and then
come the alarm, the spoken warning, the location and the mail. A mail that cannot be sent stays in its
incident's folder and is tried again, in this run and in the next.

The caller's thread never waits for any of it. Whatever goes wrong in one step, the others are taken.
"""

import functools
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

# Whatever only an incident needs is imported where it is needed, in these modules too: the guard starts often.
from alerting import incident
from alerting.away import LOCK_FAILED_SENTENCE, LOCK_WORDS, AwayLock
from alerting.bounded import Call
from alerting.failure import told
from alerting.incident import REPLAY, STRANGER, Incident
from alerting.printable import clean
from alerting.reporter import Reporter
from alerting.settings import LocationSettings, Settings
from alerting.sound import Sounds

if TYPE_CHECKING:
    from alerting.lock import Lock

log = logging.getLogger("liveness.alerting")

AUTHORIZED_SENTENCE = "Thank you for your patience. You are an authorized user. Access granted."
UNAUTHORIZED_SENTENCE = "Warning. You are not authorized. Access denied. This incident has been recorded."
STRANGER_SENTENCE = (
    "Warning. You are not the owner of this workstation. Access denied. This incident has been recorded."
)

# While the screen stays locked each further incident doubles the cool-down, up to this: a photo left before the
# camera overnight must not fill the disk.
LONGEST_COOLDOWN_S = 3600.0
DISK_LIMIT_S = 2.0  # a disk that takes longer to keep an incident does not hold up the lock
KEEP_LIMIT_S = 15.0  # close() waits this long for the disk and the lock, whatever its time-out


class _Job(NamedTuple):
    snapshot: np.ndarray
    evidence: list[np.ndarray]
    score: float
    source: str
    reason: str
    seen: float  # time.perf_counter() of the verdict
    kept: threading.Event  # set when the incident is on the disk and the lock was asked for


class Alerts:
    """Acts on verdicts. No method waits for disk, sound, network or lock, save `close`.

    Parameters
    ----------
    incidents: folder for the incidents, made when the first one happens.
    rehearsal: an incident is written, marked as a rehearsal; nothing is locked, mailed or sounded.
        Speech follows `voice`.
    voice, lock, email: False switches that part off whatever the settings say.
    """

    def __init__(
        self,
        settings: Settings,
        incidents: Path = Path("incidents"),
        rehearsal: bool = False,
        voice: bool = True,
        lock: bool = True,
        email: bool = True,
    ):
        self._settings = settings
        self._root = incidents
        self._rehearsal = rehearsal
        acts = not rehearsal
        self._voice = voice and settings.voice.enabled
        self._alarm = acts and settings.alarm.enabled
        self._lock = acts and lock and settings.lock.enabled
        self._mail = acts and email and bool(settings.email.host)
        self._sounds = Sounds(self._voice, settings.alarm.device, settings.alarm.seconds)
        self._away = AwayLock(settings.lock.command, self._lock, self._sounds.say)
        self._reporter = Reporter(
            settings.email, incidents, self._mail, functools.partial(_find_location, settings.location)
        )
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._last_kept = threading.Event()  # of the latest job: earlier ones are dealt with before it
        self._last_kept.set()
        self._next_incident = 0.0
        self._cooldown_s = settings.incidents.cooldown_s
        self._lock_reported = False  # the owner knows of the lock that the screen is under
        self._latest: Incident | None = None
        self._latest_s = 0.0
        self._closed = False
        # What may wait for the disk, in an order of its own: the next lock does not wait for it.
        self._records: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="incidents", daemon=True)
        self._recorder = threading.Thread(target=self._run_records, name="records", daemon=True)
        self._thread.start()
        self._recorder.start()

    @property
    def status(self) -> str:
        """What has really been done about the latest incident so far, for the banner; "" before there is one.

        "workstation locked" only where the system confirmed it, "lock requested" where it merely took the request.
        With how long ago it was, when it was not just now: nothing more is done during the cool-down.
        """
        case = self._latest
        if case is None:
            return ""
        if self._rehearsal:
            return "rehearsal, nothing locked or mailed"
        lock, mail = case.record["actions"]["lock"], case.record["actions"]["mail"]
        told = {
            "waiting": "mail waiting" if mail.get("reason") else "notifying the owner",
            "sent": "owner notified",
            "refused": "MAIL REFUSED",
            "off": "owner notified before" if mail.get("reason") else "snapshot kept" if case.folder else "",
        }
        done = [
            "" if case.folder else "INCIDENT NOT SAVED",
            LOCK_WORDS.get(lock["state"], ""),
            told[mail["state"]],
        ]
        return ", ".join(phrase for phrase in done if phrase) + _ago(time.monotonic() - self._latest_s)

    def say(self, text: str, overtake: bool = False) -> None:
        """Queue a sentence; with `overtake` it takes the place of all those not yet begun."""
        self._sounds.say(text, overtake=overtake)

    def authorized(self, score: float, greet: bool = True) -> None:
        """Somebody is authorized now. `score` is p_real in 0..1; `greet`: welcome them aloud."""
        if greet:
            log.info("authorized: score %.3f", score)
        self._lock_reported = False
        # However long the cool-down had grown while the screen was locked: the workstation is open now.
        self._cooldown_s = self._settings.incidents.cooldown_s
        self._next_incident = min(self._next_incident, time.monotonic() + self._cooldown_s)
        if greet:
            self._sounds.say(AUTHORIZED_SENTENCE, overtake=True)

    @property
    def locked(self) -> bool:
        """Whether the system said a moment ago that the screen is locked; not known, False, in a rehearsal."""
        return self._away.locked

    @property
    def away_status(self) -> str:
        """What became of the last away(), in a few words; "" before there was one."""
        return self._away.status

    def lock_again(self) -> None:
        """Lock during the cool-down, and nothing else; returns at once."""
        self._away.lock("refused again")

    def away(self) -> None:
        """Lock because nobody is in sight, and nothing else; returns at once."""
        self._away.lock()

    @property
    def ready(self) -> bool:
        """Whether the cool-down after the last incident is over."""
        return not self._closed and time.monotonic() >= self._next_incident

    def unauthorized(
        self, snapshot: np.ndarray, evidence: list[np.ndarray], score: float, source: str, reason: str = REPLAY
    ) -> bool:
        """Act on an unauthorized face. Returns at once; False during the cool-down, when nothing is done.

        While the screen stays locked after an incident, further ones are kept, ever more rarely, but not mailed.

        Parameters
        ----------
        snapshot: uint8, BGR, height x width x 3, with the box drawn.
        evidence: up to ten raw frames, uint8, BGR. All the frames belong to this object from now on: the
            caller must not draw on them any more.
        score: p_real in 0..1. reason: incident.REPLAY, CHALLENGE or STRANGER.
        source: the camera index, file or URL that was watched.
        """
        if not self.ready:
            return False
        self._next_incident = time.monotonic() + self._cooldown_s
        self._latest, self._latest_s = None, time.monotonic()  # what was done about the last one is not about this
        job = _Job(snapshot, list(evidence), score, source, reason, time.perf_counter(), threading.Event())
        self._last_kept = job.kept
        self._jobs.put(job)
        return True

    def close(self, timeout_s: float = 1.5) -> None:
        """End. Lets speech and mail go on until the time is over; unsent mail stays for the next start.

        Comes back later than that only while an incident is still being put on the disk or the lock being
        asked for.
        """
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + timeout_s
        self._jobs.put(None)
        if not self._last_kept.wait(KEEP_LIMIT_S):
            log.error("an incident was still being written or locked when the program ended")
        self._away.close(KEEP_LIMIT_S)
        self._thread.join(max(0.1, deadline - time.monotonic()))
        recorded = threading.Event()  # and handed to the reporter
        self._records.put(recorded.set)
        recorded.wait(max(0.1, deadline - time.monotonic()))
        self._reporter.close(deadline)
        self._sounds.close(deadline)
        self._records.put(None)
        self._recorder.join(max(0.1, deadline - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            keeping = Call(self._keep, job)
            keeping.wait(DISK_LIMIT_S)
            lock, after_ms = None, round(1000 * (time.perf_counter() - job.seen), 1)
            with told("an incident could not be dealt with"):
                lock = self._act(job, keeping)
            self._records.put(functools.partial(self._record, job, keeping, lock, after_ms))

    def _run_records(self) -> None:
        while (step := self._records.get()) is not None:
            with told("an incident could not be recorded"):
                step()

    def _act(self, job: _Job, keeping: Call) -> "Lock | None":
        lock = None
        if self._lock:
            from alerting.lock import lock_workstation

            lock = lock_workstation(self._settings.lock.command)
        with told("the alarm could not be sounded"):
            self._make_noise(keeping, STRANGER_SENTENCE if job.reason == STRANGER else UNAUTHORIZED_SENTENCE)
        return lock

    def _record(self, job: _Job, keeping: Call, lock: "Lock | None", after_ms: float) -> None:
        """What became of the incident, once the disk has it; then its mail."""
        try:
            case = keeping.result()
            with told("the lock could not be recorded"):
                log.warning(
                    "unauthorized: %s, score %.3f, incident %s in %s",
                    job.reason,
                    job.score,
                    case.name,
                    case.folder or "memory only",
                )
                if lock:
                    self._record_lock(case, lock, after_ms)
            with told(f"incident {case.name}: the frames could not be kept"):
                self._keep_frames(case, job)
        finally:
            job.kept.set()
        if lock:
            with told(f"incident {case.name}: the lock could not be confirmed"):
                self._confirm_lock(case, lock, after_ms)
        if not self._rehearsal:
            self._reporter.add(case)

    def _keep(self, job: _Job) -> Incident:
        """Put the incident on the disk, and decide whether it is mailed and how soon there may be another."""
        states, base_s = self._first_states(), self._settings.incidents.cooldown_s
        if self._lock_reported:
            from alerting.lock import screen_locked

            self._lock_reported = screen_locked()
        if self._lock_reported:
            if self._mail:
                states["mail"] = {"state": "off", "reason": "the screen is locked, and the owner was told"}
            self._cooldown_s = min(max(base_s, LONGEST_COOLDOWN_S), 2 * max(self._cooldown_s, 1.0))
        else:
            self._cooldown_s = base_s
        self._next_incident = time.monotonic() + self._cooldown_s
        self._latest = incident.create(
            self._root, job.snapshot, job.score, _without_credentials(job.source), self._rehearsal, states, job.reason
        )
        return self._latest

    @staticmethod
    def _keep_frames(case: Incident, job: _Job) -> None:
        try:
            case.add_frames(job.evidence[:10])
        except (OSError, ValueError) as error:
            log.error("incident %s: cannot keep the frames: %s", case.name, getattr(error, "strerror", None) or error)

    def _confirm_lock(self, case: Incident, lock: "Lock", after_ms: float) -> None:
        from alerting.lock import confirm_lock

        confirmed = confirm_lock(lock)
        if confirmed != lock:
            self._record_lock(case, confirmed, after_ms)
        if confirmed.state in ("failed", "unconfirmed"):
            self._sounds.say(LOCK_FAILED_SENTENCE)
        self._lock_reported = confirmed.state in ("accepted", "confirmed")

    def _first_states(self) -> dict[str, dict]:
        def state(wanted: bool, first: str) -> dict:
            return {"state": first if wanted else "rehearsal" if self._rehearsal else "off"}

        return {
            "lock": state(self._lock, "pending"),
            "voice": {"state": "queued" if self._voice else "off"},
            "alarm": state(self._alarm, "queued"),
            "mail": state(self._mail, "waiting"),
        }

    def _record_lock(self, case: Incident, lock: "Lock", after_ms: float) -> None:
        case.update("lock", **lock._asdict(), after_ms=after_ms)
        if lock.state in ("confirmed", "accepted"):
            log.warning(
                "incident %s: lock %s (%s), asked %.0f ms after the verdict", case.name, lock.state, lock.how, after_ms
            )
        else:
            log.critical("incident %s: LOCK %s (%s): %s", case.name, lock.state.upper(), lock.how, lock.reason)

    def _make_noise(self, keeping: Call, sentence: str) -> None:
        def recorder(action: str):
            def ended(problem: str) -> None:
                fields = {"state": "failed", "reason": clean(problem, 200)} if problem else {"state": "done"}
                self._records.put(lambda: keeping.result().update(action, **fields))

            return ended

        if self._alarm:
            self._sounds.alarm(recorder("alarm"))
        self._sounds.say(sentence, overtake=True, on_end=recorder("voice"))


def _ago(seconds: float) -> str:
    """In steps that do not keep a banner changing all the time; "" for just now."""
    if seconds < 10:
        return ""
    return f" ({seconds // 10 * 10:.0f} s ago)" if seconds < 60 else f" ({seconds // 60:.0f} min ago)"


def _without_credentials(source: str) -> str:
    """Of a stream's address only the host: recorders want passwords before it, in the path, or in the query."""
    scheme, mark, rest = str(source).partition("://")
    if not mark or scheme.lower() == "file":
        return str(source)
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(host) :]:  # user:pass/word@host, or an @ of the path's: what comes first may be a secret
        return f"{scheme}://…"
    return f"{scheme}://{host.rpartition('@')[2]}"


def _find_location(settings: LocationSettings, case: Incident) -> None:
    from alerting.location import find_location

    find_location(settings, case)
