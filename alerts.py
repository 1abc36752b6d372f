"""What happens after a verdict: speak, sound the alarm, report the intruder, lock the workstation.

    guard = Alerts(load_settings(Path("alerts.toml")), incidents=Path("incidents"))
    guard.authorized(score)                                     # once per visit
    guard.unauthorized(snapshot, evidence, score, source)       # at once; the rest happens in threads
    guard.close()

An unauthorized face makes an incident: it is put on the disk, then the workstation is locked, and then
come the alarm, the spoken warning, the location and the mail. A mail that cannot be sent stays in its
incident's folder and is tried again, in this run and in the next.

The caller's thread never waits for any of it. See `incident.py` for what is kept, `mail.py` for
what the owner gets, `sound.py` for the processes that speak and sound the alarm.
"""

import contextlib
import ctypes
import dataclasses
import functools
import json
import logging
import math
import os
import queue
import re
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Whatever only an incident needs is imported where it is needed, in these modules too: the guard starts often.
import incident
from incident import REPLAY, Incident, clean
from mail import (KEYRING_SERVICE, PASSWORD_VARIABLE, EmailSettings, MailDelayed, MailRefused, Reporter,
                  compose, send)
from sound import SoundError, Sounds, sound_alarm, speak

log = logging.getLogger("liveness")

AUTHORIZED_SENTENCE = "Thank you for your patience. You are an authorized user. Access granted."
UNAUTHORIZED_SENTENCE = "Warning. You are not authorized. Access denied. This incident has been recorded."
LOCK_FAILED_SENTENCE = "Warning. This workstation could not be locked."

LOCK_COMMAND_LIMIT_S = 3.0
FOREGROUND_LOCKER_S = 1.0       # the user's command still runs then: it is a locker that stays
LOCK_CONFIRM_S = 2.0            # desktops take up to a second to show their lock screen
# While the screen stays locked each further incident doubles the cool-down, up to this: a photo left before the
# camera overnight must not fill the disk.
LONGEST_COOLDOWN_S = 3600.0
KEEP_LIMIT_S = 15.0             # close() waits this long for the disk and the lock, whatever its time-out
LOCATION_SIZE_LIMIT = 65536     # bytes
SETTINGS_SIZE_LIMIT = 65536     # bytes


class SettingsError(Exception):
    """alerts.toml is not right; the message is one line that says where and what to do."""


# --- settings ------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class LocationSettings:
    url: str = "https://ipinfo.io/json"     # empty: no look-up
    timeout_s: float = 3.0


@dataclasses.dataclass(frozen=True)
class VoiceSettings:
    enabled: bool = True


@dataclasses.dataclass(frozen=True)
class AlarmSettings:
    enabled: bool = False
    device: str = ""            # part of the output's name; empty: the default output
    seconds: float = 5.0


@dataclasses.dataclass(frozen=True)
class LockSettings:
    enabled: bool = True
    command: list[str] = dataclasses.field(default_factory=list)    # empty: the platform's own way


@dataclasses.dataclass(frozen=True)
class IncidentsSettings:
    cooldown_s: float = 60.0


@dataclasses.dataclass(frozen=True)
class Settings:
    email: EmailSettings = EmailSettings()
    location: LocationSettings = LocationSettings()
    voice: VoiceSettings = VoiceSettings()
    alarm: AlarmSettings = AlarmSettings()
    lock: LockSettings = LockSettings()
    incidents: IncidentsSettings = IncidentsSettings()


_KINDS = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false",
          list[str]: "a list of texts"}
_RANGES = {"port": (1, 65535), "timeout_s": (0.1, 120), "seconds": (0.25, 60), "cooldown_s": (0, 86400)}


