"""The crops of a data set, as training holds them."""

import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from anti_spoofing import View, Witness, WitnessError, WitnessMissing, view_of_crop
from capture import crops
from capture.ahead import spread
from capture.pictures import IMAGE_SUFFIXES
from capture.source import USUAL_FPS
from face_detector import VIEW_SIDE, reach_within
from model_file.encoder import LABELS
from storage.user_error import UserError
from training.simulated_replay import simulate

# What the recordings are called that are made of live ones; no file can be.
SIMULATED = "fake/simulated: "
# Fewer crops than this in a class are a slip of the hand, not a data set.
FEWEST = 8
# Below and beyond these a model can be trained but should not be trusted: warned about.
FEW, UNBALANCED = 100, 4
# In a class a recording of N crops weighs as much as N to this power: at 0 the ten frames of one incident would make
# up as much of what is learned as two minutes of video, at 1 one long video would drown all short ones.
RECORDING_WEIGHT = 0.75
# What systems and we ourselves leave in folders.
NO_CROPS = {"README.md", "Thumbs.db", "desktop.ini"}


class DataError(UserError):
    """The data set cannot be trained on; the message is one line that says what to do."""


@dataclass(frozen=True)
class Examples:
    """All crops of a data set, N of them, by class, recording and frame.

    crops: uint8 (N, VIEW_SIDE, VIEW_SIDE, 3) BGR. inside: float32 (N, 4), see crops.Crop. is_real: bool (N,).
    recordings: str (N,), "real/kitchen". sources: str (N,), fingerprints of the videos, "" where unknown.
    time_s: float (N,), seconds in the recording. files: object (N,), the path of each; of a simulated replay, its live
    crop's. witness: float (N,), what the witness said of the face in its frame, as log odds; NaN where nobody asked it.
    margin: how wide all of them are cut.
    """

    crops: np.ndarray
    inside: np.ndarray
    is_real: np.ndarray
    recordings: np.ndarray
    sources: np.ndarray
    time_s: np.ndarray
    files: np.ndarray
    witness: np.ndarray
    margin: float

    @property
    def reach(self) -> np.ndarray:
        """float (N,): see face_detector.reach; at most half the margin."""
        return reach_within(self.inside, self.margin)

    @property
    def is_simulated(self) -> np.ndarray:
        """bool (N,): a replay that nobody has filmed."""
        return np.char.startswith(self.recordings, SIMULATED)

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """How much each of these counts in training, float32 (N,), 1 in the mean: both classes alike, in each its
        recordings by RECORDING_WEIGHT."""
        weights = np.empty(len(rows), np.float32)
        recordings, is_real = self.recordings[rows], self.is_real[rows]
        for name in set(recordings):
            of_one = recordings == name
            weights[of_one] = of_one.sum() ** (RECORDING_WEIGHT - 1)
        for chosen in (is_real, ~is_real):
            weights[chosen] *= len(weights) / 2 / weights[chosen].sum()
        return weights


class _Shown(NamedTuple):
    """A crop as it is held: its picture at VIEW_SIDE; what the witness would look at, where it was not asked before."""

    file: Path
    label: str
    crop: crops.Crop
    view: View | None


def load(dataset: Path, margin: float, tell: Callable[[str], None]) -> Examples:
    """Read all crops. margin: of those that do not carry theirs. tell: is told what is left out, line by line.

    Raises DataError. Where there are no attacks, simulated ones stand for them.
    """
    if not dataset.is_dir():
        raise DataError(f"{dataset}: no such folder; make it with gather_examples.py")
    files = _files(dataset)
    found: list[_Shown] = []
    taken: set[tuple] = set()
    copies, unread_fakes = 0, 0
    for file, shown in zip(files, spread(lambda file: _read(file, margin), files, os.cpu_count() or 1)):
        if isinstance(shown, str):
            tell(f"{file}: {shown}; left out")
            unread_fakes += file.parent.name == "fake"
            continue
        # The same video under two names, or a crop that was copied: learned from once, and not judged on as well.
        key = shown.label, shown.crop.source, shown.crop.time_s if shown.crop.source else shown.crop.picture.tobytes()
        copies += key in taken
        if key not in taken:
            taken.add(key)
            found.append(shown)
    if len(found) < len(files):
        as_copies = f", {copies} as copies" if copies else ""
        tell(f"{len(files) - len(found)} of {len(files)} pictures left out{as_copies}")
    count = sum(shown.label == "real" for shown in found)
    if count < FEWEST:
        raise DataError(
            f"{dataset / 'real'}: {count} crop{'' if count == 1 else 's'}; at least {FEWEST} are needed, "
            "some hundreds are better"
        )
    examples, views = _together(found, tell)
    if sum(~examples.is_real) < FEWEST:
        if unread_fakes:
            fakes = sum(~examples.is_real)
            raise DataError(
                f"{dataset / 'fake'}: {fakes} crops, and {unread_fakes} files that are none; gather "
                "replays there, or empty it: then they are simulated"
            )
        examples, views = _with_simulated_replays(examples, views)
    return replace(examples, witness=_asked(examples, views, tell))


