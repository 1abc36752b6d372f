"""Why a mail was not sent: for now or for good, told without the password."""

import base64
import contextlib
import html
import json
import re
import urllib.parse

from alerting.printable import clean


class MailDelayed(Exception):
    """The mail could not be sent now; later it may. The message says why, without secrets."""


class MailRefused(Exception):
    """The mail will not be sent until somebody changes something. The message says what."""


class MailTooLarge(MailRefused):
    """This mail will not be sent; others may."""


def without_password(text: str, password: str) -> str:
    """One line in which no form of the password is left: servers have been seen to echo what they were sent."""
    if password:
        text = re.sub("|".join(map(re.escape, _forms(password))), "(password)", text, flags=re.IGNORECASE)
        text = re.sub(r"[A-Za-z0-9+/]{8,}={0,2}", lambda found: _hide_if_secret(found[0], password), text)
    return clean(text, 200)


def _forms(password: str) -> list[str]:
    """As it is, and as it comes back encoded, escaped, or in another alphabet; the longest first."""
    data = password.encode()
    forms = {
        password,
        " ".join(password.split()),
        base64.b64encode(data).decode(),
        data.decode("latin-1"),
        password.encode("latin-1", "replace").decode("utf-8", "replace"),
        password.encode("ascii", "replace").decode(),
        password.encode("ascii", "backslashreplace").decode(),
        urllib.parse.quote(password, safe=""),
        urllib.parse.quote_plus(password),
        html.escape(password),
        repr(password)[1:-1],
        json.dumps(password)[1:-1],
    }
    return sorted(filter(None, forms), key=len, reverse=True)


def _hide_if_secret(encoded: str, password: str) -> str:
    with contextlib.suppress(ValueError):
        if password.encode() in base64.b64decode(encoded):
            return "(password)"
    return encoded
