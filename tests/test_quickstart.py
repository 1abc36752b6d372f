"""quickstart.py's decisions, and its steps on real subprocesses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from video_parts import announcing

import quickstart
from setup import environment
from setup.environment import SetupError

SCRIPT = Path(quickstart.__file__)
HEADER = "frame,time_s,x,y,w,h,confidence,p_real,verdict\n"
ROW = "{},0.1,1,2,3,4,0.9,0.5,{}\n"

WORKERS = ["-n", str(os.cpu_count() + 1), "--dist", "loadfile"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in a folder of its own, run with the Python that runs the tests."""
    for module in (quickstart, environment):
        monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(module, "VENV_PYTHON", Path(sys.executable))
    (tmp_path / "videos").mkdir()
    return tmp_path


def test_without_videos_the_sample_runs_in_a_folder_of_its_own(project, capsys):
    job = quickstart.choose_job()
    assert job.sample
    made = (job.real, job.fake, job.dataset, job.model, job.encoder, job.plot, job.results, job.incidents)
    assert {path.parts[0] for path in made} == {"sample"}
    assert capsys.readouterr().out == ""


def test_the_users_own_videos_come_first_whatever_their_suffix(project):
    for name in ("real.MOV", "Fake.webm", "README.md", "real_old.mp4", "._real.mp4"):
        (project / "videos" / name).touch()
    job = quickstart.choose_job()
    assert not job.sample
    assert (job.real, job.fake) == (Path("videos/real.MOV"), Path("videos/Fake.webm"))
    assert (job.dataset, job.model) == (Path("dataset"), Path("liveness.model"))


@pytest.mark.parametrize("name, lacking", [("real.mp4", "fake"), ("fake.mp4", "real")])
def test_one_video_alone_is_said_in_a_line_and_left_alone(project, capsys, name, lacking):
    (project / "videos" / name).touch()
    assert quickstart.choose_job().sample
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and name in out and f"no {lacking}" in out


def test_two_videos_of_one_kind_are_not_guessed_between(project):
    for name in ("real.mp4", "real.mov", "fake.mp4"):
        (project / "videos" / name).touch()
    with pytest.raises(SetupError, match="real.mov, real.mp4"):
        quickstart.choose_job()


@pytest.mark.parametrize("frames, skip", [(-1, 1), (0, 1), (120, 1), (1199, 1), (1200, 2), (18000, 30)])
def test_long_videos_are_thinned(frames, skip):
    assert quickstart.skip_for(frames) == skip


def test_frames_are_counted_whatever_the_container_says(sample, write_video, live_frames, tmp_path, monkeypatch):
    """As a browser's WebM, which announced 2000 of 60: one in three would have been used."""
    monkeypatch.setattr(quickstart, "VENV_PYTHON", Path(sys.executable))
    video = write_video(live_frames[:60], "real.webm", "VP80")
    announcing(video, 0.001)
    assert quickstart.frame_count(video) == 60
    assert quickstart.frame_count(sample.real) == 120
    assert quickstart.frame_count(tmp_path / "missing.mp4") == 0


@pytest.mark.parametrize(
    "verdicts, first",
    [
        ([], None),
        (["checking"] * 3, None),
        (["checking", "authorized", "unauthorized"], "authorized"),
        (["unauthorized", "authorized"], "unauthorized"),
    ],
)
def test_the_first_verdict_counts(tmp_path, verdicts, first):
    rows = [ROW.format(frame, verdict) for frame, verdict in enumerate(verdicts)]
    (tmp_path / "scores.csv").write_text(HEADER + "".join(rows))
    assert quickstart.read_verdict(tmp_path / "scores.csv") == first


STEP = """
import json, pathlib, sys
name, options = pathlib.Path(sys.argv[0]).name, dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open("steps.log", "a") as log:
    log.write(" ".join([name, *sys.argv[1:]]) + chr(10))
if "--scores" in sys.argv:
    scores = pathlib.Path(sys.argv[sys.argv.index("--scores") + 1])
    verdict = "authorized" if scores.name.startswith("real") else "unauthorized"
    scores.write_text("verdict" + chr(10) + "checking" + chr(10) + verdict + chr(10))
sys.exit(7 if name == (pathlib.Path("fails").read_text() if pathlib.Path("fails").exists() else "") else 0)
"""


@pytest.fixture
def scripts(project):
    """The four scripts' names, each only noting how it was called."""
    for name in ("training/sample_video.py", "gather_examples.py", "train.py", "liveness_main.py"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(STEP)
    return project


def test_the_users_videos_go_through_the_documented_command_lines(scripts, capsys):
    for name in ("real.mp4", "fake.mp4"):
        (scripts / "videos" / name).touch()
    verdicts = quickstart.run_job(quickstart.choose_job())
    assert verdicts == {"real": "authorized", "fake": "unauthorized"}
    steps = (scripts / "steps.log").read_text().splitlines()
    gather = "gather_examples.py --input videos/"
    main = "liveness_main.py --model liveness.model --le le.pickle --detector face_detector --source videos/"
    assert [step.replace(os.sep, "/") for step in steps] == [
        f"{gather}fake.mp4 --output dataset/fake --detector face_detector --skip 1",
        f"{gather}real.mp4 --output dataset/real --detector face_detector --skip 1",
        "train.py --dataset dataset --model liveness.model --le le.pickle --plot plot.png",
        f"{main}real.mp4 --no-display --no-voice --output annotated/real.mp4"
        " --scores annotated/real_scores.csv --incidents incidents",
        f"{main}fake.mp4 --no-display --no-voice --output annotated/fake.mp4"
        " --scores annotated/fake_scores.csv --incidents incidents",
    ]
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("$ ")]
    assert [line.split(maxsplit=2)[2] for line in shown] == steps  # "$ python script options"


