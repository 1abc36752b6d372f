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

import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from alerting.claim import Claim
from alerting.disk import make_folder, sync_folder, write_whole
from alerting.printable import clean

log = logging.getLogger("liveness.alerting")

SNAPSHOT_QUALITY = 90  # of 100, JPEG
# Why a face is not authorized. One that fails the challenge may well score as live, and a stranger does.
REPLAY, CHALLENGE, STRANGER = "scored as a photo or replay", "failed the challenge", "a live stranger"
PNG_COMPRESSION = 1  # of 9: three times as fast as the default for a few percent of size


class Incident:
    """One incident in memory and, unless it could not be written, in `folder`.

    `record` is what incident.json holds; it is replaced, never changed, so any thread may read it while
    another calls `update`.
    """

    def __init__(self, record: dict, jpeg: bytes, folder: Path | None, claim: Claim | None):
        self.record = record
        self.jpeg = jpeg
        self.folder = folder
        self.located = False  # whether the location has been looked up, with or without success
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
                    write_whole(self.folder / "incident.json", _encode(changed))
            except Exception as error:  # whatever it is, the lock and the mail come next
                log.error("incident %s: cannot write incident.json: %s", self.name, _told(error))
            self.record = changed

    def add_frames(self, frames: list[np.ndarray]) -> None:
        """Write raw frames (uint8, BGR) into frames/. Raises OSError or ValueError."""
        if not self.folder or not frames:
            return
        folder = self.folder / "frames"
        make_folder(folder)
        for number, frame in enumerate(frames):
            png = _encode_image(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
            write_whole(folder / f"{number:04}.png", png, lasting=False)

    def release(self) -> None:
        """Let go of the incident: another process, or the next start, may take it up."""
        if self._claim:
            self._claim.release(settled=self.record["actions"]["mail"]["state"] == "sent")
            self._claim = None


def create(
    root: Path,
    snapshot: np.ndarray,
    score: float,
    source: str,
    rehearsal: bool,
    actions: dict[str, dict],
    reason: str = REPLAY,
) -> Incident:
    """Put a new incident on the disk and own it. Raises nothing.

    When the disk refuses, that is logged loudly and the incident lives on in memory alone: a full disk
    must keep neither the lock nor the mail from happening.

    Parameters
    ----------
    snapshot: uint8, BGR, height x width x 3, with the box drawn.
    score: p_real in 0..1. reason: REPLAY, CHALLENGE or STRANGER.
    actions: the state that each action starts in, {"lock": {"state": ...}, ..., "mail": {...}}.
    """
    record = _new_record(score, source, rehearsal, actions, reason)
    name = record["id"]
    jpeg, claim = b"", None
    try:
        jpeg = _encode_image(".jpg", snapshot, [cv2.IMWRITE_JPEG_QUALITY, SNAPSHOT_QUALITY])
    except ValueError as error:
        log.error("incident %s: no snapshot: %s", name, error)
    try:
        make_folder(root)
        claim = Claim.take(root / f".{name}.claim") if actions["mail"]["state"] == "waiting" else None
        building = root / f".{name}.incomplete"
        make_folder(building)
        if jpeg:
            write_whole(building / "snapshot.jpg", jpeg)
        write_whole(building / "incident.json", _encode(record))
        building.rename(root / name)
        sync_folder(root)
    except Exception as error:  # whatever it is, the lock and the mail come next
        log.critical("INCIDENT NOT SAVED in %s: %s", root, _told(error))
        return Incident(record, jpeg, None, claim)
    return Incident(record, jpeg, root / name, claim)


def sample(public: str | None, location: dict) -> tuple[dict, bytes]:
    """A record and a JPEG for a test mail, that no face has caused."""
    record = _new_record(
        0.0,
        "none",
        False,
        {"lock": {"state": "test"}, "voice": {"state": "off"}, "alarm": {"state": "off"}, "mail": {"state": "waiting"}},
    )
    record["address"]["public"] = public
    record["location"] = location
    picture = np.full((360, 640, 3), (168, 95, 31), np.uint8)
    cv2.putText(picture, "TEST", (190, 215), cv2.FONT_HERSHEY_SIMPLEX, 3.2, (255, 255, 255), 8, cv2.LINE_AA)
    return record, _encode_image(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, SNAPSHOT_QUALITY])


def _new_record(score: float, source: str, rehearsal: bool, actions: dict[str, dict], reason: str = REPLAY) -> dict:
    from alerting import computer

    now = datetime.now(UTC)
    here = computer.identity()
    name = f"{now:%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
    return {
        "id": name,
        "time_utc": now.isoformat(timespec="milliseconds"),
        "time_local": now.astimezone().isoformat(timespec="milliseconds"),
        "timezone": clean(now.astimezone().tzname()),
        "host": here["host"],
        "user": here["user"],
        "address": {"local": here["address"], "public": None},
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
    # A hidden one is still being built, or was when its program was ended.
    for path in sorted(root.glob("[!.]*/incident.json")):
        if not _read_unsent(path, states):
            continue
        try:
            claim = Claim.take(root / f".{path.parent.name}.claim")
        except OSError as error:
            log.warning("incident %s cannot be mailed: %s", path.parent.name, clean(error))
            continue
        if not claim:
            continue
        record = _read_unsent(path, states)
        if not record:  # its owner sent it between the first look and the claim
            claim.release(settled=True)
            continue
        case = Incident(record, _read_snapshot(path.parent), path.parent, claim)
        case.located = True  # where this computer is now says nothing about then
        yield case


def _read_unsent(path: Path, states: tuple[str, ...]) -> dict | None:
    """The incident's record while its mail is in one of the states."""
    try:
        if not path.is_file():  # the user's to remove; and one that is a pipe would never end
            return None
        record = json.loads(path.read_text("utf-8"))
        wanted = record["actions"]["mail"]["state"] in states
        if wanted and not isinstance(record["id"], str):
            raise TypeError("its id is not a text")
        return record if wanted else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read and is left as it is: %s", path, clean(error))
        return None


def _read_snapshot(folder: Path) -> bytes:
    """Empty where it is gone or cannot be read: the report is worth having without it."""
    path = folder / "snapshot.jpg"
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        log.warning("%s cannot be read: %s", path, _told(error))
        return b""


def _encode(record: dict) -> bytes:
    # Half a surrogate pair, out of a name that is not valid text, becomes its JSON escape.
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _encode_image(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    """Raises ValueError for what is no picture, or too large a one for the format."""
    try:
        done, data = cv2.imencode(suffix, image, options)
    except cv2.error as error:
        raise ValueError(clean(error)) from None
    if not done:
        raise ValueError(f"OpenCV makes no {suffix} of it")
    return data.tobytes()


def _told(error: Exception) -> str:
    return clean(getattr(error, "strerror", None) or error) or type(error).__name__
