"""Whether who asks at the gate can be the one before the camera.

    why_elsewhere(os.environ)       # "asked over SSH", "the lid is closed"; "" where nothing speaks against it

Sees neither a terminal multiplexer that outlives its SSH session (under PAM) nor a remote desktop. What only some
answers need is imported for them alone: the gate asks before anything else is begun.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SSH_VARIABLES = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
LIDS = Path("/proc/acpi/button/lid")
ANSWER_LIMIT_S = 1.0


def why_elsewhere(environment: Mapping[str, str]) -> str:
    """In a few words, "" where nothing says so."""
    if "PAM_TYPE" in environment:  # pam_exec: the caller's own environment does not come through it
        if _is_other_host(environment.get("PAM_RHOST", "")):
            return "asked from another host (PAM_RHOST)"
        # sshd, and sshd-session and sshd-auth of OpenSSH 9.8 and later
        if any(name.startswith("sshd") for name in ancestors()):
            return "asked over SSH"
    elif set_ := [name for name in SSH_VARIABLES if environment.get(name)]:
        return f"asked over SSH ({set_[0]} is set)"
    return "the lid is closed" if lid_closed() else ""


def _is_other_host(host: str) -> bool:
    """PAM's name for where somebody comes from: "" or a display, such as ":0", where he sits here."""
    if not host or host.startswith((":", "127.")):
        return False
    import socket

    return host not in ("localhost", "::1", socket.gethostname())


def ancestors(processes: Path = Path("/proc")) -> Iterator[str]:
    """The names of the processes that this one comes from, nearest first; none where the system does not tell."""
    number = os.getppid()
    while number > 0:
        try:
            text = (processes / str(number) / "stat").read_text(errors="replace")
        except OSError:
            return
        # proc(5): number (name) state parent ...; the name may hold anything, brackets and spaces too.
        name, _, rest = text.partition("(")[2].rpartition(")")
        yield name
        number = int(rest.split()[1])


def lid_closed(lids: Path = LIDS) -> bool:
    """Of a laptop, as far as the system tells. The camera is most likely behind it."""
    if sys.platform == "darwin":
        return b'"AppleClamshellState" = Yes' in _said_by(["ioreg", "-r", "-k", "AppleClamshellState", "-d", "1"])
    try:
        return any("closed" in state.read_text("ascii", "replace") for state in lids.glob("*/state"))
    except OSError:
        return False


def _said_by(command: list[str]) -> bytes:
    import subprocess

    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_LIMIT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""
