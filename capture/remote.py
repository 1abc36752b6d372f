"""A recording on a server as a source: it ends, and is no camera."""

import cv2

from capture.device import STREAM_OPEN_MS, STREAM_READ_MS
from capture.source import digest
from capture.video_file import Recording


class RemoteVideo(Recording):
    """A video at an address. name, stem: see capture.source. Raises SourceError if not one frame can be decoded."""

    def __init__(self, address: str, name: str, stem: str):
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_READ_MS]
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        super().__init__(capture, name, stem, "broke off; is the device on and reachable?")
        decoded, frame = self._capture.retrieve()
        first = frame.tobytes() if decoded else b""
        self._fingerprint = digest(f"{self._announced_fps} {self._announced_count}".encode() + first)

    def fingerprint(self) -> str:
        """Of the first picture, and how many are announced."""
        return self._fingerprint
