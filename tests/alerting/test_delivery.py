"""Handing a mail over: TLS, login, and what is said when that goes wrong."""

import time

import pytest
from alerts_parts import only_incident, picture, read_record, wait_for
from mail_parts import (  # noqa: F401
    PASSWORD,
    USERNAME,
    MailServer,
    certificate_fixture,
    guards_fixture,
    mail_settings,
    mail_state,
    password_fixture,
    server_fixture,
)

from alerting.settings import PASSWORD_VARIABLE

# aiosmtpd overlooks that its connection is encrypted from the first byte.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.usefixtures("password"),
]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_arrives_over_verified_tls_with_login(certificate, tmp_path, guards, security):
    server = MailServer(certificate, security)
    server.start()
    try:
        guard = guards(mail_settings(server, certificate, tmp_path, security), tmp_path / "incidents")
        assert guard.unauthorized(picture(), [picture(1)], 0.03, "0")
        wait_for(lambda: guard.status == "lock requested, owner notified")
    finally:
        server.stop()
    (mail,) = server.accepted
    assert server.logins == 1
    record = read_record(only_incident(tmp_path / "incidents"))
    assert mail["Message-ID"] == record["message_id"]
    assert record["actions"]["mail"]["state"] == "sent"
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content()
        for fact in (record["host"], record["user"], record["address"]["local"], "0.03", "UTC"):
            assert fact in text, (kind, fact)
    snapshot = (only_incident(tmp_path / "incidents") / "snapshot.jpg").read_bytes()
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/jpeg"]
    assert [part.get_content_disposition() for part in pictures] == ["inline", "attachment"]
    assert all(part.get_content() == snapshot for part in pictures)
    assert pictures[0]["Content-ID"] == "<snapshot>" and "cid:snapshot" in text


def test_certificate_nobody_vouches_for_gets_neither_mail_nor_password(server, certificate, tmp_path, guards):
    settings = mail_settings(server, certificate, tmp_path)
    settings.write_text(settings.read_text().replace("ca_file", "# ca_file"))
    guard = guards(settings, tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "certificate" in mail_state(tmp_path / "incidents").get("reason", ""))
    wait_for(lambda: "mail waiting" in guard.status)
    assert not server.accepted and not server.logins


def test_server_without_starttls_gets_nothing(certificate, tmp_path, guards):
    server = MailServer(certificate, "starttls", offer_starttls=False)
    server.start()
    try:
        guard = guards(mail_settings(server, certificate, tmp_path, "starttls"), tmp_path / "incidents")
        guard.unauthorized(picture(), [], 0.1, "0")
        wait_for(lambda: "STARTTLS" in mail_state(tmp_path / "incidents").get("reason", ""))
    finally:
        server.stop()
    assert not server.accepted and not server.logins


def test_acceptance_counts_even_when_the_server_hangs_up_on_goodbye(server, certificate, tmp_path, guards):
    server.behaviour = "drop after acceptance"
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "owner notified" in guard.status)
    time.sleep(0.3)
    assert len(server.accepted) == 1


def test_no_password_anywhere_says_where_to_put_it(server, certificate, tmp_path, guards, monkeypatch):
    import keyring
    import keyring.backends.null

    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(keyring.core, "_keyring_backend", keyring.backends.null.Keyring())
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "MAIL REFUSED" in guard.status)
    assert f"keyring set liveness-authentication {USERNAME}" in mail_state(tmp_path / "incidents")["reason"]


def test_password_comes_from_the_keyring(server, certificate, tmp_path, guards, monkeypatch):
    import keyring
    from keyring.backend import KeyringBackend

    class Keys(KeyringBackend):
        priority = 1

        def get_password(self, service, username):
            return PASSWORD if (service, username) == ("liveness-authentication", USERNAME) else None

        def set_password(self, service, username, password):
            raise NotImplementedError

    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr(keyring.core, "_keyring_backend", Keys())
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, "0")
    wait_for(lambda: "owner notified" in guard.status)


def test_password_stands_nowhere_even_when_the_server_echoes_it(server, certificate, tmp_path, guards, caplog):
    server.behaviour = "echo password"
    caplog.set_level("DEBUG")
    guard = guards(mail_settings(server, certificate, tmp_path), tmp_path / "incidents")
    guard.unauthorized(picture(), [], 0.1, f"rtsp://admin:{PASSWORD}@camera/stream?pwd={PASSWORD}")
    wait_for(lambda: "MAIL REFUSED" in guard.status)
    guard.close()
    assert "(password)" in mail_state(tmp_path / "incidents")["reason"]
    files = [path.read_bytes() for path in (tmp_path / "incidents").rglob("*") if path.is_file()]
    assert all(PASSWORD.encode() not in data for data in files)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("liveness")]
    assert ours and all(PASSWORD not in line for line in ours)
