"""Picture files, decoded with care."""

import errno
import os
import stat
from pathlib import Path

import cv2
import numpy as np

IMAGE_SUFFIXES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
# Twice an 8K frame. A few damaged bytes may announce OpenCV's own limit of 2 ** 30 pixels: 3 GB to be filled.
PIXEL_LIMIT = 1 << 26
# The segments of a JPEG in which its size stands: all "start of frame" but DHT, JPG and DAC.
_JPEG_SIZES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read(path: Path) -> np.ndarray | None:
    """The picture in a file, uint8 (height, width, 3) BGR, upright as its EXIF says; None if it cannot be decoded, or
    is larger than PIXEL_LIMIT. Raises OSError."""
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[np.ndarray | None, bytes]:
    """The picture, as read() gives it, and the XMP in its file, b"" if there is none. Raises OSError."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # reading from a pipe or a device may take for ever
        raise OSError(errno.EINVAL, "not a file", str(path))
    data = np.fromfile(path, np.uint8)
    if announces_too_much(data.tobytes()):
        return None, b""
    try:
        picture, kinds, metadata = cv2.imdecodeWithMetadata(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None, b""
    return picture, b"".join(bytes(part) for kind, part in zip(kinds, metadata) if kind == cv2.IMAGE_METADATA_XMP)


def announces_too_much(data: bytes) -> bool:
    """Would OpenCV make room for more than PIXEL_LIMIT pixels, or for a chunk that is larger than the whole file?

    data: a picture in a file. Looks at what a PNG, JPEG or BMP announces; others pass.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        at = 8
        while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IEND":
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return at > len(data) or _product(data[16:20], data[20:24], "big") > PIXEL_LIMIT
    if data[:2] == b"BM":
        return _product(data[18:22], data[22:26], "little") > PIXEL_LIMIT
    if data[:2] == b"\xff\xd8":
        return _jpeg_pixels(data) > PIXEL_LIMIT
    return False


def _jpeg_pixels(data: bytes) -> int:
    largest, at = 0, 2
    while at + 9 <= len(data) and data[at + 1] != 0xDA:  # behind it come the pixels
        if data[at] != 0xFF or data[at + 1] in (0x00, 0x01, 0xFF):
            at += 1  # filling, or damage that a decoder skips, too
            continue
        if data[at + 1] in _JPEG_SIZES:
            largest = max(largest, _product(data[at + 5 : at + 7], data[at + 7 : at + 9], "big"))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return largest


def _product(width: bytes, height: bytes, order: str) -> int:
    signed = order == "little"  # a BMP whose height is negative stands upright
    return abs(int.from_bytes(width, order, signed=signed) * int.from_bytes(height, order, signed=signed))
