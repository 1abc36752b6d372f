"""The sample: the real recording, and its simulated replay as a camera would see it."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, WEIGHTS

from capture.opening import open_source
from face_detector import FaceDetector
from storage.downloads import sha256_of
from training import sample_video


def run_script(folder):
    return subprocess.run(
        [sys.executable, "-m", "training.sample_video", folder], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def sample(made_once):
    def make(folder):
        result = run_script(folder / "videos")
        assert result.returncode == 0, result.stderr
        assert "simulated" in result.stdout

    return made_once("sample-made-anew", make) / "videos"


def frames_of(video):
    with open_source(str(video)) as file:
        return [frame for _, _, frame in file.frames()]


@pytest.fixture(scope="module")
def replay(sample):
    return frames_of(sample / "fake.mp4")


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (144, 176, 3), np.uint8)


def test_the_live_recording_is_the_public_one_to_the_byte(sample):
    assert sha256_of(sample / "real.mp4") == sample_video.REAL_SHA256


def test_the_replay_has_a_frame_for_each_frame_and_nothing_else_is_left(sample, replay):
    assert len(replay) == len(frames_of(sample / "real.mp4")) == sample_video.FRAMES
    assert {frame.shape for frame in replay} == {(480, 640, 3)}
    assert sorted(file.name for file in sample.iterdir()) == ["fake.mp4", "real.mp4"]


def test_the_detector_finds_exactly_one_face_in_every_frame_of_the_replay(replay):
    detector = FaceDetector(WEIGHTS)
    assert [len(detector.detect(frame)) for frame in replay] == [1] * sample_video.FRAMES


def test_what_is_there_is_kept(sample):
    before = {file: file.stat().st_mtime_ns for file in sample.iterdir()}
    sample_video.make_sample(sample)
    assert {file: file.stat().st_mtime_ns for file in sample.iterdir()} == before


@pytest.mark.parametrize("name", ["real.mp4", "fake.mp4"])
def test_a_video_of_the_users_is_never_written_over(sample, tmp_path, name):
    if name == "fake.mp4":
        (tmp_path / "real.mp4").write_bytes((sample / "real.mp4").read_bytes())
    (tmp_path / name).write_bytes(b"the user's own recording")
    result = run_script(tmp_path)
    assert result.returncode == 2
    assert result.stderr.strip().count("\n") == 0
    assert str(tmp_path / name) in result.stderr and "choose another folder" in result.stderr
    assert (tmp_path / name).read_bytes() == b"the user's own recording"


def test_an_interrupted_simulation_leaves_nothing_behind(sample, tmp_path, monkeypatch):
    (tmp_path / "real.mp4").write_bytes((sample / "real.mp4").read_bytes())

    def interrupted(frames, seed=0):
        yield from [np.zeros((480, 640, 3), np.uint8)] * 5
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_video, "simulate_replay", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_video.make_sample(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["real.mp4"]


def test_the_simulation_is_the_same_for_a_seed_and_another_for_another(picture):
    def run(seed):
        return np.stack(list(sample_video.simulate_replay([picture] * 3, seed)))

    assert np.array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_the_hand_sways_and_the_room_stands_still(replay):
    """Rigid motion of the device alone: the device's edge moves, the corner of the room does not."""

    def largest_change(region):
        first, *others = (frame[region].astype(int) for frame in replay[::15])
        return max(np.abs(other - first).mean() for other in others)

    room, edge = np.s_[:60, :20], np.s_[100:300, 20:80]
    assert largest_change(room) < 8  # noise and coding alone
    assert largest_change(edge) > 20


def test_the_hand_sways_both_ways_and_without_jumps():
    sway = sample_video._draw_sway(np.random.default_rng(0))
    width, height = sample_video._layer_size()
    places = []
    for frame in range(sample_video.FRAMES):
        x, y, w = sample_video.device_pose(sway, frame / sample_video.FPS) @ [width / 2, height / 2, 1]
        places.append((x / w, y / w))
    assert np.ptp(places, axis=0).min() > 5  # pixels
    assert np.abs(np.diff(places, axis=0)).max() < 4


def test_the_screens_grid_keeps_the_brightness_and_colours_the_stripes():
    grey = np.full((90, 90, 3), 100, np.uint8)
    screen = sample_video.screen_texture(grey)
    assert screen.mean() == pytest.approx(100, abs=1)
    blue, green, red = (screen[..., channel].mean(axis=0) for channel in range(3))
    assert np.argmax(red[:3]) == 0 and np.argmax(green[:3]) == 1 and np.argmax(blue[:3]) == 2
    assert np.array_equal(red[:87], red[3:])  # a period of three pixels


def test_glare_adds_light_most_in_its_band_and_more_to_the_dark_than_to_the_bright():
    def gain(level):
        return sample_video.glare(np.full((80, 100, 3), level, np.uint8), position=0.5).astype(int) - level

    assert gain(0)[2, 50].mean() > gain(0)[2, 5].mean() + 40  # where the band crosses the upper edge
    assert 0 <= gain(128).mean() < 0.6 * gain(0).mean()
    assert gain(255).min() >= -1  # rounding


def test_recapture_lifts_black_and_shifts_white_to_blue():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert sample_video.recapture_colour(black).min() > 10
    blue, _, red = sample_video.recapture_colour(white)[0, 0]
    assert blue > red


def test_compose_shows_the_layer_where_it_is_opaque_and_the_background_elsewhere():
    layer = np.zeros((20, 20, 4), np.uint8)
    layer[5:15, 5:15] = (10, 20, 200, 255)
    background = np.full((40, 40, 3), 90, np.uint8)
    shift = np.array([[1, 0, 10], [0, 1, 20], [0, 0, 1]], float)
    view = sample_video.compose(layer, shift, background)
    assert view[30, 20].tolist() == [10, 20, 200]
    assert view[2, 2].tolist() == [90, 90, 90]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = run_script(tmp_path / "file" / "videos")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1 and "Traceback" not in result.stderr
