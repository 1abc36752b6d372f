"""liveness_main.py --owner, as a user runs it."""

import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line, cache_in

from face_recognizer import NETWORK
from face_recognizer.sface import WEIGHTS as FILE
from model_file.owners import write_owners
from training.sample_video import simulate_replay


@pytest.fixture
def models(trained, recognizer, witness, detector, live_frames, stranger, tmp_path):
    """The sample's man as owner of one model, somebody else as that of another."""
    if not witness:
        pytest.skip("the witness' weights cannot be had")
    him = [recognizer.embed(live_frames[n], detector.detect(live_frames[n])[0]) for n in range(0, 40, 8)]
    owners = {"him": np.array(him), "other": np.array([recognizer.embed(stranger, detector.detect(stranger)[0])])}
    for name, templates in owners.items():
        shutil.copy(trained.model, tmp_path / f"{name}.model")
        write_owners(tmp_path / f"{name}.model", {name: templates}, NETWORK)
    return tmp_path


def test_the_owner_is_authorized_and_a_live_stranger_is_not(watch, models, sample):
    done = watch(sample.real, "--owner", "--once", "--json", "--model", models / "him.model")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "authorized" and "reason" not in json.loads(done.stdout)
    assert not (models / "incidents").exists()

    done = watch(sample.real, "--owner", "--once", "--json", "--model", models / "other.model")
    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert (said["verdict"], said["reason"]) == ("unauthorized", "a live stranger") and said["score"] > 0.5
    (record,) = (models / "incidents").glob("*/incident.json")
    assert json.loads(record.read_text())["reason"] == "a live stranger"


def test_a_stranger_does_not_keep_the_workstation_open(watch, models, live_frames, write_video):
    video = write_video([*live_frames, *live_frames[::-1]])
    done = watch(video, "--owner", "--away", "5", "--model", models / "other.model")
    assert "owner out of sight after 5.0" in done.stdout and "rehearsal, nothing locked" in done.stdout
    assert "unauthorized (a live stranger) after " in done.stdout
    done = watch(video, "--owner", "--away", "5", "--model", models / "him.model")
    assert "out of sight" not in done.stdout and "authorized after " in done.stdout


def test_a_live_stranger_who_flashes_the_owners_photo_is_never_authorized(
    watch, models, live_frames, stranger, detector, write_video
):
    """They hold a tablet with the owner's face before their own, for 0.1 s every 0.9 s."""

    def place(frame):
        x, y, w, h = max(detector.detect(frame), key=lambda face: face[3])[:4]
        return np.array([x + w / 2, y + h / 2]), max(w, h)

    shown = [(frame, *place(frame)) for frame in simulate_replay([stranger] * 3)]
    frames = [cv2.resize(frame, (586, 480), interpolation=cv2.INTER_CUBIC) for frame in live_frames]
    for number, frame in enumerate(frames):
        if number % 27 < 3:
            photo, middle, side = shown[number % 27]
            goal, size = place(frame)
            move = np.column_stack([np.eye(2) * size / side, goal - size / side * middle])
            cv2.warpAffine(photo, move, frame.shape[1::-1], frame, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
    done = watch(write_video(frames), "--owner", "--scores", "scores.csv", "--model", models / "other.model")
    assert ": authorized" not in done.stdout and "unauthorized (a live stranger) after " in done.stdout
    with open(models / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert "authorized" not in {row["verdict"] for row in rows} | {row["track_state"] for row in rows}
    assert len({row["track"] for row in rows}) > 4, "each flash, and each face after it, is another track"


def test_the_gate_says_that_it_was_a_stranger(watch, models, sample):
    done = watch(sample.real, "--owner", "--once", "--model", models / "other.model")
    assert done.returncode == 1 and ": unauthorized (a live stranger) after " in done.stdout


def test_a_replay_of_the_owner_is_one(watch, models, sample):
    done = watch(sample.fake, "--owner", "--once", "--json", "--model", models / "him.model")
    assert done.returncode == 1 and json.loads(done.stdout)["reason"] == "scored as a photo or replay"


@pytest.fixture
def start(models, trained, sample, witness_folder):
    """--owner, after a change to what the start knows of the weights, which is Python; offline, and without
    `own_folder` with nothing in the cache. With it, what the tests' beginning has left there is in place already."""

    def run(change: str, own_folder: bool) -> subprocess.CompletedProcess:
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from anti_spoofing import Witness, minifasnet
from face_recognizer import Recognizer, sface
minifasnet.WEIGHTS_URL = sface.WEIGHTS_URL = "http://127.0.0.1:9/x"
sface.WEIGHTS_WHEEL = None
{change}
import liveness_main
liveness_main.leave(liveness_main.main(["-m", "him.model", "-l", {str(trained.le)!r}, "-d", {str(WEIGHTS)!r},
    "--source", {str(sample.real)!r}, "--no-display", "--no-voice", "--once", "--owner"]))
"""
        own = {"LIVENESS_WEIGHTS": str(witness_folder if own_folder else models)}
        environment = os.environ | own | ({} if own_folder else cache_in(models / "cache"))
        return subprocess.run(
            [sys.executable, "-c", code], cwd=models, env=environment, capture_output=True, text=True, timeout=120
        )

    return run


def test_without_one_of_both_witnesses_it_fails_closed_in_one_line(start, models):
    folder = models / "weights"
    folder.mkdir()
    elsewhere = "{}.__init__.__defaults__ = (" + repr(str(folder)) + ",)"
    assert_one_line(start(elsewhere.format("Recognizer"), own_folder=True), FILE, "face recognition weights")
    (folder / FILE).write_bytes(b"altered")
    assert_one_line(start(elsewhere.format("Recognizer"), own_folder=True), FILE, "altered", "delete it")
    done = start(elsewhere.format("Witness"), own_folder=False)
    assert_one_line(done, "anti-spoofing weights", "--owner does not start without it")


def test_what_does_not_go_with_it_is_told_in_one_line(watch, models, sample):
    write_owners(models / "him.model", {}, NETWORK)
    assert_one_line(watch(sample.real, "--owner", "--model", models / "him.model"), "knows no owner", "--add-owner")
    for options in (["--owner-threshold", "0.5"], ["--owner", "--owner-threshold", "0.9"]):
        assert_one_line(watch(sample.real, *options), "--owner-threshold", "0.2 to 0.8")


def test_without_the_option_nothing_of_it_is_imported(trained, sample, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import liveness_main
status = liveness_main.main(["-m", {str(trained.model)!r}, "-l", {str(trained.le)!r}, "-d", {str(WEIGHTS)!r},
    "--source", {str(sample.real)!r}, "--no-display", "--no-voice", "--once"])
print(status, [name for name in sys.modules if "face_recogni" in name or "identity" in name or "owners" in name])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr
