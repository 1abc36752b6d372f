"""The look-up of where this computer is, against a real web server."""

import json
import time

import pytest
from alerts_parts import web_server

import alerts
from alerting import location

ANSWERS = {  # in the shape of each service's documentation
    "ipinfo.io": {
        "ip": "203.0.113.7",
        "city": "Zürich",
        "region": "Zurich",
        "country": "CH",
        "loc": "47.3667,8.5500",
        "org": "AS1 X",
        "timezone": "Europe/Zurich",
    },
    "ip-api.com": {
        "status": "success",
        "country": "CH",
        "countryCode": "CH",
        "region": "ZH",
        "regionName": "Zurich",
        "city": "Zürich",
        "lat": 47.3667,
        "lon": 8.55,
        "query": "203.0.113.7",
    },
    "ipapi.co": {
        "ip": "203.0.113.7",
        "city": "Zürich",
        "region": "Zurich",
        "region_code": "ZH",
        "country": "CH",
        "country_name": "CH",
        "latitude": 47.3667,
        "longitude": 8.55,
    },
    "ipstack": {
        "ip": "203.0.113.7",
        "type": "ipv4",
        "country_name": "CH",
        "region_code": "ZH",
        "region_name": "Zurich",
        "city": "Zürich",
        "latitude": 47.3667,
        "longitude": 8.55,
    },
}


@pytest.mark.parametrize("service", ANSWERS)
def test_location_is_read_from_every_usual_service(service):
    with web_server(json.dumps(ANSWERS[service]).encode()) as url:
        public, place = location.locate(alerts.LocationSettings(url))
    assert public == "203.0.113.7"
    assert place == {"city": "Zürich", "region": "Zurich", "country": "CH", "latitude": 47.3667, "longitude": 8.55}


@pytest.mark.parametrize(
    "answer, status, told",
    [
        (b"<html>", 200, "not JSON"),
        (b"[1, 2]", 200, "no location"),
        (b"{}", 200, "no location"),
        (b"\xff\xfe", 200, "not JSON"),
        (b"[" * 60000, 200, "not JSON"),
        (b" " * 100000, 200, "too long"),
        (b"{}", 429, "HTTP 429"),
        (b'{"status": "fail", "message": "reserved range"}', 200, "reserved range"),
        (b'{"error": true, "reason": "RateLimited"}', 200, "RateLimited"),
        (b'{"success": false, "error": {"code": 101, "info": "No access key"}}', 200, "No access key"),
        (b'{"city": 5, "loc": "here", "ip": "not one"}', 200, "no location"),
    ],
)
def test_bad_answer_gives_unknown_with_the_reason(answer, status, told):
    with web_server(answer, status) as url, pytest.raises(location.LocationUnknown, match=told) as caught:
        location.locate(alerts.LocationSettings(url))
    assert "top-secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    "form, repeated",
    [
        ("http://{}/json?token=TOP-SECRET", "TOP-SECRET"),
        ("http://{}/json?key=TOP-SECRET%2FTOO", "TOP-SECRET%2FTOO"),
        ("http://{}/json?key=TOP-SECRET%2FTOO", "TOP-SECRET/TOO"),
        ("http://{}/v1/TOP-SECRET/json", "TOP-SECRET"),
        ("http://TOP-SECRET:@{}/json", "TOP-SECRET"),
        ("http://me:TOP-SECRET@{}/json", "TOP-SECRET"),
    ],
)
def test_a_server_that_repeats_what_it_was_asked_tells_no_secret(form, repeated):
    with web_server(json.dumps({"error": f"unknown {repeated}"}).encode(), 403) as url:
        settings = alerts.LocationSettings(form.format(url.split("/")[2]))
        with pytest.raises(location.LocationUnknown, match="HTTP 403: unknown …$"):
            location.locate(settings)


def test_slow_answer_takes_no_longer_than_the_limit():
    with web_server(json.dumps(ANSWERS["ipinfo.io"]).encode(), pause_s=0.1) as url:
        began = time.monotonic()
        with pytest.raises(location.LocationUnknown, match="no answer in 0.5 s"):
            location.locate(alerts.LocationSettings(url, 0.5))
        assert time.monotonic() - began < 2


def test_refusing_server_is_told_without_the_address():
    with web_server(b"") as url:
        pass
    with pytest.raises(location.LocationUnknown, match="^no connection$"):
        location.locate(alerts.LocationSettings(url))


IPINFO_LIMIT = {"status": 429, "error": {"title": "Rate limit exceeded", "message": "Upgrade to increase your usage"}}


@pytest.mark.parametrize(
    "status, answer, told",
    [
        (429, IPINFO_LIMIT, "HTTP 429: Rate limit exceeded: Upgrade to increase your usage"),
        (200, IPINFO_LIMIT, "refused: Rate limit exceeded: Upgrade"),
        (
            403,
            {"error": {"title": "Unknown token", "message": "Provide a valid one instead of top-secret-token"}},
            "HTTP 403: Unknown token: Provide a valid one instead of …",
        ),
        (200, {"error": "Invalid key"}, "refused: Invalid key"),
        (401, {"error": "Invalid key"}, "HTTP 401: Invalid key"),
        (200, {"error": {"error_code": 10001, "error_message": "API key not found"}}, "API key not found"),
        (200, {"success": False, "message": "You've hit the monthly limit"}, "monthly limit"),
        (200, {"error": True}, "no reason given"),
        (500, ["error"], "HTTP 500$"),
        (200, {"error": {"message": "a\ud800b\n\u202ec"}}, "refused: a b c"),
        (200, {"city": "x", "error": {"message": 5}}, "no reason given"),
    ],
)
def test_services_own_words_for_a_refusal_are_passed_on(status, answer, told):
    content = json.dumps(answer).encode()
    with web_server(content, status) as url, pytest.raises(location.LocationUnknown, match=told) as caught:
        location.locate(alerts.LocationSettings(url))
    assert "top-secret-token" not in str(caught.value) and str(caught.value).isprintable()


def test_numbers_and_addresses_that_are_none_are_left_out():
    _, place = location.parse_location({"city": "Bern\ud800", "lat": 10**400, "lon": 0})
    assert (place["city"], place["latitude"]) == ("Bern", None)
    public, _ = location.parse_location({"ip": "fe80::1%a\nb"})
    assert public is None or "\n" not in public


def test_address_that_is_none_is_told_as_such():
    with pytest.raises(location.LocationUnknown, match=r"url in \[location\]"):
        location.locate(alerts.LocationSettings("http://[::1"))
