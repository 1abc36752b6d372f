"""Passwords, names and addresses beyond ASCII: mailed where that is possible, refused once and clearly where not."""

import contextlib
import socket
import threading
import time

import pytest
from alerts_parts import only_incident, picture, read_record, wait_for
from mail_parts import (  # noqa: F401
    USERNAME,
    MailServer,
    certificate_fixture,
    guards_fixture,
    mail_settings,
    mail_state,
)

import alerts
from alerting import incident
from alerting.delivery import send
from alerting.mail_failure import MailDelayed, MailRefused
from alerting.message import compose
from alerting.settings import PASSWORD_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@contextlib.contextmanager
def running(server):
    server.start()
    try:
        yield server
    finally:
        server.stop()


def settings_for(server, certificate, **changes) -> alerts.EmailSettings:
    return alerts.EmailSettings(
        **{
            "host": "127.0.0.1",
            "port": server.port,
            "security": "tls",
            "username": USERNAME,
            "sender": USERNAME,
            "recipient": USERNAME,
            "ca_file": str(certificate),
            "timeout_s": 2,
        }
        | changes
    )


def sample_mail(settings):
    record, jpeg = incident.sample(None, {"unknown": "not looked up"})
    return compose(record, jpeg, settings.sender, settings.recipient)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize(
    "username, secret", [("owner@example.com", "pässwörd"), ("jörg", "correct"), ("владелец", "日本語")]
)
def test_login_beyond_ascii(certificate, mechanism, username, secret):
    with running(MailServer(certificate, credentials=(username, secret), mechanism=mechanism)) as server:
        settings = settings_for(server, certificate, username=username)
        send(settings, sample_mail(settings), secret)
        assert len(server.accepted) == 1
        with pytest.raises(MailRefused, match="user name or password was refused"):
            send(settings, sample_mail(settings), secret + "é")


def test_wrong_password_is_tried_by_one_method(certificate):
    with running(MailServer(certificate)) as server:
        settings = settings_for(server, certificate)
        with pytest.raises(MailRefused, match="user name or password was refused"):
            send(settings, sample_mail(settings), "wröng")
        assert server.logins == 1


def test_password_beyond_ascii_is_mailed_with_and_stands_nowhere(certificate, tmp_path, guards, monkeypatch, caplog):
    monkeypatch.setenv(PASSWORD_VARIABLE, "größe-42")
    with running(MailServer(certificate, credentials=(USERNAME, "größe-42"))) as server:
        guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
        guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: "owner notified" in guard.status)
        server.behaviour = "echo password"
        with pytest.raises(MailRefused, match="no: .password.") as caught:
            settings = settings_for(server, certificate)
            send(settings, sample_mail(settings), "größe-42")
    for text in (str(caught.value), caplog.text, str(read_record(only_incident(tmp_path / "incidents")))):
        assert not any(part in text for part in ("größe", "ö", "ß", "xf6"))


@pytest.mark.parametrize("host", ["ноутбук.fritz.box", "caf\udce9", "büro pc"])
def test_computer_name_beyond_ascii_keeps_no_mail_from_leaving(certificate, tmp_path, guards, monkeypatch, host):
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct")
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(socket, "getfqdn", lambda name="": host)
    with running(MailServer(certificate, credentials=(USERNAME, "correct"))) as server:
        guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
        guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: "owner notified" in guard.status)
        (mail,) = server.accepted
        assert mail["Subject"] == f"Unauthorized face at {host.replace(chr(0xDCE9), '')}".strip()
        assert server.names[0].startswith("[") and server.names[0].isascii()


def test_name_service_that_hangs_does_not_hold_up_the_mail(certificate, monkeypatch):
    monkeypatch.setattr(socket, "getfqdn", lambda name="": time.sleep(30))
    with running(MailServer(certificate, credentials=(USERNAME, "correct"))) as server:
        settings = settings_for(server, certificate)
        began = time.monotonic()
        send(settings, sample_mail(settings), "correct")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("utf8", [True, False])
@pytest.mark.parametrize("key", ["sender", "recipient"])
def test_mail_address_beyond_ascii_needs_a_server_that_takes_it(certificate, utf8, key):
    with running(MailServer(certificate, credentials=(USERNAME, "correct"), utf8=utf8)) as server:
        settings = settings_for(server, certificate, **{key: "Jörg <jörg@example.com>"})
        if utf8:
            send(settings, sample_mail(settings), "correct")
            assert "jörg@example.com" in str(server.accepted[0]["From" if key == "sender" else "To"])
        else:
            with pytest.raises(MailRefused, match="SMTPUTF8.* sender and recipient in .email."):
                send(settings, sample_mail(settings), "correct")


def test_domains_beyond_ascii_are_those_of_the_name_system(certificate, tmp_path):
    path = tmp_path / "alerts.toml"
    path.write_text(
        '[email]\nhost = "smtp.straße.example"\nsender = "Bücher <me@bücher.example>"\nrecipient = "me@日本.example"\n',
        "utf-8",
    )
    email = alerts.load_settings(path).email
    assert email.host == "smtp.xn--strae-oqa.example"
    assert email.sender == '"Bücher" <me@xn--bcher-kva.example>' and email.recipient == "me@xn--wgv71a.example"
    with running(MailServer(certificate, credentials=(USERNAME, "correct"))) as server:
        settings = settings_for(server, certificate, sender=email.sender, recipient=email.recipient)
        send(settings, sample_mail(settings), "correct")
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"host": "smtp..example.com"}, "host, addresses"),
        ({"host": "x" * 70 + ".example"}, "host, addresses"),
        ({"ca_file": __file__}, "no certificates can be read"),
        ({"ca_file": "/nowhere.pem"}, "no certificates can be read"),
    ],
)
def test_what_no_time_will_cure_is_refused(certificate, changes, told):
    settings = alerts.EmailSettings(
        **{"host": "127.0.0.1", "port": 1, "username": "ü", "sender": USERNAME, "recipient": USERNAME} | changes
    )
    with pytest.raises(MailRefused, match=told):
        send(settings, sample_mail(settings), "correct")


@pytest.mark.parametrize("code, kind", [(554, MailRefused), (421, MailDelayed)])
def test_server_that_turns_us_away_at_the_door_is_believed(code, kind):
    """554: for good, 421: for now (RFC 5321, 4.2.1)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(f"{code} not here\r\n".encode())
                connection.recv(100)

        threading.Thread(target=answer, daemon=True).start()
        settings = alerts.EmailSettings(
            "127.0.0.1", listener.getsockname()[1], "starttls", sender=USERNAME, recipient=USERNAME, timeout_s=2
        )
        with pytest.raises(kind, match=f"{code} not here"):
            send(settings, sample_mail(settings), "")


def test_mail_that_can_never_leave_is_tried_once(certificate, tmp_path, guards, monkeypatch, caplog):
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct")
    with running(MailServer(certificate, credentials=(USERNAME, "correct"))) as server:
        settings = mail_settings(server, certificate, tmp_path)
        text = settings.read_text("utf-8").replace(f'recipient = "{USERNAME}"', 'recipient = "jörg@example.com"')
        settings.write_text(text, "utf-8")
        guard = guards(settings, tmp_path / "incidents")
        guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: "MAIL REFUSED" in guard.status)
        assert "SMTPUTF8" in mail_state(tmp_path / "incidents")["reason"]
        assert caplog.text.count("NOT MAILED") == 1 and server.logins == 1
