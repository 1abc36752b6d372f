"""Which system packages are asked for, and how; apt-get and dpkg-query are stood in for."""

import os
import sys

import pytest

from setup import system_packages


@pytest.mark.parametrize(
    "system, release, manager",
    [
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
    ],
)
def test_the_package_manager_fits_the_system(system, release, manager):
    assert system_packages.package_manager(system, release) == manager


def test_debian_gets_what_this_python_lacks_and_nothing_for_tests_unless_asked():
    complete = system_packages.system_packages("apt", False, headers=True, ensurepip=True)
    assert "portaudio19-dev" in complete and "xvfb" not in complete
    lacking = system_packages.system_packages("apt", True, headers=False, ensurepip=False)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {"xvfb", "xdotool", f"python{version}-dev", f"python{version}-venv"} <= set(lacking)
    assert not [package for package in complete if package.startswith("python")]


def test_only_someone_who_is_not_root_needs_sudo_and_homebrew_refuses_it(monkeypatch):
    monkeypatch.setattr(system_packages, "is_root", lambda: False)
    assert system_packages.install_command("apt", ["gcc"]) == "sudo apt-get install -y gcc"
    assert system_packages.install_command("dnf", ["gcc"]) == "sudo dnf install -y gcc"
    assert system_packages.install_command("brew", ["portaudio"]) == "brew install portaudio"
    monkeypatch.setattr(system_packages, "is_root", lambda: True)
    assert system_packages.install_command("apt", ["gcc"]) == "apt-get install -y gcc"


def test_dpkg_listing_counts_what_is_installed_and_what_that_provides():
    listing = (
        "installed\tgcc, c-compiler, gcc-x86-64-linux-gnu (= 4:12.2.0-3)\n"
        "config-files\txvfb, \n"
        "installed\tlibglib2.0-0t64, libglib2.0-0 (= 2.80.0)\n"
    )
    names = system_packages.parse_dpkg(listing)
    assert {"gcc", "c-compiler", "libglib2.0-0t64", "libglib2.0-0"} <= names
    assert "xvfb" not in names


@pytest.mark.skipif(not os.path.exists("/usr/bin/dpkg-query"), reason="asks a Debian package database")
def test_the_real_dpkg_knows_itself():
    assert "dpkg" in system_packages.installed_debian_packages()


class Apt:
    """Stands where apt-get would, and notes what it was asked."""

    def __init__(self, folder, monkeypatch, installed, status=0):
        self.log = folder / "apt.log"
        script = (
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(self.log)!r}, 'a').write(' '.join(sys.argv[1:]) + os.linesep)\n"
            f"sys.stderr.write('E: no network' if {status} else '')\nsys.exit({status})\n"
        )
        for name, text in (("apt-get", script), ("dpkg-query", f"#!/bin/sh\nprintf '{installed}'\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    @property
    def calls(self):
        return self.log.read_text().splitlines() if self.log.exists() else []


posix = pytest.mark.skipif(os.name == "nt", reason="runs shell scripts")
ALL_OF_DEBIAN = (
    "installed\\t" + ", ".join(system_packages.system_packages("apt", True, headers=False, ensurepip=False)) + "\\n"
)


@posix
def test_root_on_debian_gets_exactly_what_is_missing(tmp_path, monkeypatch, capsys):
    apt = Apt(tmp_path, monkeypatch, ALL_OF_DEBIAN.replace("espeak-ng, ", ""))
    monkeypatch.setattr(system_packages, "is_root", lambda: True)
    system_packages.install("apt", False)
    assert len(apt.calls) == 2 and apt.calls[0].endswith("update")
    assert apt.calls[1].endswith("--no-install-recommends espeak-ng")
    assert capsys.readouterr().out.count("\n") == 1


@posix
def test_when_nothing_is_missing_apt_is_not_called(tmp_path, monkeypatch, capsys):
    apt = Apt(tmp_path, monkeypatch, ALL_OF_DEBIAN)
    monkeypatch.setattr(system_packages, "is_root", lambda: True)
    system_packages.install("apt", True)
    assert apt.calls == [] and capsys.readouterr().out == ""


@posix
def test_without_root_debian_users_get_the_exact_command_and_apt_is_not_called(tmp_path, monkeypatch, capsys):
    apt = Apt(tmp_path, monkeypatch, ALL_OF_DEBIAN.replace("espeak-ng, ", ""))
    monkeypatch.setattr(system_packages, "is_root", lambda: False)
    system_packages.install("apt", False)
    assert apt.calls == []
    assert capsys.readouterr().out == "System packages are missing: sudo apt-get install -y espeak-ng\n"


@posix
def test_a_failing_apt_is_told_and_does_not_stop_the_set_up(tmp_path, monkeypatch, capsys):
    Apt(tmp_path, monkeypatch, "", status=100)
    monkeypatch.setattr(system_packages, "is_root", lambda: True)
    system_packages.install("apt", False)
    assert "E: no network; going on without" in capsys.readouterr().out


def test_other_systems_get_one_line_with_their_command(capsys):
    system_packages.install("pacman", False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "pacman -S --needed" in lines[0] and "portaudio" in lines[0]
    system_packages.install(None, False)
    assert capsys.readouterr().out == ""
