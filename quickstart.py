"""One command sets up and runs everything, one sets up and tests: quickstart.py and quickstart.py test.

    python3 quickstart.py         set up, then gather examples, train and authenticate on two videos: yours
                                  if videos/ holds a real.* and a fake.*, else a sample in its own folder
    python3 quickstart.py test    set up, then run the tests; what follows goes to pytest (test -k gather)

Set-up makes .venv, installs the packages of requirements.txt at the versions of pip-list.txt, and on Debian
or Ubuntu as root the system packages they need; elsewhere it prints the command that does. It is done once.
"""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write("This needs Python 3.11 or newer, and this is %s: get one at python.org or from your "
                     "system, and start it with that.\n" % sys.version.split()[0])
    sys.exit(2)

import argparse
import collections
import csv
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# Neighbouring frames hardly differ: more than about this many of one video make training longer, not better.
EXAMPLES_PER_VIDEO = 600

# The system packages, by package manager: (to run, to test). What each is for:
#   libGL, GLib, SM, Xext     opencv-python's window links them
#   espeak-ng, alsa-utils     speech, and aplay, which pyttsx3 plays it with
#   portaudio, a C compiler   PyAudio has no ready-made package for Linux and macOS
#   Xvfb, openbox, xdotool    the tests' own screen, its window manager, keyboard ...
#   dbus, dbusmock            ... and login service
SYSTEM_PACKAGES = {
    "apt": (["libgl1", "libglib2.0-0", "libsm6", "libxext6", "espeak-ng", "libespeak-ng1", "alsa-utils",
             "portaudio19-dev", "gcc", "libc6-dev"],
            ["xvfb", "xdotool", "openbox", "dbus", "python3-dbusmock"]),
    "dnf": (["mesa-libGL", "glib2", "libSM", "libXext", "espeak-ng", "alsa-utils", "portaudio-devel", "gcc"],
            ["xorg-x11-server-Xvfb", "xdotool", "openbox", "dbus-daemon", "python3-dbusmock"]),
    "pacman": (["libglvnd", "glib2", "libsm", "libxext", "espeak-ng", "alsa-utils", "portaudio", "gcc"],
               ["xorg-server-xvfb", "xdotool", "openbox", "dbus", "python-dbusmock"]),
    "zypper": (["libgthread-2_0-0", "Mesa-libGL1", "libSM6", "libXext6", "espeak-ng", "alsa-utils",
                "portaudio-devel", "gcc"],
               ["xorg-x11-server-Xvfb", "xdotool", "openbox", "dbus-1-daemon", "python3-python-dbusmock"]),
    "brew": (["portaudio"], []),
}
INSTALL = {
    "apt": ["apt-get", "install", "-y"],
    "dnf": ["dnf", "install", "-y"],
    "pacman": ["pacman", "-S", "--needed", "--noconfirm"],
    "zypper": ["zypper", "--non-interactive", "install"],
    "brew": ["brew", "install"],
}
DISTRIBUTIONS = {"debian": "apt", "ubuntu": "apt", "fedora": "dnf", "rhel": "dnf", "arch": "pacman",
                 "suse": "zypper", "opensuse": "zypper"}


