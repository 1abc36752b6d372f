"""What the three command lines have in common: words that cannot fail, how errors look, and kinds of values for
``type=``.

    make_words_safe()       # the first line of each script's main
"""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

# What every library takes for a whole number, NumPy's seeds among them.
LARGEST = 2**31 - 1


def make_words_safe() -> None:
    """From here on nothing that is printed, by whatever library, can raise, or change the exit status.

    A full disk behind standard output or standard error, a reader that has gone, a stream that is closed or (under
    pythonw) not there: the words are lost, and the program goes on. A letter that the encoding lacks, or half a name
    that is no text, is written as \\xNN or \\uNNNN.
    """
    for number in range(3):
        # A stream that is closed leaves its number to the next file that is opened, and the complaints of libraries
        # would be written into that.
        try:
            os.fstat(number)
        except OSError:
            _send_to_nowhere(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _SafeStream):
            setattr(sys, name, _SafeStream(stream))


class _SafeStream:
    """A stream whose words are lost where they cannot be written. stream: None where there is none."""

    def __init__(self, stream):
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream
        with contextlib.suppress(AttributeError, OSError, ValueError):  # somebody's own stream, or a closed one
            self._stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        with self._safely():
            try:
                self._stream.write(text)
            except UnicodeError:  # a stream of somebody's own, which could not be told to replace letters
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
        return len(text)

    def flush(self) -> None:
        with self._safely():
            self._stream.flush()

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _safely(self):
        try:
            yield
        except (OSError, ValueError):  # of a closed file it is a ValueError
            # What is still in the buffer has to go somewhere, or the interpreter's last flush would fail.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                _send_to_nowhere(self._stream.fileno())
                self._stream.flush()


def _send_to_nowhere(number: int) -> None:
    """Whatever is written to this file descriptor from now on is lost."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)


class Parser(argparse.ArgumentParser):
    """argparse, with wrong usage told in one line, status 2, instead of the usage and a line."""

    def __init__(self, description: str):
        # No abbreviations: a script that relies on one breaks when an option is added.
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        # What is no option may be a stream's address, with a password in it.
        message = re.sub(r"(\w://)\S+", r"\1...", message)
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def fail(message: str) -> int:
    """Say in one line on standard error what is wrong and what to do; returns the exit status, 2."""
    print(f"{Parser('').prog}: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


def between(lowest: float, highest: float) -> Callable[[str], float]:
    """Numbers from lowest to highest, both included."""

    def number(text: str) -> float:
        value = _number(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from {lowest:g} to {highest:g}")
        return value

    return number


share = between(0, 1)


def positive(text: str) -> float:
    """Any finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number above 0")
    return value


def whole(lowest: int, highest: int = LARGEST) -> Callable[[str], int]:
    """Whole numbers from lowest to highest, both included."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is out of range; give a whole number from {lowest} to {highest}")
        return value

    return number


at_least_one = whole(1)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
