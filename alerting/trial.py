"""Trying each part before it is needed: what `liveness_main.py --test-alerts` does."""

import contextlib
import sys
from collections.abc import Iterator

from alerting import incident
from alerting.delivery import send
from alerting.location import LocationUnknown, locate
from alerting.lock import describe_lock
from alerting.mail_failure import MailDelayed, MailRefused
from alerting.message import compose
from alerting.password import Password
from alerting.printable import write_line
from alerting.settings import AlarmSettings, EmailSettings, LocationSettings, LockSettings, Settings, VoiceSettings
from alerting.sound import SoundError, sound_alarm, speak


def try_all(settings: Settings, voice: bool, lock: bool, email: bool) -> int:
    """Try each part and print a line for each. Returns 0 when all that is switched on works, else 1."""
    results = [_try_voice(settings.voice, voice), _try_alarm(settings.alarm)]
    public, location, result = _try_location(settings.location)
    results += [result, _try_mail(settings.email, email, public, location), _try_lock(settings.lock, lock)]
    return 0 if all(results) else 1


def _tell(part: str, result: str, text: str) -> bool:
    write_line(sys.stdout, f"{part:<9} {result:<4} {text}")
    return result != "FIX"


def _try_voice(settings: VoiceSettings, wanted: bool) -> bool:
    if not (wanted and settings.enabled):
        return _tell("voice", "off", "switched off")
    try:
        speak("This is a test of the alerts.")
    except SoundError as error:
        return _tell("voice", "FIX", str(error))
    return _tell("voice", "OK", "spoke a sentence; did you hear it?")


def _try_alarm(settings: AlarmSettings) -> bool:
    if not settings.enabled:
        return _tell("alarm", "off", "switched off (enabled in [alarm])")
    try:
        sound_alarm(settings.device, min(1.0, settings.seconds))
    except SoundError as error:
        return _tell("alarm", "FIX", str(error))
    return _tell("alarm", "OK", "sounded for a second; did you hear it?")


def _try_location(settings: LocationSettings) -> tuple[str | None, dict, bool]:
    if not settings.url:
        return None, {"unknown": "the look-up is switched off"}, _tell("location", "off", "switched off")
    try:
        public, location = locate(settings)
    except LocationUnknown as error:
        return None, {"unknown": str(error)}, _tell("location", "FIX", f"{error}; see [location]")
    places = ", ".join(location[key] for key in ("city", "region", "country") if location[key])
    return public, location, _tell("location", "OK", f"{places or 'no place'} ({public or 'no address'})")


def _try_mail(settings: EmailSettings, wanted: bool, public: str | None, location: dict) -> bool:
    if not wanted:
        return _tell("mail", "off", "switched off")
    if not settings.host:
        return _tell("mail", "off", "not set up ([email] in alerts.toml)")
    record, jpeg = incident.sample(public, location)
    try:
        with _terminal_as_it_was():
            password = Password(settings.username).get() if settings.username else ""
        send(settings, compose(record, jpeg, settings.sender, settings.recipient, test=True), password)
    except (MailDelayed, MailRefused) as error:
        return _tell("mail", "FIX", str(error))
    return _tell("mail", "OK", f"{settings.host} accepted a test mail to {settings.recipient}")


def _try_lock(settings: LockSettings, wanted: bool) -> bool:
    if not (wanted and settings.enabled):
        return _tell("lock", "off", "switched off")
    possible, text = describe_lock(settings.command)
    return _tell("lock", "OK" if possible else "FIX", text)


@contextlib.contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    """A keyring that asks on the terminal and is not answered would leave it without an echo.

    Only where it changed: who sets a terminal from the background is stopped."""
    try:
        import termios

        before = termios.tcgetattr(sys.stdin)
    except Exception:  # Windows, or no terminal
        yield
        return
    try:
        yield
    finally:
        if termios.tcgetattr(sys.stdin) != before:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