class QuickstartError(Exception):
    """The run cannot go on. The message is one line that says what to do; `status` is the exit status."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Job:
    """The two videos to work on, and where everything made from them goes (paths relative to ROOT)."""

    real: Path
    fake: Path
    dataset: Path
    model: Path
    encoder: Path
    plot: Path
    results: Path       # folder of the annotated videos and the scores
    incidents: Path
    sample: bool        # the sample video and its simulated replay, not the user's own


# --- set-up -------------------------------------------------------------------------------------------


def set_up(tests: bool) -> None:
    """Make .venv complete for running or, with `tests`, for testing. Returns at once if it is already."""
    stamp = VENV / f"quickstart-{'test' if tests else 'run'}.sha256"
    if is_set_up(stamp, python_version(VENV_PYTHON), tests):
        return
    print("Setting up, once: the packages in .venv take about 2.5 GB and some minutes.", flush=True)
    manager = package_manager(platform.system(), os_release())
    install_system_packages(manager, tests)
    make_venv(manager)
    install_packages(manager, tests)
    check_opencv(manager)
    stamp.write_text(fingerprint(python_version(VENV_PYTHON), tests), encoding="ascii")
    print("Set up.\n", flush=True)


def is_set_up(stamp: Path, version: str | None, tests: bool) -> bool:
    """Whether the stamp was written for the requirements of today and .venv's Python (None: it does not run).
    """
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
        result = subprocess.run([python, "-c", "import platform; print(platform.python_version())"],
                                capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


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
    return system_packages(manager, tests, ensurepip=has_ensurepip(),
                           headers=Path(sysconfig.get_path("include"), "Python.h").exists())


def has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def install_command(manager: str, packages: list[str]) -> str:
    """The command that installs them, to be typed by a user."""
    sudo = [] if manager == "brew" or is_root() else ["sudo"]
    return shlex.join([*sudo, *INSTALL[manager], *packages])


def install_system_packages(manager: str | None, tests: bool) -> None:
    """As root on Debian and its kin: install what is missing. Else say, in one line, how it is done."""
    if manager is None:
        return
    packages = needed_packages(manager, tests)
    if manager != "apt":
        print(f"Speech, alarm and window need system packages: {install_command(manager, packages)}",
              flush=True)
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
    for command in (["apt-get", "-qq", *wait, "update"],
                    ["apt-get", "-qq", *wait, "install", "-y", "--no-install-recommends", *missing]):
        result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                text=True)
        if result.returncode != 0:
            print(f"{shlex.join(command)} failed: {last_line(result.stderr)}; going on without.", flush=True)
            return


def installed_debian_packages() -> set[str]:
    """Names of the installed packages, and what they provide: newer releases renamed libglib2.0-0."""
    result = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}, ${Provides}\n"],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return parse_dpkg(result.stdout)


def parse_dpkg(listing: str) -> set[str]:
    """Package names from lines of status, tab, and comma-separated names with or without a version."""
    names = set()
    for line in listing.splitlines():
        status, _, packages = line.partition("\t")
        if status == "installed":
            names.update(name.split()[0] for name in packages.split(",") if name.strip())
    return names


def make_venv(manager: str | None) -> None:
    """Make .venv unless a working one is there; one whose set-up was interrupted is made anew."""
    version = python_version(VENV_PYTHON)
    if version and tuple(map(int, re.findall(r"\d+", version)[:2])) < (3, 11):
        raise QuickstartError(f".venv was made by Python {version}, too old for this: delete .venv")
    if version and has_pip() and not interrupted().exists():
        return
    if not has_ensurepip():
        hint = install_command(manager, needed_packages(manager, False)) if manager else "install ensurepip"
        raise QuickstartError(f"This Python cannot make virtual environments yet: {hint}")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise QuickstartError(f"{VENV} cannot be made: {last_line(result.stderr or result.stdout)}")


def has_pip() -> bool:
    return subprocess.run([VENV_PYTHON, "-m", "pip", "--version"], stdin=subprocess.DEVNULL,
                          capture_output=True).returncode == 0


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
            print("PyAudio could not be built; all but the alarm works without it. "
                  f"{pyaudio_fix(manager, pyaudio)}", flush=True)
    interrupted().unlink()
    if status != 0:
        print("\n".join(output), file=sys.stderr)
        hint = ""
        if sys.version_info >= (3, 14):
            hint = " (TensorFlow may have no package for so new a Python yet: try 3.13)"
        raise QuickstartError(f"The packages could not be installed, see above{hint}: run this again")


def read_requirements(file: Path) -> list[str]:
    """The requirements in a file, without comments, blanks and options."""
    lines = (line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def pip_install(requirements: list[str]) -> tuple[int, list[str]]:
    """Install into .venv at the versions of pip-list.txt. Returns pip's exit status and its last lines."""
    command = [VENV_PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
               "--constraint", "pip-list.txt", *requirements]
    tail = collections.deque(maxlen=12)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
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
    result = subprocess.run([VENV_PYTHON, "-c", "import cv2"], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True)
    if result.returncode != 0:
        hint = f": {install_command(manager, needed_packages(manager, False))}" if manager else ""
        raise QuickstartError(f"OpenCV cannot be loaded ({last_line(result.stderr)}){hint}")


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1].strip()


