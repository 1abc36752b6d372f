"""What keeps an incident from neither being written nor having consequences."""

import pytest
from alerts_parts import picture, wait_for
from mail_parts import PASSWORD, MailServer, mail_settings, make_certificate
import logging
import alerts
from alerting.settings import PASSWORD_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def test_disk_that_refuses_keeps_neither_lock_nor_mail_from_happening(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    (tmp_path / "incidents").write_text("a file where the folder should be")
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        settings = alerts.load_settings(mail_settings(server, certificate, tmp_path))
        guard = alerts.Alerts(settings, incidents=tmp_path / "incidents")
        guard.unauthorized(picture(), [picture(1)], 0.1, "0")
        wait_for(lambda: "owner notified" in guard.status)
        guard.close()
    finally:
        server.stop()
    assert guard.status == "INCIDENT NOT SAVED, lock requested, owner notified"
    assert (tmp_path / "locked").exists() and len(server.accepted) == 1
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)
