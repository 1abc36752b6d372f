"""Folders of pictures, and single ones."""

import struct

import cv2
import numpy as np
import pytest

from capture.opening import open_source
from capture.source import SourceError


def pictures(name) -> list[np.ndarray]:
    with open_source(str(name)) as source:
        assert not source.live
        return [frame for _, _, frame in source.frames()]


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put an EXIF segment into a JPEG's start, as phones and cameras do."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff + jpeg[2:]


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "2.png", "10.png"],
        ["frame9.png", "frame010.png", "frame100.png"],
        ["a2-9.png", "a2-10.png", "a10-1.png"],
        ["IMG_1.png", "IMG_1b.png", "IMG_2.png"],
    ],
)
def test_pictures_come_in_the_order_they_were_counted_in(tmp_path, live_frames, names):
    for name, frame in zip(names, live_frames):
        cv2.imwrite(str(tmp_path / name), frame)
    np.testing.assert_array_equal(pictures(tmp_path), live_frames[: len(names)])


@pytest.mark.parametrize(
    "orientation, stored",
    [
        (1, lambda frame: frame),
        (2, lambda frame: frame[:, ::-1]),
        (3, lambda frame: frame[::-1, ::-1]),
        (6, lambda frame: cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE)),
        (8, lambda frame: cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE)),
    ],
)
def test_a_picture_stands_upright_alone_and_in_a_folder(tmp_path, live_frames, orientation, stored):
    jpeg = cv2.imencode(".jpg", np.ascontiguousarray(stored(live_frames[0])))[1].tobytes()
    (tmp_path / "me.jpg").write_bytes(with_orientation(jpeg, orientation))
    for name in (tmp_path / "me.jpg", tmp_path):
        [picture] = pictures(name)
        assert picture.shape == live_frames[0].shape
        assert np.abs(picture.astype(int) - live_frames[0]).mean() < 4


def test_a_single_picture_is_itself_and_not_those_numbered_like_it(tmp_path, live_frames):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"real_{number:06d}.png"), live_frames[number])
    np.testing.assert_array_equal(pictures(tmp_path / "real_000001.png"), live_frames[1:2])
    with open_source(str(tmp_path / "real_000001.png")) as source:
        assert source.length == 1 and source.stem == "real_000001"


def test_a_single_picture_is_the_same_recording_under_another_name(tmp_path, live_frames):
    prints = []
    for name, frame in (("a.png", live_frames[0]), ("b.png", live_frames[0]), ("c.png", live_frames[1])):
        cv2.imwrite(str(tmp_path / name), frame)
        with open_source(str(tmp_path / name)) as source:
            prints.append(source.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_what_is_no_picture_is_told(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(SourceError, match="text.png: not a picture"):
        open_source(str(tmp_path / "text.png"))
    (tmp_path / "nothing.png").write_bytes(b"")
    with pytest.raises(SourceError, match="nothing.png: is empty") as error:
        open_source(str(tmp_path / "nothing.png"))
    assert "convert" not in str(error.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no pictures"):
        open_source(str(tmp_path))