def load_settings(path: Path | None) -> Settings:
    """Read alerts.toml; None gives the defaults. Raises SettingsError, never with a secret in it."""
    if path is None:
        return Settings()
    import tomllib

    try:
        with path.open("rb") as file:
            content = tomllib.loads(_settings_text(path, file.read(SETTINGS_SIZE_LIMIT + 1)))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    # Plain ValueError: a number of more than 4300 digits.
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {clean(error)}") from None
    sections = {field.name: field.type for field in dataclasses.fields(Settings)}
    for name, table in content.items():
        _refuse_secret(path, name)
        if name not in sections:
            raise SettingsError(f"{path}: unknown {'section' if isinstance(table, dict) else 'key'} "
                                f"{clean(name)!r}{_suggestion(name, sections)}")
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {name} must be a section: write [{name}]")
    settings = Settings(**{name: _section(path, name, sections[name], table)
                           for name, table in content.items()})
    return _check(path, settings)


def _settings_text(path: Path, data: bytes) -> str:
    if len(data) > SETTINGS_SIZE_LIMIT:
        raise SettingsError(f"{path}: is far too large for settings; name another file with --alerts")
    return data.decode("utf-8-sig")     # Windows' Notepad may put its mark at the beginning


def _section(path: Path, name: str, kind: type, table: dict):
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        _refuse_secret(path, key)
        if key not in fields:
            raise SettingsError(f"{path}: unknown key {clean(key)!r} in [{name}]{_suggestion(key, fields)}")
        wanted = fields[key]
        if wanted is float and type(value) is int:
            value = float(value)
        fits = (isinstance(value, list) and all(type(part) is str for part in value)
                if wanted == list[str] else type(value) is wanted)
        if not fits:
            raise SettingsError(f"{path}: {key} in [{name}] must be {_KINDS[wanted]}")
        if "\0" in (value if wanted is str else "".join(value) if wanted == list[str] else ""):
            raise SettingsError(f"{path}: {key} in [{name}] must not contain a NUL character")
        if key in _RANGES and not _RANGES[key][0] <= value <= _RANGES[key][1]:
            low, high = _RANGES[key]
            raise SettingsError(f"{path}: {key} in [{name}] must be from {low:g} to {high:g}")
        values[key] = value
    return kind(**values)


def _refuse_secret(path: Path, key: str) -> None:
    if re.search(r"pass(wor[dt]|phrase)?$|passwd|secret", key, re.IGNORECASE):
        raise SettingsError(
            f"{path}: the password does not belong into this file: remove the line, and put it into the "
            f"system keyring (keyring set {KEYRING_SERVICE} USERNAME) or into {PASSWORD_VARIABLE}")


def _suggestion(name: str, known: dict) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"


def _check(path: Path, settings: Settings) -> Settings:
    from email.utils import parseaddr

    email = settings.email
    if email.security not in ("", "tls", "starttls"):
        raise SettingsError(f'{path}: security in [email] must be "tls" or "starttls"')
    if email != EmailSettings() and not email.host:
        raise SettingsError(f"{path}: host in [email] is missing: name the mail server")
    if email.host and not re.fullmatch(r"[A-Za-z0-9.:_-]+", email.host):
        raise SettingsError(f"{path}: host in [email] must be a plain host name without port or slashes")
    for key in ("sender", "recipient") if email.host else ():
        address = getattr(email, key)
        if clean(address, 320) != address or not re.fullmatch(r"[^@\s,]+@[^@\s,]+", parseaddr(address)[1]):
            raise SettingsError(f"{path}: {key} in [email] must be one mail address, like me@example.com")
    if email.ca_file:
        ca_file = path.parent / os.path.expanduser(email.ca_file)
        if not os.path.isfile(ca_file):
            raise SettingsError(f"{path}: ca_file in [email]: there is no file {clean(ca_file)}")
        email = dataclasses.replace(email, ca_file=str(ca_file))
    if settings.location.url and not re.match(r"https?://[^/]", settings.location.url):
        raise SettingsError(f'{path}: url in [location] must begin with https:// (or be "" for none)')
    if settings.lock.command and not settings.lock.command[0]:
        raise SettingsError(f"{path}: command in [lock] must begin with a program's name")
    return dataclasses.replace(settings, email=email)


