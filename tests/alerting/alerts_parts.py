"""Real counterparts for the alerts: web and login servers, a sound card that writes to a file."""

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

import alerts


def wait_for(condition, limit_s: float = 15.0):
    """What `condition` returns as soon as that is true; fails the test after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {limit_s:.0f} s: {condition}")


@contextlib.contextmanager
def web_server(answer: bytes, status: int = 200, pause_s: float = 0.0):
    """A web server that gives every request the same answer, byte by byte with a pause before each."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for byte in [answer] if not pause_s else [answer[i : i + 1] for i in range(len(answer))]:
                    time.sleep(pause_s)
                    self.wfile.write(byte)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/json?token=top-secret-token"
    finally:
        server.shutdown()
        server.server_close()


def alsa_file_card(folder: Path) -> tuple[Path, Path]:
    """An ALSA configuration whose only card is the null device; what it played is in the second path."""
    played = folder / "played.raw"
    configuration = folder / "asound.conf"
    configuration.write_text(
        "pcm.null { type null }\nctl.!default { type null }\n"
        "pcm.!default { type file slave.pcm null "
        f'file "{played}" format "raw" }}\n'
    )
    return configuration, played


def loudest_tone_hz(samples: np.ndarray, rate_hz: int) -> float:
    """The frequency that carries most of a mono signal's energy."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    return float(np.fft.rfftfreq(len(samples), 1 / rate_hz)[spectrum.argmax()])


class LoginManager:
    """systemd-logind's interface on a private system bus, with a session "3"."""

    def __init__(self, folder: Path):
        self.address = f"unix:path={folder / 'bus'}"
        self._log = folder / "logind.log"
        self._environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": self.address}
        self._processes = [
            subprocess.Popen(
                ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.address}"],
                stderr=subprocess.DEVNULL,
            )
        ]
        wait_for((folder / "bus").exists)
        self._processes.append(
            subprocess.Popen(
                ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind", "-l", self._log],
                env=self._environment,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_for(
            lambda: self._call("AddSession", "string:3", "string:seat0", "uint32:0", "string:root", "boolean:true")
        )

    @staticmethod
    def loginctl_wrapper(folder: Path) -> Path | None:
        """A folder for PATH whose loginctl is the real one, on a machine that was not booted by systemd.

        loginctl refuses to work there; in a mount namespace of its own it finds what it looks for.
        """
        if Path("/run/systemd/system").is_dir():
            return None
        wrapper = folder / "wrapper" / "loginctl"
        wrapper.parent.mkdir()
        wrapper.write_text(
            "#!/bin/sh\n"
            "exec unshare --mount sh -c 'mount -t tmpfs tmpfs /run && mkdir -p "
            f'/run/systemd/system && exec {shutil.which("loginctl")} "$@"\' loginctl "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper.parent

    def answer_lock_with(self, code: str) -> None:
        """What LockSession does, as Python."""
        assert self._call(
            "AddMethod",
            "string:org.freedesktop.login1.Manager",
            "string:LockSession",
            "string:s",
            "string:",
            f"string:{code}",
        )

    def unlock(self) -> None:
        """As the owner does, with a password."""
        assert (
            subprocess.run(
                [
                    "dbus-send",
                    f"--bus={self.address}",
                    "--print-reply",
                    "--dest=org.freedesktop.login1",
                    "/org/freedesktop/login1/session/3",
                    "org.freedesktop.DBus.Properties.Set",
                    "string:org.freedesktop.login1.Session",
                    "string:LockedHint",
                    "variant:boolean:false",
                ],
                stdout=subprocess.DEVNULL,
            ).returncode
            == 0
        )

    def calls(self) -> str:
        return self._log.read_text()

    def _call(self, method: str, *arguments: str) -> bool:
        return (
            subprocess.run(
                [
                    "dbus-send",
                    f"--bus={self.address}",
                    "--print-reply",
                    "--dest=org.freedesktop.login1",
                    "/org/freedesktop/login1",
                    f"org.freedesktop.DBus.Mock.{method}",
                    *arguments,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ).returncode
            == 0
        )

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)


def missing_for_lock() -> str:
    """The Debian packages without which LoginManager cannot run, "" when all are there."""
    missing = [
        package
        for program, package in (("loginctl", "systemd"), ("dbus-daemon", "dbus"), ("dbus-send", "dbus"))
        if not shutil.which(program)
    ]
    python = shutil.which("python3", path="/usr/bin")
    if not python or subprocess.run([python, "-c", "import dbusmock"], stderr=subprocess.DEVNULL).returncode:
        missing.append("python3-dbusmock")
    return ", ".join(dict.fromkeys(missing))


def picture(seed: int = 0) -> np.ndarray:
    """A frame with some content: uint8, BGR, 240 x 320."""
    noise = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    return noise.repeat(10, axis=0).repeat(10, axis=1)


def only_incident(root: Path) -> Path:
    """The folder of the one incident under `root`, once it is complete."""
    wait_for(lambda: list(root.glob("[0-9]*/incident.json")))
    (path,) = root.glob("[0-9]*/incident.json")
    return path.parent


def read_record(folder: Path) -> dict:
    return json.loads((folder / "incident.json").read_text("utf-8"))


def quiet_guard(tmp_path):
    """An Alerts object with neither sound nor network, whose lock is a file called `locked`."""
    path = tmp_path / "alerts.toml"
    path.write_text(
        f'[voice]\nenabled = false\n[location]\nurl = ""\n[lock]\ncommand = ["touch", "{tmp_path / "locked"}"]\n'
    )
    guard = alerts.Alerts(alerts.load_settings(path), incidents=tmp_path / "incidents")
    yield guard
    guard.close()
