"""The whole of it at once: a replay, armed; a real mail server, a real login manager, real speech drivers."""

import json
import os
import sys

import cv2
import numpy as np
import pytest
from alerts_parts import LoginManager, missing_for_lock, web_server
from conftest import with_model
from mail_parts import PASSWORD, MailServer, mail_settings, make_certificate

pytestmark = [
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="locks by logind"),
]
PLACE = {"ip": "203.0.113.7", "city": "Bern", "region": "Bern", "country": "CH", "loc": "46.9481,7.4474"}


@pytest.fixture
def desk(tmp_path):
    """A workstation with a login session, a mail account and a location service: what a run needs to know."""
    if missing := missing_for_lock():
        pytest.skip(f"needs the Debian packages {missing}")
    certificate = make_certificate(tmp_path)
    server = MailServer(certificate)
    server.start()
    login = LoginManager(tmp_path)
    wrapper = login.loginctl_wrapper(tmp_path)
    env = {
        **os.environ,
        "DBUS_SYSTEM_BUS_ADDRESS": login.address,
        "XDG_SESSION_ID": "3",
        "XDG_SESSION_TYPE": "x11",
        "LIVENESS_SMTP_PASSWORD": PASSWORD,
    }
    if wrapper:
        env["PATH"] = f"{wrapper}{os.pathsep}{env['PATH']}"
    with web_server(json.dumps(PLACE).encode()) as url:
        settings = mail_settings(server, certificate, tmp_path)
        text = settings.read_text().replace('url = ""', f'url = "{url}"')
        settings.write_text(text[: text.index("[lock]")])
        yield server, login, env
    login.close()
    server.stop()


def test_an_armed_replay_locks_the_session_and_mails_the_owner(desk, run, trained, sample, tmp_path):
    server, login, env = desk
    login.answer_lock_with(
        'objects["/org/freedesktop/login1/session/" + args[0]].UpdateProperties('
        '"org.freedesktop.login1.Session", {"LockedHint": dbus.Boolean(True)})'
    )
    done = run(
        "liveness_main.py",
        *with_model(trained),
        "--source",
        sample.fake,
        "--no-display",
        "--arm",
        env=env,
    )
    assert (done.returncode, done.stderr) == (0, "")

    (folder,) = (path for path in (tmp_path / "incidents").iterdir() if path.is_dir())
    record = json.loads((folder / "incident.json").read_text())
    assert "LockSession" in login.calls()
    assert record["actions"]["lock"]["state"] == "confirmed"
    # Generous: the machine may be busy. The original took 19 s.
    assert record["actions"]["lock"]["after_ms"] < 5000
    assert record["rehearsal"] is False and record["location"]["city"] == "Bern"

    (mail,) = server.accepted
    assert record["actions"]["mail"]["state"] == "sent"
    text = mail.get_body(("plain",)).get_content()
    for fact in (record["host"], "203.0.113.7", "Bern", "46.9481", "UTC", "openstreetmap.org"):
        assert fact in text
    pictures = [part.get_content() for part in mail.walk() if part.get_content_type() == "image/jpeg"]
    assert pictures == [(folder / "snapshot.jpg").read_bytes()] * 2, "in the text and attached"
    assert cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR).shape == (480, 640, 3)

    log = (tmp_path / "AuthenticationInfo.log").read_text()
    assert log.index("unauthorized at") < log.index("LockSession" if "LockSession" in log else "lock")
    secret = PASSWORD.encode()
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and secret in path.read_bytes()), path


def test_the_same_replay_unarmed_does_nothing_of_it(desk, run, trained, sample, tmp_path):
    server, login, env = desk
    done = run(
        "liveness_main.py",
        *with_model(trained),
        "--source",
        sample.fake,
        "--no-display",
        env=env,
    )
    assert done.returncode == 0
    (folder,) = (tmp_path / "incidents").iterdir()
    assert json.loads((folder / "incident.json").read_text())["rehearsal"] is True
    assert not server.accepted and "LockSession" not in login.calls()
