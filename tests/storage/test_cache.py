"""Where what can be made again is kept, and what lasts."""

import sys
from pathlib import Path

import pytest

from storage.cache import cache_folder, state_folder

NAME = "liveness-authentication"


@pytest.mark.parametrize(
    "folder, platform, set_to, expected",
    [
        (cache_folder, "linux", {"XDG_CACHE_HOME": "/x"}, Path("/x", NAME)),
        (cache_folder, "linux", {}, Path("/home/me/.cache", NAME)),
        (cache_folder, "linux", {"XDG_CACHE_HOME": ""}, Path("/home/me/.cache", NAME)),
        (cache_folder, "darwin", {"XDG_CACHE_HOME": "/x"}, Path("/home/me/Library/Caches", NAME)),
        (cache_folder, "win32", {"LOCALAPPDATA": "/l"}, Path("/l", NAME)),
        (cache_folder, "win32", {}, Path("/home/me/AppData/Local", NAME)),
        (state_folder, "linux", {"XDG_STATE_HOME": "/x"}, Path("/x", NAME)),
        (state_folder, "linux", {"XDG_STATE_HOME": ""}, Path("/home/me/.local/state", NAME)),
        (state_folder, "darwin", {"XDG_STATE_HOME": "/x"}, Path("/home/me/Library/Application Support", NAME)),
        (state_folder, "win32", {"LOCALAPPDATA": "/l"}, Path("/l", NAME)),
        (state_folder, "win32", {}, Path("/home/me/AppData/Local", NAME)),
    ],
)
def test_each_system_has_a_place_for_it(monkeypatch, folder, platform, set_to, expected):
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert folder() == expected


def test_nothing_is_made_there(monkeypatch, tmp_path):
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    cache_folder(), state_folder()
    assert not list(tmp_path.iterdir())
