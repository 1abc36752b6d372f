"""Outputs that are there as a whole or not at all: written beside their place, then renamed.

    write(path, data)                       # bytes

    with beside(path) as part:              # for whoever writes by name
        archive.save(part)

    output = Beside(path)                   # for what takes long: raises OSError at once where nothing can be written
    file = output.open(encoding="utf-8")
    ...
    output.finish()                         # or output.abandon(), and what was there before stays

A link is followed: what it points to is replaced. What is no regular file, such as a device, a pipe or /dev/stdout, is
written straight into and stays what it is. A file that was there keeps its permissions (unless it is to be private)
and, as far as the system allows, its owner; one that is protected from writing is refused.
"""

import contextlib
import errno
import itertools
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

# Of a file's name, so many letters go into the name of the one beside it: some disks take 143 bytes, and no more.
NAME_KEPT = 40
# On Windows a file cannot be replaced while a virus scanner or an indexer has it open: tried so often, so far apart.
TRIES, TRY_GAP_S = 5, 0.05


class Beside:
    """One output in the making. Raises OSError, with the file's name, where it cannot be written.

    keep_suffix: the file beside it ends as it does, for writers that go by the name: out.part.mp4 instead of
        out.mp4.part. lasting: finish() waits until the disk has it, which a full network disk may only then refuse.
    private: nobody else may read it, whatever was allowed before.
    path: where it is to be, as given. part: where to write meanwhile; the path itself if that is no regular file.
    """

    def __init__(self, path: Path, keep_suffix: bool = False, lasting: bool = True, private: bool = False):
        self.path, self._lasting, self._private = Path(path), lasting, private
        self._pipe: int | None = None
        self._before = _status(self.path)
        self.straight = _is_descriptor(self.path) or (
            self._before is not None and not stat.S_ISREG(self._before.st_mode)
        )
        if self.straight:
            self.part = self.path
            self._open_pipe()
            return
        self._target = Path(os.path.realpath(self.path)) if self.path.is_symlink() else self.path
        if self._before and not os.access(self._target, os.W_OK):
            raise PermissionError(errno.EACCES, "it is protected from writing", str(self.path))
        self.part = self._create(keep_suffix)

    def open(self, text: bool = True, **how):
        """The part as a file to write to; how: as open() takes it. A file behind /dev/stdout is added to."""
        return open(self.part, ("a" if self.straight else "w") + ("" if text else "b"), **how)

    def finish(self) -> None:
        """Put the part, closed by now, into its place. Raises OSError; then the part is still there."""
        if self.straight:
            self._close_pipe()
            return
        if self._before:
            with contextlib.suppress(OSError, AttributeError):  # not ours to give away; no such thing on Windows
                if os.stat(self.part).st_uid != self._before.st_uid:
                    os.chown(self.part, self._before.st_uid, self._before.st_gid)
            os.chmod(self.part, 0o600 if self._private else stat.S_IMODE(self._before.st_mode) & 0o777)
        if self._lasting:
            with open(self.part, "rb+") as file:
                os.fsync(file.fileno())
        _replace(self.part, self._target)

    def abandon(self) -> None:
        """Remove the part; what was there before stays."""
        if self.straight:
            self._close_pipe()
            return
        with contextlib.suppress(OSError):
            self.part.unlink()

    def _create(self, keep_suffix: bool) -> Path:
        """A new, empty file that nobody else has, in the folder of the one to be replaced."""
        name, suffix = self._target.name, ""
        if keep_suffix:
            name, suffix = self._target.stem, self._target.suffix
        for n in itertools.count(1):
            part = self._target.with_name(f"{name[:NAME_KEPT]}.part{n if n > 1 else ''}{suffix}")
            try:
                # What nobody else may read is not to be read while it is in the making either.
                mode = 0o600 if self._before or self._private else 0o666
                os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
            except FileExistsError:  # another run's, or what one that was killed has left
                continue
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            return part

    def _open_pipe(self) -> None:
        """Of a pipe, find a reader and keep it: to open one that nobody reads is to wait for ever."""
        if self._before is None or not stat.S_ISFIFO(self._before.st_mode):
            return
        try:
            self._pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            reason = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror
            raise OSError(error.errno, reason, str(self.path)) from None

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@contextlib.contextmanager
def beside(path: Path, keep_suffix: bool = False, lasting: bool = True, private: bool = False) -> Iterator[Path]:
    """Yield where to write; put it into its place if the block succeeds, and remove it if not. See Beside."""
    output = Beside(path, keep_suffix, lasting, private)
    try:
        yield output.part
        output.finish()
    except BaseException:
        output.abandon()
        raise


def write(path: Path, data: bytes, lasting: bool = True) -> None:
    """Write all of a file. Raises OSError; see Beside."""
    output = Beside(path, lasting=lasting)
    try:
        with output.open(text=False) as file:
            file.write(data)
        output.finish()
    except BaseException:
        output.abandon()
        raise


def _status(path: Path) -> os.stat_result | None:
    """Of the file, or of what a link points to; None where there is nothing yet."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return status


def _is_descriptor(path: Path) -> bool:
    """Does it name an open file, as /dev/stdout does? What is behind that, even a regular file, is not to be replaced:
    the shell has it open."""
    at = os.path.abspath(path)
    for _ in range(40):  # a link that points to itself
        folder = os.path.realpath(os.path.dirname(at))
        if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
            return True
        if not os.path.islink(at):
            return False
        at = os.path.join(folder, os.readlink(at))
    return False


def _replace(part: Path, target: Path) -> None:
    for _ in range(TRIES - 1):
        try:
            return os.replace(part, target)
        except PermissionError:
            time.sleep(TRY_GAP_S)
    os.replace(part, target)
