"""A camera that tests can talk to: MJPEG over HTTP, and a Camera that loses patience quickly."""

import http.server
import threading
import time

import cv2
import numpy as np

from capture.camera import Camera, Patience

# A tenth of the true times and less: the tests are about what happens, and in what order.
QUICK = Patience(
    first_picture=1, silent=0.4, frozen=0.6, dark=0.4, broken=0.15, settle=0.3, pause=0.1, longest_pause=0.4,
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
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {
            "do_GET": lambda request: self._serve(request), "log_message": lambda *_: None,
        })
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
