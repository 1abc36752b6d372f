import logging
import re
from pathlib import Path

import pytest

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

