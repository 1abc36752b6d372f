"""Reads what the user names as a model or encoder, or says in one line why it cannot."""

from pathlib import Path


class ModelError(Exception):
    """A model or its labels cannot be used; the message is one line that says what to do."""


def read(path: Path, limit: int, remedy: str) -> bytes:
    """The first ``limit`` bytes of a file. Raises ModelError, which ends with the remedy."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
