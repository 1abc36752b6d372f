"""Locking the workstation: by the user's command, or the platform's own way; and whether it has come to pass.

    lock = lock_workstation([])     # at once
    lock = confirm_lock(lock)       # a few seconds later

Neither raises anything: what one way says or does wrong is the reason to try the next.
"""

import ctypes
import os
import re
import shutil
import sys
import time
from typing import NamedTuple

from alerting.printable import clean
from alerting.programs import ask, run

CONFIRM_S = 2.0  # desktops take up to a second to show their lock screen


class Lock(NamedTuple):
    """How locking went. state: confirmed, accepted (by the system), unconfirmed, failed."""

    state: str
    how: str
    reason: str = ""


# Tried in this order when the login manager does not lock. xdg-screensaver knows most desktops itself.
DESKTOP_LOCKERS = (
    ["xdg-screensaver", "lock"],
    ["cinnamon-screensaver-command", "--lock"],
    ["mate-screensaver-command", "--lock"],
    ["xflock4"],
    ["dm-tool", "lock"],
    ["swaylock", "-f"],
    ["i3lock"],
)
# The ways after which the system can be asked whether the screen is locked.
CONFIRMABLE = ("loginctl", "LockWorkStation", "SACLockScreenImmediate")
MACOS_LOGIN_FRAMEWORK = "/System/Library/PrivateFrameworks/login.framework/Versions/Current/login"
MACOS_DISPLAY_SLEEP = ["pmset", "displaysleepnow"]
SESSION_NAME = re.compile("[A-Za-z0-9]+")  # source: session_id_valid() of systemd


def lock_workstation(command: list[str]) -> Lock:
    """Lock at once: by the user's `command`, or behind it (or when it is empty) the platform's own way."""
    problem = ""
    if command:
        problem = run(command, stays=True)
        if not problem:
            return Lock("accepted", command[0])  # its arguments are the user's own affair
        problem = f"{command[0]}: {problem}; "
    try:
        lock = _platform_lock()()
    except Exception as error:  # the edge of what systems do; the incident is told about it all the same
        lock = Lock("failed", sys.platform, f"{type(error).__name__}: {error}")
    return lock._replace(reason=clean(problem + lock.reason, 200))


def confirm_lock(lock: Lock) -> Lock:
    """Look whether a lock that the system accepted has come; on Linux, if not, try the desktop's lockers.

    Emitting logind's lock signal succeeds even when no desktop listens for it. What a locker of the user's own does
    is not looked into.
    """
    if lock.state != "accepted" or not lock.how.startswith(CONFIRMABLE):
        return lock
    deadline = time.monotonic() + CONFIRM_S
    while time.monotonic() < deadline:
        if screen_locked():
            return lock._replace(state="confirmed")
        time.sleep(0.1)
    if not lock.how.startswith("loginctl"):
        return lock
    fallback = _lock_by_desktop()
    if fallback.state == "accepted":
        return fallback._replace(reason=lock.reason)
    return lock._replace(state="unconfirmed", reason="no desktop answered the lock signal")


def _platform_lock():
    return {"win32": _lock_windows, "darwin": _lock_macos}.get(sys.platform, _lock_linux)


def _lock_windows() -> Lock:
    user32 = ctypes.WinDLL("user32", use_last_error=True)
    if user32.LockWorkStation():
        return Lock("accepted", "LockWorkStation")
    return Lock("failed", "LockWorkStation", clean(ctypes.FormatError(ctypes.get_last_error())))


def _lock_macos() -> Lock:
    try:
        if ctypes.CDLL(MACOS_LOGIN_FRAMEWORK).SACLockScreenImmediate() == 0:
            return Lock("accepted", "SACLockScreenImmediate")
        reason = "SACLockScreenImmediate was refused"
    except (OSError, AttributeError):  # a private framework: Apple may move it
        reason = "SACLockScreenImmediate is not there"
    problem = run(MACOS_DISPLAY_SLEEP)
    # Sleep locks only where the user asked for the password at once after it, so it confirms nothing.
    return Lock("failed" if problem else "unconfirmed", " ".join(MACOS_DISPLAY_SLEEP), problem or reason)


def _lock_linux() -> Lock:
    session = _linux_session()
    command = ["loginctl", "--no-ask-password", "lock-session", *session]
    problem = run(command)
    if not problem:
        return Lock("accepted", " ".join(["loginctl", "lock-session", *session]))
    fallback = _lock_by_desktop()
    return fallback._replace(reason=f"loginctl: {problem}; {fallback.reason}".removesuffix("; "))


def _linux_session() -> list[str]:
    """The caller's graphical session, for over SSH or in a service it is not the one the process is in.

    Empty where no way gives what can be a session's name: loginctl then takes the caller's own.
    """
    own = os.environ.get("XDG_SESSION_ID", "")
    if SESSION_NAME.fullmatch(own) and os.environ.get("XDG_SESSION_TYPE") in ("x11", "wayland", "mir"):
        return [own]
    session = ask(["loginctl", "show-user", str(os.getuid()), "-p", "Display", "--value"])
    return [name for name in (session, own) if SESSION_NAME.fullmatch(name)][:1]


def _lock_by_desktop() -> Lock:
    problems = []
    for command in DESKTOP_LOCKERS:
        if shutil.which(command[0]):
            problem = run(command)
            if not problem:
                return Lock("accepted", " ".join(command))
            problems.append(f"{command[0]}: {problem}")
    return Lock(
        "failed", "desktop lockers", "; ".join(problems) or "no locker found: set command in [lock] of alerts.toml"
    )


def screen_locked() -> bool:
    """Whether the system says that the screen is locked; a desktop locker that tells nobody is not seen."""
    if sys.platform == "win32":
        try:
            return _windows_locked()
        except Exception:  # such as an edition of Windows without terminal services
            return False
    if sys.platform == "darwin":
        return '"CGSSessionScreenIsLocked"=Yes' in ask(["ioreg", "-n", "Root", "-d1"])
    session = _linux_session()
    return ask(["loginctl", "show-session", *session, "-p", "LockedHint", "--value"]) == "yes"


def _windows_locked() -> bool:
    """WTSQuerySessionInformation(WTSSessionInfoEx): the flags of the caller's session, 0 for locked.

    Source: Microsoft's reference of WTSINFOEX_LEVEL1_W, whose numbers hold from Windows 8 on.
    """
    api, information, size = ctypes.WinDLL("wtsapi32"), ctypes.POINTER(ctypes.c_int32)(), ctypes.c_uint32()
    if not api.WTSQuerySessionInformationW(None, -1, 25, ctypes.byref(information), ctypes.byref(size)):
        return False
    # level, padding, session, connection state, flags
    locked = information[0] == 1 and information[4] == 0
    api.WTSFreeMemory(information)
    return locked


def describe_lock(command: list[str]) -> tuple[bool, str]:
    """Whether there is a way to lock, and which; runs nothing that locks."""
    if command:
        found = shutil.which(command[0])
        return bool(
            found
        ), f"would run {command[0]}" if found else f"{command[0]} is not installed: correct command in [lock]"
    if sys.platform == "win32":
        return True, "would call LockWorkStation"
    if sys.platform == "darwin":
        return True, "would call SACLockScreenImmediate"
    lockers = [" ".join(locker) for locker in DESKTOP_LOCKERS if shutil.which(locker[0])]
    if ask(["loginctl", "list-sessions", "--no-legend"]):
        lockers.insert(0, " ".join(["loginctl", "lock-session", *_linux_session()]))
    if lockers:
        return True, "would run " + ", then ".join(lockers)
    return False, "no login session and no desktop locker found: set command in [lock]"
