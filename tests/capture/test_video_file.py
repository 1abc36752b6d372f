import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

from capture import light
from capture.light import is_dark
from capture.opening import open_source
from capture.source import SourceError


def test_a_file_gives_every_frame_with_its_time(sample, live_frames):
    with open_source(str(sample.real)) as source:
        assert (source.live, source.stem, source.length) == (False, "real", 120)
        assert source.fps == pytest.approx(30000 / 1001)
        items = list(source.frames())
    assert [index for index, _, _ in items] == list(range(120))
    np.testing.assert_allclose([t for _, t, _ in items], np.arange(120) * 1001 / 30000, atol=2e-3)
    np.testing.assert_array_equal([frame for _, _, frame in items], live_frames)


def test_every_nth_frame_is_the_same_picture_as_without_skipping(sample, live_frames):
    with open_source(str(sample.real)) as source:
        items = list(source.frames(50))
    assert [index for index, _, _ in items] == [0, 50, 100]
    np.testing.assert_array_equal([frame for _, _, frame in items], live_frames[::50])


def test_broken_time_stamps_never_run_backwards(live_frames, write_video):
    """A container that gives its frames no duration: the decoder invents times, and the last is 0."""
    video = write_video(live_frames[:8])
    data = bytearray(video.read_bytes())
    start = data.index(b"stts") + 8  # version and flags behind the name
    assert struct.unpack(">2I", data[start : start + 8]) == (1, 8)
    data[start + 8 : start + 12] = bytes(4)
    video.write_bytes(data)
    with open_source(str(video)) as source:
        times = [time_s for _, time_s, _ in source.frames()]
    assert len(times) == 8 and times == sorted(set(times))


def test_recordings_are_told_apart_whatever_their_name(sample, tmp_path):
    copy = tmp_path / "other.mp4"
    copy.write_bytes(sample.real.read_bytes())
    prints = []
    for path in (sample.real, copy, sample.fake):
        with open_source(str(path)) as source:
            prints.append(source.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_a_file_needs_no_camera(sample):
    """Starting up matters: what only cameras need stays unimported."""
    code = "import sys; from capture.opening import open_source; open_source(sys.argv[1]); " \
           "sys.exit('capture.camera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, sample.real], cwd=ROOT, timeout=60).returncode == 0


def dimmed(frames: np.ndarray, share: float) -> np.ndarray:
    """As a camera in bad light gives them: darker, with noise."""
    noise = np.random.default_rng(0).normal(0, 1.5, frames.shape)
    return np.clip(frames * share + noise, 0, 255).astype(np.uint8)


def test_a_dim_face_that_can_be_found_is_not_dark(live_frames, detector):
    frames = dimmed(live_frames[::10], 0.2)
    assert all(len(detector.detect(frame)) for frame in frames)
    assert not any(is_dark(frame) for frame in frames)


def test_too_little_light_is_dark(live_frames):
    assert all(is_dark(frame) for frame in dimmed(live_frames[::10], 0.1))


@pytest.mark.parametrize("size", [(1, 1), (144, 176), (480, 640), (2160, 3840)])
def test_black_is_dark_and_light_is_not_at_any_size(size):
    assert is_dark(np.zeros((*size, 3), np.uint8)) is True
    assert is_dark(np.full((*size, 3), 90, np.uint8)) is False


def test_the_noise_of_a_covered_camera_is_dark():
    frame = np.clip(np.random.default_rng(1).normal(8, 12, (480, 640, 3)), 0, 255).astype(np.uint8)
    assert frame.max() > light.DARK_LEVEL
    assert is_dark(frame)


def test_a_phone_in_a_dark_room_is_not_dark(live_frames, detector):
    """Small enough that the face on it is only just found."""
    room = dimmed(np.zeros((1, 480, 640, 3)), 1)[0]
    room[200:236, 300:344] = cv2.resize(live_frames[0], (44, 36), interpolation=cv2.INTER_AREA)
    assert not is_dark(room)


@pytest.mark.parametrize("name, part", [
    pytest.param("9" * 5000, "no such file", id="number"), ("99", "camera 99"), ("rtsp://user:secret@127.0.0.1:1/x?key=secret", "stream"),
])
def test_what_cannot_be_opened_is_told_without_secrets(name, part):
    with pytest.raises(SourceError, match=part) as error:
        open_source(name)
    assert "secret" not in str(error.value)
