"""What files' headers say: mirrored, turned, odd pixels, covers before the video."""

import struct

import cv2
import numpy as np
import pytest
from video_parts import with_cover_first, with_matrix, with_pixels, with_still_track_first

from capture import containers
from capture.opening import open_source
from capture.source import SourceError


@pytest.fixture
def video(live_frames, write_video):
    return write_video(live_frames[:10])


def frames_of(video) -> list[np.ndarray]:
    with open_source(str(video)) as source:
        return [frame for _, _, frame in source.frames()]


@pytest.mark.parametrize(
    "matrix, shown",
    [
        ((1, 0, 0, 1), lambda frame: frame),
        ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
        ((1, 0, 0, -1), lambda frame: frame[::-1]),
        ((-1, 0, 0, -1), lambda frame: frame[::-1, ::-1]),
        ((0, 1, -1, 0), lambda frame: cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE)),
        ((0, -1, 1, 0), lambda frame: cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE)),
        ((0, 1, 1, 0), lambda frame: frame.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda frame: frame[::-1, ::-1].transpose(1, 0, 2)),
    ],
)
def test_pictures_come_as_a_player_turns_and_mirrors_them(video, matrix, shown):
    as_stored = frames_of(video)
    if matrix != (1, 0, 0, 1):
        with_matrix(video, *matrix)
    np.testing.assert_array_equal(frames_of(video), [shown(frame) for frame in as_stored])


def test_a_mirrored_movie_mirrors_its_tracks(video):
    data = bytearray(video.read_bytes())
    start = data.index(b"mvhd") + 4 + 36
    assert struct.unpack(">9i", data[start : start + 36])[0] == 1 << 16
    data[start : start + 4] = struct.pack(">i", -(1 << 16))
    before = frames_of(video)
    video.write_bytes(data)
    np.testing.assert_array_equal(frames_of(video), [frame[:, ::-1] for frame in before])


def test_a_cover_before_the_video_is_not_the_video(video, live_frames, write_video, capfd):
    before = frames_of(video)
    cover = write_video([cv2.resize(live_frames[0], (64, 48))], "cover.mp4")
    with_cover_first(video, cover)
    capture = cv2.VideoCapture(str(video))
    assert capture.grab() and not capture.grab(), "OpenCV has learned to choose: this is no longer needed"
    with open_source(str(video)) as source:
        assert source.length == 10
        np.testing.assert_array_equal([frame for _, _, frame in source.frames()], before)
    assert capfd.readouterr().err == ""


def test_a_track_of_stills_before_a_matroska_video_is_not_the_video(live_frames, write_video):
    video = write_video(live_frames[:10], "video.mkv")
    before = frames_of(video)
    with_still_track_first(video)
    assert not cv2.VideoCapture(str(video)).grab()
    np.testing.assert_array_equal(frames_of(video), before)


def test_a_video_of_one_frame_and_a_motion_jpeg_are_videos(live_frames, write_video):
    for name, code in (("one.mp4", "mp4v"), ("one.mkv", "MJPG")):
        assert len(frames_of(write_video(live_frames[:1], name, code))) == 1


def test_the_bytes_that_are_hidden_are_hidden_however_they_are_read(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(100)))
    with containers.Hiding(file, [(10, b"free"), (99, b"x")]) as hiding:
        assert hiding.read(12)[8:] == b"\x08\x09fr"
        assert hiding.read(2) == b"ee"
        hiding.seek(11)
        assert hiding.read(1) == b"r"
        assert hiding.seek(-2, 2) == 98
        assert hiding.read() == b"bx"


@pytest.mark.parametrize(
    "wide, high, size",
    [
        (4, 3, (144, 235)),
        (1, 2, (288, 176)),
        (12, 11, (144, 176)),
        (0, 1, (144, 176)),
        (100, 1, (144, 176)),
    ],
)
def test_pixels_that_are_far_from_square_are_made_so(video, wide, high, size):
    with_pixels(video, wide, high)
    assert frames_of(video)[0].shape == (*size, 3)


def test_a_lying_picture_is_widened_before_it_is_turned(video):
    with_pixels(video, 4, 3)
    with_matrix(video, 0, 1, -1, 0)
    assert frames_of(video)[0].shape == (235, 144, 3)
    with_pixels(video, 1, 1)
    assert frames_of(video)[0].shape == (176, 144, 3)


@pytest.mark.parametrize("end", ["the index", "all"])
def test_a_file_that_ends_too_early_is_told_as_that(video, end):
    data = video.read_bytes()
    video.write_bytes(data[: data.index(b"moov") - 4] if end == "the index" else b"")
    with pytest.raises(SourceError, match="ends too early" if end == "the index" else "is empty") as error:
        open_source(str(video))
    assert "convert" not in str(error.value)


def test_damaged_headers_never_raise_and_never_take_long(video, live_frames, write_video):
    other = write_video(live_frames[:10], "video.mkv")
    with_matrix(video, -1, 0, 0, 1)
    rng = np.random.default_rng(0)
    for file in (video, other):
        data = np.frombuffer(file.read_bytes(), np.uint8)
        # The headers: at the start of a Matroska file, at the end of this MP4.
        places = np.arange(400) if file is other else np.arange(len(data) - 1200, len(data))
        for _ in range(400):
            damaged = data.copy()
            damaged[rng.choice(places, 4)] = rng.integers(0, 256, 4)
            file.write_bytes(damaged.tobytes()[: rng.integers(300, len(data)) if rng.random() < 0.2 else None])
            containers.look(file)
