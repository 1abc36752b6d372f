"""Too many refusals at the gate: for a while it answers nobody.

    lockout = Lockout()
    lockout.left_s()        # 0.0: it looks
    lockout.refused()       # somebody was unauthorized
    lockout.clear()         # somebody was authorized, or the user asked for it

Kept in a file of the user's state folder, for his eyes alone: the boot, and when in it somebody was refused, by a clock
that nobody can set. A reboot clears it.
"""

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from storage.beside import write
from storage.cache import state_folder
from storage.user_error import UserError

# So many refusals within so many seconds close the gate for so long after the last of them.
REFUSALS, WITHIN_S, LASTS_S = 5, 60.0, 300.0
FILE = "gate-refusals"
LONGEST_FILE = 4096  # bytes; what is longer was not written here
NO_BOOT_ID = "-"


class LockoutError(UserError):
    """What is kept may be somebody else's; the message is one line that says what to do."""


def boot_id() -> str:
    """Of this run of the system, on Linux. Elsewhere a refusal that is yet to come must be of another one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return NO_BOOT_ID


class Lockout:
    """The refusals of this user's gate. clock: seconds since the boot."""

    def __init__(
        self, folder: Callable[[], Path] = state_folder, boot: str = "", clock: Callable[[], float] = time.monotonic
    ):
        self._folder, self._boot, self._clock = folder, boot or boot_id(), clock

    def left_s(self) -> float:
        """Seconds until the gate looks again; 0.0: it does now. Raises LockoutError."""
        times = self._times()
        ends = [last + LASTS_S for first, last in zip(times, times[REFUSALS - 1 :]) if last - first <= WITHIN_S]
        return max(0.0, max(ends, default=0.0) - self._clock())

    def refused(self) -> None:
        """Count a refusal. Where that cannot be kept it is told, and the gate goes on."""
        now = self._clock()
        try:
            times = [at for at in self._times() if now - at <= WITHIN_S + LASTS_S]
            folder = self._folder()
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            # No longer than the boot lasts: nobody need wait for the disk.
            write(folder / FILE, "\n".join([self._boot, *map(repr, [*times, now]), ""]).encode(), lasting=False)
            (folder / FILE).chmod(0o600)
        except (OSError, RuntimeError, LockoutError) as error:  # RuntimeError: the user has no home
            problem = f"this refusal does not count for a lockout: it cannot be kept ({error})"
            _tell(problem)
            import logging

            logging.getLogger("liveness.authentication").warning("%s", problem)

    def clear(self) -> bool:
        """Forget all refusals; False if there were none. Raises LockoutError."""
        try:
            self._path().unlink()
        except (FileNotFoundError, RuntimeError):
            return False
        except OSError as error:
            raise LockoutError(f"{error.filename}: cannot be deleted ({error.strerror}); delete it by hand") from None
        return True

    def _times(self) -> list[float]:
        """When somebody was refused since this boot, oldest first. Raises LockoutError."""
        try:
            with self._path().open("rb") as file:
                boot, *times = file.read(LONGEST_FILE).decode("ascii").split()
            times = [float(text) for text in times]
        except (FileNotFoundError, RuntimeError):
            return []
        except OSError as error:
            _tell(f"{error.filename}: cannot be read ({error.strerror}): refusals are counted anew")
            return []
        except ValueError:
            _tell(f"{self._path()}: damaged: refusals are counted anew")
            self.clear()
            return []
        now = self._clock()
        return [at for at in times if at <= now] if boot == self._boot else []

    def _path(self) -> Path:
        """The file. Raises LockoutError if it, or its folder, is not ours; FileNotFoundError if it is not there."""
        folder = self._folder()
        for path, kind in ((folder, stat.S_ISDIR), (folder / FILE, stat.S_ISREG)):
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                raise LockoutError(f"{path}: is a link, and refusals are not kept behind one; delete it")
            if not kind(status.st_mode):
                raise LockoutError(f"{path}: is in the place of the gate's refusals; delete it")
            if sys.platform != "win32" and status.st_uid != os.geteuid():
                raise LockoutError(f"{path}: belongs to another user; delete it")
        return path


def _tell(problem: str) -> None:
    print(problem, file=sys.stderr)
