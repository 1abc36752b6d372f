"""The witness that has seen many people, rooms and screens: MiniFASNetV2, fetched, verified, run by OpenCV DNN."""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from storage import downloads
from storage.beside import write
from storage.cache import cache_folder
from storage.user_error import UserError

WEIGHTS = "2.7_80x80_MiniFASNetV2.pth"
WEIGHTS_SHA256 = "a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0"
WEIGHTS_URL = (
    "https://raw.githubusercontent.com/minivision-ai/Silent-Face-Anti-Spoofing/"
    "b6d5f04ad78778917853b25c778acef6d5626d15/resources/anti_spoof_models/" + WEIGHTS
)
GRAPH = "MiniFASNetV2.onnx"
# What graph.write() makes of those weights with the onnx of pip-list.txt: a graph in the cache must be that.
GRAPH_SHA256 = "1fadb5f12937a5342110ee4c3e1920ec6372bc313d2344dd948894a3c6ee1fef"
# Side in pixels of what it looks at, and how wide that is, in units of the face box's longer side.
SIDE, MARGIN = 80, 2.7
LIVE = 1  # of its three classes
# Its operating point: so much is added to the log odds of a view that is FAR face boxes wide or wider, nothing to one
# of NEAR or less, in between in a straight line. From afar it condemns live faces in bad light, and attacks so clearly
# that there is room. Chosen on one half of our evaluation scenes (ACER as recorded 0.20 without, 0.16 with it), checked
# on the other (0.08, 0.07); near, no shift did better on both.
NEAR, FAR, SHIFT = 1.35, 1.8, 1.5


class WitnessMissing(Exception):
    """The weights are not here and cannot be had; the message is one line that says what to do."""


class WitnessError(UserError):
    """The weights are altered, or cannot be read; the message is one line that says what to do."""


class Witness:
    """MiniFASNetV2 (Minivision, 2020), trained on many people's live and replayed faces.

    folder: holds the weights, which are fetched into it on first use; the graph made of them is kept in the user's
        cache.
    Raises WitnessMissing and WitnessError.
    """

    def __init__(self, folder: str | Path = Path(__file__).resolve().parent):
        graph = _graph(Path(folder))
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))
        # The first call sets up the engine; better now than while somebody waits.
        self.log_odds([View(np.zeros((SIDE, SIDE, 3), np.uint8), MARGIN)])

    def look(self, frame: np.ndarray, box: np.ndarray) -> float:
        """How much speaks for a live face, seen in its frame: log(p / (1 - p)), 0 at the operating point.

        frame: uint8 (height, width, 3) BGR. box: x, y, width, height in pixels; it may reach over the frame's edge.
        """
        return float(self.log_odds([view(frame, box)])[0])

    def log_odds(self, views: "list[View]") -> np.ndarray:
        """The same of several views, from 1 on: float64 (N,)."""
        pictures = np.stack([view.picture for view in views]).transpose(0, 3, 1, 2)
        self._network.setInput(np.ascontiguousarray(pictures, np.float32))
        logits = self._network.forward().astype(np.float64)
        shift = np.interp([view.width for view in views], (NEAR, FAR), (0, SHIFT))
        return logits[:, LIVE] - np.logaddexp(*np.delete(logits, LIVE, axis=1).T) + shift


class View(NamedTuple):
    """What the witness looks at: uint8 (80, 80, 3) BGR, and how wide that is in face boxes."""

    picture: np.ndarray
    width: float


def view(frame: np.ndarray, box: np.ndarray) -> View:
    """The largest square of at most MARGIN face boxes that the frame can hold, centred on the face and moved inside
    the frame, so that it shows nothing that is not there.

    frame: uint8 (height, width, 3) BGR. box: x, y, width, height in pixels; it may reach over the frame's edge.
    """
    height, width = frame.shape[:2]
    x, y, w, h = (float(value) for value in box)
    longer = max(w, h, 1)
    side = max(1, round(min(MARGIN * longer, width, height)))
    left = round(min(max(x + w / 2 - side / 2, 0), width - side))
    top = round(min(max(y + h / 2 - side / 2, 0), height - side))
    smooth = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    picture = cv2.resize(frame[top : top + side, left : left + side], (SIDE, SIDE), interpolation=smooth)
    return View(picture, side / longer)


def view_of_crop(picture: np.ndarray, inside: np.ndarray, margin: float) -> View:
    """The same from a stored crop, which ends where it was cut: where a frame's edge cuts into it, the square cannot
    go on beyond it on the other side, and the log odds differ by 1.0 in the mean (up to 4 in the mean of a video).

    picture: uint8 (S, S, 3) BGR, margin face boxes wide. inside: float (4,), left, top, right, bottom of the part that
    shows the frame, 0 to 1 of S.
    """
    side = picture.shape[0]
    x0, y0, x1, y1 = np.rint(np.asarray(inside, np.float64) * side).astype(int)
    x0, y0 = min(x0, side - 1), min(y0, side - 1)
    box = side / margin
    corner = (side - box) / 2
    return view(picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)], (corner - x0, corner - y0, box, box))


def _graph(folder: Path) -> bytes:
    """The inference graph, out of the cache or made of the weights."""
    kept = cache_folder() / GRAPH
    try:
        graph = kept.read_bytes()
        if hashlib.sha256(graph).hexdigest() == GRAPH_SHA256:
            return graph
        print(f"{kept}: altered; made again from the weights", file=sys.stderr)
    except OSError:
        pass  # not made yet, or not to be read: made of the weights
    graph = _converted(_weights(folder))
    # Made by another onnx it may differ in form: sound, but nothing that could be told from an altered one later.
    if hashlib.sha256(graph).hexdigest() == GRAPH_SHA256:
        _keep(kept, graph)
    return graph


def _weights(folder: Path) -> bytes:
    try:
        return downloads.read(
            folder / WEIGHTS, WEIGHTS_SHA256, url=WEIGHTS_URL, wheel=None, what="anti-spoofing weights"
        )
    except downloads.AlteredError as error:
        raise WitnessError(str(error)) from error
    except downloads.DownloadError as error:
        raise WitnessMissing(str(error)) from error


def _converted(weights: bytes) -> bytes:
    # Once, not at every start.
    from anti_spoofing import graph, pytorch_file

    return graph.write(pytorch_file.read(weights))


def _keep(path: Path, graph: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, graph)
    except OSError as error:
        print(
            f"{path}: cannot be written ({error.strerror}); the anti-spoofing network is converted at every start",
            file=sys.stderr,
        )
