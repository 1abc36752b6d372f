"""Which computer this is, and whose: what an incident says about where it happened."""

import contextlib
import getpass
import socket

from alerting.bounded import Call
from alerting.printable import clean

# Names may come from a directory server, which may be away; an incident does not wait for it.
LIMIT_S = 1.0
UNKNOWN = "unknown"


def identity() -> dict[str, str]:
    """{"host", "user", "address"}, as printable text; "unknown" for what the system does not tell within LIMIT_S."""
    questions = {"host": _host, "user": _user, "address": local_address}
    return {name: _answer(call) for name, call in {name: Call(ask) for name, ask in questions.items()}.items()}


def _answer(call: Call) -> str:
    try:
        return clean(call.result(LIMIT_S)) or UNKNOWN
    except Exception:  # a user id without a name, a system without a network: the incident is what counts
        return UNKNOWN


def _host() -> str:
    return socket.gethostname()


def _user() -> str:
    return getpass.getuser()


def local_address() -> str:
    """The IPv4 address this computer uses towards the internet. Connecting a UDP socket sends nothing."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        return probe.getsockname()[0]
    return UNKNOWN