# --- lock ----------------------------------------------------------------------------------------------

class Lock(NamedTuple):
    """How locking went. state: confirmed, accepted (by the system), unconfirmed, failed."""
    state: str
    how: str
    reason: str = ""


# Tried in this order when the login manager does not lock. xdg-screensaver knows most desktops itself.
DESKTOP_LOCKERS = (["xdg-screensaver", "lock"], ["cinnamon-screensaver-command", "--lock"],
                   ["mate-screensaver-command", "--lock"], ["xflock4"], ["dm-tool", "lock"],
                   ["swaylock", "-f"], ["i3lock"])
# The ways after which the system can be asked whether the screen is locked.
CONFIRMABLE = ("loginctl", "LockWorkStation", "SACLockScreenImmediate")
MACOS_LOGIN_FRAMEWORK = "/System/Library/PrivateFrameworks/login.framework/Versions/Current/login"
MACOS_DISPLAY_SLEEP = ["pmset", "displaysleepnow"]


def lock_workstation(command: list[str]) -> Lock:
    """Lock at once: by the user's `command`, or behind it (or when it is empty) the platform's own way."""
    problem = ""
    if command:
        problem = _run(command, stays=True)
        if not problem:
            return Lock("accepted", command[0])     # its arguments are the user's own affair
        problem = f"{command[0]}: {problem}; "
    lock = _platform_lock()()
    return lock._replace(reason=clean(problem + lock.reason, 200))


def confirm_lock(lock: Lock) -> Lock:
    """Look whether a lock that the system accepted has come; on Linux, if not, try the desktop's lockers.

    Emitting logind's lock signal succeeds even when no desktop listens for it. What a locker of the user's own does
    is not looked into.
    """
    if lock.state != "accepted" or not lock.how.startswith(CONFIRMABLE):
        return lock
    deadline = time.monotonic() + LOCK_CONFIRM_S
    while time.monotonic() < deadline:
        if screen_locked():
            return lock._replace(state="confirmed")
        time.sleep(0.1)
    if not lock.how.startswith("loginctl"):
        return lock
    fallback = _lock_by_desktop()
    if fallback.state == "accepted":
        return fallback._replace(reason=lock.reason)
    return lock._replace(state="unconfirmed", reason="no desktop answered the lock signal")


def _platform_lock():
    return {"win32": _lock_windows, "darwin": _lock_macos}.get(sys.platform, _lock_linux)


def _lock_windows() -> Lock:
    user32 = ctypes.WinDLL("user32", use_last_error=True)
    if user32.LockWorkStation():
        return Lock("accepted", "LockWorkStation")
    return Lock("failed", "LockWorkStation", clean(ctypes.FormatError(ctypes.get_last_error())))


def _lock_macos() -> Lock:
    try:
        if ctypes.CDLL(MACOS_LOGIN_FRAMEWORK).SACLockScreenImmediate() == 0:
            return Lock("accepted", "SACLockScreenImmediate")
        reason = "SACLockScreenImmediate was refused"
    except (OSError, AttributeError):       # a private framework: Apple may move it
        reason = "SACLockScreenImmediate is not there"
    problem = _run(MACOS_DISPLAY_SLEEP)
    # Sleep locks only where the user asked for the password at once after it, so it confirms nothing.
    return Lock("failed" if problem else "unconfirmed", " ".join(MACOS_DISPLAY_SLEEP), problem or reason)


def _lock_linux() -> Lock:
    session = _linux_session()
    command = ["loginctl", "--no-ask-password", "lock-session", *session]
    problem = _run(command)
    if not problem:
        return Lock("accepted", " ".join(["loginctl", "lock-session", *session]))
    fallback = _lock_by_desktop()
    return fallback._replace(reason=f"loginctl: {problem}; {fallback.reason}".removesuffix("; "))