def test_a_step_that_fails_ends_the_run_with_its_exit_status(scripts, monkeypatch):
    (scripts / "fails").write_text("train.py")
    with pytest.raises(SetupError, match="train.py stopped with exit status 7") as caught:
        quickstart.run_job(quickstart.choose_job())
    assert caught.value.status == 7
    monkeypatch.setattr(quickstart, "set_up", lambda tests: None)
    monkeypatch.setattr(sys, "argv", ["quickstart.py"])
    assert quickstart.main() == 7
    steps = (scripts / "steps.log").read_text().splitlines()
    assert steps[0].startswith("sample_video.py") and steps[-1].startswith("train.py")


def test_the_summary_is_honest_about_the_sample_and_about_wrong_verdicts(project):
    job = quickstart.choose_job()
    right = quickstart.summary(job, {"real": "authorized", "fake": "unauthorized"}, ("+", "-"))
    assert re.search(r"live face +authorized +\+", right) and re.search(r"replay +unauthorized +\+", right)
    assert "simulated" in right and "trained on" in right and "liveness_main.py --model sample" in right
    wrong = quickstart.summary(job, {"real": "authorized", "fake": None}, ("+", "-"))
    assert re.search(r"replay +no verdict +-", wrong) and "not what it should be" in wrong


def test_only_both_verdicts_right_are_a_success():
    assert quickstart.as_expected({"real": "authorized", "fake": "unauthorized"})
    assert not quickstart.as_expected({"real": "authorized", "fake": None})
    assert not quickstart.as_expected({"real": "unauthorized", "fake": "unauthorized"})


@pytest.mark.parametrize("encoding, sign", [("utf-8", "✓"), ("cp1252", "OK"), ("ascii", "OK"), (None, "OK")])
def test_signs_fit_the_terminal(encoding, sign):
    assert quickstart.signs_for(encoding)[0] == sign


# --- the command line


def test_help_names_both_commands():
    result = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "quickstart.py test" in result.stdout


def test_an_unknown_task_is_refused():
    result = subprocess.run([sys.executable, SCRIPT, "tests"], capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments, command",
    [
        ([], [*WORKERS, "tests"]),
        (["-k", "gather"], [*WORKERS, "tests", "-k", "gather"]),
        (["-x", "--help"], [*WORKERS, "tests", "-x", "--help"]),
        (["tests/test_quickstart.py::test_ci", "-q"], ["tests/test_quickstart.py::test_ci", "-q"]),
    ],
)
def test_what_follows_test_goes_to_pytest(arguments, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["quickstart.py", "test", *arguments])
    parsed = quickstart.parse_arguments()
    assert quickstart.pytest_command(parsed.pytest_arguments)[3:] == command


def test_the_status_of_the_tests_is_passed_on(project):
    for folder in ("setup", "tests"):
        (project / folder).mkdir()
    for file in ("quickstart.py", "options.py", *(f"setup/{path.name}" for path in (ROOT / "setup").glob("*.py"))):
        (project / file).write_bytes((ROOT / file).read_bytes())
    for file in ("requirements.txt", "pip-list.txt", "tests/requirements.txt"):
        (project / file).write_text("numpy\n")
    (project / "tests" / "test_red.py").write_text("def test_red():\n    assert False\n")
    code = (
        "import pathlib, sys, quickstart; from setup import environment as e\n"
        "e.VENV_PYTHON = quickstart.VENV_PYTHON = pathlib.Path(sys.executable); e.VENV.mkdir()\n"
        "stamp = e.fingerprint(e.python_version(e.VENV_PYTHON), True)\n"
        "(e.VENV / 'quickstart-test.sha256').write_text(stamp)\n"
        "sys.argv = ['quickstart.py', 'test', '-q', '-n', '0']; sys.exit(quickstart.main())"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "1 failed" in result.stdout


def test_a_bare_python_is_enough_to_begin_with():
    """-S, -I: nothing that was installed can be imported."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import quickstart; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "setup.environment" in result.stdout.split() and "cv2" not in result.stdout.split()


def test_a_python_too_old_gets_one_line():
    code = (
        "import sys; sys.version_info = (3, 9, 18, 'final', 0); sys.version = '3.9.18 (main)'\n"
        f"exec(compile(open({str(SCRIPT)!r}, encoding='utf-8').read(), 'quickstart.py', 'exec'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "3.11" in result.stderr and "3.9.18" in result.stderr


def test_ci_runs_exactly_what_a_newcomer_would():
    lines = (SCRIPT.parent / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "python3 quickstart.py test"
