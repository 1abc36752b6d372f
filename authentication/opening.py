"""Source, face detector, witness and recognizer, opened at the same time, while Python imports the rest.

    opening = Opening(SourceOptions("0"), "face_detector", confidence=0.5)
    with opening.source() as source:
        found = opening.found(source)
        witness = opening.witness()

Of all that a start does, this is what takes long: OpenCV lets go of Python's lock, so the threads really run beside
each other and beside Python's imports. Of a file, faces are looked for in the first frames as soon as it and the
detector are open.
"""

import functools
import gc
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple


class SourceOptions(NamedTuple):
    """What to open, and what to ask a camera for; see open_source."""

    name: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None


class Opening:
    """Begins to open all at once. detector: folder of its weights. confidence: lowest score of a face, 0 to 1.
    recognizer: whether whose face it is will be asked."""

    def __init__(self, source: SourceOptions, detector: str, confidence: float, recognizer: bool = False):
        # What an import makes is there to stay: to search it for garbage takes a tenth of the time.
        gc.disable()
        try:
            self._open(source, detector, confidence, recognizer)
        finally:
            gc.freeze()
            gc.enable()

    def _open(self, source: SourceOptions, detector: str, confidence: float, recognizer: bool) -> None:
        """Begin with each as soon as what it needs is imported."""
        import cv2

        # A thread for each frame's few milliseconds costs a third more of the processor's time than it gains.
        cv2.setNumThreads(1)
        # First, since it takes longest of all.
        self._recognizer = _Background(_recognizer) if recognizer else None
        from capture.opening import open_source

        self._open_source = functools.partial(open_source, *source)
        # macOS asks whether the program may use the camera, and does so in the main thread alone.
        in_main_thread = sys.platform == "darwin" and source.name.isdecimal()
        self._source = None if in_main_thread else _Background(self._open_source)
        from face_detector import FaceDetector

        self._detector = _Background(FaceDetector, detector, confidence)
        self._found = None if in_main_thread else _Background(lambda: self._look(self._source.result()))
        from anti_spoofing import Witness

        self._witness = _Background(Witness)

    def source(self):
        """The source, once it is open. Raises SourceError."""
        return self._source.result() if self._source else self._open_source()

    def found(self, source):
        """The source's frames with their faces, once the detector is open. Raises DetectorError."""
        return self._found.result() if self._found else self._look(source)

    def witness(self):
        """The anti-spoofing network, once it is read. Raises WitnessMissing and WitnessError."""
        return self._witness.result()

    def recognizer(self):
        """The face recognition network, once it is read. Raises RecognizerError."""
        return self._recognizer.result()

    def _look(self, source):
        from authentication.authenticator import look_for_faces

        return look_for_faces(source, self._detector.result())


def _recognizer():
    from face_recognizer import Recognizer

    return Recognizer()


class _Background:
    """A call in a thread of its own, which does not keep the program from ending."""

    def __init__(self, call: Callable, *args):
        self._call, self._args = call, args
        self._value, self._error = None, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self):
        """Wait for what the call returns, or raise what it raised."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._call(*self._args)
        except BaseException as error:  # whatever it is, it belongs to whoever waits for the result
            self._error = error
