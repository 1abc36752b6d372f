"""The owners in liveness.model: what the recognition network made of some looks at each, as one more member.

    owners.json      {"network": "...", "owners": {"owner": [[128 numbers], ...]}}

Biometric data: a file with owners in it is readable by its user alone, and one that others may write is refused.
"""

import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np

from model_file.archive import DAMAGED, DETAILS_LIMIT, MEMBER_LIMIT, member, read_archive
from model_file.reading import ModelError
from storage.beside import beside

OWNERS = "owners.json"
# A household; what a look is compared with takes time, and each owner more is one more who may be mistaken for.
MOST_OWNERS, MOST_TEMPLATES = 20, 10
LONGEST_NAME = 40
# Numbers of a template.
SIZE = 128
# Templates of one person hang together by pairs at least so alike: others mixed in do not.
LEAST_ALIKE = 0.3


class OwnersError(ModelError):
    """What a model says about its owners cannot be used; the message is one line that says what to do."""


def read_owners(path: str | Path, network: str) -> dict[str, np.ndarray]:
    """Each owner's templates by name, float32 (N, 128) of length 1, N from 1 to 10; {} where nobody is enrolled.

    network: the one whose embeddings they must be. Raises OwnersError, and ModelError where path is no archive that
    train.py wrote.
    """
    path = Path(path)
    read_archive(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as members:
            data = member(path, members, OWNERS, DETAILS_LIMIT)
            mode = os.fstat(file.fileno()).st_mode
        found = json.loads(data)
    except KeyError:
        return {}
    except DAMAGED:
        raise _unsound(path, "damaged") from None
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OwnersError(f"{path}: others may write it, and with that become its owner: chmod 600 {path}")
    if not (isinstance(found, dict) and isinstance(found.get("owners"), dict)):
        raise _unsound(path, "not written by train.py")
    if found.get("network") != network:
        raise _unsound(path, "enrolled with another network than this version's")
    if wrong := problem_with(found["owners"]):
        raise _unsound(path, wrong)
    return {name: np.array(templates, np.float32) for name, templates in found["owners"].items()}


def write_owners(path: str | Path, owners: dict[str, np.ndarray], network: str) -> None:
    """Put the owners into a model instead of those that are in it; {} takes all of them out.

    owners, network: as read_owners gives and takes them. Raises ModelError, OSError if it cannot be written; then the
    file stays as it was.
    """
    path = Path(path)
    read_archive(path)
    with zipfile.ZipFile(path) as members:
        try:
            others = [(info, member(path, members, info.filename, MEMBER_LIMIT)) for info in members.infolist()]
        except DAMAGED:
            raise ModelError(f"{path}: damaged; train it again with train.py") from None
    data = written(owners, network) if owners else None
    with beside(path, private=bool(owners)) as part, zipfile.ZipFile(part, "w") as members:
        for info, other in others:
            if info.filename != OWNERS:
                members.writestr(info, other)
        if data:
            members.writestr(OWNERS, data)


def written(owners: dict[str, np.ndarray], network: str) -> str:
    """The member's text. Raises OwnersError if read_owners would refuse it."""
    lists = {name: np.asarray(templates, float).round(6).tolist() for name, templates in owners.items()}
    if wrong := problem_with(lists):
        raise OwnersError(f"owners cannot be enrolled: {wrong}")
    return json.dumps({"network": network, "owners": lists})


def problem_with(owners: dict) -> str:
    """What is wrong with owners as they stand in the file, in a few words; "" where nothing is."""
    if not 1 <= len(owners) <= MOST_OWNERS:
        return f"{len(owners)} owners, where 1 to {MOST_OWNERS} are possible"
    for name, templates in owners.items():
        if wrong := problem_with_name(name):
            return wrong
        if not (isinstance(templates, list) and 1 <= len(templates) <= MOST_TEMPLATES and all(map(_is_one, templates))):
            return f"{name}'s templates are not 1 to {MOST_TEMPLATES} times {SIZE} numbers of length 1"
        if not _hang_together(np.array(templates)):
            return f"{name}'s templates are not one person's"
    return ""


def problem_with_name(name: str) -> str:
    """What is wrong with an owner's name, in a few words; "" where nothing is."""
    if name and name == name.strip() and name.isprintable() and len(name) <= LONGEST_NAME:
        return ""
    return f"an owner's name has 1 to {LONGEST_NAME} letters that can be printed, and no space round them"


def _is_one(template) -> bool:
    if not (isinstance(template, list) and len(template) == SIZE and all(type(x) in (int, float) for x in template)):
        return False
    # Not NumPy: it takes no whole number of a hundred digits.
    return all(abs(x) <= 1.01 for x in template) and abs(sum(x * x for x in template) ** 0.5 - 1) < 1e-3


def _hang_together(templates: np.ndarray) -> bool:
    """Is each of them reached from each in steps from one to one that is alike? templates: float (N, 128)."""
    alike = templates @ templates.T >= LEAST_ALIKE
    return bool(np.linalg.matrix_power(alike.astype(float), len(alike)).all())


def _unsound(path: Path, wrong: str) -> OwnersError:
    return OwnersError(f"{path}: its {OWNERS} cannot be used ({wrong}); delete the file, and train and enrol again")
