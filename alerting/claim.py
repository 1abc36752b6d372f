"""Which process owns an incident: only that one writes or mails it."""

import contextlib
import logging
import os
import sys
from pathlib import Path

log = logging.getLogger("liveness.alerting")


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
        except OSError as error:  # a network share without locks: a mail sent twice beats one not sent
            log.warning("%s cannot be locked: %s", path, error.strerror)
        return cls(path, descriptor)

    def release(self, settled: bool) -> None:
        """Give it back; when the incident is settled nobody will need the file again."""
        # Whoever locks the removed file meanwhile looks at incident.json once more and finds it settled.
        if settled and sys.platform != "win32":
            self._remove()
        os.close(self._descriptor)
        if settled and sys.platform == "win32":  # open files cannot be removed there
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # a folder that has become read-only: the file does no harm
            self._path.unlink()
