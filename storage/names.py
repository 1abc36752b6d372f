"""Whether two names are one file."""

import os
import unicodedata
from pathlib import Path


def is_same(one: str | Path, other: str | Path) -> bool:
    """Is it one file, under two names, by a link, or on a disk that does not tell small letters from capitals? Of files
    that are not there yet, the spelling counts."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):   # one is not there; a name that no system takes
        return _spelt(one) == _spelt(other)


def _spelt(path: str | Path) -> str:
    """As the least particular disks take a name: without small letters and capitals or ways to write an accent."""
    try:
        return unicodedata.normalize("NFKC", os.path.realpath(path).casefold())
    except (OSError, ValueError):
        return str(path)