def _files(dataset: Path) -> list[Path]:
    """All there is in the folders real and fake, be they links or not. Raises DataError."""
    files = []
    visited = set()

    def refuse(error: OSError):
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); make it readable, or take it away")

    for folder, folders, names in os.walk(dataset, onerror=refuse, followlinks=True):
        visited.add(os.path.realpath(folder))
        folders[:] = [
            name
            for name in sorted(folders)
            if name[0] != "." and os.path.realpath(os.path.join(folder, name)) not in visited
        ]
        files += [
            Path(folder, name)
            for name in sorted(names)
            if name[0] != "."
            and name not in NO_CROPS
            and (Path(folder) != dataset or Path(name).suffix.lower() in IMAGE_SUFFIXES)
        ]
    for label in LABELS:
        if os.path.lexists(dataset / label) and not (dataset / label).is_dir():
            raise DataError(f"{dataset / label}: not a folder, nor a link to one that is there; put that right first")
    names = {file.parent.name for file in files}
    if not names:
        raise DataError(
            f"{dataset}: no pictures in it; fill {dataset / 'real'} and {dataset / 'fake'} with gather_examples.py"
        )
    if names == {"fake"}:
        raise DataError(f"{dataset}: only fake crops; gather {dataset / 'real'} too")
    if not names <= set(LABELS):
        raise DataError(
            f"{dataset}: the classes are {', '.join(sorted(names))}; they must be two folders named real and fake"
        )
    # Of a crop and its copy, which file managers call "x (2)", the crop is kept.
    return sorted(files, key=lambda file: (not crops.origin(file)[0], file))


def _read(file: Path, margin: float) -> "_Shown | str":
    """The crop in a file, or in a few words why there is none."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return "not a regular file"  # to open a pipe is to wait for ever
        crop = crops.read(file)
    except FileNotFoundError:
        return "a link to a file that is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if crop is None:
        return "not a picture that can be decoded"
    margin = crop.margin or margin
    view = view_of_crop(crop.picture, crop.inside, margin) if crop.witness is None else None
    small = cv2.resize(crop.picture, (VIEW_SIDE, VIEW_SIDE), interpolation=cv2.INTER_AREA)
    return _Shown(file, file.parent.name, replace(crop, picture=small, margin=margin), view)


def _together(found: list[_Shown], tell: Callable[[str], None]) -> tuple[Examples, list[View | None]]:
    # One network sees one width: that of the tightest crops, to which the wider are cut down.
    margin = min(shown.crop.margin for shown in found)
    narrowed = [_narrow(shown.crop, margin) for shown in found]
    return Examples(
        crops=np.stack([picture for picture, _ in narrowed]),
        inside=np.array([inside for _, inside in narrowed], np.float32),
        is_real=np.array([shown.label == "real" for shown in found]),
        recordings=np.array(_recordings(found, tell)),
        sources=np.array([shown.crop.source for shown in found]),
        time_s=np.array(
            [shown.crop.frame / USUAL_FPS if shown.crop.time_s is None else shown.crop.time_s for shown in found]
        ),
        files=np.array([shown.file for shown in found], object),
        witness=np.array([np.nan if shown.crop.witness is None else shown.crop.witness for shown in found]),
        margin=margin,
    ), [shown.view for shown in found]


def _recordings(found: list[_Shown], tell: Callable[[str], None]) -> list[str]:
    """Of each crop: one name for all that come from one video, whatever they are called."""
    first: dict[tuple[str, str], str] = {}
    others: dict[str, set[str]] = {}
    names = []
    for _, label, crop, _ in found:
        name = f"{label}/{crop.recording}"
        one = first.setdefault((label, crop.source), name) if crop.source else name
        if one != name:
            others.setdefault(one, set()).add(name)
        names.append(one)
    for one, same in sorted(others.items()):
        tell(f"{one} and {', '.join(sorted(same))} are the same video: one recording")
    return names


def _narrow(crop: crops.Crop, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a crop, margin wide, and which part of that shows the frame."""
    inside = np.asarray(crop.inside, np.float32)
    side = crop.picture.shape[0]
    keep = round(side * margin / crop.margin)
    if keep >= side:
        return crop.picture, inside
    start = (side - keep) // 2
    middle = crop.picture[start : start + keep, start : start + keep]
    inside = np.clip((inside * side - start) / keep, 0, 1)
    return cv2.resize(middle, (side, side), interpolation=cv2.INTER_LINEAR), inside


