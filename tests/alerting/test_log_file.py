import io
import logging
import os
import re
import sys
from pathlib import Path

import pytest

from alerting import log_file
from alerting.log_file import LOGGER, log_to

log = logging.getLogger(LOGGER)


def test_lines_carry_the_time_and_end_with_the_block(tmp_path):
    with log_to(tmp_path / "a.log"):
        log.info("authorized: score %.2f", 0.98765)
    log.info("nobody listens any more")
    (line,) = (tmp_path / "a.log").read_text().splitlines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO authorized: score 0\.99", line)


def test_the_file_is_rotated(tmp_path):
    with log_to(tmp_path / "a.log"):
        for _ in range(12):
            log.info("x" * 100_000)
    assert {path.name for path in tmp_path.iterdir()} == {"a.log", "a.log.1"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_once(capfd):
    with log_to(Path("/dev/full")):
        for number in range(50):
            log.info("line %d", number)
    assert capfd.readouterr().err == "/dev/full: cannot be written (No space left on device); going on without a log\n"


def test_a_file_that_cannot_be_opened_is_told_once(tmp_path, capfd):
    with log_to(tmp_path):
        log.info("line")
    (line,) = capfd.readouterr().err.splitlines()
    assert str(tmp_path) in line and "going on without a log" in line


def test_names_that_are_not_text_are_logged_as_escapes(tmp_path):
    with log_to(tmp_path / "a.log"):
        log.info("watching %s", "caf\udce9.mp4")
        log.info("and goes on")
    first, second = (tmp_path / "a.log").read_text("utf-8").splitlines()
    assert first.endswith("watching caf\\udce9.mp4") and second.endswith("and goes on")


def test_line_that_cannot_be_put_into_words_stops_neither_caller_nor_log(tmp_path, monkeypatch):
    class Unspeakable:
        def __str__(self):
            raise ValueError("no words")

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    monkeypatch.setattr(log, "handlers", [])  # pytest's own
    with log_to(tmp_path / "a.log"):
        log.info("%s", Unspeakable())
        log.info("going on")
    (line,) = (tmp_path / "a.log").read_text().splitlines()
    assert line.endswith("going on")


@pytest.mark.parametrize("stream", ["none", "closed", "full"])
def test_disk_problem_that_cannot_be_told_either_stops_nothing(tmp_path, monkeypatch, capfd, stream):
    if stream == "full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    stderr = None if stream == "none" else open("/dev/full" if stream == "full" else os.devnull, "w")
    if stream == "closed":
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    with log_to(tmp_path):  # a folder
        log.info("line")
    monkeypatch.setattr(log_file, "SIZE", 10)
    with log_to(tmp_path / "a.log"):
        (tmp_path / "a.log.1").mkdir()  # rotating fails from now on
        (tmp_path / "a.log.1" / "x").touch()
        for _ in range(3):
            log.info("x" * 100)
    monkeypatch.undo()
    assert capfd.readouterr() == ("", ""), "nothing of it lands on another stream"


def test_problem_is_told_in_the_letters_that_there_are(tmp_path, monkeypatch):
    told = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", told)
    (tmp_path / "日本").mkdir()
    with log_to(tmp_path / "日本"):
        log.info("line")
    assert b"\\u65e5\\u672c: cannot be written (Is a directory)" in told.buffer.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_followed_when_the_file_is_rotated(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real.log").touch()
    (tmp_path / "a.log").symlink_to(tmp_path / "elsewhere" / "real.log")
    with log_to(tmp_path / "a.log"):
        for _ in range(12):
            log.info("x" * 100_000)
    assert (tmp_path / "a.log").is_symlink()
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"real.log", "real.log.1"}
