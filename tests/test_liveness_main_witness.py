"""liveness_main.py with and without the anti-spoofing network."""

import csv
import hashlib
import os
import subprocess
import sys

import pytest
from conftest import ROOT, assert_one_line, cache_in, with_model, without_the_missing
from pytorch_parts import file_of, small_network

from anti_spoofing.minifasnet import WEIGHTS as FILE

# The whole start, with what it knows of the network's weights changed.
CODE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from anti_spoofing import Witness, minifasnet
Witness.__init__.__defaults__ = (sys.argv.pop(1),)
minifasnet.WEIGHTS_URL = "http://127.0.0.1:9/x"
minifasnet.WEIGHTS_SHA256 = sys.argv.pop(1) or minifasnet.WEIGHTS_SHA256
import liveness_main
liveness_main.leave(liveness_main.main())
"""


@pytest.fixture
def start(trained, sample, tmp_path):
    """Run it with that folder for the weights, nothing in the cache, and no network."""

    def run(folder, *options, sha256="", source=None, own=None):
        env = os.environ | cache_in(tmp_path / "cache")
        env.pop("LIVENESS_WEIGHTS", None)
        if own:
            env["LIVENESS_WEIGHTS"] = str(own)
        return subprocess.run(
            [
                sys.executable,
                "-c",
                CODE,
                folder,
                sha256,
                *with_model(trained),
                "--source",
                source or sample.real,
                "--no-display",
                "--no-voice",
                *options,
            ],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def scores_in(file) -> list[float]:
    with open(file, newline="") as rows:
        return [float(row["p_real"]) for row in csv.DictReader(rows)]


@pytest.mark.parametrize("label, status", [("real", 0), ("fake", 1)])
def test_without_its_weights_livenessnet_decides_alone_and_that_is_told(start, sample, tmp_path, label, status):
    done = start(tmp_path / "none", "--once", source=getattr(sample, label))
    assert_one_line(done, "anti-spoofing weights", FILE, "LivenessNet decides alone", status=status)
    assert "Traceback" not in done.stderr
    log = (tmp_path / "AuthenticationInfo.log").read_text()
    (line,) = [line for line in log.splitlines() if "without the anti-spoofing network" in line]
    assert FILE in line and "WARNING" in line


@pytest.mark.parametrize("altered", [b"", b"altered", file_of(small_network())[:-100]])
def test_altered_weights_end_it_in_one_line(start, tmp_path, altered):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / FILE).write_bytes(altered)
    assert_one_line(start(tmp_path / "weights", "--once"), FILE, "altered", "delete it")
    assert FILE in (tmp_path / "AuthenticationInfo.log").read_text()


def test_altered_weights_in_the_users_own_folder_end_it_in_one_line(start, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / FILE).write_bytes(b"altered")
    assert_one_line(start(tmp_path / "none", "--once", own=tmp_path / "own"), FILE, "LIVENESS_WEIGHTS")


def test_a_witness_is_heard(start, tmp_path):
    """A stand-in, which takes everything for an attack."""
    weights = small_network()
    weights["module.linear.weight"] *= 0
    weights["module.bn.running_mean"] *= 0
    weights["module.bn.bias"][:] = 1
    weights["module.prob.weight"][:] = [[1], [-1], [0]]
    data = file_of(weights)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / FILE).write_bytes(data)
    assert start(tmp_path / "none", "--scores", "alone.csv").returncode == 0
    done = start(tmp_path / "weights", "--scores", "both.csv", sha256=hashlib.sha256(data).hexdigest())
    assert (done.returncode, done.stderr) == (0, "")
    alone, both = scores_in(tmp_path / "alone.csv"), scores_in(tmp_path / "both.csv")
    assert len(alone) == len(both) == 120 and sum(alone) / 120 > 0.9 and max(both) < 0.1


def test_the_line_about_what_is_missing_is_all_that_is_left_out(start, tmp_path):
    """Of what tests look at, where the real weights cannot be had."""
    done = start(tmp_path / "none", "--once")
    done.stderr += "something else\n"
    assert without_the_missing(done).stderr == "something else\n"


def test_nothing_heavy_is_imported_for_it(start, witness_folder, tmp_path):
    """Once the graph is kept."""
    env = os.environ | cache_in(tmp_path / "cache") | {"LIVENESS_WEIGHTS": str(witness_folder)}
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from anti_spoofing import Witness
Witness({str(tmp_path / "weights")!r})
print(sorted({{"onnx", "requests", "pickletools", "google.protobuf"}} & set(sys.modules)))"""
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True) for _ in range(2)
    )
    assert "onnx" in first.stdout and second.stdout == "[]\n", second.stderr
