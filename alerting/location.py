"""Where this computer is, as a web service takes its internet address to be."""

import contextlib
import json
import logging
import math
import re
import urllib.parse

from alerting.bounded import Call
from alerting.incident import Incident
from alerting.printable import clean
from alerting.settings import LocationSettings

log = logging.getLogger("liveness.alerting")

SIZE_LIMIT = 65536  # bytes
# Where ipinfo.io, ipapi.co, ipstack, ip2location and ip-api.com put the reason for a refusal.
REASON_KEYS = ("title", "reason", "info", "error_message", "message")
SECRET_LENGTH = 8  # characters: shorter parts of a path or query are options


class LocationUnknown(Exception):
    """The look-up gave nothing; the message says why, without the address asked (it may hold a token)."""


def locate(settings: LocationSettings) -> tuple[str | None, dict]:
    """The public address and {"city", "region", "country", "latitude", "longitude"}, None where unknown.

    One request; over within settings.timeout_s whatever the server or the name service does.
    Raises LocationUnknown.
    """
    if not settings.url:
        raise LocationUnknown("the look-up is switched off")
    # requests' own time limit counts from byte to byte and leaves out the name look-up.
    asked = Call(_fetch, settings)
    if not asked.wait(settings.timeout_s):
        raise LocationUnknown(f"no answer in {settings.timeout_s:g} s")
    return asked.result()


def _fetch(settings: LocationSettings) -> tuple[str | None, dict]:
    import requests

    try:
        with requests.get(
            settings.url, timeout=settings.timeout_s, stream=True, headers={"Accept": "application/json"}
        ) as response:
            content = response.raw.read(SIZE_LIMIT + 1, decode_content=True)
            status = response.status_code
        if status != 200:
            raise LocationUnknown(_refusal(status, content))
        if len(content) > SIZE_LIMIT:
            raise LocationUnknown("the answer is too long")
        return parse_location(json.loads(content))
    except LocationUnknown as error:
        raise LocationUnknown(_without_secrets(str(error), settings.url)) from None
    except requests.Timeout:
        raise LocationUnknown(f"no answer in {settings.timeout_s:g} s") from None
    except requests.exceptions.SSLError:
        raise LocationUnknown("the server's certificate is not trusted") from None
    except requests.exceptions.InvalidURL:
        raise LocationUnknown("url in [location] is not an address") from None
    except requests.ConnectionError:
        raise LocationUnknown("no connection") from None
    except (ValueError, RecursionError):
        raise LocationUnknown("the answer is not JSON") from None
    except Exception as error:  # urllib3 has many of its own
        raise LocationUnknown(f"the look-up failed: {type(error).__name__}") from None


def _refusal(status: int, content: bytes) -> str:
    """What a server says that answers otherwise than with HTTP 200: most give the reason as JSON."""
    told = f"the server answered HTTP {status}"
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return told
    reason = _reason(answer) if isinstance(answer, dict) else ""
    return f"{told}: {reason}" if reason else told


def _reason(answer: dict) -> str:
    """Why a service refuses, out of {"error": {"title", "message"}}, {"error": "..."}, {"message": "..."} and such."""
    error = answer.get("error")
    if isinstance(error, str):
        return clean(error, 160)
    for part in (error, answer):
        texts = [part.get(key) for key in REASON_KEYS] if isinstance(part, dict) else []
        if found := [text for text in texts if isinstance(text, str) and clean(text)]:
            return clean(": ".join(found), 160)
    return ""


def _without_secrets(text: str, url: str) -> str:
    """Services have been seen to repeat the token that they do not know."""
    with contextlib.suppress(ValueError):
        address = urllib.parse.urlsplit(url)
        parts = re.split("[/&;=]", f"{address.username or ''}/{address.path}/{address.query}")
        parts = [part for part in parts if len(part) >= SECRET_LENGTH] + [address.password or ""]
        forms = {form for part in parts for form in (part, urllib.parse.unquote(part), urllib.parse.unquote_plus(part))}
        for secret in sorted(filter(None, forms), key=len, reverse=True):
            text = text.replace(secret, "…")
    return text


def parse_location(answer: object) -> tuple[str | None, dict]:
    """Read the answer of ipinfo.io, ip-api.com, ipapi.co or ipstack. Raises LocationUnknown."""
    if not isinstance(answer, dict):
        raise LocationUnknown("the answer has no location in it")
    if answer.get("status") == "fail" or answer.get("success") is False or answer.get("error"):
        raise LocationUnknown(f"the server refused: {_reason(answer) or 'no reason given'}")

    def text(*keys: str) -> str | None:
        values = (answer.get(key) for key in keys)
        return next((clean(value, 80) for value in values if isinstance(value, str) and clean(value)), None)

    latitude, longitude = _coordinates(answer)
    location = {
        "city": text("city"),
        "region": text("regionName", "region_name", "region"),
        "country": text("country_name", "country"),
        "latitude": latitude,
        "longitude": longitude,
    }
    address = _address(answer.get("ip") or answer.get("query"))
    if not address and not any(value is not None for value in location.values()):
        raise LocationUnknown("the answer has no location in it")
    return address, location


def _coordinates(answer: dict) -> tuple[float, float] | tuple[None, None]:
    pair = (
        answer["loc"].split(",")
        if isinstance(answer.get("loc"), str)
        else [answer.get("lat", answer.get("latitude")), answer.get("lon", answer.get("longitude"))]
    )
    try:
        latitude, longitude = map(float, pair)
    except (TypeError, ValueError, OverflowError):
        return None, None
    if not (math.isfinite(latitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        return None, None
    return latitude, longitude


def _address(value: object) -> str | None:
    import ipaddress

    try:
        return clean(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def find_location(settings: LocationSettings, case: Incident) -> None:
    """Look up where this computer is and put it into the incident's record, or why that is unknown."""
    try:
        public, location = locate(settings)
    except LocationUnknown as error:
        case.update(location={"unknown": str(error)})
        log.info("incident %s: location unknown: %s", case.name, error)
        return
    case.update(address=case.record["address"] | {"public": public}, location=location)
    places = [location[key] for key in ("city", "region", "country") if location[key]]
    log.info("incident %s: location %s", case.name, ", ".join(places) or public)
