"""Videos whose frames, sizes or time stamps make no sense."""

import struct

import cv2
import genuine_inputs
import numpy as np
import pytest

from capture.opening import open_source
from capture.source import SourceError


def test_a_video_of_a_hundred_megapixels_is_refused(tmp_path):
    path = tmp_path / "huge.mjpeg"
    path.write_bytes(cv2.imencode(".jpg", np.zeros((9_000, 12_000), np.uint8))[1].tobytes() * 2)
    with pytest.raises(SourceError, match="12000x9000"):
        open_source(str(path))


def test_frames_that_change_their_size_come_in_the_size_of_the_first(tmp_path):
    path = tmp_path / "x.mjpeg"
    sizes = [(48, 48), (48, 48), (160, 160), (64, 96), (16, 16)]
    path.write_bytes(b"".join(cv2.imencode(".jpg", np.full((*size, 3), 99, np.uint8))[1].tobytes() for size in sizes))
    with open_source(str(path)) as source:
        seen = [frame.shape[:2] for _, _, frame in source.frames()]
    assert seen == [(48, 48)] * 5


def test_a_time_stamp_that_leaps_ahead_does_not_stop_the_clock(live_frames, write_video):
    """In Matroska each block carries its time in milliseconds, two bytes behind the track's number."""
    video = write_video(live_frames[:10], "x.mkv")
    data = bytearray(video.read_bytes())
    with open_source(str(video)) as source:
        expected = [time_s for _, time_s, _ in source.frames()]
    at = data.find(b"\x81" + struct.pack(">h", 133))  # the fifth frame, at 4/30 s
    assert at > 0
    data[at + 1 : at + 3] = struct.pack(">h", 32_000)
    video.write_bytes(data)
    with open_source(str(video)) as source:
        times = [time_s for _, time_s, _ in source.frames()]
    assert len(times) == 10 and times == sorted(set(times))
    np.testing.assert_allclose(times, expected, atol=0.05)


def test_an_empty_picture_in_a_folder_is_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", genuine_inputs.picture_of())[1].tobytes())
    (tmp_path / "c.png").mkdir()
    with open_source(str(tmp_path)) as source:
        assert [index for index, _, _ in source.frames()] == [1] and source.length == 2
