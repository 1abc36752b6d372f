import csv
import json
import os
import pickle
import re
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line, with_model

import alerts
import livenessnet
from alerting import incident
from authentication import authenticator, scoring, session, verdict
from authentication.interruption import Stop

HEADER = ["frame", "time_s", "x", "y", "w", "h", "confidence", "p_real", "verdict", "track", "track_state"]


def read_csv(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_live_face_is_authorized(watch, sample, tmp_path):
    done = watch(sample.real, "--scores", "scores.csv", "--output", "out.mp4")
    assert done.returncode == 0 and done.stderr == ""
    rows = read_csv(tmp_path / "scores.csv")
    assert list(rows[0]) == HEADER and [int(row["frame"]) for row in rows] == list(range(120))
    verdicts = [row["verdict"] for row in rows]
    first = verdicts.index("authorized")
    assert verdicts == ["checking"] * first + ["authorized"] * (120 - first)
    assert float(rows[first]["time_s"]) <= 1
    assert not (tmp_path / "incidents").exists()

    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 120
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(30000 / 1001, abs=0.1)
    video.set(cv2.CAP_PROP_POS_FRAMES, 110)
    # The box's left side, halfway down, is green.
    row = rows[110]
    assert_coloured(video.read()[1], row, strongest=1)


def test_a_replay_is_unauthorized_and_leaves_an_incident(watch, sample, tmp_path):
    done = watch(sample.fake, "--scores", "scores.csv", "--output", "out.mp4")
    assert done.returncode == 0 and done.stderr == ""
    rows = read_csv(tmp_path / "scores.csv")
    verdicts = [row["verdict"] for row in rows]
    assert verdicts[-1] == "unauthorized" and "authorized" not in verdicts
    assert float(rows[verdicts.index("unauthorized")]["time_s"]) <= 1
    incidents = list((tmp_path / "incidents").iterdir())
    assert len(incidents) == 1
    assert {path.name for path in incidents[0].iterdir()} == {"snapshot.jpg", "incident.json", "frames"}
    snapshot = cv2.imread(str(incidents[0] / "snapshot.jpg"))
    assert_coloured(snapshot, rows[verdicts.index("unauthorized")], strongest=2)
    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    video.set(cv2.CAP_PROP_POS_FRAMES, 115)
    assert_coloured(video.read()[1], rows[115], strongest=2)
    log = (tmp_path / "AuthenticationInfo.log").read_text()
    assert "watching" in log and "unauthorized at" in log and "finished" in log


def assert_coloured(picture: np.ndarray, row: dict, strongest: int) -> None:
    """A line of the verdict's colour (1: green, 2: red) stands where the face's left side is, or nearly: the box is
    smoothed."""
    x, y, w, h = (int(row[name]) for name in "xywh")
    band = picture[y + h // 3 : y + 2 * h // 3, x - w // 15 : x + w // 15].astype(int).mean(axis=0)
    others = np.delete(band, strongest, axis=1).max(axis=1)
    assert (band[:, strongest] > others + 40).any(), band


def test_an_incidents_frames_become_training_examples(watch, run, sample, tmp_path):
    watch(sample.fake)
    (incident,) = (tmp_path / "incidents").iterdir()
    done = run("gather_examples.py", "--input", incident, "--output", "dataset/fake", "--detector", WEIGHTS, "-s", "1")
    assert done.returncode == 0
    assert 3 <= len(list((tmp_path / "dataset" / "fake").glob(f"{incident.name}_*.png"))) <= 10


@pytest.mark.parametrize("label, status, verdict", [("real", 0, "authorized"), ("fake", 1, "unauthorized")])
def test_a_gate_stops_at_the_first_verdict_and_returns_it(watch, sample, tmp_path, label, status, verdict):
    done = watch(getattr(sample, label), "--once", "--scores", "scores.csv")
    assert (done.returncode, done.stderr) == (status, "")
    assert re.fullmatch(rf".*{label}\.mp4: {verdict} after 0\.\d\d s\n", done.stdout)
    rows = read_csv(tmp_path / "scores.csv")
    assert rows[-1]["verdict"] == verdict and {row["verdict"] for row in rows[:-1]} == {"checking"}
    assert len(rows) < 60


def test_no_verdict_is_status_3_in_time_and_at_the_end_of_a_file(watch, sample, write_video):
    assert_one_line(watch(sample.real, "--once", "--timeout", "0.2"), "no verdict", status=3)
    dark = write_video([np.zeros((120, 160, 3), np.uint8)] * 20)
    assert_one_line(watch(dark, "--once"), "no verdict", status=3)


def test_a_file_that_ends_without_a_verdict_says_so(watch, sample, live_frames, write_video):
    def said(frames) -> str:
        done = watch(write_video(frames))
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = done.stdout.splitlines()
        return line

    assert "video.mp4: no verdict: no face was seen" in said([np.full((120, 160, 3), 120, np.uint8)] * 20)
    assert "no verdict: too dark" in said([np.zeros((120, 160, 3), np.uint8)] * 20)
    assert "no verdict: the face was not seen for long enough" in said(live_frames[:5])
    assert "no verdict" not in said(live_frames)


def test_a_challenge_that_nobody_answers_is_no_verdict(watch, sample):
    done = watch(sample.real, "--once", "--challenge", "2")
    assert_one_line(done, "no verdict: what was asked for was not done", status=3)


@pytest.mark.parametrize("height, status", [(480, 0), (328, 1)], ids=["smaller", "as large"])
def test_a_replay_beside_a_live_face_decides_where_it_is_as_large(
    watch, sample, live_frames, write_video, tmp_path, height, status
):
    """height: of the live picture, in which the face is half as large again as in the replay."""
    video, pairs = cv2.VideoCapture(str(sample.fake)), []
    for live in live_frames[:60]:
        live = cv2.resize(live, None, fx=height / live.shape[0], fy=height / live.shape[0])
        live = cv2.copyMakeBorder(live, 0, 480 - height, 0, 0, cv2.BORDER_CONSTANT, value=(120, 120, 120))
        pairs.append(np.hstack([live, video.read()[1][:, 90:470]]))
    done = watch(write_video(pairs), "--once", "--scores", "scores.csv")
    rows = read_csv(tmp_path / "scores.csv")
    assert max(float(row["p_real"]) for row in rows) > 0.5 > min(float(row["p_real"]) for row in rows)
    assert done.returncode == status
    assert {row["track"] for row in rows} == {"1", "2"}


def test_nothing_heavy_is_imported(trained, sample, tmp_path):
    """Neither TensorFlow nor scikit-learn nor Matplotlib, nor what they or a camera need."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import liveness_main
status = liveness_main.main(["--model", {str(trained.model)!r}, "--le", {str(trained.le)!r},
    "--detector", {str(WEIGHTS)!r}, "--source", {str(sample.real)!r}, "--no-display", "--no-voice", "--once"])
heavy = {{"tensorflow", "keras", "sklearn", "matplotlib", "scipy", "onnx", "h5py", "requests", "pyttsx3", "pyaudio",
         "tqdm", "imutils", "keyring", "smtplib"}}
print(status, sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_a_gate_answers_with_one_json_object(watch, sample):
    def answer(*options):
        done = watch(*options, "--once", "--json")
        assert done.stderr == "" and len(done.stdout.splitlines()) == 1
        return done.returncode, json.loads(done.stdout)

    status, said = answer(sample.real)
    assert (status, said["verdict"], said["source"]) == (0, "authorized", str(sample.real))
    assert 0.5 < said["score"] <= 1 and 0 < said["time_s"] <= 1
    status, said = answer(sample.fake)
    assert (status, said["verdict"]) == (1, "unauthorized") and 0 <= said["score"] < 0.5
    status, said = answer(sample.real, "--timeout", "0.2")
    assert (status, said["verdict"], said["score"]) == (3, None, None) and said["time_s"] >= 0.2
    assert "not seen for long enough" in said["reason"]


def test_stricter_rates_ask_for_more(watch, sample):
    """The sample's live face is clear, so what grows is how clear it has to be: p_real 0.95 instead of 0.82."""

    def authorized_after(*options):
        return json.loads(watch(sample.real, "--once", "--json", *options).stdout)["time_s"]

    assert authorized_after("--false-pass", "1e-6") > authorized_after("--false-pass", "0.01")


def test_bad_input_is_told_in_one_line(run, watch, trained, sample, tmp_path):
    def with_model(model, le):
        return run(
            "liveness_main.py",
            "--model",
            model,
            "--le",
            le,
            "--detector",
            WEIGHTS,
            "--source",
            sample.real,
            "--no-display",
            "--no-voice",
        )

    whole = trained.model.read_bytes()
    (tmp_path / "cut.model").write_bytes(whole[:50_000])
    (tmp_path / "empty.model").write_bytes(b"")
    from sklearn.preprocessing import LabelEncoder

    (tmp_path / "cats.pickle").write_bytes(pickle.dumps(LabelEncoder().fit(["cat", "dog"])))
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "bad.toml").write_text("[email]\nport = 'x'\n")

    assert_one_line(with_model("missing.model", trained.le), "missing.model", "no such file")
    assert_one_line(with_model("cut.model", trained.le), "cut.model", "cut off")
    assert_one_line(with_model("empty.model", trained.le), "empty.model")
    assert_one_line(with_model(trained.model, "missing.pickle"), "missing.pickle", "no such file")
    assert_one_line(with_model(trained.model, "cats.pickle"), "cats.pickle", "'fake' and 'real'")
    assert_one_line(watch("99"), "camera 99", "no such camera")
    assert_one_line(watch("nothing.mp4"), "nothing.mp4", "no such file")
    assert_one_line(watch("text.mp4"), "text.mp4", "not a video")
    assert_one_line(watch(sample.real, "--confidence", "2"), "--confidence")
    assert_one_line(watch(sample.real, "--timeout", "3"), "--once")
    assert_one_line(watch(sample.real, "--json"), "--once")
    assert_one_line(watch(sample.real, "--false-lock", "0.5"), "--false-lock", "0.01")
    assert_one_line(watch(sample.real, "--false-pass", "0"), "--false-pass")
    assert_one_line(watch(sample.real, "--alerts", "bad.toml"), "bad.toml", "port")
    assert_one_line(run("liveness_main.py", "--model", trained.model), "--le")
    done = watch("rtsp://me:secret@host/x", "rtsp://me:secret@host/x")
    assert_one_line(done, "unrecognized arguments: rtsp://...")
    assert "secret" not in done.stderr
    (tmp_path / "alerts.toml").symlink_to("nowhere")
    assert_one_line(watch(sample.real), "alerts.toml", "cannot be read")


def test_without_a_screen_the_window_is_refused_in_one_line(run, trained, sample, tmp_path):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = run(
        "liveness_main.py",
        *with_model(trained),
        "--source",
        sample.real,
        "--no-voice",
        "--output",
        "out.mp4",
        "--scores",
        "out.csv",
        env=env,
    )
    assert_one_line(done, "--no-display")
    assert {path.name for path in tmp_path.iterdir()} == {"AuthenticationInfo.log"}, "parts of files are left behind"


def test_an_unwritable_log_does_not_stop_the_guard(watch, sample, tmp_path):
    (tmp_path / "AuthenticationInfo.log").mkdir()
    done = watch(sample.real, "--once")
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 1 and "without a log" in done.stderr


def test_a_failed_challenge_is_reported_when_the_face_has_long_gone(detector, trained, tmp_path):
    """By then the track, and with it the score, is forgotten."""

    class Failed:
        prompt, sentence = None, ""

        def update(self, *_):
            return verdict.UNAUTHORIZED

    empty = np.full((120, 160, 3), 90, np.uint8)
    source = SimpleNamespace(live=False, name="camera 0", frames=lambda: iter([(0, 0.0, empty)]))
    guard = alerts.Alerts(alerts.load_settings(None), tmp_path / "incidents", rehearsal=True, voice=False)
    network = livenessnet.load(trained.model, trained.le)
    judge = authenticator.Authenticator(scoring.Scorer(network, None), verdict.Verdict(), Failed())
    found = authenticator.look_for_faces(source, detector)
    outcome = session.watch(source, found, judge, guard, None, None, session.Ending(once=True), Stop())
    assert outcome.judgement.state == "unauthorized"
    guard.close()
    (record,) = (tmp_path / "incidents").glob("*/incident.json")
    assert json.loads(record.read_text())["reason"] == incident.CHALLENGE
