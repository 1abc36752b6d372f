"""The fast part of fuzz.py; what it has found stands by name beside the tests of each part."""

import sys
import time

import damaged_inputs
import fuzz
import genuine_inputs
import pytest
from conftest import ROOT

INPUTS = {"labels": 250, "settings": 250, "weights": 40, "witness": 40, "picture": 200, "video": 100}


@pytest.mark.parametrize("target", INPUTS)
def test_what_comes_from_outside_is_used_or_refused(target):
    counts, findings = fuzz.run(target, INPUTS[target], seeded=int(time.time()))
    assert not findings
    assert counts["refused"] and counts.total() >= 0.9 * INPUTS[target]


def test_damaged_models_are_used_or_refused(trained):
    archive = genuine_inputs.Genuine(trained.model.read_bytes())
    counts, findings = fuzz.run("model", 20, damaged_inputs.changed_archive(archive), seeded=int(time.time()))
    assert not findings
    assert counts["refused"] >= 5


def test_the_fuzzer_notices_what_it_is_there_for(monkeypatch, tmp_path):
    """A reader that ends its process, hangs, takes memory or raises something else."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        f"import sys, os, time; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}]\n"
        "import dataclasses, fuzz\n"
        "def read(path):\n"
        "    data = path.read_bytes()\n"
        "    if data == b'end': os._exit(3)\n"
        "    if data == b'hang': time.sleep(60)\n"
        "    if data == b'grow': bytearray(b'x') * (400 << 20)\n"
        "    if data == b'raise': raise KeyError('oops')\n"
        "    return 'used'\n"
        "fuzz.serve(dataclasses.replace(fuzz.TARGETS['labels'], read=read))\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(bad))
    monkeypatch.setattr(fuzz, "TIME_LIMIT_S", 3.0)
    reader = fuzz.Reader("labels")
    try:
        assert reader.read(b"fine") == "used"
        assert "KeyError" in reader.read(b"raise")
        assert "status 3" in reader.read(b"end")
        assert "no answer" in reader.read(b"hang")
        if sys.platform != "win32":
            assert "MB of memory" in reader.read(b"grow")
        assert reader.read(b"fine") == "used"
    finally:
        reader.close()
