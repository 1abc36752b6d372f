"""Files that are there as a whole or not at all, for their owner's eyes alone."""

import contextlib
import os
import sys
import time
from pathlib import Path


def make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_whole(path: Path, data: bytes, lasting: bool = True) -> None:
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
        sync_folder(path.parent)


def _replace(new: Path, path: Path) -> None:
    for _ in range(5):
        try:
            return os.replace(new, path)
        except PermissionError:  # on Windows, while a virus scanner or an indexer has it open
            time.sleep(0.05)
    os.replace(new, path)


def sync_folder(path: Path) -> None:
    """Put the folder's list of files on the disk for good, where the system has a way to ask for it."""
    if sys.platform == "win32":  # folders cannot be opened there, and need not be
        return
    with contextlib.suppress(OSError):  # network shares refuse; the file itself is there all the same
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
