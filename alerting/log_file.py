"""AuthenticationInfo.log: what happened and when, for whoever asks later.

    with log_to(Path("AuthenticationInfo.log")): ...

Lines are written by a thread of their own, since a slow disk must not hold up the frame loop, and the file is
rotated. A log that cannot be written, at the start or later on a full disk, is told about once on standard error,
and the program goes on without.
"""

import contextlib
import logging
import logging.handlers
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from alerting.printable import write_line

LOGGER = "liveness"
# Bytes of a file, and how many old ones are kept beside it.
SIZE, COUNT = 1_000_000, 3


class _LogFile(logging.handlers.RotatingFileHandler):
    """Says once what the disk refuses; logging's own way is a traceback for every line, if not an exception."""

    told = False

    def handleError(self, record):
        if not self.told:
            self.told = True
            _tell(Path(self.baseFilename), sys.exc_info()[1])


class _Sender(logging.handlers.QueueHandler):
    """A line that cannot be put into words is left out: what is being done goes on."""

    def handleError(self, record):
        pass


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write what is logged under LOGGER into the file, until the block is left."""
    log = logging.getLogger(LOGGER)
    if path.is_symlink() and path.is_file():
        path = path.resolve()  # else the first rotation would put a file in the link's place
    try:
        # Names of files need not be valid text.
        file: logging.Handler = _LogFile(
            path, maxBytes=SIZE, backupCount=COUNT, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        _tell(path, error)
        file = logging.NullHandler()
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    file.setFormatter(formatter)
    lines: queue.SimpleQueue = queue.SimpleQueue()
    sender = _Sender(lines)
    log.addHandler(sender)
    log.setLevel(logging.INFO)
    log.propagate = False
    writer = logging.handlers.QueueListener(lines, file)
    writer.start()
    try:
        yield
    finally:
        log.removeHandler(sender)
        writer.stop()
        with contextlib.suppress(OSError):  # what the full disk has not taken is told already
            file.close()


def _tell(path: Path, error: BaseException | None) -> None:
    reason = getattr(error, "strerror", None) or type(error).__name__
    write_line(sys.stderr, f"{path}: cannot be written ({reason}); going on without a log")
