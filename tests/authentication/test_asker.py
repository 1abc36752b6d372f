"""Whether who asks can be the one before the camera."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from authentication import asker

AT_HOME = {"PATH": "/bin", "SSH_AUTH_SOCK": "/agent", "DISPLAY": ":0", "SSH_TTY": ""}
UNDER_PAM = {"PAM_TYPE": "auth", "PAM_USER": "me", "PAM_SERVICE": "sudo"}


@pytest.fixture(autouse=True)
def at_the_desk(monkeypatch):
    """Whatever these tests are started from."""
    monkeypatch.setattr(asker, "ancestors", lambda: iter(["sudo", "bash", "gnome-shell", "systemd"]))
    monkeypatch.setattr(asker, "lid_closed", lambda: False)


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"])
def test_ssh_shows_in_the_environment(name):
    assert asker.why_elsewhere(AT_HOME) == ""
    assert asker.why_elsewhere(AT_HOME | {name: "1.2.3.4 5 6 7"}) == f"asked over SSH ({name} is set)"


@pytest.mark.parametrize("host", ["", ":0", "localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_under_pam_this_host_is_no_other(host):
    assert asker.why_elsewhere(UNDER_PAM | {"PAM_RHOST": host}) == ""


@pytest.mark.parametrize("host", ["1.2.3.4", "laptop.example.org", "127", "localhost.example.org"])
def test_under_pam_another_host_is_told(host):
    assert "another host" in asker.why_elsewhere(UNDER_PAM | {"PAM_RHOST": host})


@pytest.mark.parametrize("name", ["sshd", "sshd-session"])
def test_under_pam_the_processes_it_comes_from_tell(monkeypatch, name):
    assert asker.why_elsewhere(UNDER_PAM) == ""
    monkeypatch.setattr(asker, "ancestors", lambda: iter(["sudo", "bash", name]))
    assert asker.why_elsewhere(UNDER_PAM) == "asked over SSH"
    assert asker.why_elsewhere(AT_HOME) == "", "without PAM the environment has said it"


def test_a_closed_lid_is_told_last(monkeypatch):
    monkeypatch.setattr(asker, "lid_closed", lambda: True)
    assert asker.why_elsewhere(AT_HOME) == asker.why_elsewhere(UNDER_PAM) == "the lid is closed"
    assert "SSH" in asker.why_elsewhere({"SSH_TTY": "/dev/pts/1"})


# --- What the system says ---


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["sshd-session", "a) S 1 (b"])
def test_a_process_knows_where_it_comes_from(tmp_path, name):
    """A shell that carries the name of another starts Python."""
    program = tmp_path / name
    program.symlink_to("/bin/sh")
    code = "from authentication.asker import ancestors; import json; print(json.dumps([*ancestors()]))"
    done = subprocess.run(
        [program, "-c", f"'{sys.executable}' -c '{code}'; exit $?"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ROOT},
    )
    assert json.loads(done.stdout)[:2] == [name, Path("/proc/self/comm").read_text().strip()], done.stderr


@pytest.mark.parametrize(
    "states, closed", [([], False), (["open"], False), (["closed"], True), (["open", "closed"], True)]
)
def test_linux_tells_of_each_lid(monkeypatch, tmp_path, states, closed):
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "linux")
    for number, state in enumerate(states):
        (tmp_path / f"LID{number}").mkdir()
        (tmp_path / f"LID{number}" / "state").write_text(f"state:      {state}\n")
    assert asker.lid_closed(tmp_path) is closed


@pytest.mark.skipif(sys.platform == "win32", reason="programs there are no shell scripts")
@pytest.mark.parametrize("said, closed", [("Yes", True), ("No", False), ("", False)])
def test_macos_is_asked_for_the_lid(monkeypatch, tmp_path, said, closed):
    monkeypatch.undo()
    script = tmp_path / "ioreg"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho \'    "AppleClamshellState" = {said}\'\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert asker.lid_closed() is closed
    assert (tmp_path / "asked").read_text() == "-r -k AppleClamshellState -d 1\n"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(asker, "ANSWER_LIMIT_S", 0.1)
    began = time.monotonic()
    assert asker.lid_closed() is False and time.monotonic() - began < 20
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert asker.lid_closed() is False
