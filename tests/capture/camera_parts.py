"""Cameras that tests can talk to: MJPEG over HTTP, a driver at OpenCV's interface, and a Camera that loses patience
quickly."""

import http.server
import threading
import time

import cv2
import numpy as np

from capture.camera import Camera, Patience

# A tenth of the true times and less: the tests are about what happens, and in what order.
QUICK = Patience(
    first_picture=1,
    silent=0.4,
    frozen=0.6,
    dark=0.4,
    broken=0.15,
    settle=0.3,
    pause=0.1,
    longest_pause=0.4,
    longest_dark_pause=0.4,
)
# What must happen soon, happens within so many seconds on a busy machine, too.
SOON = 8


class Server:
    """An HTTP camera. mode: "run", "repeat" one picture, "dark", "pause", "drop" connections, "mute" (no answer)."""

    def __init__(self, pictures: np.ndarray, port: int = 0):
        self.mode, self.connections, self.number = "run", 0, 0
        self._jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
        self._dark = [cv2.imencode(".jpg", picture // 16)[1].tobytes() for picture in pictures]
        handler = type(
            "Handler",
            (http.server.BaseHTTPRequestHandler,),
            {
                "do_GET": lambda request: self._serve(request),
                "log_message": lambda *_: None,
            },
        )
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://user:secret@127.0.0.1:{self.port}/live?key=secret"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _serve(self, request) -> None:
        self.connections += 1
        while self.mode == "mute":
            time.sleep(0.02)
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        request.end_headers()
        try:
            while self.mode != "drop":
                if self.mode == "pause":
                    time.sleep(0.02)
                    continue
                jpegs = self._dark if self.mode == "dark" else self._jpegs
                self.number += self.mode != "repeat"
                jpeg = jpegs[self.number % len(jpegs)]
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                request.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(1 / 40)
        except OSError:
            pass  # the camera hung up

    def close(self) -> None:
        self.mode = "drop"
        self._http.shutdown()
        self._http.server_close()


def stream(server: Server, patience: Patience = QUICK, **wishes) -> Camera:
    return Camera(server.url, "stream", "stream", patience=patience, **wishes)


class Driver:
    """Stands in for cv2.VideoCapture and what is behind it; counts what it is asked."""

    def __init__(self, pictures):
        self.pictures = pictures
        self.plugged = True
        self.openings, self.reads, self.held = [], 0, 0  # (time, backend) of each attempt; captures not released
        self.fps = 30.0
        self.asked = []
        self.silent = False  # opens, but brings nothing
        self.works_with = None  # the only backend that opens, None: any
        self.block = threading.Event()  # set: reading does not block
        self.block.set()
        self.opening = threading.Event()  # set: opening does not block
        self.opening.set()

    def __call__(self, index, backend, *_):
        return Capture(self, backend)


class Capture:
    def __init__(self, driver: Driver, backend: int):
        self.driver = driver
        driver.openings.append((time.monotonic(), backend))
        driver.opening.wait(20)
        self.open = driver.plugged and driver.works_with in (None, backend)
        driver.held += self.open

    def isOpened(self):
        return self.open

    def get(self, key):
        return self.driver.fps if key == cv2.CAP_PROP_FPS else 0.0

    def set(self, key, value):
        self.driver.asked.append((key, value))
        return False

    def read(self):
        driver = self.driver
        driver.reads += 1
        driver.block.wait(20)
        if not (self.open and driver.plugged) or driver.silent:
            return False, None
        time.sleep(1 / 50)
        return True, driver.pictures[driver.reads % len(driver.pictures)].copy()

    def release(self):
        self.driver.held -= self.open
        self.open = False


def watch(frames, until, timeout: float = SOON) -> list[tuple]:
    """Items of frames() until until(item) holds; fails when it does not in time."""
    seen, deadline = [], time.monotonic() + timeout
    for item in frames:
        seen.append(item)
        if until(item):
            return seen
        assert time.monotonic() < deadline, "did not happen in time"
    raise AssertionError("no more frames")


def has_picture(item) -> bool:
    return item[2] is not None


def wait_for(condition, timeout: float = SOON) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def readers() -> int:
    return sum("reader" in thread.name for thread in threading.enumerate())
