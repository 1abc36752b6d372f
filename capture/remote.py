"""A recording on a server as a source: it ends, and is no camera."""

import cv2

from capture.device import STREAM_OPEN_MS, STREAM_READ_MS
from capture.pace import Pace, measure
from capture.source import digest
from capture.video_file import Recording

# So many packets are fetched to learn the pace: some three seconds of the recording.
FEW_PACKETS = 100


class RemoteVideo(Recording):
    """A video at an address. name, stem: see capture.source. Raises SourceError if not one frame can be decoded."""

    def __init__(self, address: str, name: str, stem: str):
        self._address = address
        super().__init__(self._opened(), name, stem, "broke off; is the device on and reachable?")
        decoded, frame = self._capture.retrieve()
        first = frame.tobytes() if decoded else b""
        self._fingerprint = digest(f"{self._announced_fps} {self._announced_count}".encode() + first)

    def fingerprint(self) -> str:
        """Of the first picture, and how many are announced."""
        return self._fingerprint

    def _measured(self) -> Pace:
        packets = self._opened(cv2.CAP_PROP_FORMAT, -1)
        try:
            return measure(packets, FEW_PACKETS)
        finally:
            packets.release()

    def _opened(self, *params: int) -> cv2.VideoCapture:
        timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, STREAM_OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, STREAM_READ_MS]
        return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, [*timeouts, *params])
