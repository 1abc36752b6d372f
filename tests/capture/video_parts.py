"""Video files as phones, browsers and other people's tools make them, by changing bytes of ones that OpenCV wrote."""

import struct
from pathlib import Path


def with_matrix(video: Path, a: int, b: int, c: int, d: int) -> None:
    """Note in an MP4's track header how players are to turn and mirror its pictures."""
    data = bytearray(video.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # behind version and flags
    assert struct.unpack(">9i", data[start : start + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    video.write_bytes(data)


def with_cover_first(video: Path, cover: Path) -> None:
    """Put an MP4 of one frame into another MP4, as its first track. Both by OpenCV: pictures first, then the index."""
    data, other = bytearray(video.read_bytes()), bytearray(cover.read_bytes())
    movie, pictures = data.index(b"moov") - 4, other.index(b"mdat") - 4
    track = other.index(b"trak") - 4
    length = struct.unpack(">I", other[track : track + 4])[0]
    entry, inside = other[track : track + length], other[pictures : other.index(b"moov") - 4]
    offset = entry.index(b"stco") + 12  # where the frame is
    moved = movie - pictures
    entry[offset : offset + 4] = struct.pack(">I", struct.unpack(">I", entry[offset : offset + 4])[0] + moved)
    index = data[movie:]
    first = index.index(b"trak") - 4
    index[first:first] = entry
    index[:4] = struct.pack(">I", len(index))
    video.write_bytes(data[:movie] + inside + index)


def with_still_track_first(video: Path) -> None:
    """Put a track of stills, without any, before the track of a Matroska file by OpenCV."""
    data = bytearray(video.read_bytes())
    tracks = data.index(b"\x16\x54\xae\x6b", 120) + 4  # behind the first mention, in the list of what is where
    size = 9 - data[tracks].bit_length()  # of the length itself, in bytes
    length = int.from_bytes(data[tracks : tracks + size]) & ((1 << 7 * size) - 1)
    picture = b"\xe0\x86\xb0\x81\x40\xba\x81\x40"  # 64x64
    entry = b"\xd7\x81\x09\x73\xc5\x81\x09\x83\x81\x01\x86\x87V_MJPEG" + picture
    entry = b"\xae" + bytes([0x80 | len(entry)]) + entry
    before = data.index(b"\xae\x01", tracks)
    data[before:before] = entry
    data[tracks : tracks + size] = ((1 << 56) | length + len(entry)).to_bytes(8)
    # What comes before it leaves some room empty; so everything behind it stays where it is.
    room = data.index(b"\xec\x01", 52) + 1
    free, more = int.from_bytes(data[room : room + 8]) & ((1 << 56) - 1), len(entry) + 8 - size
    assert room < tracks and free > more
    data[room : room + 8] = ((1 << 56) | free - more).to_bytes(8)
    del data[room + 8 : room + 8 + more]
    video.write_bytes(data)


def with_pixels(video: Path, wide: int, high: int) -> None:
    """Note in an MP4 by OpenCV, or change, how much wider than high its pixels are."""
    data = bytearray(video.read_bytes())
    shape = struct.pack(">2I", wide, high)
    if b"pasp" in data:
        start = data.index(b"pasp") + 4
        data[start : start + 8] = shape
    else:
        entry = data.index(b"mp4v", data.index(b"stsd")) - 4
        end = entry + struct.unpack(">I", data[entry : entry + 4])[0]
        data[end:end] = struct.pack(">I4s", 16, b"pasp") + shape
        for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v"):  # what it is in
            start = entry if box == b"mp4v" else data.index(box) - 4
            data[start : start + 4] = struct.pack(">I", struct.unpack(">I", data[start : start + 4])[0] + 16)
    video.write_bytes(data)


def announcing(video: Path, seconds: float) -> None:
    """Let a Matroska file announce another duration of its frames than their time stamps tell, as browsers' do."""
    data = bytearray(video.read_bytes())
    start = data.index(b"\x23\xe3\x83") + 3
    length = data[start] & 0x7F
    data[start + 1 : start + 1 + length] = round(seconds * 1e9).to_bytes(length)
    video.write_bytes(data)
