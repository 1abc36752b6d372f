"""What of an address may be shown, and what leads to a file."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, WEIGHTS, assert_one_line

from capture.address import is_address, local_path, means_a_file, shown, stem
from capture.opening import open_source
from capture.source import SourceError

SECRET = [
    "rtsp://admin:s3cret@127.0.0.1:9/x",
    "rtsp://admin:s3/cret@127.0.0.1:9/x",
    "rtsp://admin:a/s3cret@127.0.0.1:9/x",
    "rtsp://admin:a?s3cret@127.0.0.1:9/x",
    "rtsp://admin:a#s3cret@127.0.0.1:9/x",
    "rtsp://admin:a\\s3cret@127.0.0.1:9/x",
    "rtsp://admin:a@s3cret@127.0.0.1:9/x",
    "rtsp://admin:a@s3cret/b@127.0.0.1:9/x",
    "rtsp://admin:12/s3cret@127.0.0.1:9/x",
    "rtsp://127.0.0.1:9/user=admin&password=s3cret&channel=1",
    "rtsp://127.0.0.1:9/user=admin_password=p@s3cret_channel=1",
    "rtsp://127.0.0.1:9/admin/s3cret/live",
    "rtsp://127.0.0.1:9?password=s3cret",
    "http://127.0.0.1:9/video.cgi?user=admin&pwd=s3cret",
    "http://127.0.0.1:9/video;s3cret#s3cret",
    "RTSP://admin:s3cret@127.0.0.1:9/x",
    # Slips of the hand.
    "rtsp:/admin:s3cret@127.0.0.1:9/x",
    "rtsp:/127.0.0.1/user=admin&password=s3cret",
    "admin:s3cret@127.0.0.1:9/x",
    "admin:a@127.0.0.1/password=p@s3cret",
    "127.0.0.1/video.cgi?user=admin&pwd=s3cret",
]


@pytest.mark.parametrize("address", SECRET)
def test_no_secret_of_an_address_is_shown(address):
    assert "s3cret" not in shown(address)


@pytest.mark.parametrize(
    "address, told",
    [
        ("rtsp://host/path", "rtsp://host"),
        ("rtsp://user:secret@host:554/path?x", "rtsp://host:554"),
        ("rtsp://user:p@ss@host:554/path", "rtsp://host:554"),
        ("http://[fe80::1]:80/x", "http://[fe80::1]:80"),
        ("videos/real.mp4", "videos/real.mp4"),
        ("08:46.mp4", "08:46.mp4"),
        ("a=b & c?.mp4", "a=b & c?.mp4"),
        ("a\nb\x1b[0m.mp4", "a?b?[0m.mp4"),
        ("file:///videos/real.mp4", "file:///videos/real.mp4"),
        (r"C:\videos\me@home.mp4", "..."),
    ],
)
def test_what_is_no_secret_is_shown(address, told):
    assert shown(address) == told


def test_a_file_that_is_there_is_shown_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("8:46 me@home.mp4").touch()
    assert shown("8:46 me@home.mp4") == "8:46 me@home.mp4"


@pytest.mark.parametrize("address", [address for address in SECRET if "//" in address])
def test_nothing_a_run_says_or_logs_holds_the_secret(address, monkeypatch):
    """The name of the source is what every message and log line is made of."""
    from capture import device

    monkeypatch.setattr(device, "STREAM_OPEN_MS", 300)
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("liveness").addHandler(handler)
    with pytest.raises(SourceError) as error:
        open_source(address)
    logging.getLogger("liveness").removeHandler(handler)
    assert "s3cret" not in f"{error.value} {records}" and "\n" not in str(error.value)


def test_a_script_that_is_given_a_password_keeps_it(run):
    for address in ("rtsp://admin:pa/s3cret@127.0.0.1:9/x", "rtsp:/admin:s3cret@127.0.0.1:9/x"):
        done = run("gather_examples.py", "-i", address, "-o", "out", "-d", WEIGHTS)
        assert_one_line(done, "gather_examples.py: ")
        assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "name, address",
    [
        ("rtsp://host", True),
        ("HTTP://host", True),
        ("udp://@239.0.0.1:1234", True),
        ("C://videos/real.mp4", False),
        ("videos/real.mp4", False),
        ("://x", False),
    ],
)
def test_an_address_begins_with_its_kind(name, address):
    assert is_address(name) is address


@pytest.mark.parametrize(
    "address, name",
    [
        ("http://host/videos/real.mp4?key=secret", "real"),
        ("http://host/", "stream"),
        ("http://host", "stream"),
        ("http://user:secret@host/a b.mp4", "stream"),
        ("http://host/" + "x" * 300 + ".mp4", "stream"),
        ("http://host/%2e%2e%2fx.mp4", "stream"),
    ],
)
def test_a_recording_on_a_server_is_called_after_its_file(address, name):
    assert stem(address) == name


@pytest.mark.skipif(os.name == "nt", reason="paths begin with a letter there")
def test_file_addresses_lead_to_files(tmp_path, monkeypatch):
    file = tmp_path / "my video #1 100%.mp4"
    file.touch()
    coded = str(file).replace("%", "%25").replace(" ", "%20").replace("#", "%23")
    for name in (f"file://{file}", f"file://{coded}", f"FILE://localhost{coded}", f"file:{file}", str(file)):
        assert local_path(name) == file
    monkeypatch.chdir(tmp_path)
    assert local_path("file:my%20video%20%231%20100%25.mp4").samefile(file)
    assert local_path("file://nowhere.mp4") == Path("nowhere.mp4")
    (tmp_path / "file:odd.mp4").touch()
    assert local_path("file:odd.mp4") == Path("file:odd.mp4")
    assert local_path("rtsp://host/x") is None


def test_a_file_address_is_gathered_like_the_file_and_ends(run, sample, tmp_path):
    done = run("gather_examples.py", "-i", f"file://{sample.real}", "-o", "out", "-d", WEIGHTS, "-s", "60")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["real_000000.png", "real_000060.png"]
    with open_source(f"file://{sample.real}") as source, open_source(str(sample.real)) as file:
        assert not source.live and source.fingerprint() == file.fingerprint() and source.name == file.name


def test_a_file_needs_no_web(sample):
    code = (
        "import sys; from capture.opening import open_source; open_source(sys.argv[1]); "
        "sys.exit('requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, sample.real], cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "name, a_file",
    [
        ("0", False),
        ("/dev/video0", not sys.platform.startswith("linux")),
        ("rtsp://camera/live", False),
        ("http://host/video.mp4", False),
        ("videos/real.mp4", True),
        ("file:///videos/real.mp4", True),
        ("1234567890", True),
        ("videos", True),
    ],
)
def test_what_is_a_file_shows_in_its_name(name, a_file):
    assert means_a_file(name) is a_file
