import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from capture.opening import open_source


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
    code = (
        "import sys; from capture.opening import open_source; open_source(sys.argv[1]); "
        "sys.exit('capture.camera' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, sample.real], cwd=ROOT, timeout=60).returncode == 0