# --- the main job -------------------------------------------------------------------------------------


def choose_job() -> Job:
    """The user's own videos if videos/ holds both, else the sample. Says in a line if just one is there."""
    real, fake = find_video(ROOT / "videos", "real"), find_video(ROOT / "videos", "fake")
    if real and fake:
        return Job(real.relative_to(ROOT), fake.relative_to(ROOT), Path("dataset"), Path("liveness.model"),
                   Path("le.pickle"), Path("plot.png"), Path("annotated"), Path("incidents"), sample=False)
    if real or fake:
        found, lacking = (real, "fake") if real else (fake, "real")
        print(f"videos/ holds {found.name} but no {lacking}.*: using the sample video for both.", flush=True)
    folder = Path("sample")
    return Job(folder / "videos" / "real.mp4", folder / "videos" / "fake.mp4", folder / "dataset",
               folder / "liveness.model", folder / "le.pickle", folder / "plot.png", folder,
               folder / "incidents", sample=True)


def find_video(folder: Path, label: str) -> Path | None:
    """The file in `folder` named after `label`, whatever its suffix. Raises QuickstartError on several."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [file for file in files if file.stem.lower() == label and file.suffix and file.is_file()]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise QuickstartError(f"videos/ holds more than one {label} video ({names}): leave one, and gather "
                              "from the others with gather_examples.py")
    return found[0] if found else None


def run_job(job: Job) -> dict[str, str | None]:
    """Gather, train and authenticate. Returns the verdict on each video, "real" and "fake"."""
    if job.sample:
        step("sample_video.py", job.real.parent)
    for label, video in (("fake", job.fake), ("real", job.real)):
        step("gather_examples.py", "--input", video, "--output", job.dataset / label, "--detector",
             "face_detector", "--skip", skip_for(frame_count(video)))
    step("train.py", "--dataset", job.dataset, "--model", job.model, "--le", job.encoder, "--plot", job.plot)
    (ROOT / job.results).mkdir(parents=True, exist_ok=True)
    verdicts = {}
    for label, video in (("real", job.real), ("fake", job.fake)):
        scores = scores_path(job, label)
        step("liveness_main.py", "--model", job.model, "--le", job.encoder, "--detector", "face_detector",
             "--source", video, "--no-display", "--no-voice", "--output", annotated_path(job, label),
             "--scores", scores, "--incidents", job.incidents)
        verdicts[label] = read_verdict(ROOT / scores)
    return verdicts


def annotated_path(job: Job, label: str) -> Path:
    return job.results / (f"{label}_annotated.mp4" if job.sample else f"{label}.mp4")


def scores_path(job: Job, label: str) -> Path:
    return job.results / f"{label}_scores.csv"


def step(script: str, *options: object) -> None:
    """Print the command line of one of the scripts and run it. Raises QuickstartError if it fails."""
    options = [str(option) for option in options]
    command = [VENV_PYTHON, script, *options]
    print(f"\n$ {command_line(command)}", flush=True)
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    if status != 0:
        raise QuickstartError(f"{script} stopped with exit status {status}; its message is above.", status)


def command_line(command: list) -> str:
    """The command as one types it in the project's folder."""
    prefix = str(ROOT) + os.sep
    words = [str(word).removeprefix(prefix) for word in command]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def frame_count(video: Path) -> int:
    """How many frames the container says it has; 0 or below if it does not say."""
    code = "import cv2, sys; print(int(cv2.VideoCapture(sys.argv[1]).get(cv2.CAP_PROP_FRAME_COUNT)))"
    result = subprocess.run([VENV_PYTHON, "-c", code, video], cwd=ROOT, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    return int(result.stdout) if result.returncode == 0 else 0


def skip_for(frames: int) -> int:
    """Use every how-manieth frame, so that a long video gives about EXAMPLES_PER_VIDEO examples."""
    return max(1, frames // EXAMPLES_PER_VIDEO)


def read_verdict(scores: Path) -> str | None:
    """The first verdict in a scores file ("authorized" or "unauthorized"), None if it came to none."""
    with scores.open(newline="", encoding="utf-8") as file:
        return next((row["verdict"] for row in csv.DictReader(file) if row["verdict"] != "checking"), None)


def as_expected(verdicts: dict[str, str | None]) -> bool:
    return verdicts == {"real": "authorized", "fake": "unauthorized"}


def summary(job: Job, verdicts: dict[str, str | None], signs: tuple[str, str]) -> str:
    """What came out, what was made, and how to go on. `signs`: for a verdict as expected, and for another."""
    lines = ["", "Verdicts"]
    for label, name, video, expected in (("real", "live face", job.real, "authorized"),
                                         ("fake", "replay", job.fake, "unauthorized")):
        sign = signs[0] if verdicts[label] == expected else signs[1]
        lines.append(f"  {name:<11}{verdicts[label] or 'no verdict':<14}{sign}  {video}")
    lines += ["", "Made",
              f"  {annotated_path(job, 'real')}, {annotated_path(job, 'fake')}: the videos, with boxes",
              f"  {scores_path(job, 'real')}, {scores_path(job, 'fake')}: the scores, frame by frame",
              f"  {job.model}, {job.encoder}: the model, and its labels",
              f"  {job.plot}: how training went, and how far apart real and fake came out", ""]
    if job.sample:
        lines += ["The replay is simulated, and both are the videos the model was trained on: this shows",
                  "that everything works, not how well it does on faces and screens it has not seen.", ""]
    else:
        lines += ["The model was trained on these very videos: this shows that everything works, not how",
                  "well it does on recordings it has not seen.", ""]
    if not as_expected(verdicts):
        lines += ["A verdict is not what it should be: look at the annotated videos and the plot, and record",
                  "longer, more varied videos (videos/README.md says how).", ""]
    webcam = [VENV_PYTHON, "liveness_main.py", "--model", job.model, "--le", job.encoder, "--detector",
              "face_detector"]
    knows = " (the sample's model knows one man in one car)" if job.sample else ""
    lines += [f"Go on with a webcam{knows}", f"  {command_line(webcam)}"]
    if job.sample:
        lines += ["Go on with your own face: record real.mp4 and fake.mp4 as videos/README.md says, and run",
                  "quickstart.py again."]
    return "\n".join(lines)


def signs_for(encoding: str | None) -> tuple[str, str]:
    """Signs for right and wrong that a terminal of this encoding can show."""
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "OK", "WRONG"
    return "✓", "✗"


# --- the command line ---------------------------------------------------------------------------------


def pytest_command(arguments: list[str]) -> list:
    """pytest on all tests, or on the files that the arguments name."""
    names_files = any((ROOT / argument.split("::")[0]).exists() for argument in arguments)
    return [VENV_PYTHON, "-m", "pytest", *([] if names_files else ["tests"]), *arguments]


def compile_modules() -> None:
    """Once, for all starts to come: a Python that must not write what it compiled does it anew at each, in 40 ms."""
    subprocess.run([VENV_PYTHON, "-m", "compileall", "-q", "-l", ".", "face_detector"], cwd=ROOT,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=["test"], help="run the tests, not the main job")
    parser.add_argument("pytest_arguments", nargs=argparse.REMAINDER, help="handed to pytest")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    try:
        if arguments.task == "test":
            set_up(tests=True)
            return subprocess.run(pytest_command(arguments.pytest_arguments), cwd=ROOT).returncode
        job = choose_job()
        set_up(tests=False)
        compile_modules()
        started = time.monotonic()
        verdicts = run_job(job)
    except QuickstartError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("\nInterrupted: run it again to go on.", file=sys.stderr)
        return 130
    print(summary(job, verdicts, signs_for(sys.stdout.encoding)))
    print(f"\nAll that took {time.monotonic() - started:.0f} s.")
    return 0 if as_expected(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
