"""What the three command lines have in common: how errors look, and kinds of values for ``type=``."""

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse, with wrong usage told in one line, status 2, instead of the usage and a line."""

    def __init__(self, description: str):
        # No abbreviations: a script that relies on one breaks when an option is added.
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def fail(message: str) -> int:
    """Say in one line on standard error what is wrong and what to do; returns the exit status, 2."""
    print(f"{Parser('').prog}: {message}", file=sys.stderr)
    return 2


def share(text: str) -> float:
    """0 to 1, both included."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from 0 to 1")
    return value


def positive(text: str) -> float:
    """Any finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def at_least_one(text: str) -> int:
    """1, 2, 3 ..."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a whole number from 1 up")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
