"""--away as its users meet it, on a file in which nobody is to be seen."""

import re

import numpy as np
import pytest
from conftest import assert_one_line


@pytest.fixture
def empty(write_video):
    """Six seconds."""
    return write_video([np.full((120, 160, 3), 120, np.uint8)] * 180, "empty.mp4")


def test_an_armed_run_locks_and_makes_no_incident(watch, empty, tmp_path):
    (tmp_path / "alerts.toml").write_text(f'[lock]\ncommand = ["touch", "{tmp_path / "locked"}"]\n')
    done = watch(empty, "--away", "5", "--arm")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"empty\.mp4: nobody in sight after 5\.00 s: (locking|lock requested)\n", done.stdout)
    assert (tmp_path / "locked").exists() and not (tmp_path / "incidents").exists()
    assert "nobody in sight: lock accepted (touch)" in (tmp_path / "AuthenticationInfo.log").read_text()


def test_a_rehearsal_locks_nothing_and_says_so(watch, empty):
    done = watch(empty, "--away", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith("nobody in sight after 5.00 s: rehearsal, nothing locked")


def test_without_a_lock_it_is_refused(watch, empty, tmp_path):
    (tmp_path / "alerts.toml").write_text("[lock]\nenabled = false\n")
    assert_one_line(watch(empty, "--away", "15"), "--away", "[lock] of alerts.toml")
