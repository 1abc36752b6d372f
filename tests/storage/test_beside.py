"""Outputs appear as a whole or not at all, and replace nothing but regular files."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

from storage.beside import Beside, beside, write

posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_new_file_appears_when_it_is_finished(tmp_path):
    output = Beside(tmp_path / "out.csv")
    with output.open() as file:
        file.write("a")
    assert names(tmp_path) == {"out.csv.part"}
    output.finish()
    assert names(tmp_path) == {"out.csv"} and (tmp_path / "out.csv").read_text() == "a"


def test_the_part_may_keep_the_suffix(tmp_path):
    with beside(tmp_path / "out.mp4", keep_suffix=True) as part:
        assert part == tmp_path / "out.part.mp4"
        part.write_bytes(b"video")
    assert (tmp_path / "out.mp4").read_bytes() == b"video"


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_was_there_stays_when_writing_fails(tmp_path, error):
    path = tmp_path / "le.pickle"
    path.write_bytes(b"earlier")
    with pytest.raises(type(error)), beside(path) as part:
        part.write_bytes(b"half")
        raise error
    assert names(tmp_path) == {"le.pickle"} and path.read_bytes() == b"earlier"


@posix
def test_a_full_disk_costs_nothing_that_was_there(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"earlier")
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from storage.beside import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write({str(path)!r}, bytes(5000))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert names(tmp_path) == {"out"} and path.read_bytes() == b"earlier"


def test_somebody_elses_part_is_left_alone(tmp_path):
    """Another run's, or a file that happens to be called so."""
    (tmp_path / "out.part").write_bytes(b"mine")
    first, second = Beside(tmp_path / "out"), Beside(tmp_path / "out")
    assert len({tmp_path / "out.part", first.part, second.part}) == 3
    first.abandon()
    second.abandon()
    assert names(tmp_path) == {"out.part"} and (tmp_path / "out.part").read_bytes() == b"mine"


@posix
def test_a_link_is_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name, before in (("there", b"earlier"), ("dangling", None)):
        target, link = tmp_path / "elsewhere" / name, tmp_path / name
        if before:
            target.write_bytes(before)
        link.symlink_to(os.path.join("elsewhere", name))
        with beside(link) as part:
            assert part.parent == target.parent, "another disk could not be renamed across"
            part.write_bytes(b"new")
        assert link.is_symlink() and target.read_bytes() == b"new"


@posix
def test_a_link_that_points_to_itself_is_an_error_and_no_end_of_links(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as caught:
        write(tmp_path / "loop", b"new")
    assert caught.value.errno == errno.ELOOP


@posix
def test_permissions_are_kept_and_never_wider_meanwhile(tmp_path):
    path = tmp_path / "out"
    for mode in (0o600, 0o640, 0o664):
        path.write_bytes(b"earlier")
        path.chmod(mode)
        with beside(path) as part:
            assert stat.S_IMODE(part.stat().st_mode) & ~0o600 == 0
            part.write_bytes(b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"new"


@posix
def test_what_is_private_becomes_so_and_never_was_less(tmp_path):
    path = tmp_path / "out"
    for mode in (None, 0o600, 0o664):
        if mode:
            path.chmod(mode)
        with beside(path, private=True) as part:
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
            part.write_bytes(b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"earlier")
    os.chown(path, 1234, 1234)
    write(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234)


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write everything")
def test_a_protected_file_is_refused(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"earlier")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="out"):
        write(path, b"new")


def test_folders_and_missing_folders_are_told_at_once_with_the_files_name(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "out"):
        with pytest.raises(OSError) as caught:
            Beside(path)
        assert caught.value.filename == str(path)


def test_names_as_long_as_the_disk_takes(tmp_path):
    for name in ("x" * 251 + ".mp4", "\u65e5" * 80 + ".mp4"):
        with beside(tmp_path / name, keep_suffix=True) as part:
            part.write_bytes(b"new")
        assert (tmp_path / name).read_bytes() == b"new"


@posix
def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    output = wait_for_reader(pipe)
    with output.open() as file:
        file.write("scores")
    output.finish()
    reader.join(5)
    assert read == [b"scores"] and stat.S_ISFIFO(pipe.stat().st_mode) and names(tmp_path) == {"pipe"}


def wait_for_reader(pipe) -> Beside:
    for _ in range(500):
        try:
            return Beside(pipe)
        except OSError:
            threading.Event().wait(0.01)
    raise AssertionError("no reader")


@posix
def test_a_pipe_that_nobody_reads_is_told_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody reads"):
        Beside(tmp_path / "pipe")


@posix
def test_a_device_stays_a_device(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"x")
    except (PermissionError, AttributeError):
        pytest.skip("only root makes devices, and not in every container")
    (tmp_path / "link").symlink_to(device)
    for path in (device, tmp_path / "link"):
        write(path, b"new")
        assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == {"null", "link"}


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
@pytest.mark.parametrize("through_link", [False, True])
def test_standard_output_is_added_to_even_when_it_is_a_file(tmp_path, through_link):
    path = "/dev/stdout"
    if through_link:
        (tmp_path / "link").symlink_to(path)
        path = str(tmp_path / "link")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from storage.beside import write
write({path!r}, b"scores")
"""
    with open(tmp_path / "shell", "w") as shell:
        shell.write("before ")
        shell.flush()
        inode = os.fstat(shell.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], stdout=shell, check=True)
    assert (tmp_path / "shell").read_text() == "before scores" and (tmp_path / "shell").stat().st_ino == inode
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"scores"
