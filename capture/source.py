"""What every source of pictures has, whatever is behind it.

    name       how people call it: "videos/real.mp4", "camera 0"; never with a password in it
    stem       its part of a file name: "real", "camera0-20261123T081500"
    live       True where frames are lost if they are not fetched in time
    stills     True where the frames need not have to do with each other
    fps        frames per second by the time stamps, a guess of 30 where there are none
    length     number of frames, None where unknown
    frames()   yields (index, time_s, frame): index from 0, seconds from the first frame,
               frame uint8 (height, width, 3) BGR, upright; of a live source also None, some five
               times a second, while it brings no new picture
    fingerprint()   12 hexadecimal digits that tell two recordings of one name apart

A live source has, too,

    trouble    "" while all is well, else one line: "camera 0: no picture for 5 s; trying again in 4 s"
    lost_s     seconds for which it has given no sign of life, 0.0 while all is well
"""

from pathlib import Path

from storage.user_error import UserError

USUAL_FPS = 30.0


class SourceError(UserError):
    """The source cannot be opened or read; the message is one line that says what to do."""


def file_digest(path: Path) -> str:
    """Of a file's size and its first mebibyte: enough to tell recordings apart, and quick. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    return digest(str(path.stat().st_size).encode() + head)


def digest(data: bytes) -> str:
    """12 hexadecimal digits."""
    import hashlib

    return hashlib.sha256(data).hexdigest()[:12]
