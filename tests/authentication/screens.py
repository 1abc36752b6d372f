"""Virtual screens, for real windows."""

import contextlib
import os
import signal
import struct
import subprocess
import time
from pathlib import Path

import numpy as np

from authentication.window import TITLE


class Screen:
    """A virtual screen, X server display number and all, whose pixels can be read."""

    def __init__(self, folder: Path):
        reader, writer = os.pipe()
        self._server = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(writer),
                "-screen",
                "0",
                "1400x900x24",
                "-fbdir",
                folder,
                "-nolisten",
                "tcp",
                "-noreset",
            ],
            pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        with os.fdopen(reader) as answer:
            self.display = ":" + answer.readline().strip()
        self._pixels = folder / "Xvfb_screen0"
        self.env = {**os.environ, "DISPLAY": self.display, "QT_QPA_PLATFORM": "xcb"}
        # Without a window manager Qt now and then misses that its window has come up, and never paints it.
        self._manager = subprocess.Popen(["openbox"], env=self.env, stderr=subprocess.DEVNULL)

    def picture(self) -> np.ndarray:
        """uint8 (900, 1400, 3) BGR, out of the file in XWD format that the server draws into."""
        data = self._pixels.read_bytes()
        header = struct.unpack(">25I", data[:100])
        size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        pixels = np.frombuffer(data, np.uint8, line * height, size + 12 * colours)
        return pixels.reshape(height, line // 4, 4)[:, :width, :3]

    def window(self) -> np.ndarray:
        """What is inside the authenticator's window, once its size does not change any more: at first Qt makes a small
        one."""
        place, until = {}, time.monotonic() + 20
        while (now := self._ask("getwindowgeometry", "--shell")) != place or now.get("HEIGHT", 0) < 200:
            assert time.monotonic() < until, f"the window stays as it is made: {now}"
            place = now
            time.sleep(0.1)
        # xdotool counts the title bar twice in a window's own place.
        corner = self._ask("mousemove", "--window", "%1", "0", "0", "getmouselocation", "--shell")
        return self.picture()[corner["Y"] : corner["Y"] + place["HEIGHT"], corner["X"] : corner["X"] + place["WIDTH"]]

    def _ask(self, *command: str) -> dict[str, int]:
        """What xdotool answers about the window; nothing if that has just been closed and opened again."""
        answer = subprocess.run(
            ["xdotool", "search", "--sync", "--name", TITLE, *command],
            env=self.env,
            timeout=20,
            capture_output=True,
            text=True,
        )
        return {name: int(value) for name, value in (line.split("=") for line in answer.stdout.split())}

    def press(self, *command: str) -> None:
        """Focus the authenticator's window, then run xdotool."""
        for step in (["search", "--sync", "--name", TITLE, "windowfocus"], command):
            subprocess.run(["xdotool", *step], env=self.env, check=True, timeout=20, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def nobody_manages(self):
        """Within the block no window comes up."""
        self._manager.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._manager.send_signal(signal.SIGCONT)

    @property
    def server(self) -> int:
        """The server's process."""
        return self._server.pid

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()

    def close(self) -> None:
        for process in (self._manager, self._server):
            process.terminate()
            process.wait()
