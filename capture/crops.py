"""The crops in dataset/: PNG files that say which recording they come from and how they were cut.

    dataset/real/kitchen_000042.png      recording "kitchen", frame 42

The name alone is enough to train on. What else training must know stands in the file itself, as XMP
attributes, so that a crop can be moved, copied or deleted like any picture and stays complete.
"""

import contextlib
import errno
import itertools
import math
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from capture import pictures
from storage import beside

# A namespace is a name, not a link: nothing is fetched from it.
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:crop="urn:liveness-authentication:crop:1" {}/></rdf:RDF></x:xmpmeta>'
)
_ATTRIBUTE = re.compile(rb'crop:(\w+)="([-+.:\w]*)"')
# Characters of a recording's name where the disk takes no longer ones: at most four bytes each, of 255.
_SHORT = 50
_NAME = re.compile(r"(?:(?P<recording>.+)_)?(?P<frame>\d+)", re.DOTALL)
# Level 1, a single filter. Measured on 224-pixel crops: 1.1 ms to write and 0.5 to read; 1.9 and 0.8, and no smaller,
# where every filter is tried on every line, as is usual; 4 ms at level 6, for a tenth less.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


@dataclass(frozen=True)
class Crop:
    """One face with its surroundings.

    picture: uint8 (side, side, 3) BGR; crops by other tools need not be square.
    recording, frame: the video's stem and the frame's number in it; without a number in the name,
        the recording is "" and the frame 0.
    source: the fingerprint of the video, "" if unknown.
    time_s: seconds from the recording's start, None if unknown.
    margin: side of the window in units of the face box's longer side, None if unknown.
    inside: float32 (4,) left, top, right, bottom of the part that shows the frame, 0 to 1 of the side.
    witness: what the anti-spoofing network said of the face in its frame, as log odds; None if it was not asked.
    """

    picture: np.ndarray
    recording: str
    frame: int
    source: str = ""
    time_s: float | None = None
    margin: float | None = None
    inside: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    witness: float | None = None


def path_of(folder: Path, recording: str, frame: int) -> Path:
    """Where the crop of that frame belongs."""
    return folder / f"{recording}_{frame:06d}.png"


def write(folder: Path, crop: Crop) -> Path:
    """Write a crop, see storage.beside: no half a picture is ever seen. Raises OSError."""
    path = path_of(folder, crop.recording, crop.frame)
    # Not waiting for the disk: a crop that a power failure costs is gathered again.
    beside.write(path, encode(crop).tobytes(), lasting=False)
    return path


def encode(crop: Crop) -> np.ndarray:
    """The bytes of the crop's file, uint8 (N,)."""
    fields = {
        "margin": crop.margin,
        "source": crop.source,
        "time_s": round(crop.time_s, 4),
        "inside": ":".join(f"{edge:.5f}" for edge in crop.inside),
    }
    if crop.witness is not None:
        fields["witness"] = round(crop.witness, 4)
    xmp = _XMP.format(" ".join(f'crop:{name}="{value}"' for name, value in fields.items()))
    return cv2.imencodeWithMetadata(
        ".png", crop.picture, [cv2.IMAGE_METADATA_XMP], [np.frombuffer(xmp.encode(), np.uint8)], _PNG
    )[1]


def read(path: Path) -> Crop | None:
    """Read a crop, or any picture that another tool cut; None if it cannot be decoded. Raises OSError."""
    picture, xmp = pictures.read_with_notes(path)
    if picture is None:
        return None
    recording, frame = origin(path)
    fields = {name.decode(): value.decode() for name, value in _ATTRIBUTE.findall(xmp)}
    try:
        time_s, margin = float(fields["time_s"]), float(fields["margin"])
        inside = tuple(float(edge) for edge in fields["inside"].split(":"))
        source = fields["source"]
        witness = float(fields["witness"]) if "witness" in fields else None
    except (KeyError, ValueError):
        # Cut by another tool.
        return Crop(picture, recording, frame)
    if not (
        math.isfinite(time_s)
        and 0 < margin < math.inf
        and len(inside) == 4
        and all(0 <= edge <= 1 for edge in inside)
        and (witness is None or math.isfinite(witness))
    ):
        return Crop(picture, recording, frame)
    return Crop(picture, recording, frame, source, time_s, margin, inside, witness)


def origin(path: Path) -> tuple[str, int]:
    """Recording and frame number that a crop's name carries; ("", 0) if it carries none."""
    match = _NAME.fullmatch(path.stem)
    return (match["recording"] or "", int(match["frame"])) if match else ("", 0)


def recording_for(folder: Path, stem: str, fingerprint: str) -> str:
    """What the crops of a video are called in that folder: after its stem, with -2, -3 ... behind it if another video
    of that name was gathered here before. Raises OSError.

    Many disks take names that differ in upper and lower case, or in how accents are written, for one.
    """
    stem = _possible(folder, stem)
    before: dict[str, Path] = {}
    for path in sorted(folder.glob("*.png")):
        before.setdefault(_same(origin(path)[0]), path)
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        path = before.get(_same(name))
        if path is None:
            return name
        with contextlib.suppress(OSError):  # what cannot be read is another's
            crop = read(path)
            if crop and crop.source == fingerprint:
                return crop.recording


def _same(name: str) -> str:
    """Equal for what some disk may take for the same name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _possible(folder: Path, stem: str) -> str:
    """The stem, made short and plain if that disk takes no name of a crop that begins with it."""
    trial = Path(f"{path_of(folder, stem, 0)}.part")
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise
        stem = re.sub(r"[^\w-]+", "-", stem)[:_SHORT]
    return stem
