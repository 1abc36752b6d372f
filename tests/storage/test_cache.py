"""Where what can be made again is kept."""

import sys
from pathlib import Path

import pytest

from storage.cache import cache_folder

NAME = "liveness-authentication"


@pytest.mark.parametrize(
    "platform, set_to, expected",
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, Path("/x", NAME)),
        ("linux", {}, Path("/home/me/.cache", NAME)),
        ("linux", {"XDG_CACHE_HOME": ""}, Path("/home/me/.cache", NAME)),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, Path("/home/me/Library/Caches", NAME)),
        ("win32", {"LOCALAPPDATA": "/l"}, Path("/l", NAME)),
        ("win32", {}, Path("/home/me/AppData/Local", NAME)),
    ],
)
def test_each_system_has_a_place_for_it(monkeypatch, platform, set_to, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_folder() == expected


def test_nothing_is_made_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    cache_folder()
    assert not list(tmp_path.iterdir())
