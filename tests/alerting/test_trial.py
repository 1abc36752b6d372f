"""--test-alerts: a line for each part."""

import contextlib
import io
import os
import sys

import pytest
from alerts_parts import web_server
from mail_parts import PASSWORD, MailServer, mail_settings, make_certificate

import alerts
from alerting import lock
from alerting.settings import PASSWORD_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def test_trying_the_alerts_prints_a_line_for_each_part(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    try:
        with web_server(b'{"ip": "203.0.113.7", "city": "Bern"}') as url:
            path = mail_settings(server, certificate, tmp_path)
            path.write_text(path.read_text().replace('url = ""', f'url = "{url}"'))
            assert alerts.test_alerts(alerts.load_settings(path)) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.split()[:2] for line in lines] == [
                ["voice", "off"],
                ["alarm", "off"],
                ["location", "OK"],
                ["mail", "OK"],
                ["lock", "OK"],
            ]
            assert "Bern" in lines[2]
            (mail,) = server.accepted
            assert mail["Subject"].startswith("TEST: ")
            assert "This is a test" in mail.get_body(("plain",)).get_content()
            assert not (tmp_path / "locked").exists(), "the lock is told, not run"

            server.behaviour = "refuse recipient"
            assert alerts.test_alerts(alerts.load_settings(path)) == 1
            assert "no such user" in capsys.readouterr().out
    finally:
        server.stop()


def test_trying_the_alerts_says_what_to_fix(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(lock, "DESKTOP_LOCKERS", ())
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with web_server(b"") as url:
        pass
    settings = alerts.Settings(
        email=alerts.EmailSettings("127.0.0.1", 1, sender="a@b.c", recipient="a@b.c"),
        location=alerts.LocationSettings(url),
        alarm=alerts.AlarmSettings(True, "no such loudspeaker"),
    )
    assert alerts.test_alerts(settings) == 1
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: line for line in lines}
    assert len(lines) == 5
    if sys.platform.startswith("linux"):
        assert all(" FIX " in line for line in lines), lines
    assert "Connection refused" in told["mail"] or "refused" in told["mail"]
    assert "no connection" in told["location"]


@pytest.mark.parametrize("stream", ["ascii", "none", "closed", "full"])
def test_what_cannot_be_printed_does_not_end_the_trial(tmp_path, monkeypatch, stream):
    written = io.BytesIO()
    stdout = {
        "ascii": lambda: io.TextIOWrapper(written, "ascii"),
        "none": lambda: None,
        "closed": lambda: open(os.devnull, "w"),
        "full": lambda: open("/dev/full", "w"),
    }
    if stream == "full" and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    out = stdout[stream]()
    if stream == "closed":
        out.close()
    monkeypatch.setattr(sys, "stdout", out)
    with web_server('{"ip": "203.0.113.7", "city": "Zürich"}'.encode()) as url:
        status = alerts.test_alerts(alerts.Settings(location=alerts.LocationSettings(url)), voice=False, lock=False)
    monkeypatch.undo()
    assert status == 0
    if stream == "ascii":
        assert b"OK   Z\\xfcrich (203.0.113.7)" in written.getvalue()
    if stream == "full":
        with contextlib.suppress(OSError):
            out.close()
