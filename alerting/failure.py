"""Steps of which none may keep the others from being taken."""

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger("liveness.alerting")


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever goes wrong within is logged, as far as even that can be, and what comes after is done."""
    try:
        yield
    except Exception:
        with contextlib.suppress(Exception):
            log.exception("%s", what)
