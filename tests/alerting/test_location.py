"""The look-up of where this computer is, against a real web server."""

import json
import time

import pytest
from alerts_parts import web_server

import alerts
from alerting import location


ANSWERS = {     # in the shape of each service's documentation
    "ipinfo.io": {"ip": "203.0.113.7", "city": "Zürich", "region": "Zurich", "country": "CH",
                  "loc": "47.3667,8.5500", "org": "AS1 X", "timezone": "Europe/Zurich"},
    "ip-api.com": {"status": "success", "country": "CH", "countryCode": "CH", "region": "ZH",
                   "regionName": "Zurich", "city": "Zürich", "lat": 47.3667, "lon": 8.55,
                   "query": "203.0.113.7"},
    "ipapi.co": {"ip": "203.0.113.7", "city": "Zürich", "region": "Zurich", "region_code": "ZH",
                 "country": "CH", "country_name": "CH", "latitude": 47.3667, "longitude": 8.55},
    "ipstack": {"ip": "203.0.113.7", "type": "ipv4", "country_name": "CH", "region_code": "ZH",
                "region_name": "Zurich", "city": "Zürich", "latitude": 47.3667, "longitude": 8.55},
}


@pytest.mark.parametrize("service", ANSWERS)
def test_location_is_read_from_every_usual_service(service):
    with web_server(json.dumps(ANSWERS[service]).encode()) as url:
        public, place = location.locate(alerts.LocationSettings(url))
    assert public == "203.0.113.7"
    assert place == {"city": "Zürich", "region": "Zurich", "country": "CH", "latitude": 47.3667,
                     "longitude": 8.55}


@pytest.mark.parametrize("answer, status, told", [
    (b"<html>", 200, "not JSON"), (b"[1, 2]", 200, "no location"), (b"{}", 200, "no location"),
    (b"\xff\xfe", 200, "not JSON"), (b"[" * 60000, 200, "not JSON"), (b" " * 100000, 200, "too long"),
    (b"{}", 429, "HTTP 429"), (b'{"status": "fail", "message": "reserved range"}', 200, "reserved range"),
    (b'{"error": true, "reason": "RateLimited"}', 200, "RateLimited"),
    (b'{"success": false, "error": {"code": 101, "info": "No access key"}}', 200, "No access key"),
    (b'{"city": 5, "loc": "here", "ip": "not one"}', 200, "no location"),
])
def test_bad_answer_gives_unknown_with_the_reason(answer, status, told):
    with web_server(answer, status) as url, pytest.raises(location.LocationUnknown, match=told) as caught:
        location.locate(alerts.LocationSettings(url))
    assert "top-secret-token" not in str(caught.value)


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
