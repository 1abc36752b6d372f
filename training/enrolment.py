"""From live crops to an owner's templates: whose faces they show, and which looks at one are kept.

    enrolled = enrol(files, recordings, time_s, detector)      # raises Nobody, who says why

Numbers measured on 14 live recordings of 13 people, and on the replays of six of them as their other recordings:
docs/owners.md.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from capture import crops
from face_detector import FaceDetector
from face_recognizer import Recognizer, aligned, unfit
from model_file.owners import MOST_TEMPLATES, together

# An owner's templates: the more, the more of his looks are known, and the more strangers look like one of them.
FEWEST, MOST = 5, MOST_TEMPLATES
# So many crops are looked at, 10 to 25 ms each.
MOST_LOOKED_AT = 200
# Two groups of looks are one person's where they score so much in the mean. Those of two people score 0.33 at most, the
# two recordings of one person 0.55, and of one recording what is not stray 0.39 and more.
SAME_PERSON = 0.38
# A group is a person where it has this share of some recording, else stray: bowed and raised heads, 9 % at most.
PERSON_SHARE = 0.2
# Where every look scores so much with a template, more of them would add little.
COVERED = 0.8
# Faces are embedded by so many at once.
BATCH = 32


class Nobody(Exception):
    """Nobody can be enrolled; the message says why, in one line or some."""


class SeveralPeople(Nobody):
    """The crops show more than one person; the message says how many, and which crops."""


class Enrolled(NamedTuple):
    """templates: float32 (N, 128) of length 1, N from FEWEST to MOST. recordings: of how many they are."""

    templates: np.ndarray
    recordings: int


def enrol(files: list[Path], recordings: np.ndarray, time_s: np.ndarray, detector: FaceDetector) -> Enrolled:
    """The templates of the one person whom N crops show.

    recordings: str (N,), where each of them comes from. time_s: float (N,), when in it.
    Raises Nobody where they show several people, or nobody well enough; RecognizerError.
    """
    rows = spread_evenly(recordings, time_s)
    faces = {row: face for row in rows if (face := face_in(files[row], detector)) is not None}
    if len(faces) < FEWEST:
        raise Nobody(
            f"{len(faces)} of {len(rows)} crops show a face that is large, sharp and lit enough and looks ahead; "
            f"{FEWEST} are needed"
        )
    recognizer, pictures = Recognizer(), np.stack(list(faces.values()))
    looks = np.concatenate([recognizer.embed_aligned(pictures[n : n + BATCH]) for n in range(0, len(pictures), BATCH)])
    return owner_of(looks, recordings[list(faces)])


def owner_of(looks: np.ndarray, recordings: np.ndarray) -> Enrolled:
    """The templates of the one person whom N looks show, float32 (N, 128) of length 1, N from FEWEST.

    recordings: str (N,). Raises Nobody.
    """
    found = people(looks, recordings)
    if len(found) > 1:
        counts = [Counter(recordings[person].tolist()) for person in found]
        told = [", ".join(f"{looks} looks in {name}" for name, looks in count.most_common()) for count in counts]
        raise SeveralPeople(f"the crops show {len(found)} people:\n" + ";\n".join(told))
    rows = found[0] if found else np.empty(0, int)
    while len(rows) >= FEWEST:
        kept = rows[chosen(looks[rows])]
        alike = together(looks[kept])
        if alike.all():
            return Enrolled(looks[kept], len(set(recordings[kept])))
        rows = np.setdiff1d(rows, kept[~alike])
    raise Nobody(f"no {FEWEST} looks in the crops are alike")


def spread_evenly(recordings: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """At most MOST_LOOKED_AT rows, from each recording as many as from others as far as it has them, evenly in time."""
    rows, left = [], MOST_LOOKED_AT
    names, counts = np.unique(recordings, return_counts=True)
    for place, which in enumerate(np.argsort(counts)):
        of_one = np.flatnonzero(recordings == names[which])
        of_one = of_one[np.argsort(time_s[of_one], kind="stable")]
        take = min(len(of_one), left // (len(names) - place))
        left -= take
        rows.append(of_one[np.linspace(0, len(of_one) - 1, take).round().astype(int)])
    return np.sort(np.concatenate(rows))


def face_in(file: Path, detector: FaceDetector) -> np.ndarray | None:
    """The face in the middle of a crop, see face_recognizer.aligned; None where it shows none that is fit."""
    try:
        crop = crops.read(file)
    except OSError:
        return None
    if crop is None:
        return None
    faces = detector.detect(crop.picture)
    if not len(faces):
        return None
    middles = faces[:, :2] + faces[:, 2:4] / 2
    face = faces[np.linalg.norm(middles - np.array(crop.picture.shape[1::-1]) / 2, axis=1).argmin()]
    return None if unfit(crop.picture, face) else aligned(crop.picture, face)


def people(looks: np.ndarray, recordings: np.ndarray) -> list[np.ndarray]:
    """The rows of each person's looks, the most frequent first; strays are nobody's.

    looks: float32 (N, 128) of length 1, N from 2. recordings: str (N,).
    """
    from sklearn.cluster import AgglomerativeClustering

    groups = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - SAME_PERSON
    ).fit_predict(looks)
    sizes = Counter(recordings.tolist())
    found = []
    for group in set(groups):
        rows = np.flatnonzero(groups == group)
        share = max(count / sizes[name] for name, count in Counter(recordings[rows].tolist()).items())
        if len(rows) >= FEWEST and share >= PERSON_SHARE:
            found.append(rows)
    return sorted(found, key=len, reverse=True)


def chosen(looks: np.ndarray) -> list[int]:
    """Rows of the looks at one person that stand for all: the most typical, then always what is least like those.

    looks: float32 (N, 128) of length 1, N from FEWEST.
    """
    rows = [int((looks @ looks.mean(axis=0)).argmax())]
    while len(rows) < min(MOST, len(looks)):
        known = (looks @ looks[rows].T).max(axis=1)
        if len(rows) >= FEWEST and known.min() >= COVERED:
            break
        rows.append(int(known.argmin()))
    return rows