def _linux_session() -> list[str]:
    """The caller's graphical session, for over SSH or in a service it is not the one the process is in."""
    own = os.environ.get("XDG_SESSION_ID", "")
    if own and os.environ.get("XDG_SESSION_TYPE") in ("x11", "wayland", "mir"):
        return [own]
    session = _ask(["loginctl", "show-user", str(os.getuid()), "-p", "Display", "--value"]) or own
    return [session] if session else []


def _lock_by_desktop() -> Lock:
    problems = []
    for command in DESKTOP_LOCKERS:
        if shutil.which(command[0]):
            problem = _run(command)
            if not problem:
                return Lock("accepted", " ".join(command))
            problems.append(f"{command[0]}: {problem}")
    return Lock("failed", "desktop lockers",
                "; ".join(problems) or "no locker found: set command in [lock] of alerts.toml")


def screen_locked() -> bool:
    """Whether the system says that the screen is locked; a desktop locker that tells nobody is not seen."""
    if sys.platform == "win32":
        return _windows_locked()
    if sys.platform == "darwin":
        return '"CGSSessionScreenIsLocked"=Yes' in _ask(["ioreg", "-n", "Root", "-d1"])
    session = _linux_session()
    return _ask(["loginctl", "show-session", *session, "-p", "LockedHint", "--value"]) == "yes"


def _windows_locked() -> bool:
    """WTSQuerySessionInformation(WTSSessionInfoEx): the flags of the caller's session, 0 for locked.

    Source: Microsoft's reference of WTSINFOEX_LEVEL1_W, whose numbers hold from Windows 8 on.
    """
    api, information, size = ctypes.WinDLL("wtsapi32"), ctypes.POINTER(ctypes.c_int32)(), ctypes.c_uint32()
    if not api.WTSQuerySessionInformationW(None, -1, 25, ctypes.byref(information), ctypes.byref(size)):
        return False
    # level, padding, session, connection state, flags
    locked = information[0] == 1 and information[4] == 0
    api.WTSFreeMemory(information)
    return locked


def _run(command: list[str], stays: bool = False) -> str:
    """Run a command; return what went wrong or "". With `stays`, running on in the foreground is right."""
    import subprocess
    import tempfile

    # A file, not a pipe: a locker that goes to the background keeps a pipe open for ever.
    with tempfile.TemporaryFile() as complaints:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=complaints, start_new_session=True)
        except FileNotFoundError:
            return "not installed"
        except (OSError, ValueError) as error:
            return clean(getattr(error, "strerror", None) or error)
        try:
            status = child.wait(FOREGROUND_LOCKER_S if stays else LOCK_COMMAND_LIMIT_S)
        except subprocess.TimeoutExpired:
            if stays:
                return ""
            child.kill()
            child.wait()
            return f"no answer in {LOCK_COMMAND_LIMIT_S:.0f} s"
        complaints.seek(0)
        said = complaints.read(4096).decode("utf-8", "replace").strip().splitlines()
    if not status:
        return ""
    return f"ended with status {status}" + (f" ({clean(said[-1], 80)})" if said else "")


def _ask(command: list[str]) -> str:
    """A command's answer, "" when it has none."""
    import subprocess

    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, timeout=1.0).stdout.strip()
    return ""


def _describe_lock(command: list[str]) -> tuple[bool, str]:
    """Whether there is a way to lock, and which; runs nothing that locks."""
    if command:
        found = shutil.which(command[0])
        return bool(found), f"would run {command[0]}" if found else \
            f"{command[0]} is not installed: correct command in [lock]"
    if sys.platform == "win32":
        return True, "would call LockWorkStation"
    if sys.platform == "darwin":
        return True, "would call SACLockScreenImmediate"
    lockers = [" ".join(locker) for locker in DESKTOP_LOCKERS if shutil.which(locker[0])]
    if _ask(["loginctl", "list-sessions", "--no-legend"]):
        lockers.insert(0, " ".join(["loginctl", "lock-session", *_linux_session()]))
    if lockers:
        return True, "would run " + ", then ".join(lockers)
    return False, "no login session and no desktop locker found: set command in [lock]"


