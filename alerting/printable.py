"""Text that came from outside, made fit for a log, a mail, a file or a screen."""

import contextlib
import unicodedata


def clean(text: object, limit: int = 120) -> str:
    """One line of printable text, at most `limit` characters: for anything that came from outside."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(text)[: 4 * limit])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def write_line(stream, line: str) -> None:
    """Write a line on standard output or error, as far as that takes it; raises nothing.

    The stream may be None (pythonw), closed or on a full disk; what its encoding lacks is written as an escape.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
