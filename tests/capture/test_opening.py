"""Whatever a user may name: names of files, devices, recordings on servers."""

import contextlib
import http.server
import os
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import WEIGHTS, assert_one_line
from video_parts import announcing

from capture import address, opening
from capture.opening import open_source
from capture.source import SourceError

# No text in UTF-8; macOS takes no such name, Windows has none.
NO_TEXT = os.fsdecode(b"caf\xe9.mp4")
bytes_as_names = pytest.mark.skipif(sys.platform != "linux", reason="names are text there")


def pictures(name) -> list[np.ndarray]:
    with open_source(str(name)) as source:
        return [frame for _, _, frame in source.frames()]


@bytes_as_names
def test_a_name_that_is_no_text_is_a_name(sample, run, tmp_path, live_frames):
    (tmp_path / NO_TEXT).write_bytes(sample.real.read_bytes())
    np.testing.assert_array_equal(pictures(tmp_path / NO_TEXT), live_frames)
    done = run(
        "gather_examples.py",
        "-i",
        NO_TEXT,
        "-o",
        "out",
        "-d",
        WEIGHTS,
        "-s",
        "60",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [b"caf\xe9_000000.png", b"caf\xe9_000060.png"]
    # A whole folder of them, and the folder's own name.
    folder = tmp_path / os.fsdecode(b"fr\xe9")
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "x.png"), live_frames[number])
        (tmp_path / "x.png").rename(folder / os.fsdecode(b"%d\xe9.png" % number))
    np.testing.assert_array_equal(pictures(folder), live_frames[:2])
    with open_source(str(folder)) as source:
        assert len(source.fingerprint()) == 12


@bytes_as_names
def test_a_missing_file_of_such_a_name_is_one_line(run):
    assert_one_line(run("gather_examples.py", "-i", NO_TEXT, "-o", "out", "-d", WEIGHTS), "no such file")