# --- location ------------------------------------------------------------------------------------------

class LocationUnknown(Exception):
    """The look-up gave nothing; the message says why, without the address asked (it may hold a token)."""


def locate(settings: LocationSettings) -> tuple[str | None, dict]:
    """The public address and {"city", "region", "country", "latitude", "longitude"}, None where unknown.

    One request; over within settings.timeout_s whatever the server or the name service does.
    Raises LocationUnknown.
    """
    if not settings.url:
        raise LocationUnknown("the look-up is switched off")
    answers: queue.SimpleQueue = queue.SimpleQueue()
    # requests' own time limit counts from byte to byte and leaves out the name look-up.
    threading.Thread(target=lambda: answers.put(_fetch_location(settings)), daemon=True).start()
    try:
        answer = answers.get(timeout=settings.timeout_s)
    except queue.Empty:
        raise LocationUnknown(f"no answer in {settings.timeout_s:g} s") from None
    if isinstance(answer, LocationUnknown):
        raise answer
    return answer


def _fetch_location(settings: LocationSettings) -> tuple[str | None, dict] | LocationUnknown:
    import requests

    try:
        with requests.get(settings.url, timeout=settings.timeout_s, stream=True,
                          headers={"Accept": "application/json"}) as response:
            if response.status_code != 200:
                return LocationUnknown(f"the server answered HTTP {response.status_code}")
            content = response.raw.read(LOCATION_SIZE_LIMIT + 1, decode_content=True)
        if len(content) > LOCATION_SIZE_LIMIT:
            return LocationUnknown("the answer is too long")
        return parse_location(json.loads(content))
    except requests.Timeout:
        return LocationUnknown(f"no answer in {settings.timeout_s:g} s")
    except requests.exceptions.SSLError:
        return LocationUnknown("the server's certificate is not trusted")
    except requests.ConnectionError:
        return LocationUnknown("no connection")
    except LocationUnknown as error:
        return error
    except (ValueError, RecursionError):
        return LocationUnknown("the answer is not JSON")
    except Exception as error:      # the edge of this thread: urllib3 has many of its own
        return LocationUnknown(f"the look-up failed: {type(error).__name__}")


def parse_location(answer: object) -> tuple[str | None, dict]:
    """Read the answer of ipinfo.io, ip-api.com, ipapi.co or ipstack. Raises LocationUnknown."""
    if not isinstance(answer, dict):
        raise LocationUnknown("the answer has no location in it")
    error = answer.get("error")
    if answer.get("status") == "fail" or answer.get("success") is False or error:
        told = error.get("info") if isinstance(error, dict) else None
        told = told or answer.get("reason") or answer.get("message") or "no reason given"
        raise LocationUnknown(f"the server refused: {clean(told, 80)}")

    def text(*keys: str) -> str | None:
        values = (answer.get(key) for key in keys)
        return next((clean(value, 80) for value in values if isinstance(value, str) and clean(value)), None)

    latitude, longitude = _coordinates(answer)
    location = {"city": text("city"), "region": text("regionName", "region_name", "region"),
                "country": text("country_name", "country"), "latitude": latitude, "longitude": longitude}
    address = _address(answer.get("ip") or answer.get("query"))
    if not address and not any(value is not None for value in location.values()):
        raise LocationUnknown("the answer has no location in it")
    return address, location


