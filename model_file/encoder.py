"""le.pickle: a pickled scikit-learn LabelEncoder, read back without running what the pickle says.

A small stand-in for the encoder's class keeps scikit-learn out of the authenticator's start.
"""

import io
import pickle
from pathlib import Path

from model_file.reading import ModelError, read
from storage import pickles
from storage.beside import write

LABELS = ["fake", "real"]
# An encoder has below 2 kB.
ENCODER_LIMIT = 1 << 16
# No encoder needs more memo slots, nor refers back to them more often (29 and 8 were the most, in any pickle
# protocol). A pickle that may do so without bounds doubles what it means with every reference.
MEMO_LIMIT, REFERENCE_LIMIT = 1000, 20


def write_labels(encoder, path: str | Path) -> None:
    """Pickle a fitted scikit-learn LabelEncoder. Raises OSError; see storage.beside."""
    write(Path(path), pickle.dumps(encoder))


def read_labels(path: str | Path) -> list[str]:
    """The class names in a pickled LabelEncoder of scikit-learn 0.2x to 1.x, in the order of the outputs.

    No code in the pickle can run, and neither scikit-learn nor NumPy's unpickling is involved.
    Raises ModelError if it is anything but an encoder of "fake" and "real".
    """
    data = read(Path(path), ENCODER_LIMIT, "train.py writes it beside the model; name yours with --le")
    try:
        _refuse_bombs(data)
        labels = _EncoderUnpickler(io.BytesIO(data)).load().labels()
    except _Refused as error:
        raise ModelError(f"{path}: not the label encoder that train.py writes (it asks for {error})") from None
    except pickles.DAMAGED:
        raise ModelError(f"{path}: damaged; it is no label encoder that train.py writes") from None
    if sorted(labels) != LABELS:
        raise ModelError(f"{path}: labels {labels[:4]!r:.80}; the authenticator needs exactly 'fake' and 'real'")
    return labels


# --- Reading a LabelEncoder without running what it says ---


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no encoder is made of."""


def _refuse_bombs(data: bytes) -> None:
    """Nothing that a few bytes can blow up: a memo as large as its highest number, tuples of themselves."""
    import pickletools

    references = 0
    for operation, argument, _ in pickletools.genops(data):
        references += operation.name.endswith("GET")
        if operation.name == "DUP" or references > REFERENCE_LIMIT:
            raise _Refused("more than it has room for")
        if operation.name.endswith("PUT") and argument > MEMO_LIMIT:
            raise _Refused("more memory than any encoder")


class _Encoder:
    """Stands for sklearn.preprocessing.LabelEncoder."""

    def __setstate__(self, state):
        self.classes = state["classes_"]

    def labels(self) -> list[str]:
        return self.classes.values()


class _Dtype:
    """Stands for numpy.dtype: what it was called with is all that is needed."""

    def __init__(self, code, *_):
        self.code = code
        self.order = "<"

    def __setstate__(self, state):
        self.order = state[1]


class _Array:
    """Stands for numpy.ndarray: of strings, in bytes of UTF-32 or in a list of objects."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        _, _, self.dtype, _, self.data = state

    def values(self) -> list[str]:
        if isinstance(self.data, list):
            return [str(value) for value in self.data if isinstance(value, str)]
        code = self.dtype.code
        if not (code.startswith("U") and code[1:].isdecimal() and int(code[1:])):
            raise ValueError(code)
        encoding = "utf-32-be" if self.dtype.order == ">" else "utf-32-le"
        step = 4 * int(code[1:])
        return [
            bytes(self.data[start : start + step]).decode(encoding).rstrip("\0")
            for start in range(0, len(self.data), step)
        ]


def _array_from_buffer(data, dtype, *_):
    array = _Array()
    array.data, array.dtype = data, dtype
    return array


def _encoder_from(cls, *_):
    """How pickle protocols 0 and 1 make an object."""
    if cls is not _Encoder:
        raise _Refused(f"a {cls!r:.60}")
    return _Encoder()


def _latin1(text: str, encoding: str) -> bytes:
    """How pickle protocols 0 to 2 spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused(f"the encoding {encoding!r:.60}")
    return text.encode("latin1")


class _EncoderUnpickler(pickle.Unpickler):
    """Admits a LabelEncoder and NumPy's arrays, by stand-ins that only keep what they are given."""

    _ADMITTED = {
        ("sklearn.preprocessing._label", "LabelEncoder"): _Encoder,
        ("sklearn.preprocessing.label", "LabelEncoder"): _Encoder,  # before scikit-learn 0.22
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,  # NumPy 2
        ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,  # pickle protocol 5
        ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
        ("_codecs", "encode"): _latin1,
        ("copy_reg", "_reconstructor"): _encoder_from,
        ("__builtin__", "object"): object,
    }

    def find_class(self, module, name):
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            # As a literal: the names are the pickle's, control characters and all.
            raise _Refused(f"{module + '.' + name!r:.80}") from None
