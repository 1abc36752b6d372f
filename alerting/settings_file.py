"""Reading alerts.toml: each value is of its type and within its range, each key is one that there is."""

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, ValidationError, convert, defstruct, field

from alerting.printable import clean
from alerting.settings import KEYRING_SERVICE, PASSWORD_VARIABLE, EmailSettings, Settings, SettingsError

SIZE_LIMIT = 65536  # bytes
RANGES = {"port": (1, 65535), "timeout_s": (0.1, 120), "seconds": (0.25, 60), "cooldown_s": (0, 86400)}
KINDS = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[str]: "a list of texts",
}
# Dots stand between other characters; a host may be an IP address as well, in a mail address in brackets.
_DOTTED = r"{0}+(?:\.{0}+)*"
HOST = re.compile(_DOTTED.format("[A-Za-z0-9_-]") + r"\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
ADDRESS = "{0}@(?:{0}|\\[[0-9A-Fa-f:.]+\\])".format(_DOTTED.format(r"[^@\s.,:;<>()\[\]\"\\]"))
ONE_ADDRESS = re.compile(rf'(?:(?P<name>[^"<>@,;:\\]*|"[^"\\]*")\s*<(?P<named>{ADDRESS})>)|(?P<plain>{ADDRESS})')
_SECTIONS = {part.name: part.type for part in dataclasses.fields(Settings)}
# Nothing outside takes a NUL.
_TEXT = Annotated[str, Meta(pattern="^[^\0]*$")]
_ENCODED = {str: _TEXT, list[str]: list[_TEXT]}


def read(path: Path) -> Settings:
    """The settings in the file. Raises SettingsError, never with a secret in it."""
    content = _parse(path)
    for name, table in content.items():
        _refuse_secrets(path, [name, *(table if isinstance(table, dict) else ())])
        if name not in _SECTIONS:
            raise SettingsError(
                f"{path}: unknown {'section' if isinstance(table, dict) else 'key'} "
                f"{clean(name)!r}{_suggestion(name, _SECTIONS)}"
            )
    try:
        decoded = convert(content, _strict(Settings))
    except ValidationError as error:
        raise SettingsError(f"{path}: {_told(str(error))}") from None
    settings = Settings(**{name: section(**_values(getattr(decoded, name))) for name, section in _SECTIONS.items()})
    return _check(path, settings)


def _parse(path: Path) -> dict:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > SIZE_LIMIT:
        raise SettingsError(f"{path}: is far too large for settings; name another file with --alerts")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # Windows' Notepad may put its mark at the beginning
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    # Plain ValueError: a number of more than 4300 digits.
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {clean(error)}") from None


def _refuse_secrets(path: Path, keys: list[str]) -> None:
    if any(re.search(r"pass(wor[dt]|phrase)?$|passwd|secret", key, re.IGNORECASE) for key in keys):
        raise SettingsError(
            f"{path}: the password does not belong into this file: remove the line, and put it into the "
            f"system keyring (keyring set {KEYRING_SERVICE} USERNAME) or into {PASSWORD_VARIABLE}"
        )


def _strict(kind: type) -> type:
    """The dataclass as msgspec decodes it: with the ranges, and with no key that it does not have.

    Made here, since msgspec takes longer to import than most starts, which have no file, can spare.
    """
    return defstruct(
        kind.__name__,
        [(part.name, *_strict_field(part)) for part in dataclasses.fields(kind)],
        frozen=True,
        forbid_unknown_fields=True,
    )


def _strict_field(part: dataclasses.Field) -> tuple:
    if dataclasses.is_dataclass(part.type):
        section = _strict(part.type)
        return section, section()
    kind = _ENCODED.get(part.type, part.type)
    if part.name in RANGES:
        low, high = RANGES[part.name]
        kind = Annotated[kind, Meta(ge=low, le=high)]
    return kind, field(default_factory=list) if part.default is dataclasses.MISSING else part.default


def _values(section) -> dict:
    return {name: getattr(section, name) for name in section.__struct_fields__}


def _told(problem: str) -> str:
    """msgspec's message, such as "Expected `int`, got `str` - at `$.email.port`", with section and key named."""
    text, _, where = problem.rpartition(" - at `$.")
    section, _, key = re.sub(r"\[.*|`$", "", where).partition(".")
    kinds = {part.name: part.type for part in dataclasses.fields(_SECTIONS[section])}
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        return f"unknown key {clean(unknown[1])!r} in [{section}]{_suggestion(unknown[1], kinds)}"
    if not key:
        return f"{section} must be a section: write [{section}]"
    if text.startswith("Expected `str` matching"):
        return f"{key} in [{section}] must not contain a NUL character"
    if re.match(r"Expected `\w+` [<>]", text):
        low, high = RANGES[key]
        return f"{key} in [{section}] must be from {low:g} to {high:g}"
    return f"{key} in [{section}] must be {KINDS[kinds[key]]}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"


def _check(path: Path, settings: Settings) -> Settings:
    """What no type says."""
    if settings.location.url and not re.match(r"https?://[^/]", settings.location.url):
        raise SettingsError(f'{path}: url in [location] must begin with https:// (or be "" for none)')
    if settings.lock.command and not settings.lock.command[0]:
        raise SettingsError(f"{path}: command in [lock] must begin with a program's name")
    return dataclasses.replace(settings, email=_check_email(path, settings.email))


def _check_email(path: Path, email: EmailSettings) -> EmailSettings:
    if email.security not in ("", "tls", "starttls"):
        raise SettingsError(f'{path}: security in [email] must be "tls" or "starttls"')
    if email != EmailSettings() and not email.host:
        raise SettingsError(f"{path}: host in [email] is missing: name the mail server")
    if not email.host:
        return email
    host = _ascii_domain(email.host)
    if len(host) > 253 or not HOST.fullmatch(host):
        raise SettingsError(f"{path}: host in [email] must be a plain host name without port or slashes")
    addresses = {}
    for key in ("sender", "recipient"):
        text = getattr(email, key)
        found = ONE_ADDRESS.fullmatch(text) if clean(text, 320) == text else None
        user, _, domain = (found["named"] or found["plain"]).rpartition("@") if found else ("", "", "")
        domain = domain if domain.startswith("[") else _ascii_domain(domain)
        if not domain:
            raise SettingsError(f"{path}: {key} in [email] must be one mail address, like me@example.com")
        name = (found["name"] or "").strip(' "')
        # Quoted, since a dot, say, would end it for those who read mails by the letter.
        addresses[key] = f'"{name}" <{user}@{domain}>' if name else f"{user}@{domain}"
    ca_file = email.ca_file
    if ca_file:
        ca_file = path.parent / os.path.expanduser(ca_file)
        if not os.path.isfile(ca_file):
            raise SettingsError(f"{path}: ca_file in [email]: there is no file {clean(ca_file)}")
    return dataclasses.replace(email, host=host, ca_file=str(ca_file), **addresses)


def _ascii_domain(name: str) -> str:
    """The name as the domain name system and most mail servers know it, bücher.example as xn--...; "" for none."""
    if name.isascii():
        return name
    import idna  # comes with requests

    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        return ""
