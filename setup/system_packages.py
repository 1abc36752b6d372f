"""The system packages that the suite's packages need, and how each kind of system installs them."""

import importlib.util
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

# The system packages, by package manager: (to run, to test). What each is for:
#   libGL, GLib, SM, Xext     opencv-python's window links them
#   espeak-ng, alsa-utils     speech, and aplay, which pyttsx3 plays it with
#   portaudio, a C compiler   PyAudio has no ready-made package for Linux and macOS
#   Xvfb, openbox, xdotool    the tests' own screen, its window manager, keyboard ...
#   dbus, dbusmock            ... and login service
#   pamtester                 the gate in a PAM stack
SYSTEM_PACKAGES = {
    "apt": (
        [
            "libgl1",
            "libglib2.0-0",
            "libsm6",
            "libxext6",
            "espeak-ng",
            "libespeak-ng1",
            "alsa-utils",
            "portaudio19-dev",
            "gcc",
            "libc6-dev",
        ],
        ["xvfb", "xdotool", "openbox", "dbus", "python3-dbusmock", "pamtester"],
    ),
    "dnf": (
        ["mesa-libGL", "glib2", "libSM", "libXext", "espeak-ng", "alsa-utils", "portaudio-devel", "gcc"],
        ["xorg-x11-server-Xvfb", "xdotool", "openbox", "dbus-daemon", "python3-dbusmock"],
    ),
    "pacman": (
        ["libglvnd", "glib2", "libsm", "libxext", "espeak-ng", "alsa-utils", "portaudio", "gcc"],
        ["xorg-server-xvfb", "xdotool", "openbox", "dbus", "python-dbusmock"],
    ),
    "zypper": (
        ["libgthread-2_0-0", "Mesa-libGL1", "libSM6", "libXext6", "espeak-ng", "alsa-utils", "portaudio-devel", "gcc"],
        ["xorg-x11-server-Xvfb", "xdotool", "openbox", "dbus-1-daemon", "python3-python-dbusmock"],
    ),
    "brew": (["portaudio"], []),
}
INSTALL = {
    "apt": ["apt-get", "install", "-y"],
    "dnf": ["dnf", "install", "-y"],
    "pacman": ["pacman", "-S", "--needed", "--noconfirm"],
    "zypper": ["zypper", "--non-interactive", "install"],
    "brew": ["brew", "install"],
}
DISTRIBUTIONS = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "arch": "pacman",
    "suse": "zypper",
    "opensuse": "zypper",
}


def os_release() -> dict[str, str]:
    """The fields of /etc/os-release; none where there is no such file."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def package_manager(system: str, release: dict[str, str]) -> str | None:
    """A key of SYSTEM_PACKAGES for platform.system() and the fields of os-release; None if none is known."""
    if system == "Darwin":
        return "brew"
    if system != "Linux":
        return None
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((DISTRIBUTIONS[name] for name in names if name in DISTRIBUTIONS), None)


def system_packages(manager: str, tests: bool, *, headers: bool, ensurepip: bool) -> list[str]:
    """The system packages that running (and, with `tests`, testing) needs.

    headers, ensurepip: whether this Python brings Python.h and the means to put pip into a virtual
    environment; distributions pack both separately.
    """
    run, test = SYSTEM_PACKAGES[manager]
    packages = run + test * tests
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if manager == "apt":
        packages = packages + [f"{python}-dev"] * (not headers) + [f"{python}-venv"] * (not ensurepip)
    elif manager in ("dnf", "zypper") and not headers:
        packages = packages + ["python3-devel"]
    return packages


def needed_packages(manager: str, tests: bool) -> list[str]:
    """system_packages() for the Python that runs this."""
    return system_packages(
        manager, tests, ensurepip=has_ensurepip(), headers=Path(sysconfig.get_path("include"), "Python.h").exists()
    )


def has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def install_command(manager: str, packages: list[str]) -> str:
    """The command that installs them, to be typed by a user."""
    sudo = [] if manager == "brew" or is_root() else ["sudo"]
    return shlex.join([*sudo, *INSTALL[manager], *packages])


def install(manager: str | None, tests: bool) -> None:
    """As root on Debian and its kin: install what is missing. Else say, in one line, how it is done."""
    if manager is None:
        return
    packages = needed_packages(manager, tests)
    if manager != "apt":
        print(f"Speech, alarm and window need system packages: {install_command(manager, packages)}", flush=True)
        return
    installed = installed_debian_packages()
    missing = [package for package in packages if package not in installed]
    if not missing:
        return
    if not is_root():
        print(f"System packages are missing: {install_command(manager, missing)}", flush=True)
        return
    print(f"Installing system packages: {' '.join(missing)}", flush=True)
    # A fresh container has no package lists, and nobody to answer questions.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    for command in (
        ["apt-get", "-qq", *wait, "update"],
        ["apt-get", "-qq", *wait, "install", "-y", "--no-install-recommends", *missing],
    ):
        result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode != 0:
            print(f"{shlex.join(command)} failed: {last_line(result.stderr)}; going on without.", flush=True)
            return


def installed_debian_packages() -> set[str]:
    """Names of the installed packages, and what they provide: newer releases renamed libglib2.0-0."""
    result = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}, ${Provides}\n"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return parse_dpkg(result.stdout)


def parse_dpkg(listing: str) -> set[str]:
    """Package names from lines of status, tab, and comma-separated names with or without a version."""
    names = set()
    for line in listing.splitlines():
        status, _, packages = line.partition("\t")
        if status == "installed":
            names.update(name.split()[0] for name in packages.split(",") if name.strip())
    return names


def last_line(text: str) -> str:
    """What a program that failed said last: most often why."""
    return (text.strip().splitlines() or ["no reason given"])[-1].strip()
