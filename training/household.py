"""Who owns a workstation, as its model says: enrolled by a training, added, removed, kept by the next training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from capture import crops
from capture.pictures import IMAGE_SUFFIXES
from face_detector import DetectorError, FaceDetector
from face_recognizer import NETWORK, RecognizerError
from model_file.owners import OwnersError, problem_with_name, read_owners, write_owners, written
from model_file.reading import ModelError
from training.dataset import DataError, Examples
from training.enrolment import Enrolled, Nobody, SeveralPeople, enrol

# Whom a training enrols.
OWNER = "owner"


def before(model: Path) -> dict[str, np.ndarray]:
    """The owners in the file that a training is about to replace, see read_owners; {} where it is no such file.

    Raises OwnersError where there are some that cannot be read: they would be lost.
    """
    try:
        return read_owners(model, NETWORK)
    except OwnersError:
        raise
    except ModelError:
        return {}


def of_training(
    examples: Examples, owner_from: list[str], detector: Path, tell: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """The owner's templates by the name OWNER; {} where nobody can be enrolled. tell: is told which.

    owner_from: the live recordings that show him; all if there are none. detector: the folder of the face detector.
    Raises DataError where those that are named are not there, or do not do.
    """
    live = examples.is_real
    if owner_from:
        live = np.isin(examples.recordings, _recordings(examples, owner_from))
    try:
        enrolled = enrol(
            list(examples.files[live]), examples.recordings[live], examples.time_s[live], FaceDetector(detector)
        )
    except Nobody as nobody:
        if owner_from:
            raise DataError(f"--owner-from {' '.join(owner_from)}: {nobody}; name recordings of one person") from None
        tell(f"owner: nobody enrolled; {nobody}".replace("\n", "\n  "))
        if isinstance(nobody, SeveralPeople):
            tell("  --owner-from RECORDING names the owner's; --add-owner NAME CROPS_FOLDER adds others later")
        return {}
    except (DetectorError, RecognizerError) as error:
        tell(f"owner: nobody enrolled; {error}")
        return {}
    tell(f"{OWNER}: {told(enrolled)}")
    return {OWNER: enrolled.templates}


def check(owners: dict[str, np.ndarray]) -> None:
    """Before a training: raises OwnersError where one model cannot hold them all, as a household that is too large."""
    if owners:
        written(owners, NETWORK)


def add(model: Path, name: str, folders: list[Path], detector: Path) -> str:
    """Enrol somebody from folders of crops in a model that is there; returns what was done, in a line.

    Raises DataError, DetectorError, RecognizerError, ModelError; OSError where the model cannot be written.
    """
    if wrong := problem_with_name(name):
        raise DataError(f"--add-owner: {wrong}")
    owners = read_owners(model, NETWORK)
    files = [file for folder in folders for file in _pictures(folder)]
    origins = [crops.origin(file) for file in files]
    recordings = np.array([f"{file.parent}/{recording}" for file, (recording, _) in zip(files, origins)])
    frames = np.array([frame for _, frame in origins])
    try:
        enrolled = enrol(files, recordings, frames, FaceDetector(detector))
    except Nobody as nobody:
        advice = "; give folders of one person's crops" if isinstance(nobody, SeveralPeople) else ""
        raise DataError(f"--add-owner {name}: {nobody}{advice}") from None
    replaced = " in place of what was enrolled before" if name in owners else ""
    write_owners(model, owners := {**owners, name: enrolled.templates}, NETWORK)
    return f"{name}: {told(enrolled)}{replaced}; {listed(owners)}"


def remove(model: Path, name: str) -> str:
    """Take an owner out of a model; returns what was done, in a line. Raises as add() does."""
    owners = read_owners(model, NETWORK)
    if name not in owners:
        raise DataError(f"--remove-owner: nobody of that name is enrolled in {model}; {listed(owners)}")
    del owners[name]
    write_owners(model, owners, NETWORK)
    return f"{name}: removed; {listed(owners)}"


def told(enrolled: Enrolled) -> str:
    recordings = f"{enrolled.recordings} recording{'s' if enrolled.recordings > 1 else ''}"
    return f"enrolled from {len(enrolled.templates)} looks in {recordings}"


def listed(owners: dict) -> str:
    return f"owners: {', '.join(owners)}" if owners else "no owners"


def _recordings(examples: Examples, wanted: list[str]) -> list[str]:
    """The live recordings that are called so, with or without real/ before it. Raises DataError."""
    live = sorted(set(examples.recordings[examples.is_real].tolist()))
    for name in wanted:
        if not {name, f"real/{name}"} & set(live):
            raise DataError(f"--owner-from {name}: no such live recording; there are {', '.join(live)}")
    return [name for name in live if {name, name.removeprefix("real/")} & set(wanted)]


def _pictures(folder: Path) -> list[Path]:
    """The crops in a folder. Raises DataError where there are none."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); name a folder of crops") from None
    if not files:
        raise DataError(f"{folder}: no pictures in it; fill it with gather_examples.py")
    return files