@bytes_as_names
def test_in_a_system_of_another_encoding_names_are_found(sample, tmp_path, run):
    """ASCII alone, such as in a bare container: the very bytes of the name must reach the decoder."""
    (tmp_path / "日本.mp4").write_bytes(sample.real.read_bytes())
    env = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run("gather_examples.py", "-i", "日本.mp4", "-o", "out", "-d", WEIGHTS, "-s", "60", env=env)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == ["日本_000000.png", "日本_000060.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="takes no such names")
@pytest.mark.parametrize("name", ["08:46.mp4", "http:x.mp4", "a?b#c%d.mp4", "concat:a.mp4", "-x.mp4", "a\nb.mp4"])
def test_a_bare_name_is_a_name_whatever_it_looks_like(sample, live_frames, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(sample.real.read_bytes())
    np.testing.assert_array_equal(pictures(name), live_frames)
    with open_source(name) as source:
        assert "\n" not in source.name and not source.live


@pytest.mark.parametrize(
    "name, part",
    [
        pytest.param("9" * 5000, "no such file", id="number"),
        ("99", "camera 99"),
        ("rtsp://user:secret@127.0.0.1:1/x?key=secret", "stream"),
    ],
)
def test_what_cannot_be_opened_is_told_without_secrets(name, part):
    with pytest.raises(SourceError, match=part) as error:
        open_source(name)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "name, part",
    [
        ("x" * 5000, "no such file"),
        ("no\0name", "no such file"),
        ("nowhere/real.mp4", "no such file"),
        ("", "no source is named"),
        (os.devnull, "neither a file nor a folder"),
    ],
)
def test_what_is_no_file_is_told_as_what_it_is(name, part):
    if sys.platform == "win32":
        pytest.skip("other words for it")
    with pytest.raises(SourceError, match=part) as error:
        open_source(name)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_holds_nothing_up(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("pipe.mp4", "pipe.png"):
        with pytest.raises(SourceError, match="neither a file nor a folder"):
            open_source(str(tmp_path / name))
    with pytest.raises(SourceError, match="no pictures"):
        open_source(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="cameras have no files elsewhere")
def test_a_cameras_file_is_a_camera(monkeypatch):
    opened = []

    class Absent:
        def __init__(self, *args):
            opened.append(args)

        def isOpened(self):
            return False

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Absent)
    for name in ("/dev/video77", "/dev/v4l/by-id/usb-Some_Camera-video-index0"):
        opened.clear()
        with pytest.raises(SourceError, match=f"^camera {name}: cannot be opened: no such camera; connected: "):
            open_source(name)
        assert opened == [(name.encode(), cv2.CAP_V4L2)]


# Recordings on a server


class Files(http.server.SimpleHTTPRequestHandler):
    """As any web server: with a length and a date, and parts on demand."""

    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has seen enough
            self.wfile.write(data[start:])

    def log_message(self, *_):
        pass


class Stream(Files):
    """The same bytes without an end in sight, and without a date."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Path(self.translate_path(self.path)).read_bytes())

    do_HEAD = None


@pytest.fixture
def serve(tmp_path):
    """serve(handler) -> address of tmp_path."""
    servers = []

    def begin(handler) -> str:
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *args: handler(*args, directory=str(tmp_path))
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_recording_on_a_server_ends_and_is_no_camera(serve, sample, live_frames, tmp_path, run):
    (tmp_path / "real.mp4").write_bytes(sample.real.read_bytes())
    url = serve(Files)
    with open_source(f"{url}/real.mp4?key=s3cret") as source:
        assert (source.live, source.length, source.stem) == (False, 120, "real")
        assert "s3cret" not in source.name and len(source.fingerprint()) == 12
        np.testing.assert_array_equal([frame for _, _, frame in source.frames()], live_frames)
    done = run("gather_examples.py", "-i", f"{url}/real.mp4", "-o", "out", "-d", WEIGHTS, "-s", "60")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["real_000000.png", "real_000060.png"]


def test_a_recording_on_a_server_is_known_by_its_time_stamps_too(serve, write_video, live_frames, tmp_path):
    announcing(write_video(live_frames, "real.webm", "VP80"), 0.001)
    with open_source(f"{serve(Files)}/real.webm") as source:
        assert source.fps == pytest.approx(30, rel=0.01)
        assert source.length == pytest.approx(len(live_frames), abs=1)
        assert len(list(source.frames())) == len(live_frames)


def test_a_recording_that_does_not_say_how_long_it_is_ends_too(serve, live_frames, tmp_path):
    """As cameras write them that do not know when they will end."""
    jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in live_frames[:20]]
    (tmp_path / "real.avi").write_bytes(b"".join(jpegs))  # a name for which the server says "video"
    url = serve(Files)
    assert address.is_file_on_a_server(f"{url}/real.avi")
    with open_source(f"{url}/real.avi") as source:
        assert not source.live
        assert len(list(source.frames())) == 20


def test_what_may_go_on_for_ever_is_a_camera(serve, camera_server, tmp_path):
    """Mistaken for a recording, it would not be guarded."""
    for name in ("list.m3u8", "picture.jpg", "list.mpd", "page.html"):
        (tmp_path / name).write_bytes(b"x" * 100)
    url = serve(Files)
    assert not any(address.is_file_on_a_server(f"{url}/{path.name}") for path in tmp_path.iterdir())
    assert not address.is_file_on_a_server(f"{url}/missing.mp4")
    assert not address.is_file_on_a_server("http://127.0.0.1:9/x.mp4")
    assert not address.is_file_on_a_server(camera_server.url)
    assert not address.is_file_on_a_server("rtsp://127.0.0.1:9/x.mp4")
    (tmp_path / "real.mp4").write_bytes(b"x" * 100)
    assert not address.is_file_on_a_server(serve(Stream) + "/real.mp4")
    with opening.open_source(camera_server.url) as source:
        assert source.live