def _with_simulated_replays(examples: Examples, views: list) -> tuple[Examples, list]:
    """Beside what there is, a simulated replay of each live crop, at the same second of a recording of its own."""
    rng = np.random.default_rng(0)
    live = np.flatnonzero(examples.is_real)
    fakes = [simulate(examples.crops[row], examples.inside[row], examples.margin, rng) for row in live]
    whole = np.tile(np.float32([0, 0, 1, 1]), (len(live), 1))
    names = [SIMULATED + name.removeprefix("real/") for name in examples.recordings[live]]
    return replace(
        examples,
        crops=np.concatenate([examples.crops, fakes]),
        inside=np.concatenate([examples.inside, whole]),
        is_real=np.concatenate([examples.is_real, np.zeros(len(live), bool)]),
        recordings=np.concatenate([examples.recordings, names]),
        sources=np.concatenate([examples.sources, np.full(len(live), "")]),
        time_s=np.concatenate([examples.time_s, examples.time_s[live]]),
        files=np.concatenate([examples.files, examples.files[live]]),
        witness=np.concatenate([examples.witness, np.full(len(live), np.nan)]),
    ), views + [view_of_crop(fake, whole[0], examples.margin) for fake in fakes]


def _asked(examples: Examples, views: list, tell: Callable[[str], None]) -> np.ndarray:
    """The witness' word on each crop, float (N,): what it said when the crop was cut, else what it says of the crop;
    NaN for those where it cannot be asked."""
    words = examples.witness.copy()
    rows = np.flatnonzero(np.isnan(words))
    if len(rows):
        try:
            witness = Witness()
        except WitnessMissing as error:
            tell(f"{error}; going on without")
        except WitnessError as error:
            raise DataError(str(error)) from None
        else:
            for part in np.array_split(rows, math.ceil(len(rows) / 64)):
                words[part] = witness.log_odds([views[row] for row in part])
    return words


def warnings_about(examples: Examples) -> list[str]:
    """What in the data makes a poor model, or a good-looking report about one."""
    warnings = []
    counts = {"real": sum(examples.is_real), "fake": sum(~examples.is_real)}
    simulated = sum(examples.is_simulated)
    if simulated:
        warnings.append(
            f"{counts['fake'] - simulated or 'no'} fake crops: replays are simulated from the real ones "
            "instead; film a real replay and gather it too, which does better"
        )
    for name, count in counts.items():
        if count < FEW:
            warnings.append(f"only {count} {name} crops; {FEW} or more, from a video of 20 s or longer, do better")
    few, many = sorted(counts, key=counts.get)
    if counts[many] > UNBALANCED * counts[few]:
        warnings.append(
            f"{counts[many]} {many} crops and {counts[few]} {few} ones; both count alike in training, "
            f"but {few} is known from much less: gather more of it, with a lower --skip"
        )
    shared = set(examples.sources[examples.is_real]) & set(examples.sources[~examples.is_real]) - {""}
    if shared:
        names = sorted(set(examples.recordings[np.isin(examples.sources, list(shared))]))
        warnings.append(
            f"crops of {' and '.join(names)} come from the same video, which cannot be both: "
            "delete those that are wrong"
        )
    return warnings
