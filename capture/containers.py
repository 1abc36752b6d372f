"""What a video file's headers say that OpenCV passes over: tracks of stills before the video, and mirroring.

MP4 and MOV as ISO/IEC 14496-12 and Apple's QuickTime File Format have them, MKV and WebM as RFC 9559.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

# MP4: a track of one picture or this share of another's is no video, but its cover or thumbnails.
FEW = 0.1
# Matroska: elements' numbers, and the kinds of tracks that hold stills.
_SEGMENT, _TRACKS, _CLUSTER, _TRACK, _TYPE, _CODEC = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xAE, 0x83, 0x86
_VIDEO, _SUBTITLES, _STILLS = b"\x01", b"\x11", (b"V_MJPEG", b"V_PNG")
_ROOM = 1 << 16  # no element that is read here is longer, in bytes


@dataclass
class Header:
    """hidden: where in the file, and by what bytes, something is written over so that decoders pass over it.
    mirror: None, or a mirroring as (swap rows and columns first, flip left and right, flip up and down).
    unfinished: the index is missing: a recording or a copy that broke off."""

    hidden: list[tuple[int, bytes]] = field(default_factory=list)
    mirror: tuple[bool, bool, bool] | None = None
    unfinished: bool = False


def look(path: Path) -> Header:
    """The header of a video file; an empty one of what is neither MP4 nor Matroska, or damaged. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, io.SEEK_END)
        try:
            if head[4:8] == b"ftyp" or head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
                return _mp4(file, size)
            if head[:4] == b"\x1a\x45\xdf\xa3":
                return _matroska(file, size)
        except (struct.error, IndexError):
            pass  # damaged: the decoder may still make something of it
    return Header()


class Hiding(io.BufferedIOBase):
    """A file as OpenCV reads it, with some of its bytes replaced; see Header.hidden."""

    def __init__(self, path: Path, hidden: list[tuple[int, bytes]]):
        self._file, self._hidden = path.open("rb"), hidden

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        for at, bytes_ in self._hidden:
            for position, byte in enumerate(bytes_, at - start):
                if 0 <= position < len(data):
                    data = data[:position] + bytes([byte]) + data[position + 1 :]
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass
class _Track:
    start: int  # where its name stands
    pictures: int = 0
    matrix: tuple[int, ...] | None = None
    is_video: bool = False


def _mp4(file: BinaryIO, size: int) -> Header:
    movie = next(((start, end) for name, start, end in _boxes(file, 0, size) if name == b"moov"), None)
    if movie is None:
        return Header(unfinished=True)
    tracks, whole = [], None
    for name, start, end in _boxes(file, *movie):
        if name == b"mvhd":
            whole = _matrix(_body(file, start, end), 36)
        elif name == b"trak":
            tracks.append(_track(file, start, end))
    tracks = [track for track in tracks if track.is_video]
    if not tracks:
        return Header()
    few = max(1, FEW * max(track.pictures for track in tracks))
    shown = next((index for index, track in enumerate(tracks) if track.pictures > few), 0)
    return Header([(track.start, b"free") for track in tracks[:shown]], _mirror(tracks[shown].matrix, whole))


def _track(file: BinaryIO, start: int, end: int) -> _Track:
    track = _Track(start - 4)
    for name, *span in _within(file, start, end, (b"mdia", b"minf", b"stbl")):
        if name == b"tkhd":
            track.matrix = _matrix(_body(file, *span), 40)
        elif name == b"hdlr":
            # QuickTime has a second one, of how the data is handled.
            track.is_video |= _body(file, *span)[8:12] == b"vide"
        elif name in (b"stsz", b"stz2"):
            track.pictures = struct.unpack_from(">I", _body(file, *span), 8)[0]
    return track


def _within(file: BinaryIO, start: int, end: int, opened: tuple[bytes, ...]) -> Iterator[tuple[bytes, int, int]]:
    for box in _boxes(file, start, end):
        if box[0] in opened:
            yield from _within(file, *box[1:], opened)
        else:
            yield box


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of what is in each box."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        inside = start + 8
        if length == 1:  # too long for four bytes
            length, inside = struct.unpack(">Q", file.read(8))[0], start + 16
        after = start + length if length else end
        if after < inside or after > end:
            return
        yield name, inside, after
        start = after


def _body(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(end - start, _ROOM))


def _matrix(body: bytes, at: int) -> tuple[int, ...]:
    """a, b, u, c, d, v, x, y, w of a header whose times take four bytes each, or (version 1) eight."""
    return struct.unpack_from(">9i", body, at + (12 if body[0] == 1 else 0))


def _mirror(track: tuple[int, ...] | None, movie: tuple[int, ...] | None) -> tuple[bool, bool, bool] | None:
    """None where the matrices only turn, which OpenCV does."""
    (a, b), (c, d) = (1, 0), (0, 1)
    for matrix in (track, movie):
        if matrix and any(matrix):
            e, f, _, g, h = (value / (1 << 16) for value in matrix[:5])
            (a, b), (c, d) = (a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h)
    if a * d - b * c >= 0:
        return None
    swap = abs(b) > abs(a)
    return (swap, c < 0, b < 0) if swap else (False, a < 0, d < 0)


def _matroska(file: BinaryIO, size: int) -> Header:
    segment = next((span for number, *span in _elements(file, 0, size) if number == _SEGMENT), None)
    if segment is None:
        return Header(unfinished=True)
    for number, *span in _elements(file, *segment):
        if number == _CLUSTER:  # the pictures: tracks come before them
            break
        if number == _TRACKS:
            tracks = [dict(_values(file, *span)) for number, *span in _elements(file, *span) if number == _TRACK]
            videos = [track for track in tracks if track.get(_TYPE, (0, b""))[1] == _VIDEO]
            stills = [track.get(_CODEC, (0, b""))[1].startswith(_STILLS) for track in videos]
            if False in stills:
                return Header([(track[_TYPE][0], _SUBTITLES) for track in videos[: stills.index(False)]])
    return Header()


def _values(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Number of each element in a small one, and where its value stands, and the value."""
    for number, inside, after in _elements(file, start, end):
        yield number, (inside, _body(file, inside, after))


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of what is in each element."""
    while start < end:
        file.seek(start)
        head = file.read(12)
        number_bytes = 9 - head[0].bit_length()
        length_bytes = 9 - head[number_bytes].bit_length()
        if number_bytes > 4 or length_bytes > 8:
            return
        length = int.from_bytes(head[number_bytes : number_bytes + length_bytes]) & ((1 << 7 * length_bytes) - 1)
        inside = start + number_bytes + length_bytes
        if inside > end:
            return
        # All bits set: as long as there is, as browsers write what they stream.
        after = end if length == (1 << 7 * length_bytes) - 1 else inside + length
        yield int.from_bytes(head[:number_bytes]), inside, min(after, end)
        start = after
