"""Open whatever a user names as a source.

    with open_source("videos/real.mp4") as source:
        for index, time_s, frame in source.frames(): ...
"""

import os
from pathlib import Path

import cv2

from capture import address
from capture.source import SourceError
from capture.stills import FrameFolder
from capture.video_file import VideoFile

# What can be done about a bad file or a missing camera, we say ourselves, in one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_source(name: str, width: int | None = None, height: int | None = None, fps: float | None = None):
    """Open a camera ("0"), a stream ("rtsp://..."), a folder of stills or a video file; see capture.source.

    width, height (pixels), fps: asked of a camera, which may give something else; no other source can be asked.
    Raises SourceError, also for a file in which not one frame can be decoded.
    """
    is_number = name.isdecimal() and len(name) < 10
    if is_number or "://" in name:
        from capture.camera import Camera  # files do without it

        if is_number:
            return Camera(int(name), f"camera {name}", f"camera{name}", width, height, fps)
        return Camera(name, "stream " + address.without_password(name), "stream", width, height, fps)
    path = Path(name)
    # Of os.path: a name that no system takes is no error to it.
    if os.path.isdir(path):
        return FrameFolder(path)
    if not os.path.isfile(path):
        raise SourceError(f"{name}: no such file; give a video file, a camera's number or a stream's address")
    return VideoFile(path)
