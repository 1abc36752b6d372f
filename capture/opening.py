"""Open whatever a user names as a source.

with open_source("videos/real.mp4") as source:
    for index, time_s, frame in source.frames(): ...
"""

import os
import re
import stat

from capture.address import (
    is_camera_device,
    is_camera_number,
    is_file_on_a_server,
    local_path,
    may_be_a_file,
    shown,
    stem,
)
from capture.pictures import IMAGE_SUFFIXES
from capture.source import SourceError
from capture.video_file import VideoFile


def open_source(name: str, width: int | None = None, height: int | None = None, fps: float | None = None):
    """Open a camera ("0", on Linux also "/dev/video0"), a stream ("rtsp://..."), a folder of stills, a single one, or
    a video file, also as "file:///videos/real.mp4"; see capture.source.

    width, height (pixels), fps: asked of a camera, which may give something else; no other source can be asked.
    Raises SourceError, also for a file in which not one frame can be decoded.
    """
    if is_camera_number(name):
        from capture.camera import Camera  # files do without it

        return Camera(int(name), f"camera {name}", f"camera{name}", width, height, fps)
    if not name:  # such as of a variable that is not set: not the current folder
        raise SourceError("no source is named; give a video file, a camera's number or a stream's address")
    path = local_path(name)
    if path is None:
        return _stream(name, width, height, fps)
    if is_camera_device(path):
        from capture.camera import Camera

        return Camera(path, f"camera {path}", f"camera-{re.sub('[^0-9A-Za-z]+', '-', path.name)}", width, height, fps)
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except PermissionError as error:
        raise SourceError(f"{shown(name)}: cannot be read ({error.strerror})") from None
    except (OSError, ValueError):  # among them names that no system takes
        kind = 0
    if kind == stat.S_IFDIR or kind == stat.S_IFREG and path.suffix.lower() in IMAGE_SUFFIXES:
        from capture.stills import Stills

        return Stills(path)
    if kind == stat.S_IFREG:
        return VideoFile(path)
    what = "neither a file nor a folder" if kind else "no such file"
    raise SourceError(f"{shown(name)}: {what}; give a video file, a camera's number or a stream's address")


def _stream(address: str, *wishes):
    from capture.camera import Camera

    name = f"stream {shown(address)}"
    camera = Camera(address, name, "stream", *wishes)
    # As a camera it would be opened again at its end, for ever.
    if may_be_a_file(address) and (camera.ends or is_file_on_a_server(address)):
        from capture.remote import RemoteVideo

        camera.close()
        return RemoteVideo(address, name, stem(address))
    return camera
