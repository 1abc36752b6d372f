"""Stills as a source: those of a folder, or a single one."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from capture import pictures
from capture.address import shown
from capture.source import USUAL_FPS, SourceError, digest, file_digest


class Stills:
    """The stills of a folder by name, 2 before 10; of an incident's folder, the raw frames in it. Or a single still.

    Raises SourceError if there are none, or the single one cannot be decoded.
    """

    live, stills = False, True
    fps = USUAL_FPS

    def __init__(self, path: Path):
        self.name = shown(str(path))
        try:
            self._single = not path.is_dir()
            if not self._single:
                self.stem = path.resolve().name
                # The snapshot beside an incident's frames has a box drawn on it: not for training.
                folder = path / "frames" if (path / "frames").is_dir() else path
                self._files = [
                    file
                    for file in folder.iterdir()
                    if file.suffix.lower() in pictures.IMAGE_SUFFIXES and file.is_file()
                ]
                self._files.sort(key=_in_order)
            else:
                self.stem, self._files = path.stem, [path]
                if not path.stat().st_size:
                    raise SourceError(f"{self.name}: is empty, of 0 bytes; record or copy it again")
                if pictures.read(path) is None:
                    raise SourceError(f"{self.name}: not a picture that OpenCV can decode; convert it to PNG")
        except OSError as error:
            raise SourceError(f"{self.name}: cannot be read ({error.strerror})") from error
        if not self._files:
            raise SourceError(f"{self.name}: no pictures in this folder; give a video or a folder of frames")
        self.length = len(self._files)

    def frames(self, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every step-th picture; one that cannot be decoded is left out."""
        for index in range(0, len(self._files), step):
            try:
                picture = pictures.read(self._files[index])
            except OSError:
                continue
            if picture is not None:
                yield index, index / self.fps, picture

    def fingerprint(self) -> str:
        """Of the names and the first picture; of a single one, of what is in it, whatever its name."""
        if self._single:
            return file_digest(self._files[0])
        names = b"\n".join(os.fsencode(file.name) for file in self._files)
        return digest(names + self._files[0].read_bytes())

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def _in_order(file: Path) -> tuple:
    """Numbers in names by their value, as whoever counted meant them."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part) if number % 2 else 0, part) for number, part in enumerate(parts)], file.name
