"""What happens after a verdict: speak, sound the alarm, report the intruder, lock the workstation.

    settings = load_settings(Path("alerts.toml"))
    with log_to(Path("AuthenticationInfo.log")):
        guard = Alerts(settings, incidents=Path("incidents"))
        guard.authorized(score)                                     # once per visit
        guard.unauthorized(snapshot, evidence, score, source)       # at once; the rest happens in threads
        guard.close()
    test_alerts(settings)                                           # tries each part, prints a line for each

This is the front of the folder `alerting`, whose modules do the work.
"""

from pathlib import Path

from alerting.guard import Alerts
from alerting.log_file import LOGGER, log_to
from alerting.settings import (
    AlarmSettings,
    EmailSettings,
    IncidentsSettings,
    LocationSettings,
    LockSettings,
    Settings,
    SettingsError,
    VoiceSettings,
)

__all__ = [
    "LOGGER",
    "AlarmSettings",
    "Alerts",
    "EmailSettings",
    "IncidentsSettings",
    "LocationSettings",
    "LockSettings",
    "Settings",
    "SettingsError",
    "VoiceSettings",
    "load_settings",
    "log_to",
    "test_alerts",
]


def load_settings(path: Path | None) -> Settings:
    """Read alerts.toml; None gives the defaults. Raises SettingsError, never with a secret in it."""
    if path is None:
        return Settings()
    from alerting.settings_file import read  # the decoder is imported where there is something to decode

    return read(path)


def test_alerts(settings: Settings, voice: bool = True, lock: bool = True, email: bool = True) -> int:
    """Try each part and print a line for each. Returns 0 when all that is switched on works, else 1."""
    from alerting.trial import try_all

    return try_all(settings, voice, lock, email)


test_alerts.__test__ = False  # its name would make pytest run it
