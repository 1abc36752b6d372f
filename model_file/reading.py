"""Reads what the user names as a model or encoder, or says in one line why it cannot."""

from pathlib import Path

from storage.user_error import UserError

# How a model of the original begins.
HDF5 = b"\x89HDF"


class ModelError(UserError):
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


def is_original(path: Path) -> bool:
    """Did the original's train.py write this model? Raises ModelError where it cannot be read."""
    return read(path, len(HDF5), "train one with train.py, or name yours with --model") == HDF5
