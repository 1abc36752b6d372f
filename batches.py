"""What the members of an ensemble are trained on, made in a process of its own.

    batches = Batches(crops, inside, labels, drawn_from, recipe, seed=0, members=8, steps=75, stretch=10,
                      batch_size=32, size=24)
    with begun(batches) as made:
        for member, start in batches.parts():
            views, classes = next(made)      # of this member, from this step on

In threads of the process that trains, the hundreds of small steps of the augmentation and those of TensorFlow wait
for Python's lock in turn. This one begins while TensorFlow is still being imported, on a core that has nothing else
to do.
"""

import contextlib
import multiprocessing
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

import augmentation
from capture.ahead import Ahead

# In a class a recording of N crops is drawn as often as N to this power: at 0 the ten frames of one incident would
# make up as much of what is learned as two minutes of video, at 1 one long video would drown all short ones.
RECORDING_WEIGHT = 0.75
# So many parts are made before they are asked for: 35 MB, and all there are for two recordings.
PARTS_AHEAD = 64

# For each label, in order: the rows of each recording, and how often each recording is drawn.
Pools = list[tuple[list[np.ndarray], np.ndarray]]


class MakerError(RuntimeError):
    """The process that makes the batches cannot do so, or is gone; the message is one line that says what to do."""


@dataclass(frozen=True)
class Batches:
    """Which batches there are, how large, and what they are made of.

    Each of so many members has batches of its own for so many steps: trained on the same ones, their errors would be
    alike, and their mean would have them too. They come in parts of `stretch` steps (the last may be shorter), those
    of all members in turn. The same seed gives the same batches.

    crops, inside, labels: of all examples, see augmentation.batch. drawn_from: see pools(). batch_size: crops in
    each. size: side of the network's input in pixels.
    """

    crops: np.ndarray
    inside: np.ndarray
    labels: np.ndarray
    drawn_from: Pools
    recipe: augmentation.Recipe
    seed: int
    members: int
    steps: int
    stretch: int
    batch_size: int
    size: int

    def parts(self) -> Iterator[tuple[int, int]]:
        """Member and first step of each."""
        for start in range(0, self.steps, self.stretch):
            for member in range(self.members):
                yield member, start

    def part(self, member: int, start: int) -> tuple[np.ndarray, np.ndarray]:
        """A member's batches from that step on: uint8 (stretch, batch_size, size, size, 3) BGR and uint8 (stretch,
        batch_size), places in livenessnet.LABELS."""
        steps = range(start, min(start + self.stretch, self.steps))
        views, classes = zip(*(self.make(member, step) for step in steps))
        return np.stack(views), np.stack(classes)

    def make(self, member: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch, half real, half fake, varied anew: pictures and classes, as in part()."""
        rng = np.random.default_rng([self.seed, member, step])
        drawn = draw_rows(self.drawn_from, self.batch_size, rng)
        classes = self.labels[drawn]
        views = augmentation.batch(self.crops[drawn], self.inside[drawn], classes, rng, self.size, self.recipe)
        return views, classes.astype(np.uint8)


@contextlib.contextmanager
def begun(batches: Batches) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Begin to make them, and give part after part as it is asked for. Raises MakerError, and so does the iterator.
    To be called in the main thread."""
    # Not a copy of this process: what OpenCV's threads held would stay locked in it for ever.
    apart = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        # Read from the disk's cache by both: twenty thousand crops are half a gigabyte.
        file = Path(folder, "crops.npy")
        try:
            np.save(file, batches.crops)
        except OSError as error:
            raise MakerError(f"{folder}: cannot be written ({error.strerror or error}); make room there for "
                             f"{batches.crops.nbytes / 1e6:.0f} MB, or name another folder in TMPDIR") from None
        ours, theirs = apart.Pipe(duplex=False)
        without_crops = replace(batches, crops=np.empty(0, np.uint8))
        maker = apart.Process(target=_make_all, args=(theirs, file, without_crops), daemon=True)
        # Ctrl-C is for the one that asks: what is ignored here, the other process ignores from its first moment on.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        maker.start()
        signal.signal(signal.SIGINT, before)
        theirs.close()    # so that the maker's end is noticed
        try:
            with Ahead(_received(ours, batches), PARTS_AHEAD) as made:
                yield made
        finally:
            maker.terminate()
            maker.join()
            ours.close()


def _received(pipe, batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for _ in batches.parts():
        try:
            part = pipe.recv()
        except (EOFError, OSError):
            raise MakerError("the process that varies the crops for training was ended, perhaps for want of memory; "
                             "close other programs and try again") from None
        yield part


def _make_all(pipe, file: Path, without_crops: Batches) -> None:
    """The whole of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # on Windows it is not handed on
    cv2.setNumThreads(1)    # pictures of some pixels: others would only get in each other's way
    batches = replace(without_crops, crops=np.load(file, mmap_mode="r"))
    with contextlib.suppress(ConnectionError):    # nobody asks any more
        for part in batches.parts():
            pipe.send(batches.part(*part))


def pools(labels: np.ndarray, recordings: np.ndarray, rows: np.ndarray) -> Pools:
    """What to draw from: these rows of the examples, by class (0 and 1) and recording (see RECORDING_WEIGHT)."""
    found = []
    for label in (augmentation.FAKE, augmentation.REAL):
        of_class = rows[labels[rows] == label]
        names, counts = np.unique(recordings[of_class], return_counts=True)
        parts = [of_class[recordings[of_class] == name] for name in names]
        weights = counts**RECORDING_WEIGHT
        found.append((parts, weights / weights.sum()))
    return found


def draw_rows(drawn_from: Pools, count: int, rng: np.random.Generator) -> np.ndarray:
    """count rows of what pools() returned, int (count,): the classes in equal parts, in each the recordings by their
    shares."""
    labels = rng.permutation(np.arange(count) % 2)
    drawn = np.empty(count, int)
    for label, (parts, shares) in enumerate(drawn_from):
        of_class = np.flatnonzero(labels == label)
        chosen = rng.choice(len(parts), len(of_class), p=shares)
        drawn[of_class] = [parts[number][rng.integers(len(parts[number]))] for number in chosen]
    return drawn
