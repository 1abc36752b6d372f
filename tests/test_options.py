"""No word can end a script, or change the status with which it ends."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, WEIGHTS, with_model

import options

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and devices")
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")
NOWHERE = [
    pytest.param(">/dev/full", marks=FULL),
    pytest.param(">/dev/full 2>&1", marks=FULL),
    ">&-",
    "2>&-",
    "<&- >&- 2>&-",
    "| true",
]


def shell(command: list, redirection: str, folder, **env) -> int:
    """The status of a command whose streams are redirected by a shell."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}', "bash", *map(str, command)],
        cwd=folder,
        env=ours | env,
        capture_output=True,
    ).returncode


@pytest.fixture
def authenticator(trained):
    return [
        sys.executable,
        ROOT / "liveness_main.py",
        *with_model(trained),
        "--no-display",
        "--no-voice",
    ]


@posix
@pytest.mark.parametrize("redirection", NOWHERE)
def test_verdicts_are_what_they_are_whoever_hears_them(authenticator, sample, tmp_path, redirection):
    assert shell([*authenticator, "--source", sample.real, "--once"], redirection, tmp_path) == 0
    assert shell([*authenticator, "--source", sample.fake, "--once"], redirection, tmp_path) == 1


@posix
def test_nor_does_it_change_that_there_is_none(authenticator, sample, tmp_path):
    for redirection in (">/dev/full 2>&1", ">&- 2>&-"):
        assert shell([*authenticator, "--source", "nothing.mp4", "--once"], redirection, tmp_path) == 2
        options = ["--source", sample.real, "--once", "--timeout", "0.2"]
        assert shell([*authenticator, *options], redirection, tmp_path) == 3


@posix
@pytest.mark.parametrize("redirection", NOWHERE)
def test_an_intruder_is_locked_out_whoever_hears_of_it(authenticator, sample, tmp_path, redirection):
    (tmp_path / "alerts.toml").write_text(f'[lock]\ncommand = ["touch", "{tmp_path}/locked"]\n[location]\nurl = ""\n')
    assert shell([*authenticator, "--source", sample.fake, "--arm"], redirection, tmp_path) == 0
    assert (tmp_path / "locked").exists() and list((tmp_path / "incidents").glob("*/incident.json"))


@posix
@pytest.mark.parametrize("redirection", [NOWHERE[1], ">&- 2>&-", "| true"])
@pytest.mark.parametrize("script", ["gather_examples.py", "train.py", "liveness_main.py"])
def test_help_and_wrong_usage_of_every_script(script, redirection, tmp_path):
    assert shell([sys.executable, ROOT / script, "--help"], redirection, tmp_path) == 0
    assert shell([sys.executable, ROOT / script, "--nonsense"], redirection, tmp_path) == 2


@posix
@pytest.mark.parametrize("redirection", NOWHERE)
def test_gathering_goes_on_whoever_hears_of_it(sample, tmp_path, redirection):
    command = [sys.executable, ROOT / "gather_examples.py", "-i", sample.real, "-o", "crops", "-d", WEIGHTS, "-s", "40"]
    assert shell(command, redirection, tmp_path) == 0
    assert len(list((tmp_path / "crops").glob("*.png"))) == 3


@posix
@pytest.mark.parametrize(
    "encoding, name",
    [("cp1252", "\u65e5\u672c.mp4"), ("ascii:strict", "\U0001f600.mp4"), ("utf-8", "a\nb.mp4"), ("cp1252", "a\nb.mp4")],
)
def test_a_name_beyond_the_encoding_is_spelt_out(authenticator, sample, tmp_path, encoding, name):
    shutil.copyfile(sample.fake, tmp_path / name)
    assert shell([*authenticator, "--source", name, "--once"], "", tmp_path, PYTHONIOENCODING=encoding) == 1
    assert len(list((tmp_path / "incidents").glob("*/incident.json"))) == 1


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_stands_still_holds_up_neither_the_run_nor_its_end(authenticator, sample, tmp_path, unbuffered):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while os.write(writer, bytes(4096)):
            pass
    os.set_blocking(writer, True)
    done = subprocess.run(
        [*authenticator, "--source", sample.real, "--scores", "s.csv"],
        cwd=tmp_path,
        stdout=writer,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        timeout=30,
    )
    os.close(writer)
    os.close(reader)
    assert done.returncode == 0 and len((tmp_path / "s.csv").read_text().splitlines()) == 121


@posix
def test_what_is_written_later_never_gets_the_number_of_a_stream_that_is_closed(tmp_path):
    """Else what libraries complain of would be written into the user's file."""
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from options import make_words_safe
make_words_safe()
with open("mine.txt", "w") as file:
    os.write(2, b"a library complains")
    print("a word", file=sys.stderr)
    file.write(str(file.fileno() > 2))
"""
    assert shell([sys.executable, "-c", code], "<&- >&- 2>&-", tmp_path) == 0
    assert (tmp_path / "mine.txt").read_text() == "True"


class Strange:
    """A stream of somebody's own, as notebooks and test runners put in place."""

    def __init__(self, error: Exception | None = None):
        self.error, self.words = error, ""

    def write(self, text: str) -> int:
        if self.error:
            raise self.error
        self.words += text.encode("ascii").decode()
        return len(text)

    def flush(self) -> None:
        self.write("")


def test_streams_of_any_kind_take_any_word(monkeypatch):
    for name, stream in (("stdout", Strange()), ("stderr", None)):
        monkeypatch.setattr(sys, name, stream)
    options.make_words_safe()
    once = sys.stdout
    options.make_words_safe()
    assert sys.stdout is once, "asked twice, as a test does"
    print("caf\u00e9", "half a letter: \udce9", b"raw".decode())
    print("nobody is there", file=sys.stderr, flush=True)
    assert once._stream.words == "caf\\xe9 half a letter: \\udce9 raw\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), BrokenPipeError(), ValueError("I/O on closed file")])
def test_a_stream_that_fails_is_silent(monkeypatch, error):
    monkeypatch.setattr(sys, "stdout", Strange(error))
    options.make_words_safe()
    print("a word", flush=True)
    sys.stdout.writelines(["two", "more"])
