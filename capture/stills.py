"""A folder of stills, or a single one, as a source."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from capture import pictures
from capture.source import USUAL_FPS, SourceError, digest

IMAGE_SUFFIXES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


class FrameFolder:
    """The stills of a folder by name; of an incident's folder, the raw frames in it."""

    live, stills = False, True
    fps = USUAL_FPS

    def __init__(self, path: Path):
        self.name, self.stem = str(path), path.resolve().name
        # The snapshot beside an incident's frames has a box drawn on it: not for training.
        folder = path / "frames" if (path / "frames").is_dir() else path
        try:
            files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
        self._files = sorted(files)
        if not self._files:
            raise SourceError(f"{path}: no pictures in this folder; give a video or a folder of frames")
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
        """Of the names and the first picture."""
        names = "\n".join(file.name for file in self._files).encode()
        return digest(names + self._files[0].read_bytes())

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
