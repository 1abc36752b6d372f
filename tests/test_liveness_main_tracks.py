"""Each face is judged by itself: what follows whom, as a user sees it. The real program, on videos made here."""

import csv

import cv2
import numpy as np
import pytest
from conftest import assert_one_line

from training.sample_video import draw_room

SIZE = 640, 480
WALL = (120, 120, 120)
PORTRAIT = 110  # its height in pixels; the face in it is 0.1 of the picture's height
SETTINGS = '[incidents]\ncooldown_s = 0\n[lock]\ncommand = ["true"]\n[location]\nurl = ""\n'


@pytest.fixture(scope="module")
def live(live_frames) -> list[np.ndarray]:
    """The live face of the sample, SIZE, beside a wall."""
    larger = [cv2.resize(frame, (586, 480), interpolation=cv2.INTER_CUBIC) for frame in live_frames]
    return [cv2.copyMakeBorder(frame, 0, 0, 0, 54, cv2.BORDER_CONSTANT, value=WALL) for frame in larger]


@pytest.fixture(scope="module")
def replay(sample) -> list[np.ndarray]:
    """Somebody holds a replay of that into the camera, SIZE: two seconds."""
    video = cv2.VideoCapture(str(sample.fake))
    return [video.read()[1] for _ in range(60)]


def nobody(count: int) -> list[np.ndarray]:
    return [np.full((*SIZE[::-1], 3), WALL, np.uint8)] * count


def with_portrait(frames: list[np.ndarray], portrait: np.ndarray, x: int, y: int) -> list[np.ndarray]:
    """The frames with a portrait on the wall there, and the noise of a camera in it."""
    rng, width = np.random.default_rng(0), PORTRAIT * portrait.shape[1] // portrait.shape[0]
    small = 0.85 * cv2.resize(portrait, (width, PORTRAIT), interpolation=cv2.INTER_AREA)
    hung = [frame.copy() for frame in frames]
    for frame in hung:
        frame[y : y + PORTRAIT, x : x + width] = np.clip(small + rng.normal(0, 2, small.shape), 0, 255)
    return hung


def rows_of(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def incidents_in(tmp_path) -> int:
    return len(list((tmp_path / "incidents").glob("[0-9]*")))


@pytest.mark.parametrize("seconds, authorized", [(2, 1), (0.3, 0)])
def test_a_second_replay_locks_again_whatever_was_in_view_in_between(
    watch, live, replay, write_video, tmp_path, seconds, authorized
):
    (tmp_path / "alerts.toml").write_text(SETTINGS)
    done = watch(write_video(replay[:30] + live[: round(30 * seconds)] + replay[30:]), "--arm")
    assert done.stdout.count(": unauthorized after ") == 2 and done.stdout.count(": authorized after ") == authorized
    assert incidents_in(tmp_path) == 2
    assert (tmp_path / "AuthenticationInfo.log").read_text().count("lock accepted (true)") == 2


def test_who_bends_down_for_a_moment_is_welcomed_once(watch, live, write_video, tmp_path):
    done = watch(write_video(live[:45] + nobody(40) + live[:45] + nobody(40) + live[:45]), "--scores", "scores.csv")
    assert done.stdout.count("authorized after ") == 1
    assert (tmp_path / "AuthenticationInfo.log").read_text().count(" authorized at ") == 1
    verdicts = [row["verdict"] for row in rows_of(tmp_path / "scores.csv")]
    assert verdicts.count("authorized") > 3 * 25 and verdicts[-1] == "authorized"


def test_a_camera_that_is_too_slow_is_told(watch, live_frames, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "slow.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 0.9, (176, 144))
    for frame in live_frames[:80:8]:
        writer.write(frame)
    writer.release()
    done = watch("slow.avi", "--once")
    assert_one_line(done, "no verdict: the camera is too slow: ", " pictures a second", status=3)
    assert "the camera is too slow" in (tmp_path / "AuthenticationInfo.log").read_text()


def test_a_picture_in_an_empty_room_is_nobody(watch, stranger, write_video, tmp_path):
    room = draw_room(np.random.default_rng(0))
    video = write_video(with_portrait([room] * 110, stranger, 260, 100))
    done = watch(video, "--once", "--scores", "scores.csv")
    assert incidents_in(tmp_path) == 0
    rows = rows_of(tmp_path / "scores.csv")
    assert {row["track"] for row in rows} == {"1"} and {row["verdict"] for row in rows} == {"checking"}
    assert rows[0]["track_state"] == "checking" and rows[-1]["track_state"] == "picture"
    assert_one_line(done, "no verdict: ", "a picture in the room", status=3)


def test_a_picture_behind_a_live_face_changes_nothing(watch, live, stranger, write_video, tmp_path):
    """Neither while they are there nor when they leave."""
    plain = [
        cv2.copyMakeBorder(frame, 0, 0, 0, 160, cv2.BORDER_CONSTANT, value=WALL) for frame in live[:105] + nobody(20)
    ]
    outcomes = []
    for frames in (plain, with_portrait(plain, stranger, 630, 60)):
        done = watch(write_video(frames), "--scores", "scores.csv")
        rows = rows_of(tmp_path / "scores.csv")
        theirs = [row for row in rows if int(row["x"]) < 500]
        told = [(row["frame"], row["verdict"], row["track"], row["track_state"]) for row in theirs]
        outcomes.append((done.stdout, done.returncode, told))
    assert outcomes[0] == outcomes[1] and outcomes[0][0].count("authorized after 0.") == 1
    portrait = [row for row in rows if int(row["x"]) > 500]
    assert len(portrait) > 110 and portrait[-1]["track_state"] == "picture"
    assert len({row["track"] for row in portrait}) == 1 and portrait[0]["track"] != theirs[0]["track"]
    assert incidents_in(tmp_path) == 0
