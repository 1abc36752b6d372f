"""Real counterparts for the alerts: mail, web and login servers, a sound card that writes to a file."""

import asyncio
import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path

import numpy as np
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USERNAME, PASSWORD = "owner@example.com", "correct horse battery"


def wait_for(condition, limit_s: float = 15.0):
    """What `condition` returns as soon as that is true; fails the test after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {limit_s:.0f} s: {condition}")


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.SubjectAlternativeName(names), critical=False)
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .sign(key, hashes.SHA256()))
    path = folder / "server.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


class _Protocol(SMTP):
    async def smtp_QUIT(self, argument):
        if self.event_handler.behaviour == "drop after acceptance":
            self.transport.abort()
            return
        await super().smtp_QUIT(argument)


class MailServer(Controller):
    """An SMTP server with TLS and AUTH. `behaviour` may be changed at any time:

    accept, refuse recipient, greylist, refuse mail, hang, drop (after DATA, before accepting),
    drop after acceptance, echo password (in its refusal).
    """

    def __init__(self, certificate: Path, security: str = "tls", offer_starttls: bool = True):
        self.behaviour = "accept"
        self.accepted: list = []            # EmailMessage objects
        self.logins = 0
        self.attempts: list[float] = []     # time.monotonic() of each mail begun
        self.data_seen = threading.Event()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        self._starttls = security == "starttls" and offer_starttls
        options = {"ssl_context": self._tls} if security == "tls" else {}
        super().__init__(self, hostname="127.0.0.1", port=0, **options)

    def factory(self):
        return _Protocol(self, tls_context=self._tls if self._starttls else None, auth_required=True,
                         require_starttls=self._starttls, auth_require_tls=self._starttls,
                         authenticator=self._authenticate)

    def _trigger_server(self):              # the base class connects to a port it must be told
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    def _authenticate(self, server, session, envelope, mechanism, login):
        self.logins += 1
        if self.behaviour == "echo password":
            return AuthResult(success=False, handled=False, message=f"535 no: {login.password.decode()}")
        right = (login.login, login.password) == (USERNAME.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.attempts.append(time.monotonic())
        if self.behaviour == "refuse recipient":
            return "550 5.1.1 no such user here"
        if self.behaviour == "greylist":
            return "450 4.2.0 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.data_seen.set()
        if self.behaviour == "refuse mail":
            return "554 5.7.1 looks like spam"
        if self.behaviour == "hang":
            await asyncio.sleep(60)
        if self.behaviour == "drop":
            server.transport.abort()
            return "451 dropped"
        self.accepted.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


def mail_settings(server: MailServer, certificate: Path, folder: Path, security: str = "tls",
                  extra: str = "") -> Path:
    """alerts.toml for `server`, with no voice, no look-up and a lock command that only tells."""
    path = folder / "alerts.toml"
    path.write_text(f"""
[email]
host = "127.0.0.1"
port = {server.port}
security = "{security}"
username = "{USERNAME}"
sender = "{USERNAME}"
recipient = "{USERNAME}"
ca_file = "{certificate}"
timeout_s = 1
[voice]
enabled = false
[location]
url = ""
[lock]
command = ["touch", "{folder / 'locked'}"]
{extra}""")
    return path


@contextlib.contextmanager
def web_server(answer: bytes, status: int = 200, pause_s: float = 0.0):
    """A web server that gives every request the same answer, byte by byte with a pause before each."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for byte in [answer] if not pause_s else [answer[i:i + 1] for i in range(len(answer))]:
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
    configuration.write_text("pcm.null { type null }\nctl.!default { type null }\n"
                             "pcm.!default { type file slave.pcm null "
                             f'file "{played}" format "raw" }}\n')
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
        self._processes = [subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.address}"],
            stderr=subprocess.DEVNULL)]
        wait_for((folder / "bus").exists)
        self._processes.append(subprocess.Popen(
            ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind", "-l", self._log],
            env=self._environment, stderr=subprocess.DEVNULL))
        wait_for(lambda: self._call("AddSession", "string:3", "string:seat0", "uint32:0", "string:root",
                                    "boolean:true"))

    @staticmethod
    def loginctl_wrapper(folder: Path) -> Path | None:
        """A folder for PATH whose loginctl is the real one, on a machine that was not booted by systemd.

        loginctl refuses to work there; in a mount namespace of its own it finds what it looks for.
        """
        if Path("/run/systemd/system").is_dir():
            return None
        wrapper = folder / "wrapper" / "loginctl"
        wrapper.parent.mkdir()
        wrapper.write_text("#!/bin/sh\n"
                           "exec unshare --mount sh -c 'mount -t tmpfs tmpfs /run && mkdir -p "
                           f'/run/systemd/system && exec {shutil.which("loginctl")} "$@"\' loginctl "$@"\n')
        wrapper.chmod(0o755)
        return wrapper.parent

    def answer_lock_with(self, code: str) -> None:
        """What LockSession does, as Python."""
        assert self._call("AddMethod", "string:org.freedesktop.login1.Manager", "string:LockSession",
                          "string:s", "string:", f"string:{code}")

    def unlock(self) -> None:
        """As the owner does, with a password."""
        assert subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply", "--dest=org.freedesktop.login1",
             "/org/freedesktop/login1/session/3", "org.freedesktop.DBus.Properties.Set",
             "string:org.freedesktop.login1.Session", "string:LockedHint", "variant:boolean:false"],
            stdout=subprocess.DEVNULL).returncode == 0

    def calls(self) -> str:
        return self._log.read_text()

    def _call(self, method: str, *arguments: str) -> bool:
        return subprocess.run(
            ["dbus-send", f"--bus={self.address}", "--print-reply", "--dest=org.freedesktop.login1",
             "/org/freedesktop/login1", f"org.freedesktop.DBus.Mock.{method}", *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)


def missing_for_lock() -> str:
    """The Debian packages without which LoginManager cannot run, "" when all are there."""
    missing = [package for program, package in (("loginctl", "systemd"), ("dbus-daemon", "dbus"),
                                                ("dbus-send", "dbus")) if not shutil.which(program)]
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
