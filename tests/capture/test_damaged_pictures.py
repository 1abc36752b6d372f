"""Pictures that announce too much, or whose notes make no sense."""

import struct
import zlib

import cv2
import genuine_inputs
import pytest
from conftest import memory_of

from capture import crops

READ = "crop = crops.read(Path(sys.argv[1])); print(crop if crop is None else crop.picture.shape)"


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, genuine_inputs.picture_of())[1].tobytes()


def huge_png() -> bytes:
    """30,000 by 30,000 black pixels in 3 MB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(1), []
    for _ in range(300):
        rows.append(packer.compress(bytes(100 * (1 + 30_000 // 8))))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    pixels = b"".join(rows) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def huge_jpeg() -> bytes:
    data = encoded(".jpg")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 30_000, 30_000) + data[at + 4 :]


def huge_bmp() -> bytes:
    """Run-length encoded: "all black", in two bytes."""
    header = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 8, 1, 2, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 1080, 0, 0, 1078) + header + bytes(1024) + b"\0\1"


def endless_png() -> bytes:
    """A chunk that says it is 4 GB long."""
    data = encoded(".png")
    return data[:33] + b"\xff\xff\0\x09" + data[37:]


@pytest.mark.parametrize("make", [huge_png, huge_jpeg, huge_bmp, endless_png])
def test_a_picture_that_announces_too_much_is_not_read(tmp_path, make):
    path = tmp_path / "x.png"
    path.write_bytes(make())
    assert path.stat().st_size < 4 << 20
    said, peak = memory_of(READ, path)
    assert said == "None" and peak < 100


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_pictures_of_every_kind_are_read(tmp_path, suffix):
    path = tmp_path / ("x" + suffix)
    path.write_bytes(encoded(suffix))
    assert crops.read(path).picture.shape == (48, 48, 3)


@pytest.mark.parametrize(
    "old, new",
    [
        (b'margin="2.7"', b'margin="nan"'),
        (b'margin="2.7"', b'margin="-1."'),
        (b'time_s="1.5"', b'time_s="inf"'),
        (b'inside="0.0', b'inside="9.0'),
        (b":0.10000:", b":0.1000::"),
    ],
)
def test_a_crop_whose_notes_make_no_sense_is_read_as_another_tools(tmp_path, old, new):
    data = genuine_inputs.genuine_crop(tmp_path)
    changed, at = bytearray(data[:8]), 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        chunk = data[at + 4 : at + 8 + size].replace(old, new)
        changed += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + size
    path = tmp_path / "kitchen_000003.png"
    path.write_bytes(data)
    assert crops.read(path).margin == 2.7
    path.write_bytes(changed)
    assert changed != data
    crop = crops.read(path)
    assert (crop.recording, crop.frame, crop.margin, crop.time_s, crop.inside) == (
        "kitchen",
        3,
        None,
        None,
        (0, 0, 1, 1),
    )
