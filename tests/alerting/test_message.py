"""What the mail says."""

import pytest

import alerts
from alerting import incident, location
from alerting.message import compose
from alerting.printable import clean


def test_mail_text_of_a_late_mail_says_so():
    record, jpeg = incident.sample("203.0.113.7", {"unknown": "no connection"})
    record["time_utc"] = "2026-01-01T00:00:00.000+00:00"
    text = compose(record, jpeg, "a@b.c", "a@b.c").get_body(("plain",)).get_content()
    assert "after the incident" in text and "unknown (no connection)" in text


def test_a_very_large_picture_is_in_the_mail_once():
    record, _ = incident.sample(None, {"unknown": "x"})
    for size, times in ((100_000, 2), (6_000_000, 1)):
        mail = compose(record, b"\xff" * size, "a@b.c", "a@b.c")
        assert [part.get_content_type() for part in mail.walk()].count("image/jpeg") == times
        assert len(bytes(mail)) < 10_000_000


@pytest.mark.parametrize("name", [".Me", "Acme Inc.", "...", "Doe, J", "Müller & Co."])
def test_a_senders_name_may_hold_any_sign(tmp_path, name):
    file = tmp_path / "alerts.toml"
    quoted = f"'\"{name}\" <a@b.c>'" if "," in name else f"'{name} <a@b.c>'"
    file.write_text(f"[email]\nhost = 'h'\nsender = {quoted}\nrecipient = 'd@e.f'\n", "utf-8")
    email = alerts.load_settings(file).email
    message = compose(*incident.sample(None, {"unknown": "x"}), email.sender, email.recipient, test=True)
    assert [(one.display_name, one.addr_spec) for one in message["From"].addresses] == [(name, "a@b.c")]


def test_foreign_text_can_inject_neither_headers_nor_html():
    evil = "x\r\nBcc: victim@example.com\u202e<script>alert(1)</script>"
    record, jpeg = incident.sample(None, {})
    _, record["location"] = location.parse_location(
        {"city": evil, "region": evil * 50, "country": "CH", "lat": 1e9, "lon": "NaN"}
    )
    record["host"] = clean(evil)
    message = compose(record, jpeg, "a@b.c", "a@b.c")
    assert message["Bcc"] is None and "\n" not in message["Subject"]
    html = message.get_body(("html",)).get_content()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "\u202e" not in html + message.get_body(("plain",)).get_content()
    assert "openstreetmap" not in html, "coordinates off the globe are no link"
    assert max(map(len, record["location"]["region"].split("\n"))) <= 80