def _coordinates(answer: dict) -> tuple[float, float] | tuple[None, None]:
    pair = (answer["loc"].split(",") if isinstance(answer.get("loc"), str) else
            [answer.get("lat", answer.get("latitude")), answer.get("lon", answer.get("longitude"))])
    try:
        latitude, longitude = map(float, pair)
    except (TypeError, ValueError):
        return None, None
    if not (math.isfinite(latitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        return None, None
    return latitude, longitude


def _address(value: object) -> str | None:
    import ipaddress

    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def find_location(settings: LocationSettings, case: Incident) -> None:
    """Look up where this computer is and put it into the incident's record, or why that is unknown."""
    try:
        public, location = locate(settings)
    except LocationUnknown as error:
        case.update(location={"unknown": str(error)})
        log.info("incident %s: location unknown: %s", case.name, error)
        return
    case.update(address=case.record["address"] | {"public": public}, location=location)
    places = [location[key] for key in ("city", "region", "country") if location[key]]
    log.info("incident %s: location %s", case.name, ", ".join(places) or public)


# --- after a verdict -----------------------------------------------------------------------------------

class _Job(NamedTuple):
    snapshot: np.ndarray
    evidence: list[np.ndarray]
    score: float
    source: str
    reason: str
    seen: float                 # time.perf_counter() of the verdict
    kept: threading.Event       # set when the incident is on the disk and the lock was asked for


class Alerts:
    """Acts on verdicts. No method waits for disk, sound, network or lock, save `close`.

    Parameters
    ----------
    incidents: folder for the incidents, made when the first one happens.
    rehearsal: an incident is written, marked as a rehearsal; nothing is locked, mailed or sounded.
        Speech follows `voice`.
    voice, lock, email: False switches that part off whatever the settings say.
    """

    def __init__(self, settings: Settings, incidents: Path = Path("incidents"), rehearsal: bool = False,
                 voice: bool = True, lock: bool = True, email: bool = True):
        self._settings = settings
        self._root = incidents
        self._rehearsal = rehearsal
        acts = not rehearsal
        self._voice = voice and settings.voice.enabled
        self._alarm = acts and settings.alarm.enabled
        self._lock = acts and lock and settings.lock.enabled
        self._mail = acts and email and bool(settings.email.host)
        self._sounds = Sounds(self._voice, settings.alarm.device, settings.alarm.seconds)
        self._reporter = Reporter(settings.email, incidents, self._mail,
                                  functools.partial(find_location, settings.location))
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._last_kept = threading.Event()     # of the latest job: earlier ones are dealt with before it
        self._last_kept.set()
        self._next_incident = 0.0
        self._cooldown_s = settings.incidents.cooldown_s
        self._lock_reported = False     # the owner knows of the lock that the screen is under
        self._latest: Incident | None = None
        self._latest_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="incidents", daemon=True)
        self._thread.start()

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
        told = {"waiting": "mail waiting" if mail.get("reason") else "notifying the owner",
                "sent": "owner notified", "refused": "MAIL REFUSED",
                "off": "owner notified before" if mail.get("reason") else "snapshot kept" if case.folder else ""}
        done = ["" if case.folder else "INCIDENT NOT SAVED",
                {"pending": "locking", "accepted": "lock requested", "confirmed": "workstation locked",
                 "unconfirmed": "LOCK NOT CONFIRMED", "failed": "LOCK FAILED", "off": ""}[lock["state"]],
                told[mail["state"]]]
        return ", ".join(phrase for phrase in done if phrase) + _ago(time.monotonic() - self._latest_s)

    def say(self, text: str, overtake: bool = False) -> None:
        """Queue a sentence; with `overtake` it takes the place of all those not yet begun."""
        self._sounds.say(text, overtake=overtake)

    def authorized(self, score: float) -> None:
        """Welcome an authorized user; call it once per visit. `score` is p_real in 0..1."""
        log.info("authorized: score %.3f", score)
        self._lock_reported = False
        self._sounds.say(AUTHORIZED_SENTENCE, overtake=True)

    @property
    def ready(self) -> bool:
        """Whether the cool-down after the last incident is over."""
        return not self._closed and time.monotonic() >= self._next_incident

    def unauthorized(self, snapshot: np.ndarray, evidence: list[np.ndarray], score: float, source: str,
                     reason: str = REPLAY) -> bool:
        """Act on an unauthorized face. Returns at once; False during the cool-down, when nothing is done.

        While the screen stays locked after an incident, further ones are kept, ever more rarely, but not mailed.

        Parameters
        ----------
        snapshot: uint8, BGR, height x width x 3, with the box drawn.
        evidence: up to ten raw frames, uint8, BGR. All the frames belong to this object from now on: the
            caller must not draw on them any more.
        score: p_real in 0..1. reason: incident.REPLAY or incident.CHALLENGE.
        source: the camera index, file or URL that was watched.
        """
        if not self.ready:
            return False
        self._next_incident = time.monotonic() + self._cooldown_s
        self._latest, self._latest_s = None, time.monotonic()   # what was done about the last one is not about this
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
        self._thread.join(max(0.1, deadline - time.monotonic()))
        self._reporter.close(deadline)
        self._sounds.close(deadline)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._respond(job)
            except Exception:
                log.exception("an incident could not be dealt with")
            finally:
                job.kept.set()

    def _respond(self, job: _Job) -> None:
        source = _without_credentials(job.source)
        states, base_s = self._first_states(), self._settings.incidents.cooldown_s
        self._lock_reported = self._lock_reported and screen_locked()
        if self._lock_reported:
            if self._mail:
                states["mail"] = {"state": "off", "reason": "the screen is locked, and the owner was told"}
            self._cooldown_s = min(max(base_s, LONGEST_COOLDOWN_S), 2 * max(self._cooldown_s, 1.0))
        else:
            self._cooldown_s = base_s
        self._next_incident = time.monotonic() + self._cooldown_s
        case = incident.create(self._root, job.snapshot, job.score, source, self._rehearsal, states, job.reason)
        self._latest = case
        log.warning("unauthorized: %s, score %.3f, incident %s in %s", job.reason, job.score, case.name,
                    case.folder or "memory only")
        if self._lock:
            after_ms = round(1000 * (time.perf_counter() - job.seen), 1)
            lock = lock_workstation(self._settings.lock.command)
            self._record_lock(case, lock, after_ms)
        self._make_noise(case)
        try:
            case.add_frames(job.evidence[:10])
        except OSError as error:
            log.error("incident %s: cannot keep the frames: %s", case.name, error.strerror)
        job.kept.set()
        if self._lock:
            confirmed = confirm_lock(lock)
            if confirmed != lock:
                self._record_lock(case, confirmed, after_ms)
            if confirmed.state in ("failed", "unconfirmed"):
                self._sounds.say(LOCK_FAILED_SENTENCE)
            self._lock_reported = confirmed.state in ("accepted", "confirmed")
        if not self._rehearsal:
            self._reporter.add(case)

    def _first_states(self) -> dict[str, dict]:
        def state(wanted: bool, first: str) -> dict:
            return {"state": first if wanted else "rehearsal" if self._rehearsal else "off"}

        return {"lock": state(self._lock, "pending"),
                "voice": {"state": "queued" if self._voice else "off"},
                "alarm": state(self._alarm, "queued"),
                "mail": state(self._mail, "waiting")}

    def _record_lock(self, case: Incident, lock: Lock, after_ms: float) -> None:
        case.update("lock", **lock._asdict(), after_ms=after_ms)
        if lock.state in ("confirmed", "accepted"):
            log.warning("incident %s: lock %s (%s), asked %.0f ms after the verdict", case.name, lock.state,
                        lock.how, after_ms)
        else:
            log.critical("incident %s: LOCK %s (%s): %s", case.name, lock.state.upper(), lock.how,
                         lock.reason)

    def _make_noise(self, case: Incident) -> None:
        def recorder(action: str):
            return lambda problem: case.update(action, state="failed" if problem else "done",
                                               **({"reason": clean(problem, 200)} if problem else {}))

        if self._alarm:
            self._sounds.alarm(recorder("alarm"))
        self._sounds.say(UNAUTHORIZED_SENTENCE, overtake=True, on_end=recorder("voice"))


def _ago(seconds: float) -> str:
    """In steps that do not keep a banner changing all the time; "" for just now."""
    if seconds < 10:
        return ""
    return f" ({seconds // 10 * 10:.0f} s ago)" if seconds < 60 else f" ({seconds // 60:.0f} min ago)"


def _without_credentials(source: str) -> str:
    """Camera addresses often carry a password: rtsp://user:password@host/stream?token=..."""
    if "://" not in str(source):
        return str(source)
    return re.sub(r"\?.*", "", re.sub(r"(?<=://)[^/]*@", "", str(source)))


# --- trying it out -------------------------------------------------------------------------------------

def test_alerts(settings: Settings, voice: bool = True, lock: bool = True, email: bool = True) -> int:
    """Try each part and print a line for each. Returns 0 when all that is switched on works, else 1."""
    results = [_try_voice(settings.voice, voice), _try_alarm(settings.alarm)]
    public, location, result = _try_location(settings.location)
    results += [result, _try_mail(settings.email, email, public, location), _try_lock(settings.lock, lock)]
    return 0 if all(results) else 1


test_alerts.__test__ = False    # its name would make pytest run it


def _tell(part: str, result: str, text: str) -> bool:
    print(f"{part:<9} {result:<4} {text}", flush=True)
    return result != "FIX"


def _try_voice(settings: VoiceSettings, wanted: bool) -> bool:
    if not (wanted and settings.enabled):
        return _tell("voice", "off", "switched off")
    try:
        speak("This is a test of the alerts.")
    except SoundError as error:
        return _tell("voice", "FIX", str(error))
    return _tell("voice", "OK", "spoke a sentence; did you hear it?")


def _try_alarm(settings: AlarmSettings) -> bool:
    if not settings.enabled:
        return _tell("alarm", "off", "switched off (enabled in [alarm])")
    try:
        sound_alarm(settings.device, min(1.0, settings.seconds))
    except SoundError as error:
        return _tell("alarm", "FIX", str(error))
    return _tell("alarm", "OK", "sounded for a second; did you hear it?")


def _try_location(settings: LocationSettings) -> tuple[str | None, dict, bool]:
    if not settings.url:
        return None, {"unknown": "the look-up is switched off"}, _tell("location", "off", "switched off")
    try:
        public, location = locate(settings)
    except LocationUnknown as error:
        return None, {"unknown": str(error)}, _tell("location", "FIX", f"{error}; see [location]")
    places = ", ".join(location[key] for key in ("city", "region", "country") if location[key])
    return public, location, _tell("location", "OK", f"{places or 'no place'} ({public or 'no address'})")


def _try_mail(settings: EmailSettings, wanted: bool, public: str | None, location: dict) -> bool:
    if not wanted:
        return _tell("mail", "off", "switched off")
    if not settings.host:
        return _tell("mail", "off", "not set up ([email] in alerts.toml)")
    record, jpeg = incident.sample(public, location)
    try:
        send(settings, compose(record, jpeg, settings.sender, settings.recipient, test=True))
    except (MailDelayed, MailRefused) as error:
        return _tell("mail", "FIX", str(error))
    return _tell("mail", "OK", f"{settings.host} accepted a test mail to {settings.recipient}")


def _try_lock(settings: LockSettings, wanted: bool) -> bool:
    if not (wanted and settings.enabled):
        return _tell("lock", "off", "switched off")
    possible, text = _describe_lock(settings.command)
    return _tell("lock", "OK" if possible else "FIX", text)
