"""The mail password: where it comes from, and how long is waited for it."""

import base64
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import keyring
import pytest
from alerts_parts import picture, wait_for
from keyring.backend import KeyringBackend
from mail_parts import (  # noqa: F401
    PASSWORD,
    USERNAME,
    MailServer,
    guards_fixture,
    mail_settings,
    mail_state,
    make_certificate,
)

import alerts
from alerting import password, reporter
from alerting.mail_failure import MailDelayed, MailRefused, without_password
from alerting.settings import PASSWORD_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
ROOT = Path(alerts.__file__).parent


class Keys(KeyringBackend):
    """A keyring that answers once it is `opened`."""

    priority = 1

    def __init__(self, answer=PASSWORD):
        self.opened, self.asked, self.answer = threading.Event(), 0, answer

    def get_password(self, service, username):
        self.asked += 1
        self.opened.wait(30)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer if (service, username) == ("liveness-authentication", USERNAME) else None

    def set_password(self, service, username, password):
        raise NotImplementedError


@pytest.fixture
def keys(monkeypatch):
    """A closed keyring, for which nobody waits long."""
    backend = Keys()
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    monkeypatch.setattr(password, "KEYRING_LIMIT_S", 0.3)
    monkeypatch.setattr(reporter, "RETRY_FIRST_S", 0.1)
    yield backend
    backend.opened.set()


def test_keyring_that_does_not_answer_is_told_by_the_trial(keys, capsys):
    settings = alerts.Settings(
        email=alerts.EmailSettings("127.0.0.1", 1, username=USERNAME, sender="a@b.c", recipient="a@b.c"),
        location=alerts.LocationSettings(""),
    )
    began = time.monotonic()
    assert alerts.test_alerts(settings, voice=False, lock=False) == 1
    assert time.monotonic() - began < 5
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mail")]
    assert " FIX " in line and "keyring has not answered" in line and PASSWORD_VARIABLE in line


def test_mail_says_that_it_waits_for_the_keyring_asks_it_once_and_leaves_when_it_opens(keys, tmp_path, guards, caplog):
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
        guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: mail_state(tmp_path / "incidents").get("attempts", 0) >= 2)
        assert "keyring has not answered" in mail_state(tmp_path / "incidents")["reason"]
        assert "keyring has not answered" in caplog.text
        assert "mail waiting" in guard.status and keys.asked == 1
        keys.opened.set()
        wait_for(lambda: "owner notified" in guard.status)
    finally:
        server.stop()


@pytest.mark.parametrize(
    "answer, kind, told",
    [
        (RuntimeError("secret"), MailDelayed, "RuntimeError"),
        (OSError("secret"), MailDelayed, "OSError"),
        (SystemExit("secret"), MailDelayed, "SystemExit"),
        (ImportError("secret", name="dbus"), MailRefused, "without dbus, which is not installed"),
        ("", MailRefused, "keyring set liveness-authentication owner@example.com"),
        ("nul\0secret", MailRefused, "not valid text"),
        ("caf\udce9secret", MailRefused, "not valid text"),
    ],
)
def test_keyring_that_fails_says_why_without_a_secret(keys, answer, kind, told):
    keys.answer = answer
    keys.opened.set()
    with pytest.raises(kind, match=told) as caught:
        password.Password(USERNAME).get()
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="environments are of text there")
def test_environment_that_holds_no_text_is_refused_without_a_letter(monkeypatch):
    monkeypatch.setitem(os.environb, PASSWORD_VARIABLE.encode(), b"gr\xfcnkohl")
    with pytest.raises(MailRefused, match="not valid text") as caught:
        password.Password(USERNAME).get()
    assert "nkohl" not in str(caught.value) and "gr" not in str(caught.value)


@pytest.mark.parametrize(
    "secret", ["correct horse  battery", "pässwörd", "пароль-42", "a&b<c>\"d'", "p%/+x y", "日本語日本語"]
)
def test_no_form_of_the_password_is_told(secret):
    data = secret.encode()
    for echo in (
        secret,
        secret.upper(),
        data.decode("latin-1"),
        secret.encode("latin-1", "replace").decode("utf-8", "replace"),
        base64.b64encode(data).decode(),
        base64.b64encode(b"\0me\0" + data).decode(),
        repr(secret)[1:-1],
        secret.encode("ascii", "backslashreplace").decode(),
        " ".join(secret.split()),
    ):
        told = without_password(f"535 no: {echo}, sorry", secret)
        assert told == "535 no: (password), sorry", echo


BACKEND = """
import getpass, keyring.backend
class Asking(keyring.backend.KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return getpass.getpass()
    def set_password(self, service, username, password):
        raise NotImplementedError
"""


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are of POSIX")
def test_keyring_that_asks_on_the_terminal_leaves_it_as_it_was(tmp_path):
    import pty
    import termios

    (tmp_path / "asking.py").write_text(BACKEND)
    (tmp_path / "alerts.toml").write_text(
        '[email]\nhost = "127.0.0.1"\nport = 1\nusername = "a"\nsender = "a@b.c"\nrecipient = "a@b.c"\n'
        '[location]\nurl = ""\n'
    )
    code = (
        f"import sys, os; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        "import alerts, alerting.password as p; from pathlib import Path\np.KEYRING_LIMIT_S = 1\n"
        "status = alerts.test_alerts(alerts.load_settings(Path('alerts.toml')), voice=False, lock=False)\n"
        "sys.stdout.flush(); os._exit(status)"
    )
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=theirs,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHON_KEYRING_BACKEND": "asking.Asking"},
        timeout=30,
        start_new_session=True,
    )
    assert done.returncode == 1 and "keyring has not answered" in done.stdout, done
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
