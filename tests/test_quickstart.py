"""quickstart.py's decisions, and its steps on real subprocesses; a whole set-up takes too long for a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import quickstart
from quickstart import QuickstartError

SCRIPT = Path(quickstart.__file__)
HEADER = "frame,time_s,x,y,w,h,confidence,p_real,verdict\n"
ROW = "{},0.1,1,2,3,4,0.9,0.5,{}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in a folder of its own, whose .venv is the Python that runs the tests."""
    monkeypatch.setattr(quickstart, "ROOT", tmp_path)
    monkeypatch.setattr(quickstart, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(quickstart, "VENV_PYTHON", Path(sys.executable))
    (tmp_path / ".venv").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("requirements.txt", "pip-list.txt", "tests/requirements.txt"):
        (tmp_path / name).write_text("numpy\n")
    return tmp_path


# --- which system, which packages


@pytest.mark.parametrize("system, release, manager", [
    ("Linux", {"ID": "debian"}, "apt"),
    ("Linux", {"ID": "ubuntu", "ID_LIKE": "debian"}, "apt"),
    ("Linux", {"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt"),
    ("Linux", {"ID": "fedora"}, "dnf"),
    ("Linux", {"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf"),
    ("Linux", {"ID": "manjaro", "ID_LIKE": "arch"}, "pacman"),
    ("Linux", {"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper"),
    ("Linux", {"ID": "nixos"}, None),
    ("Linux", {}, None),
    ("Darwin", {}, "brew"),
    ("Windows", {}, None),
])
def test_the_package_manager_fits_the_system(system, release, manager):
    assert quickstart.package_manager(system, release) == manager


def test_debian_gets_what_this_python_lacks_and_nothing_for_tests_unless_asked():
    complete = quickstart.system_packages("apt", False, headers=True, ensurepip=True)
    assert "portaudio19-dev" in complete and "xvfb" not in complete
    lacking = quickstart.system_packages("apt", True, headers=False, ensurepip=False)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {"xvfb", "xdotool", f"python{version}-dev", f"python{version}-venv"} <= set(lacking)
    assert not [package for package in complete if package.startswith("python")]


def test_only_someone_who_is_not_root_needs_sudo_and_homebrew_refuses_it(monkeypatch):
    monkeypatch.setattr(quickstart, "is_root", lambda: False)
    assert quickstart.install_command("apt", ["gcc"]) == "sudo apt-get install -y gcc"
    assert quickstart.install_command("dnf", ["gcc"]) == "sudo dnf install -y gcc"
    assert quickstart.install_command("brew", ["portaudio"]) == "brew install portaudio"
    monkeypatch.setattr(quickstart, "is_root", lambda: True)
    assert quickstart.install_command("apt", ["gcc"]) == "apt-get install -y gcc"


def test_dpkg_listing_counts_what_is_installed_and_what_that_provides():
    listing = ("installed\tgcc, c-compiler, gcc-x86-64-linux-gnu (= 4:12.2.0-3)\n"
               "config-files\txvfb, \n"
               "installed\tlibglib2.0-0t64, libglib2.0-0 (= 2.80.0)\n")
    names = quickstart.parse_dpkg(listing)
    assert {"gcc", "c-compiler", "libglib2.0-0t64", "libglib2.0-0"} <= names
    assert "xvfb" not in names


@pytest.mark.skipif(not os.path.exists("/usr/bin/dpkg-query"), reason="asks a Debian package database")
def test_the_real_dpkg_knows_itself():
    assert "dpkg" in quickstart.installed_debian_packages()


class Apt:
    """Stands where apt-get would, and notes what it was asked."""

    def __init__(self, folder, monkeypatch, installed, status=0):
        self.log = folder / "apt.log"
        script = (f"#!{sys.executable}\nimport os, sys\n"
                  f"open({str(self.log)!r}, 'a').write(' '.join(sys.argv[1:]) + os.linesep)\n"
                  f"sys.stderr.write('E: no network' if {status} else '')\nsys.exit({status})\n")
        for name, text in (("apt-get", script), ("dpkg-query", f"#!/bin/sh\nprintf '{installed}'\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    @property
    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


posix = pytest.mark.skipif(os.name == "nt", reason="runs shell scripts")
ALL_OF_DEBIAN = "installed\\t" + ", ".join(
    quickstart.system_packages("apt", True, headers=False, ensurepip=False)) + "\\n"


@posix
def test_root_on_debian_gets_exactly_what_is_missing(project, monkeypatch, capsys):
    apt = Apt(project, monkeypatch, ALL_OF_DEBIAN.replace("espeak-ng, ", ""))
    monkeypatch.setattr(quickstart, "is_root", lambda: True)
    quickstart.install_system_packages("apt", False)
    assert len(apt.calls) == 2 and apt.calls[0].endswith("update")
    assert apt.calls[1].endswith("--no-install-recommends espeak-ng")
    assert capsys.readouterr().out.count("\n") == 1


@posix
def test_when_nothing_is_missing_apt_is_not_called(project, monkeypatch, capsys):
    apt = Apt(project, monkeypatch, ALL_OF_DEBIAN)
    monkeypatch.setattr(quickstart, "is_root", lambda: True)
    quickstart.install_system_packages("apt", True)
    assert apt.calls == [] and capsys.readouterr().out == ""


@posix
def test_without_root_debian_users_get_the_exact_command_and_apt_is_not_called(project, monkeypatch, capsys):
    apt = Apt(project, monkeypatch, ALL_OF_DEBIAN.replace("espeak-ng, ", ""))
    monkeypatch.setattr(quickstart, "is_root", lambda: False)
    quickstart.install_system_packages("apt", False)
    assert apt.calls == []
    assert capsys.readouterr().out == "System packages are missing: sudo apt-get install -y espeak-ng\n"


@posix
def test_a_failing_apt_is_told_and_does_not_stop_the_set_up(project, monkeypatch, capsys):
    Apt(project, monkeypatch, "", status=100)
    monkeypatch.setattr(quickstart, "is_root", lambda: True)
    quickstart.install_system_packages("apt", False)
    assert "E: no network; going on without" in capsys.readouterr().out


def test_other_systems_get_one_line_with_their_command(capsys):
    quickstart.install_system_packages("pacman", False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "pacman -S --needed" in lines[0] and "portaudio" in lines[0]
    quickstart.install_system_packages(None, False)
    assert capsys.readouterr().out == ""


# --- what was set up already


def stamp_it(project, tests=False):
    stamp = project / ".venv" / "stamp"
    stamp.write_text(quickstart.fingerprint(quickstart.python_version(Path(sys.executable)), tests))
    return stamp


def test_where_everything_is_in_place_set_up_does_nothing(project, capsys):
    stamp_it(project).rename(project / ".venv" / "quickstart-run.sha256")
    quickstart.set_up(tests=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("file", ["requirements.txt", "pip-list.txt", "tests/requirements.txt"])
def test_any_changed_list_of_packages_asks_for_set_up(project, file):
    version = quickstart.python_version(Path(sys.executable))
    stamp = stamp_it(project, tests=True)
    assert quickstart.is_set_up(stamp, version, tests=True)
    (project / file).write_text("numpy==2.0\n")
    assert not quickstart.is_set_up(stamp, version, tests=True)


def test_test_packages_do_not_matter_to_the_main_job(project):
    stamp = stamp_it(project)
    (project / "tests" / "requirements.txt").write_text("pytest\n")
    assert quickstart.is_set_up(stamp, quickstart.python_version(Path(sys.executable)), tests=False)


def test_another_python_a_broken_one_or_an_interruption_ask_for_set_up(project):
    version = quickstart.python_version(Path(sys.executable))
    stamp = stamp_it(project)
    assert quickstart.is_set_up(stamp, version, False)
    assert not quickstart.is_set_up(stamp, "3.99.0", False)
    assert not quickstart.is_set_up(stamp, None, False)
    assert not quickstart.is_set_up(project / "no-stamp", version, False)
    (project / ".venv" / "quickstart-installing").touch()
    assert not quickstart.is_set_up(stamp, version, False)


def test_a_python_that_is_missing_or_does_not_run_has_no_version(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", quickstart.python_version(Path(sys.executable)))
    assert quickstart.python_version(tmp_path / "python") is None
    (tmp_path / "python").write_text("")
    assert quickstart.python_version(tmp_path / "python") is None


def test_a_working_environment_is_kept_and_one_interrupted_in_its_set_up_is_made_anew(project):
    content = project / ".venv" / "content"
    content.touch()
    quickstart.make_venv("apt")
    assert content.exists()
    quickstart.interrupted().touch()
    quickstart.make_venv("apt")
    assert not content.exists() and not quickstart.interrupted().exists()
    assert (project / ".venv" / "pyvenv.cfg").exists()


def test_a_python_without_ensurepip_is_one_line_with_the_command(project, monkeypatch):
    monkeypatch.setattr(quickstart, "VENV_PYTHON", project / "nothing")
    monkeypatch.setattr(quickstart, "has_ensurepip", lambda: False)
    with pytest.raises(QuickstartError, match=r"apt-get install -y .*python3\.\d+-venv"):
        quickstart.make_venv("apt")


def test_an_environment_of_an_old_python_is_not_deleted_for_the_user(project, monkeypatch):
    monkeypatch.setattr(quickstart, "python_version", lambda python: "3.9.18")
    with pytest.raises(QuickstartError, match="3.9.18.*delete .venv"):
        quickstart.make_venv("apt")
    assert (project / ".venv").is_dir()


# --- packages


def test_requirements_are_read_without_comments_options_and_blanks(tmp_path):
    (tmp_path / "r.txt").write_text("# all\n\n-r other.txt\nnumpy>=2,<3   # arrays\n"
                                    "h5py ; python_version > '3'\n")
    assert quickstart.read_requirements(tmp_path / "r.txt") == ["numpy>=2,<3", "h5py ; python_version > '3'"]


def test_every_required_package_is_pinned_within_its_range():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {canonicalize_name(pin.name): next(iter(pin.specifier)).version
            for pin in map(Requirement, quickstart.read_requirements(SCRIPT.parent / "pip-list.txt"))}
    for file in ("requirements.txt", "tests/requirements.txt"):
        for line in quickstart.read_requirements(SCRIPT.parent / file):
            requirement = Requirement(line)
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


class Pip:
    """Stands in for .venv's Python: notes what pip is asked for, and fails at one requirement."""

    def __init__(self, project, monkeypatch, fails_at):
        self.log = project / "pip.log"
        python = project / "python"
        python.write_text(f"#!{sys.executable}\nimport sys\n"
                          f"open({str(self.log)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))\n"
                          f"print('pip says why')\nsys.exit({fails_at!r} in ' '.join(sys.argv))\n")
        python.chmod(0o755)
        monkeypatch.setattr(quickstart, "VENV_PYTHON", python)
        (project / "requirements.txt").write_text("numpy>=2\npyaudio>=0.2.14,<0.3  # sound\n")

    @property
    def calls(self):
        return self.log.read_text().splitlines()


@posix
def test_everything_is_installed_at_the_listed_versions_and_pyaudio_by_itself(project, monkeypatch, capsys):
    pip = Pip(project, monkeypatch, fails_at="nothing")
    (project / "tests" / "requirements.txt").write_text("pytest>=8\n")
    quickstart.install_packages("apt", tests=True)
    assert [call.split("--constraint pip-list.txt ")[1] for call in pip.calls] == [
        "numpy>=2 pytest>=8", "pyaudio>=0.2.14,<0.3"]
    assert not quickstart.interrupted().exists()
    assert capsys.readouterr().out == ""


@posix
def test_set_up_goes_on_without_pyaudio_and_says_how_to_add_it(project, monkeypatch, capsys):
    Pip(project, monkeypatch, fails_at="pyaudio")
    quickstart.install_packages("apt", tests=False)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "portaudio19-dev" in out and "-m pip install -c pip-list.txt 'pyaudio>=0.2.14,<0.3'" in out


@posix
def test_set_up_stops_when_the_packages_cannot_be_had_and_shows_why(project, monkeypatch, capsys):
    Pip(project, monkeypatch, fails_at="numpy")
    with pytest.raises(QuickstartError, match="run this again"):
        quickstart.install_packages("apt", tests=False)
    assert "pip says why" in capsys.readouterr().err
    assert not quickstart.interrupted().exists()    # nothing half-installed: no need to start afresh


def test_an_interrupted_installation_leaves_its_mark(project, monkeypatch):
    def interrupt(requirements):
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "pip_install", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quickstart.install_packages("apt", tests=False)
    assert quickstart.interrupted().exists()


# --- the main job


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
    with pytest.raises(QuickstartError, match="real.mov, real.mp4"):
        quickstart.choose_job()


@pytest.mark.parametrize("frames, skip", [(-1, 1), (0, 1), (120, 1), (1199, 1), (1200, 2), (18000, 30)])
def test_long_videos_are_thinned(frames, skip):
    assert quickstart.skip_for(frames) == skip


@pytest.mark.parametrize("verdicts, first", [
    ([], None), (["checking"] * 3, None), (["checking", "authorized", "unauthorized"], "authorized"),
    (["unauthorized", "authorized"], "unauthorized"),
])
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
    for name in ("sample_video.py", "gather_examples.py", "train.py", "liveness_main.py"):
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
    assert [line.split(maxsplit=2)[2] for line in shown] == steps    # "$ python script options"


def test_a_step_that_fails_ends_the_run_with_its_exit_status(scripts, monkeypatch):
    (scripts / "fails").write_text("train.py")
    with pytest.raises(QuickstartError, match="train.py stopped with exit status 7") as caught:
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


@pytest.mark.parametrize("arguments, command", [
    ([], ["tests"]), (["-k", "gather"], ["tests", "-k", "gather"]),
    (["-x", "--help"], ["tests", "-x", "--help"]),
    (["tests/test_quickstart.py::test_ci", "-q"], ["tests/test_quickstart.py::test_ci", "-q"]),
])
def test_what_follows_test_goes_to_pytest(arguments, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["quickstart.py", "test", *arguments])
    parsed = quickstart.parse_arguments()
    assert quickstart.pytest_command(parsed.pytest_arguments)[3:] == command


def test_the_status_of_the_tests_is_passed_on(project):
    (project / "tests" / "test_red.py").write_text("def test_red():\n    assert False\n")
    version = quickstart.python_version(Path(sys.executable))
    (project / "quickstart.py").write_bytes(SCRIPT.read_bytes())
    (project / ".venv" / "quickstart-test.sha256").write_text(quickstart.fingerprint(version, True))
    code = ("import pathlib, sys, quickstart; quickstart.VENV_PYTHON = pathlib.Path(sys.executable)\n"
            "sys.argv = ['quickstart.py', 'test', '-q']; sys.exit(quickstart.main())")
    result = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "1 failed" in result.stdout


def test_a_python_too_old_gets_one_line():
    code = ("import sys; sys.version_info = (3, 9, 18, 'final', 0); sys.version = '3.9.18 (main)'\n"
            f"exec(compile(open({str(SCRIPT)!r}, encoding='utf-8').read(), 'quickstart.py', 'exec'))")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "3.11" in result.stderr and "3.9.18" in result.stderr


def test_ci_runs_exactly_what_a_newcomer_would():
    lines = (SCRIPT.parent / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "python3 quickstart.py test"


def test_the_modules_are_compiled_for_every_start_to_come(project, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (project / "module.py").write_text("x = 1\n")
    quickstart.compile_modules()
    assert list(project.glob("__pycache__/module.*.pyc"))
