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

LOGGER = "liveness"
# Bytes of a file, and how many old ones are kept beside it.
SIZE, COUNT = 1_000_000, 3


class _LogFile(logging.handlers.RotatingFileHandler):
    """Says once what the disk refuses; logging's own way is a traceback for every line."""

    told = False

    def handleError(self, record):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.told:
            self.told = True
            _tell(Path(self.baseFilename), error)


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write what is logged under LOGGER into the file, until the block is left."""
    log = logging.getLogger(LOGGER)
    try:
        file: logging.Handler = _LogFile(path, maxBytes=SIZE, backupCount=COUNT, encoding="utf-8",
                                         errors="backslashreplace")
    except OSError as error:
        _tell(path, error)
        file = logging.NullHandler()
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    file.setFormatter(formatter)
    lines: queue.SimpleQueue = queue.SimpleQueue()
    sender = logging.handlers.QueueHandler(lines)
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


def _tell(path: Path, error: OSError) -> None:
    print(f"{path}: cannot be written ({error.strerror}); going on without a log", file=sys.stderr)
