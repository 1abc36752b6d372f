"""An incident: what is kept of an unauthorized face.

    incidents/20261123T033612Z-1a2b3c4d/    mode 0700, files 0600
        snapshot.jpg      the frame with the box drawn
        incident.json     when, where, who, the score, and what was done and how it went
        frames/0000.png   up to ten raw frames of the evidence, lossless: they may become training examples

The folder is built under a hidden name and renamed, so it is there as a whole or not at all; every later
change of incident.json goes through a new file as well. One process at a time owns an incident: it holds
an operating-system lock on `incidents/.<name>.claim`, which ends with the process however that ends. Only
the owner writes or mails.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

log = logging.getLogger("liveness")

SNAPSHOT_QUALITY = 90       # of 100, JPEG
# Why a face is not authorized. One that fails the challenge may well score as live.
REPLAY, CHALLENGE = "scored as a photo or replay", "failed the challenge"
PNG_COMPRESSION = 1         # of 9: three times as fast as the default for a few percent of size


class Incident:
    """One incident in memory and, unless it could not be written, in `folder`.

    `record` is what incident.json holds; it is replaced, never changed, so any thread may read it while
    another calls `update`.
    """

    def __init__(self, record: dict, jpeg: bytes, folder: Path | None, claim: "Claim | None"):
        self.record = record
        self.jpeg = jpeg
        self.folder = folder
        self.located = False        # whether the location has been looked up, with or without success
        self._claim = claim
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.record["id"]

    def update(self, action: str | None = None, **fields) -> None:
        """Change fields of the record, or of one of its actions: first on the disk, for good, then here.

        A disk that refuses is logged; the change stays in memory.
        """
        with self._lock:
            if action:
                actions = self.record["actions"]
                fields = {"actions": actions | {action: actions[action] | fields}}
            changed = self.record | fields
            try:
                if self.folder:
                    _write_whole(self.folder / "incident.json", _encode(changed))
            except OSError as error:
                log.error("incident %s: cannot write incident.json: %s", self.name, error.strerror)
            self.record = changed

    def add_frames(self, frames: list[np.ndarray]) -> None:
        """Write raw frames (uint8, BGR) into frames/. Raises OSError."""
        if not self.folder or not frames:
            return
        folder = self.folder / "frames"
        _make_folder(folder)
        for number, frame in enumerate(frames):
            png = _encode_image(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
            _write_whole(folder / f"{number:04}.png", png, lasting=False)

    def release(self) -> None:
        """Let go of the incident: another process, or the next start, may take it up."""
        if self._claim:
            self._claim.release(settled=self.record["actions"]["mail"]["state"] == "sent")
            self._claim = None


def create(root: Path, snapshot: np.ndarray, score: float, source: str, rehearsal: bool,
           actions: dict[str, dict], reason: str = REPLAY) -> Incident:
    """Put a new incident on the disk and own it.

    When the disk refuses, that is logged loudly and the incident lives on in memory alone: a full disk
    must keep neither the lock nor the mail from happening.

    Parameters
    ----------
    snapshot: uint8, BGR, height x width x 3, with the box drawn.
    score: p_real in 0..1. reason: REPLAY or CHALLENGE.
    actions: the state that each action starts in, {"lock": {"state": ...}, ..., "mail": {...}}.
    """
    record = _new_record(score, source, rehearsal, actions, reason)
    name = record["id"]
    jpeg = _encode_image(".jpg", snapshot, [cv2.IMWRITE_JPEG_QUALITY, SNAPSHOT_QUALITY])
    claim = None
    try:
        _make_folder(root)
        claim = Claim.take(root / f".{name}.claim") if actions["mail"]["state"] == "waiting" else None
        building = root / f".{name}.incomplete"
        _make_folder(building)
        _write_whole(building / "snapshot.jpg", jpeg)
        _write_whole(building / "incident.json", _encode(record))
        building.rename(root / name)
        _sync_folder(root)
    except OSError as error:
        log.critical("INCIDENT NOT SAVED in %s: %s", root, error.strerror)
        return Incident(record, jpeg, None, claim)
    return Incident(record, jpeg, root / name, claim)


def sample(public: str | None, location: dict) -> tuple[dict, bytes]:
    """A record and a JPEG for a test mail, that no face has caused."""
    record = _new_record(0.0, "none", False, {"lock": {"state": "test"}, "voice": {"state": "off"},
                                              "alarm": {"state": "off"}, "mail": {"state": "waiting"}})
    record["address"]["public"] = public
    record["location"] = location
    picture = np.full((360, 640, 3), (168, 95, 31), np.uint8)
    cv2.putText(picture, "TEST", (190, 215), cv2.FONT_HERSHEY_SIMPLEX, 3.2, (255, 255, 255), 8, cv2.LINE_AA)
    return record, _encode_image(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, SNAPSHOT_QUALITY])


def _new_record(score: float, source: str, rehearsal: bool, actions: dict[str, dict],
                reason: str = REPLAY) -> dict:
    import socket

    now = datetime.now(timezone.utc)
    name = f"{now:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
    return {
        "id": name,
        "time_utc": now.isoformat(timespec="milliseconds"),
        "time_local": now.astimezone().isoformat(timespec="milliseconds"),
        "timezone": clean(now.astimezone().strftime("%Z")),
        "host": clean(socket.gethostname()),
        "user": _user(),
        "address": {"local": _local_address(), "public": None},
        "location": {"unknown": "not looked up"},
        "reason": reason,
        "score": round(float(score), 4),
        "source": clean(source, 200),
        "rehearsal": rehearsal,
        "message_id": f"<{name}@liveness-authentication.invalid>",
        "actions": actions,
    }


def unsent(root: Path, refused: bool = True) -> Iterator[Incident]:
    """Own and yield, oldest first, the incidents whose mail has not been sent and that nobody else owns.

    refused: those, too, that a server refused. Those that no mail was wanted for, as of a rehearsal, are left alone.
    """
    states = ("waiting", "refused") if refused else ("waiting",)
    for path in sorted(root.glob("*/incident.json")):
        if not _is_unsent(path, states):
            continue
        try:
            claim = Claim.take(root / f".{path.parent.name}.claim")
        except OSError as error:
            log.warning("incident %s cannot be mailed: %s", path.parent.name, clean(error))
            continue
        if not claim:
            continue
        if not _is_unsent(path, states):    # its owner sent it between the first look and the claim
            claim.release(settled=True)
            continue
        try:
            jpeg = (path.parent / "snapshot.jpg").read_bytes()
        except FileNotFoundError:   # the user's to remove; the report is still worth having
            jpeg = b""
        case = Incident(json.loads(path.read_text("utf-8")), jpeg, path.parent, claim)
        case.located = True         # where this computer is now says nothing about then
        yield case


def _is_unsent(path: Path, states: tuple[str, ...]) -> bool:
    try:
        record = json.loads(path.read_text("utf-8"))
        return record["actions"]["mail"]["state"] in states
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read and is left as it is: %s", path, clean(error))
        return False


class Claim:
    """The right to write and mail one incident: a lock that the operating system ends with its process."""

    def __init__(self, path: Path, descriptor: int):
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "Claim | None":
        """The claim, or None while somebody else has it. Raises OSError when the file cannot be made."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                import msvcrt
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        except OSError as error:    # a network share without locks: a mail sent twice beats one not sent
            log.warning("%s cannot be locked: %s", path, error.strerror)
        return cls(path, descriptor)

    def release(self, settled: bool) -> None:
        """Give it back; when the incident is settled nobody will need the file again."""
        # Whoever locks the removed file meanwhile looks at incident.json once more and finds it settled.
        if settled and sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        if settled and sys.platform == "win32":     # open files cannot be removed there
            with contextlib.suppress(OSError):
                self._path.unlink()


def clean(text: object, limit: int = 120) -> str:
    """One line of printable text, at most `limit` characters: for anything that came from outside."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(text)[:4 * limit])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[:limit - 1] + "…"


def _user() -> str:
    import getpass

    try:
        return clean(getpass.getuser())
    except (OSError, KeyError, ImportError):    # a user id without a name
        return "unknown"


def _local_address() -> str:
    """The address this computer uses towards the internet. Connecting a UDP socket sends nothing."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))     # TEST-NET-1, RFC 5737
            return probe.getsockname()[0]
        except OSError:
            return "unknown"


def _encode(record: dict) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _encode_image(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    return cv2.imencode(suffix, image, options)[1].tobytes()


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_whole(path: Path, data: bytes, lasting: bool = True) -> None:
    """Write beside, then rename: a reader, or a crash, finds the old file or the new one."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    _replace(new, path)
    if lasting:
        _sync_folder(path.parent)


def _replace(new: Path, path: Path) -> None:
    for _ in range(5):
        try:
            return os.replace(new, path)
        except PermissionError:     # on Windows, while a virus scanner or an indexer has it open
            time.sleep(0.05)
    os.replace(new, path)


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":     # folders cannot be opened there, and need not be
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
