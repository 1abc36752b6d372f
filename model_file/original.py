"""Models that the original's train.py wrote (HDF5): converted once, and kept in the user's cache folder."""

import sys
from pathlib import Path

from model_file.archive import MEMBER_LIMIT
from model_file.encoder import LABELS
from model_file.network import LivenessNet, import_keras
from model_file.reading import ModelError, read
from storage.cache import cache_folder

# Converting takes some 10 s, nearly all of it TensorFlow's start.
CONVERT_LIMIT_S = 180.0
CONVERT_REFUSED = 2
_CONVERT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from model_file import original; "
    "sys.exit(original.convert(*sys.argv[2:]))"
)
# What the original's scripts fed their network: the bare face box, 32 by 32 pixels.
ORIGINAL = {"input_size": 32, "margin": 1.0}
UNFITTED = {"scale": 1.0, "offset": 0.0}


def converted(path: Path, labels: list[str]) -> Path:
    """An HDF5 model as one of our archives, converted once and kept in the user's cache folder."""
    import hashlib

    data = read(path, MEMBER_LIMIT, "name yours with --model")
    cached = cache_folder() / f"{hashlib.sha256(data + repr(labels).encode()).hexdigest()[:16]}.model"
    if cached.is_file():
        return cached
    print(f"{path}: a model of the original; converting it once for OpenCV", file=sys.stderr)
    _convert_apart(path, cached, labels)
    return cached


def _convert_apart(path: Path, cached: Path, labels: list[str]) -> None:
    """In a process of its own: a damaged file can lead the HDF5 library into a loop without end (the fuzzer found
    two) or worse. It also leaves this process without TensorFlow."""
    import subprocess

    # -P: not from the folder that the user happens to be in.
    here = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-P", "-c", _CONVERT, here, str(path), str(cached), *labels]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CONVERT_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: not converted within {CONVERT_LIMIT_S:g} s; it is damaged, train it again") from None
    except OSError as error:
        raise ModelError(f"{path}: the converter cannot be started ({error.strerror})") from None
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()
    if done.returncode == CONVERT_REFUSED and lines:
        raise ModelError(lines[-1])
    raise ModelError(f"{path}: not a model of the original; reading it ended in a crash; train it again")


def convert(path: str, cached: str, *labels: str) -> int:
    """The whole of that other process; returns its exit status."""
    from model_file.saving import save

    try:
        model = _load_hdf5(Path(path), read(Path(path), MEMBER_LIMIT, "name yours with --model"))
        Path(cached).parent.mkdir(parents=True, exist_ok=True)
        details = {"margin": ORIGINAL["margin"], "calibration": UNFITTED, "dataset": Path(path).name}
        save(model, cached, list(labels), details)
    except ModelError as error:
        print(error)
    except OSError as error:
        print(f"{Path(cached).parent}: cannot be written ({error.strerror}); the converted model goes there")
    else:
        return 0
    return CONVERT_REFUSED


def _load_hdf5(path: Path, data: bytes):
    """The weights in HDF5, in a network of our own making: what else such a file says can name code to be run."""
    import tempfile

    import_keras()
    side = ORIGINAL["input_size"]
    model = LivenessNet.build(width=side, height=side, depth=3, classes=len(LABELS))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "model.h5")  # Keras reads HDF5 under a name that ends in .h5 only
        copy.write_bytes(data)
        try:
            model.load_weights(copy)
        # Keras and h5py raise whatever a damaged file leads them into.
        except Exception as error:
            reason = " ".join(str(error).split())[:100]
            raise ModelError(
                f"{path}: not a model of the original, which takes 32x32x3 ({reason}); train it again"
            ) from None
    return model
