"""The gate as its users meet it: locked out, asked from elsewhere, in a PAM stack with a password behind it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import ROOT, assert_one_line

import liveness_main
from authentication.interruption import Stop
from authentication.lockout import FILE, REFUSALS, Lockout

SETTINGS = '[lock]\ncommand = ["true"]\n[location]\nurl = ""\n'


@pytest.fixture
def state(tmp_path):
    """Where the gates that `run` starts keep their refusals."""
    return tmp_path / "state" / "liveness-authentication"


@pytest.fixture
def armed_gate(watch, tmp_path):
    (tmp_path / "alerts.toml").write_text(SETTINGS)
    return lambda source, *options, **kwargs: watch(source, "--once", "--arm", *options, **kwargs)


def refuse(state, times: int) -> None:
    for _ in range(times):
        Lockout(lambda: state).refused()


def test_the_fifth_refusal_closes_the_gate_until_it_is_reset(armed_gate, watch, run, sample, state, tmp_path):
    refuse(state, REFUSALS - 1)
    assert armed_gate(sample.fake).returncode == 1
    # Nothing is opened: there is no such camera.
    done = watch("99", "--once")
    assert_one_line(done, "camera 99: no verdict: locked out: until ", "--reset-lockout", status=3)
    until = time.strptime(time.strftime("%Y-%m-%d ") + done.stderr.partition("until ")[2][:8], "%Y-%m-%d %H:%M:%S")
    assert 200 < (time.mktime(until) - time.time()) % 86400 <= 300
    assert "locked out" in (tmp_path / "AuthenticationInfo.log").read_text().splitlines()[-1]
    done = armed_gate(sample.real, "--json")
    assert json.loads(done.stdout) == {
        "verdict": None,
        "score": None,
        "time_s": 0.0,
        "source": str(sample.real),
        "reason": "locked out",
    }
    assert_one_line(done, "locked out", status=3)
    assert watch(sample.real, "--once").returncode == 0, "a rehearsal is not locked out"

    done = run("liveness_main.py", "--reset-lockout")
    assert (done.returncode, done.stdout, done.stderr) == (0, "refusals forgotten: the gate looks again\n", "")
    assert run("liveness_main.py", "--reset-lockout").stdout == "there are no refusals to forget\n"
    assert armed_gate(sample.real).returncode == 0


def test_who_is_authorized_makes_up_for_the_refusals_before_and_a_rehearsal_counts_for_nothing(
    armed_gate, watch, sample, state
):
    refuse(state, 1)
    before = (state / FILE).read_text()
    assert watch(sample.fake, "--once").returncode == 1 and watch(sample.real, "--once").returncode == 0
    assert (state / FILE).read_text() == before
    assert armed_gate(sample.real).returncode == 0
    assert not (state / FILE).exists()


@pytest.mark.parametrize("shown_s, counted", [(0.35, 1), (0.1, 0)])
def test_a_replay_that_is_hidden_shortly_before_its_verdict_is_counted(
    armed_gate, sample, write_video, state, shown_s, counted
):
    video = cv2.VideoCapture(str(sample.fake))
    shown = [video.read()[1] for _ in range(40)][-round(30 * shown_s) :]
    done = armed_gate(write_video(shown + [np.full_like(shown[0], 120)] * 40))
    assert_one_line(done, "no verdict", status=3)
    assert len((state / FILE).read_text().split()[1:] if (state / FILE).exists() else ()) == counted


def test_without_a_lockout_refusals_neither_close_it_nor_count(armed_gate, sample, state):
    refuse(state, REFUSALS)
    before = (state / FILE).read_text()
    assert armed_gate(sample.fake, "--no-lockout").returncode == 1
    assert armed_gate(sample.real, "--no-lockout").returncode == 0
    assert (state / FILE).read_text() == before


def test_a_refusal_counts_though_the_video_of_it_cannot_be_written(armed_gate, sample, state, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full, a disk that is always full")
    assert_one_line(armed_gate(sample.fake, "--scores", "/dev/full"), "/dev/full")
    assert len((state / FILE).read_text().split()) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links and owners are of POSIX")
def test_refusals_that_may_be_somebody_elses_are_not_believed(armed_gate, watch, run, sample, state, tmp_path):
    refuse(state, 1)
    (state / FILE).rename(tmp_path / "elsewhere")
    (state / FILE).symlink_to(tmp_path / "elsewhere")
    assert_one_line(armed_gate(sample.real), str(state / FILE), "delete it")
    assert_one_line(run("liveness_main.py", "--reset-lockout"), str(state / FILE), "delete it")
    assert watch(sample.real, "--once").returncode == 0, "they are of no matter to a rehearsal"


def test_without_a_place_for_its_refusals_it_goes_on(armed_gate, sample, state):
    state.parent.parent.joinpath("state").write_text("a file")
    done = armed_gate(sample.fake)
    assert done.returncode == 1 and "cannot be kept" in done.stderr


def test_over_ssh_it_takes_no_look_unless_it_is_told_to(armed_gate, watch, sample, tmp_path):
    over_ssh = os.environ | {"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22", "XDG_STATE_HOME": str(tmp_path / "state")}
    done = watch("99", "--once", env=over_ssh)
    assert_one_line(done, "camera 99: no verdict: asked over SSH (SSH_CONNECTION is set)", "--allow-remote", status=3)
    done = armed_gate(sample.real, "--json", env=over_ssh)
    assert json.loads(done.stdout)["reason"] == "asked over SSH (SSH_CONNECTION is set)" and done.returncode == 3
    assert armed_gate(sample.real, "--allow-remote", env=over_ssh).returncode == 0
    assert watch(sample.real, "--once", env=over_ssh).returncode == 0, "a rehearsal is nowhere"
    assert watch("99", env=over_ssh).returncode == 2, "only the gate asks who is there"


def test_a_closed_gate_opens_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSH_TTY", "/dev/pts/1")
    monkeypatch.setattr(liveness_main, "Opening", lambda *_: pytest.fail("something is opened"))
    assert liveness_main.run(liveness_main.parse(["-m", "m", "-l", "l", "--once"]), Stop()) == 3
    assert "asked over SSH" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, said",
    [
        ("--allow-remote", "--allow-remote goes with --once"),
        ("--no-lockout", "--no-lockout goes with --once"),
        ("--away 15 --once", "--away does not go with --once"),
        ("--away 15 --no-lock", "--away does not go with --no-lock"),
        *[(f"--away {seconds}", "--away") for seconds in ("4", "-15", "nan", "inf", "soon")],
    ],
)
def test_options_that_do_not_go_together(capsys, options, said):
    with pytest.raises(SystemExit) as end:
        liveness_main.parse(["-m", "m", "-l", "l", *options.split()])
    line = capsys.readouterr().err
    assert end.value.code == 2 and said in line and len(line.splitlines()) == 1


# --- In a PAM stack ---


@pytest.fixture
def pam(tmp_path):
    """pam(control, typed, *options): whether PAM lets somebody in who types that password, and what was said.

    The gate, asked with these options for a camera that is not there, stands before the password "secret". In a mount
    namespace of its own, where /etc/pam.d holds but this service."""
    if not shutil.which("pamtester") or not shutil.which("unshare"):
        pytest.skip("install pamtester")
    if os.geteuid() != 0:
        pytest.skip("only root may put a PAM service in place")

    def script(name: str, line: str):
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path} || exit 2\n{line}\n")
        (tmp_path / name).chmod(0o755)
        return tmp_path / name

    def authenticate(control: str, typed: str, *options: str, item: str = "") -> tuple[bool, str]:
        command = [
            sys.executable,
            str(ROOT / "liveness_main.py"),
            "-m",
            "m",
            "-l",
            "l",
            "--source",
            "99",
            "--once",
            *options,
        ]
        gate = script("gate", f"export XDG_STATE_HOME={tmp_path}/state\nexec {shlex.join(command)} 2>>said")
        password = script("password", r"""[ "$(tr -d '\0')" = secret ]""")
        (tmp_path / "service").write_text(
            f"auth {control} pam_exec.so quiet {gate}\nauth required pam_exec.so quiet expose_authtok {password}\n"
        )
        mount = f"mount -t tmpfs tmpfs /etc/pam.d && cp {tmp_path}/service /etc/pam.d/gate"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f"{mount} && exec pamtester {item} gate root authenticate"],
            input=typed + "\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode == 0, done.stdout + done.stderr + (tmp_path / "said").read_text()

    return authenticate


def test_a_lockout_goes_on_to_the_password_where_the_gate_is_sufficient(pam, state):
    refuse(state, REFUSALS)
    entered, said = pam("sufficient", "secret", "--allow-remote")
    assert entered and "locked out" in said and "Password" in said
    assert not pam("sufficient", "wrong", "--allow-remote")[0]


def test_a_lockout_lets_nobody_in_where_the_gate_is_required(pam, state):
    refuse(state, REFUSALS)
    entered, said = pam("required", "secret", "--allow-remote")
    assert not entered and "locked out" in said


def test_under_pam_another_host_is_told_by_pam_and_by_no_environment(pam, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "of whoever started pamtester, which PAM does not hand on")
    entered, said = pam("required", "secret", item="-I rhost=1.2.3.4")
    assert not entered and "asked from another host (PAM_RHOST)" in said
