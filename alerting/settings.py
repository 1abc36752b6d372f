"""alerts.toml as Python sees it; alerts.example.toml says what each line means to the user."""

from dataclasses import dataclass, field

from storage.user_error import UserError

IMPLICIT_TLS_PORT = 465  # RFC 8314
# Where the mail password is: the environment goes before the system keyring. Never in the file.
PASSWORD_VARIABLE = "LIVENESS_SMTP_PASSWORD"
KEYRING_SERVICE = "liveness-authentication"


class SettingsError(UserError):
    """alerts.toml is not right; the message is one line that says where and what to do."""


@dataclass(frozen=True)
class EmailSettings:
    host: str = ""  # empty: no mail
    port: int = IMPLICIT_TLS_PORT
    security: str = ""  # "tls", "starttls"; empty: by the port
    username: str = ""  # empty: no login
    sender: str = ""
    recipient: str = ""
    ca_file: str = ""  # certificates to trust instead of the system's
    timeout_s: float = 20.0  # for each answer of the server


@dataclass(frozen=True)
class LocationSettings:
    url: str = "https://ipinfo.io/json"  # empty: no look-up
    timeout_s: float = 3.0


@dataclass(frozen=True)
class VoiceSettings:
    enabled: bool = True


@dataclass(frozen=True)
class AlarmSettings:
    enabled: bool = False
    device: str = ""  # part of the output's name; empty: the default output
    seconds: float = 5.0


@dataclass(frozen=True)
class LockSettings:
    enabled: bool = True
    command: list[str] = field(default_factory=list)  # empty: the platform's own way


@dataclass(frozen=True)
class IncidentsSettings:
    cooldown_s: float = 60.0


@dataclass(frozen=True)
class Settings:
    email: EmailSettings = EmailSettings()
    location: LocationSettings = LocationSettings()
    voice: VoiceSettings = VoiceSettings()
    alarm: AlarmSettings = AlarmSettings()
    lock: LockSettings = LockSettings()
    incidents: IncidentsSettings = IncidentsSettings()
