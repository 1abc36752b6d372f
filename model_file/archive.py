"""liveness.model: the Keras archive, with the inference graph and its details as two more members.

Keras ignores them; OpenCV needs nothing else.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path

from model_file.encoder import LABELS
from model_file.reading import ModelError

GRAPH, DETAILS = "liveness.onnx", "liveness.json"
FORMAT = 1
# Far above any LivenessNet (0.6 MB at 32 pixels) and its details (below 2 kB); a crafted file may unpack to gigabytes.
MEMBER_LIMIT = 64 << 20
DETAILS_LIMIT = 1 << 20
# What reading a damaged archive and the JSON in it may raise.
DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    struct.error,
)


def read_archive(path: Path) -> tuple[bytes, dict]:
    """Graph and details of a model archive, checked for what inference relies on."""
    try:
        with zipfile.ZipFile(path) as members:
            graph = member(path, members, GRAPH, MEMBER_LIMIT)
            details = json.loads(member(path, members, DETAILS, DETAILS_LIMIT))
    except KeyError:
        raise ModelError(f"{path}: a zip, but not one that train.py wrote; name the model with --model") from None
    except DAMAGED:
        raise ModelError(f"{path}: empty, cut off or damaged; train it again with train.py") from None
    _check_details(path, details)
    return graph, details


def member(path: Path, members: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """The bytes of one member. Raises KeyError where there is none, ModelError where it is larger than limit or packed
    otherwise, one of DAMAGED where it cannot be read."""
    info = members.getinfo(name)
    if info.file_size > limit:
        raise ModelError(f"{path}: {name} in it is larger than any LivenessNet; train it again")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelError(f"{path}: {name} in it is packed as train.py does not; train it again")
    with members.open(info) as packed:
        # Not read() without a size: that unpacks all there is before it looks at the size announced.
        data = packed.read(info.file_size)
    if len(data) != info.file_size:
        raise EOFError
    return data


def _check_details(path: Path, details: dict) -> None:
    calibration = details.get("calibration") if isinstance(details, dict) else None
    sound = (
        isinstance(calibration, dict)
        and details.get("format") == FORMAT
        and isinstance(details.get("labels"), list)
        and sorted(map(str, details["labels"])) == LABELS
        and isinstance(details.get("input_size"), int)
        and _is_number(details["input_size"], 8, 512)
        and _is_number(details.get("margin"), 0.5, 10)
        and _is_number(details.get("weight", 0), 0, 1)
        and _is_number(calibration.get("scale"), 1e-6, 1e6)
        and _are_offsets(calibration)
    )
    if not sound:
        raise ModelError(f"{path}: written by another version, or damaged; train it again with train.py")


def _are_offsets(calibration: dict) -> bool:
    offset = calibration.get("offset")
    if "reach" not in calibration:
        return _is_number(offset, -1e6, 1e6)
    # Models of earlier versions have one for each distance.
    reach = calibration["reach"]
    rising = _are_numbers(reach, 0, 1e6) and all(low < high for low, high in zip(reach, reach[1:]))
    return rising and _are_numbers(offset, -1e6, 1e6) and len(offset) == len(reach)


def _are_numbers(values, low: float, high: float) -> bool:
    return isinstance(values, list) and 0 < len(values) < 100 and all(_is_number(v, low, high) for v in values)


def _is_number(value, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
