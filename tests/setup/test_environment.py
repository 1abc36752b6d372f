""".venv on real subprocesses; a whole set-up takes too long for a test."""

import os
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from setup import environment, system_packages
from setup.environment import SetupError

posix = pytest.mark.skipif(os.name == "nt", reason="runs shell scripts")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in a folder of its own, whose .venv is the Python that runs the tests."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "VENV_PYTHON", Path(sys.executable))
    (tmp_path / ".venv").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("requirements.txt", "pip-list.txt", "tests/requirements.txt"):
        (tmp_path / name).write_text("numpy\n")
    return tmp_path


def stamp_it(project, tests=False):
    stamp = project / ".venv" / "stamp"
    stamp.write_text(environment.fingerprint(environment.python_version(Path(sys.executable)), tests))
    return stamp


def test_where_everything_is_in_place_set_up_does_nothing(project, capsys):
    stamp_it(project).rename(project / ".venv" / "quickstart-run.sha256")
    environment.set_up(tests=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("file", ["requirements.txt", "pip-list.txt", "tests/requirements.txt"])
def test_any_changed_list_of_packages_asks_for_set_up(project, file):
    version = environment.python_version(Path(sys.executable))
    stamp = stamp_it(project, tests=True)
    assert environment.is_set_up(stamp, version, tests=True)
    (project / file).write_text("numpy==2.0\n")
    assert not environment.is_set_up(stamp, version, tests=True)


def test_test_packages_do_not_matter_to_the_main_job(project):
    stamp = stamp_it(project)
    (project / "tests" / "requirements.txt").write_text("pytest\n")
    assert environment.is_set_up(stamp, environment.python_version(Path(sys.executable)), tests=False)


def test_another_python_a_broken_one_or_an_interruption_ask_for_set_up(project):
    version = environment.python_version(Path(sys.executable))
    stamp = stamp_it(project)
    assert environment.is_set_up(stamp, version, False)
    assert not environment.is_set_up(stamp, "3.99.0", False)
    assert not environment.is_set_up(stamp, None, False)
    assert not environment.is_set_up(project / "no-stamp", version, False)
    (project / ".venv" / "quickstart-installing").touch()
    assert not environment.is_set_up(stamp, version, False)


def test_a_python_that_is_missing_or_does_not_run_has_no_version(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", environment.python_version(Path(sys.executable)))
    assert environment.python_version(tmp_path / "python") is None
    (tmp_path / "python").write_text("")
    assert environment.python_version(tmp_path / "python") is None


def test_a_working_environment_is_kept_and_one_interrupted_in_its_set_up_is_made_anew(project):
    content = project / ".venv" / "content"
    content.touch()
    environment.make_venv("apt")
    assert content.exists()
    environment.interrupted().touch()
    environment.make_venv("apt")
    assert not content.exists() and not environment.interrupted().exists()
    assert (project / ".venv" / "pyvenv.cfg").exists()


def test_a_python_without_ensurepip_is_one_line_with_the_command(project, monkeypatch):
    monkeypatch.setattr(environment, "VENV_PYTHON", project / "nothing")
    for module in (environment, system_packages):
        monkeypatch.setattr(module, "has_ensurepip", lambda: False)
    with pytest.raises(SetupError, match=r"apt-get install -y .*python3\.\d+-venv"):
        environment.make_venv("apt")


def test_an_environment_of_an_old_python_is_not_deleted_for_the_user(project, monkeypatch):
    monkeypatch.setattr(environment, "python_version", lambda python: "3.9.18")
    with pytest.raises(SetupError, match="3.9.18.*delete .venv"):
        environment.make_venv("apt")
    assert (project / ".venv").is_dir()


def test_requirements_are_read_without_comments_options_and_blanks(tmp_path):
    (tmp_path / "r.txt").write_text("# all\n\n-r other.txt\nnumpy>=2,<3   # arrays\nh5py ; python_version > '3'\n")
    assert environment.read_requirements(tmp_path / "r.txt") == ["numpy>=2,<3", "h5py ; python_version > '3'"]


def test_every_required_package_is_pinned_within_its_range():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in map(Requirement, environment.read_requirements(ROOT / "pip-list.txt"))
    }
    for file in ("requirements.txt", "tests/requirements.txt"):
        for line in environment.read_requirements(ROOT / file):
            requirement = Requirement(line)
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


class Pip:
    """Stands in for .venv's Python: notes what pip is asked for, and fails at one requirement."""

    def __init__(self, project, monkeypatch, fails_at):
        self.log = project / "pip.log"
        python = project / "python"
        python.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"open({str(self.log)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))\n"
            f"print('pip says why')\nsys.exit({fails_at!r} in ' '.join(sys.argv))\n"
        )
        python.chmod(0o755)
        monkeypatch.setattr(environment, "VENV_PYTHON", python)
        (project / "requirements.txt").write_text("numpy>=2\npyaudio>=0.2.14,<0.3  # sound\n")

    @property
    def calls(self):
        return self.log.read_text().splitlines()


@posix
def test_everything_is_installed_at_the_listed_versions_and_pyaudio_by_itself(project, monkeypatch, capsys):
    pip = Pip(project, monkeypatch, fails_at="nothing")
    (project / "tests" / "requirements.txt").write_text("pytest>=8\n")
    environment.install_packages("apt", tests=True)
    assert [call.split("--constraint pip-list.txt ")[1] for call in pip.calls] == [
        "numpy>=2 pytest>=8",
        "pyaudio>=0.2.14,<0.3",
    ]
    assert not environment.interrupted().exists()
    assert capsys.readouterr().out == ""


@posix
def test_set_up_goes_on_without_pyaudio_and_says_how_to_add_it(project, monkeypatch, capsys):
    Pip(project, monkeypatch, fails_at="pyaudio")
    environment.install_packages("apt", tests=False)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "portaudio19-dev" in out and "-m pip install -c pip-list.txt 'pyaudio>=0.2.14,<0.3'" in out


@posix
def test_set_up_stops_when_the_packages_cannot_be_had_and_shows_why(project, monkeypatch, capsys):
    Pip(project, monkeypatch, fails_at="numpy")
    with pytest.raises(SetupError, match="run this again"):
        environment.install_packages("apt", tests=False)
    assert "pip says why" in capsys.readouterr().err
    assert not environment.interrupted().exists()  # nothing half-installed: no need to start afresh


def test_an_interrupted_installation_leaves_its_mark(project, monkeypatch):
    def interrupt(requirements):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "pip_install", interrupt)
    with pytest.raises(KeyboardInterrupt):
        environment.install_packages("apt", tests=False)
    assert environment.interrupted().exists()


def test_the_modules_are_compiled_for_every_start_to_come(project, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (project / "room").mkdir()
    for file in ("module.py", "room/__init__.py", "room/inner.py", ".venv/other.py"):
        (project / file).write_text("x = 1\n")
    environment.compile_modules()
    compiled = sorted(path.name.partition(".")[0] for path in project.rglob("*.pyc"))
    assert compiled == ["__init__", "inner", "module"]
