"""A real mail server that can be told to misbehave, and what tests of mail share."""

import asyncio
import datetime
import hmac
import ipaddress
import ssl
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from alerts_parts import only_incident, read_record
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import alerts
from alerting import reporter
from alerting.settings import PASSWORD_VARIABLE

USERNAME, PASSWORD = "owner@example.com", "correct horse battery"


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class _Protocol(SMTP):
    async def smtp_QUIT(self, argument):
        if self.event_handler.behaviour == "drop after acceptance":
            self.transport.abort()
            return
        await super().smtp_QUIT(argument)


class MailServer(Controller):
    """An SMTP server with TLS and AUTH. `behaviour` may be changed at any time:

    accept, refuse recipient, greylist, refuse mail, refuse size, hang, drop (after DATA, before accepting),
    drop after acceptance, echo password (in its refusal).

    credentials: what it takes. mechanism: the only way to log in that it offers. utf8: whether it takes SMTPUTF8.
    """

    def __init__(
        self,
        certificate: Path,
        security: str = "tls",
        offer_starttls: bool = True,
        credentials: tuple[str, str] = (USERNAME, PASSWORD),
        mechanism: str = "",
        utf8: bool = False,
    ):
        self.behaviour = "accept"
        self.names: list[str] = []  # what clients called themselves
        self._credentials = tuple(text.encode() for text in credentials)
        self._excluded = {"PLAIN", "LOGIN", "CRAM-MD5"} - {mechanism} if mechanism else None
        self._utf8 = utf8
        self.accepted: list = []  # EmailMessage objects
        self.logins = 0
        self.attempts: list[float] = []  # time.monotonic() of each mail begun
        self.data_seen = threading.Event()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        self._starttls = security == "starttls" and offer_starttls
        options = {"ssl_context": self._tls} if security == "tls" else {}
        super().__init__(self, hostname="127.0.0.1", port=0, **options)

    def factory(self):
        return _Protocol(
            self,
            tls_context=self._tls if self._starttls else None,
            auth_required=True,
            require_starttls=self._starttls,
            auth_require_tls=self._starttls,
            authenticator=self._authenticate,
            auth_exclude_mechanism=self._excluded,
            enable_SMTPUTF8=self._utf8,
            hostname="localhost",
        )

    def _trigger_server(self):  # the base class connects to a port it must be told
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    def _authenticate(self, server, session, envelope, mechanism, login):
        self.logins += 1
        if self.behaviour == "echo password":
            echo = login.password.decode().encode("ascii", "backslashreplace").decode()
            return AuthResult(success=False, handled=False, message=f"535 no: {echo}")
        return AuthResult(success=(login.login, login.password) == self._credentials, handled=False)

    async def auth_CRAM__MD5(self, server, arguments):
        challenge = b"<1896.697170952@localhost>"
        answer = await server.challenge_auth(challenge)
        digest = hmac.new(self._credentials[1], challenge, "md5").hexdigest()
        self.logins += 1
        return AuthResult(success=answer == self._credentials[0] + b" " + digest.encode(), handled=False)

    async def handle_EHLO(self, server, session, envelope, name, responses):
        self.names.append(name)
        session.host_name = name
        return responses

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
        if self.behaviour == "refuse size":
            return "552 5.3.4 message size exceeds fixed limit"
        if self.behaviour == "hang":
            await asyncio.sleep(60)
        if self.behaviour == "drop":
            server.transport.abort()
            return "451 dropped"
        self.accepted.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


def mail_settings(server: MailServer, certificate: Path, folder: Path, security: str = "tls", extra: str = "") -> Path:
    """alerts.toml for `server`, with no voice, no look-up and a lock command that only tells."""
    path = folder / "alerts.toml"
    path.write_text(
        encoding="utf-8",
        data=f"""
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
command = ["touch", "{folder / "locked"}"]
{extra}""",
    )
    return path


@pytest.fixture(name="certificate", scope="module")
def certificate_fixture(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(name="server")
def server_fixture(certificate):
    server = MailServer(certificate)
    server.start()
    yield server
    server.stop()


@pytest.fixture(name="guards")
def guards_fixture():
    """Starts Alerts objects and ends them after the test."""
    started = []

    def start(settings: Path, root: Path, **options) -> alerts.Alerts:
        started.append(alerts.Alerts(alerts.load_settings(settings), incidents=root, **options))
        return started[-1]

    yield start
    for guard in started:
        guard.close(0.5)


@pytest.fixture(name="password")
def password_fixture(monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.setattr(reporter, "RETRY_FIRST_S", 0.1)


def mail_state(root: Path) -> dict:
    return read_record(only_incident(root))["actions"]["mail"]
