"""Addresses, as users give them: what of them may be shown, and what they lead to."""

import os
import re
import sys
from pathlib import Path

# Servers of files. Of another, such as a camera's RTSP server, nothing that it says about an end is believed: a camera
# that is taken for a recording would guard nothing.
_FILE_SERVERS = ("http://", "https://", "ftp://", "ftps://")
# Live streams are announced by lists in such files, which are themselves served as files are.
_LISTS = (".m3u8", ".mpd", ".sdp")
_ANSWER_S = 2.0


def is_address(name: str) -> bool:
    """Such as rtsp://host/path; not C://path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) is not None


def shown(name: str) -> str:
    """What of a name or address may be told and logged, on one line: rtsp://user:secret@host:554/path becomes
    rtsp://host:554.

    Recorders take passwords in the path and the query, too, and passwords may hold each of "/?#@": where that leaves
    doubt about what is the host, nothing of it is told.
    """
    if not is_address(name) or name.lower().startswith("file:"):
        # A slip of the hand, such as rtsp:/user:secret@host or no scheme at all?
        if re.search(r"^(?!file:)[a-z]{2,}:[/\\]|:.*@|[?&].*=", name, re.IGNORECASE) and not os.path.lexists(name):
            return "..."
        return re.sub(r"[\x00-\x1f\x7f]", "?", name)
    scheme, _, rest = name.partition("://")
    authority, rest = re.match(r"([^/?#\\]*)(.*)", rest, re.DOTALL).groups()
    return f"{scheme}://..." if "@" in rest else f"{scheme}://{authority.rpartition('@')[2]}"


def local_path(name: str) -> Path | None:
    """The file or folder that a name means: itself, or of file:///videos/real.mp4; None for the address of a stream."""
    scheme, colon, path = name.partition(":")
    if os.path.lexists(name):
        return Path(name)
    if colon and scheme.lower() == "file":
        from urllib.parse import unquote

        if path.startswith("//"):
            path = path[2:].removeprefix("localhost")
        if re.match(r"/[A-Za-z]:", path):  # file:///C:/videos/real.mp4
            path = path[1:]
        # Written by hand, it need not be encoded.
        return Path(path if os.path.exists(path) else unquote(path, errors="surrogateescape"))
    return None if is_address(name) else Path(name)


def is_camera_number(name: str) -> bool:
    return name.isdecimal() and len(name) < 10


def is_camera_device(path: Path) -> bool:
    """Such as /dev/video0, on Linux."""
    return sys.platform == "linux" and re.match("/dev/(video|v4l/)", str(path)) is not None


def means_a_file(name: str) -> bool:
    """Is it a file or a folder here, by its name: neither a camera nor the address of a stream?"""
    path = None if is_camera_number(name) else local_path(name)
    return path is not None and not is_camera_device(path)


def stem(address: str) -> str:
    """A part of file names: http://host/videos/real.mp4?key=secret -> real."""
    path = re.split(r"[?#]", address)[0].partition("://")[2]
    name = path.rpartition("/")[2].rpartition(".")[0] if "/" in path else ""
    return name if re.fullmatch(r"[\w-]{1,60}", name) else "stream"


def may_be_a_file(address: str) -> bool:
    """Can what is at a stream's address be a file at all?"""
    return address.lower().startswith(_FILE_SERVERS)


def is_file_on_a_server(address: str) -> bool:
    """Does a web server say that this is a file, with an end, and no stream? Asks once, for at most two seconds."""
    if not address.lower().startswith(("http://", "https://")) or any(kind in address.lower() for kind in _LISTS):
        return False
    import requests

    try:
        headers = requests.head(address, allow_redirects=True, timeout=_ANSWER_S).headers
    except (requests.RequestException, ValueError):
        return False
    kind, length = headers.get("Content-Type", "").lower(), headers.get("Content-Length", "")
    # A single picture, again and again, is how some cameras are asked.
    is_video = kind.startswith(("video/", "application/octet-stream"))
    return is_video and "Last-Modified" in headers and length.isdecimal() and int(length) > 0
