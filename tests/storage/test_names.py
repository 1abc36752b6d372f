"""Whether two names are one file."""

import os
import sys
import unicodedata

import pytest

from storage.names import is_same, may_be_same

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links ask for a privilege there")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "Straße.model"
    path.write_text("x")
    return path


def test_one_file_is_itself_by_any_path(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (file, str(file), "Straße.model", "./Straße.model", tmp_path / "." / ".." / tmp_path.name / file.name):
        assert is_same(file, name) and is_same(name, file)
    assert not is_same(file, tmp_path) and not is_same(file, tmp_path / "other")


@LINKS
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_and_by_links(file, tmp_path, link):
    link(file, tmp_path / "link")
    assert is_same(file, tmp_path / "link") and not is_same(tmp_path / "link", tmp_path / "else")


@LINKS
def test_and_by_links_to_what_is_not_there_yet(tmp_path):
    os.symlink("new", tmp_path / "link")
    os.symlink(tmp_path, tmp_path / "folder")
    assert may_be_same(tmp_path / "link", tmp_path / "new")
    assert may_be_same(tmp_path / "folder" / "new", tmp_path / "new")
    assert not may_be_same(tmp_path / "link", tmp_path / "newer")


def test_of_files_that_are_not_there_the_spelling_counts(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Café")
    for one, other in (("a", "A"), ("straße", "STRASSE"), ("café", decomposed), ("ﬁle", "FILE")):
        assert may_be_same(tmp_path / one, tmp_path / other), (one, other)
    assert not may_be_same(tmp_path / "a", tmp_path / "b") and not may_be_same(tmp_path / "a.x", tmp_path / "a.y")


def test_two_files_that_are_there_are_two_whatever_they_are_called(tmp_path):
    """On a disk that tells small letters from capitals."""
    (tmp_path / "a").write_text("")
    (tmp_path / "A").write_text("")
    alike = len(list(tmp_path.iterdir())) == 1
    assert is_same(tmp_path / "a", tmp_path / "A") == alike
    assert may_be_same(tmp_path / "a", tmp_path / "A")


@pytest.mark.parametrize("odd", ["a\0b", "x" * 5000, "", "\udcff"])
def test_names_that_no_system_takes_are_names_all_the_same(tmp_path, odd):
    assert may_be_same(odd, odd)
    assert not may_be_same(odd, tmp_path / "b")


@LINKS
def test_a_link_to_itself_is_no_reason_to_fail(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    assert may_be_same(tmp_path / "loop", tmp_path / "loop") and not may_be_same(tmp_path / "loop", tmp_path / "x")
