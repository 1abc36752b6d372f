"""Other programs, such as loginctl: they may be missing, hang, fail, or print what is not text."""

import contextlib
import os
import subprocess
import tempfile

from alerting.printable import clean

FOREGROUND_LOCKER_S = 1.0  # the user's command still runs then: it is a locker that stays
COMMAND_LIMIT_S = 3.0
ANSWER_LIMIT_S = 1.0
KILLED_LIMIT_S = 0.5  # one that waits for a dead disk outlives even its killing


def run(command: list[str], stays: bool = False) -> str:
    """Run a command; return what went wrong or "". With `stays`, running on in the foreground is right."""
    with contextlib.ExitStack() as stack:
        # A file, not a pipe: a locker that goes to the background keeps a pipe open for ever.
        complaints = None
        with contextlib.suppress(OSError):  # a full disk must not keep anything from being locked
            complaints = stack.enter_context(tempfile.TemporaryFile())
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints or subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(),
            )
        except FileNotFoundError:
            return "not installed"
        except (OSError, ValueError) as error:
            return clean(getattr(error, "strerror", None) or error)
        try:
            status = child.wait(FOREGROUND_LOCKER_S if stays else COMMAND_LIMIT_S)
        except subprocess.TimeoutExpired:
            if stays:
                return ""
            _kill(child)
            return f"no answer in {COMMAND_LIMIT_S:.0f} s"
        said = _last_line(complaints)
    if not status:
        return ""
    return f"ended with status {status}" + (f" ({clean(said, 80)})" if said else "")


def ask(command: list[str]) -> str:
    """A command's answer, "" when it has none. Bytes that are not UTF-8 become U+FFFD."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, ValueError):
        return ""
    try:
        return child.communicate(timeout=ANSWER_LIMIT_S)[0].decode("utf-8", "replace").strip()
    except (OSError, subprocess.TimeoutExpired):
        _kill(child)
        return ""
    finally:
        child.stdout.close()


def _environment() -> dict[str, str]:
    """Ours, without what OpenCV sets for its own windows: a locker written in Qt would look for its parts there."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("QT_QPA_") and f"{os.sep}cv2{os.sep}" in value)
    }


def _kill(child) -> None:
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(KILLED_LIMIT_S)


def _last_line(complaints) -> str:
    if not complaints:
        return ""
    complaints.seek(0)
    lines = complaints.read(4096).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
