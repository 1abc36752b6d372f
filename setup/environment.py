""".venv: made, and filled with the packages of requirements.txt at the versions of pip-list.txt."""

import collections
import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

from setup.system_packages import (
    has_ensurepip,
    install,
    install_command,
    last_line,
    needed_packages,
    os_release,
    package_manager,
)

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class SetupError(Exception):
    """The run cannot go on. The message is one line that says what to do; `status` is the exit status."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


def set_up(tests: bool) -> None:
    """Make .venv complete for running or, with `tests`, for testing. Returns at once if it is already."""
    stamp = VENV / f"quickstart-{'test' if tests else 'run'}.sha256"
    if is_set_up(stamp, python_version(VENV_PYTHON), tests):
        return
    print("Setting up, once: the packages in .venv take about 2.5 GB and some minutes.", flush=True)
    manager = package_manager(platform.system(), os_release())
    install(manager, tests)
    make_venv(manager)
    install_packages(manager, tests)
    check_opencv(manager)
    stamp.write_text(fingerprint(python_version(VENV_PYTHON), tests), encoding="ascii")
    print("Set up.\n", flush=True)


def is_set_up(stamp: Path, version: str | None, tests: bool) -> bool:
    """Whether the stamp was written for the requirements of today and .venv's Python (None: it does not run)."""
    if version is None or interrupted().exists():
        return False
    try:
        return stamp.read_text(encoding="ascii") == fingerprint(version, tests)
    except (OSError, UnicodeDecodeError):
        return False


def fingerprint(version: str, tests: bool) -> str:
    """SHA-256, hex, of all that decides what belongs into .venv."""
    digest = hashlib.sha256(version.encode())
    for file in ["requirements.txt", "pip-list.txt"] + ["tests/requirements.txt"] * tests:
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()


def interrupted() -> Path:
    """A file that is there while packages are being installed, and is left behind if that was interrupted."""
    return VENV / "quickstart-installing"


def python_version(python: Path) -> str | None:
    """Such as "3.11.7", or None if it is not there or does not run (its base was uninstalled, say)."""
    try:
        result = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def make_venv(manager: str | None) -> None:
    """Make .venv unless a working one is there; one whose set-up was interrupted is made anew."""
    version = python_version(VENV_PYTHON)
    if version and tuple(map(int, re.findall(r"\d+", version)[:2])) < (3, 11):
        raise SetupError(f".venv was made by Python {version}, too old for this: delete .venv")
    if version and has_pip() and not interrupted().exists():
        return
    if not has_ensurepip():
        hint = install_command(manager, needed_packages(manager, False)) if manager else "install ensurepip"
        raise SetupError(f"This Python cannot make virtual environments yet: {hint}")
    result = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", VENV], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if result.returncode != 0:
        raise SetupError(f"{VENV} cannot be made: {last_line(result.stderr or result.stdout)}")


def has_pip() -> bool:
    return (
        subprocess.run(
            [VENV_PYTHON, "-m", "pip", "--version"], stdin=subprocess.DEVNULL, capture_output=True
        ).returncode
        == 0
    )


def install_packages(manager: str | None, tests: bool) -> None:
    """Install requirements.txt, and with `tests` tests/requirements.txt, into .venv."""
    wanted = read_requirements(ROOT / "requirements.txt")
    if tests:
        wanted += read_requirements(ROOT / "tests" / "requirements.txt")
    pyaudio = [requirement for requirement in wanted if requirement.lower().startswith("pyaudio")]
    interrupted().touch()
    status, output = pip_install([requirement for requirement in wanted if requirement not in pyaudio])
    if status == 0:
        # By itself: it has to be built on Linux and macOS, and all but the alarm works without it.
        pyaudio_status, _ = pip_install(pyaudio)
        if pyaudio_status != 0:
            print(
                f"PyAudio could not be built; all but the alarm works without it. {pyaudio_fix(manager, pyaudio)}",
                flush=True,
            )
    interrupted().unlink()
    if status != 0:
        print("\n".join(output), file=sys.stderr)
        hint = ""
        if sys.version_info >= (3, 14):
            hint = " (TensorFlow may have no package for so new a Python yet: try 3.13)"
        raise SetupError(f"The packages could not be installed, see above{hint}: run this again")


def read_requirements(file: Path) -> list[str]:
    """The requirements in a file, without comments, blanks and options."""
    lines = (line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def pip_install(requirements: list[str]) -> tuple[int, list[str]]:
    """Install into .venv at the versions of pip-list.txt. Returns pip's exit status and its last lines."""
    command = [
        VENV_PYTHON,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--constraint",
        "pip-list.txt",
        *requirements,
    ]
    tail = collections.deque(maxlen=12)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        for line in pip.stdout:
            tail.append(line.rstrip())
            if sys.stdout.isatty():
                print("\r" + line.strip()[:78].ljust(78), end="", flush=True)
    if sys.stdout.isatty():
        print("\r" + " " * 78, end="\r", flush=True)
    return pip.returncode, list(tail)


def pyaudio_fix(manager: str | None, requirements: list[str]) -> str:
    """What to type, in one line, so that PyAudio can be built."""
    install = command_line([VENV_PYTHON, "-m", "pip", "install", "-c", "pip-list.txt", *requirements])
    if manager is None:
        return f"With a C compiler and PortAudio in place: {install}"
    return f"To add it: {install_command(manager, needed_packages(manager, False))} && {install}"


def check_opencv(manager: str | None) -> None:
    """OpenCV is what everything stands on, and what misses a system library first."""
    result = subprocess.run([VENV_PYTHON, "-c", "import cv2"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode != 0:
        hint = f": {install_command(manager, needed_packages(manager, False))}" if manager else ""
        raise SetupError(f"OpenCV cannot be loaded ({last_line(result.stderr)}){hint}")


def command_line(command: list) -> str:
    """The command as one types it in the project's folder."""
    prefix = str(ROOT) + os.sep
    words = [str(word).removeprefix(prefix) for word in command]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def compile_modules() -> None:
    """Once, for all starts to come: a Python that must not write what it compiled does it anew at each, in 40 ms."""
    folders = sorted(file.parent.name for file in ROOT.glob("*/__init__.py"))
    subprocess.run(
        [VENV_PYTHON, "-m", "compileall", "-q", "-l", ".", *folders],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
