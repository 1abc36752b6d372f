"""Whether two names are one file."""

import os
from pathlib import Path


def is_same(one: str | Path, other: str | Path) -> bool:
    """Are both there, and one file: under two names, by a link, or on a disk that does not tell small letters from
    capitals?"""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one is not there; a name that no system takes
        return False


def may_be_same(one: str | Path, other: str | Path) -> bool:
    """The same of files that need not be there yet, on whatever disk."""
    return is_same(one, other) or _spelt(one) == _spelt(other)


def _spelt(path: str | Path) -> str:
    """As the least particular disks take a name: without small letters and capitals or ways to write an accent."""
    import unicodedata

    try:
        return unicodedata.normalize("NFKC", os.path.realpath(path).casefold())
    except (OSError, ValueError):
        return str(path)
