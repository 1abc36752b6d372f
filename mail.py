"""The mail that reports an incident to the owner: what it says, how it is sent, and sent again if need be.

    reporter = Reporter(settings, Path("incidents"), mail=True, find_location=...)
    reporter.add(case)                       # at once; a thread of its own does the rest
    reporter.close(deadline)

Mail travels over TLS with a verified certificate or not at all. What cannot be sent now is tried again with
growing pauses, and at the next start; that it was sent is on the disk before anything else happens.
"""

import contextlib
import dataclasses
import heapq
import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from incident import REPLAY, Incident, clean, unsent

log = logging.getLogger("liveness")

PASSWORD_VARIABLE = "LIVENESS_SMTP_PASSWORD"
KEYRING_SERVICE = "liveness-authentication"

IMPLICIT_TLS_PORT = 465         # RFC 8314
RETRY_FIRST_S = 15.0            # doubles with every failure ...
RETRY_LONGEST_S = 900.0         # ... up to this
# After a refusal (wrong password, unknown recipient) nothing is tried for this long: servers lock
# accounts that keep knocking.
REFUSED_PAUSE_S = 3600.0
# So many incidents wait in memory, each with its picture and an open file; the rest wait on the disk, where a server
# that is away for a day may leave a thousand.
WAITING_LIMIT = 20
LATE_S = 300                    # a mail that leaves later than this after its incident says so


@dataclasses.dataclass(frozen=True)
class EmailSettings:
    host: str = ""              # empty: no mail
    port: int = IMPLICIT_TLS_PORT
    security: str = ""          # "tls", "starttls"; empty: by the port
    username: str = ""          # empty: no login
    sender: str = ""
    recipient: str = ""
    ca_file: str = ""           # certificates to trust instead of the system's
    timeout_s: float = 20.0     # for each answer of the server


# --- what it says --------------------------------------------------------------------------------------

LOCK_WORDS = {
    "confirmed": "The workstation was locked",
    "accepted": "The system accepted the request to lock the workstation",
    "unconfirmed": "LOCK NOT CONFIRMED: the workstation was asked to lock and may still be open",
    "failed": "LOCK FAILED: the workstation is open",
    "off": "Locking is switched off",
    "test": "Nothing was locked, this is a test",
}
SOUND_WORDS = {
    "voice": {"done": "A spoken warning was given", "queued": "A spoken warning was queued",
              "failed": "The spoken warning was not heard"},
    "alarm": {"done": "The alarm was sounded", "queued": "The alarm was queued",
              "failed": "The alarm was not heard"},
}


def compose(record: dict, jpeg: bytes, sender: str, recipient: str, test: bool = False):
    """The EmailMessage for an incident: plain text, HTML with the picture in it, the picture attached.

    The Message-ID is the incident's own, so a copy sent twice can be told by any server or mail program.
    `jpeg` may be empty.
    """
    from email.message import EmailMessage
    from email.utils import format_datetime

    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = ("TEST: " if test else "") + f"Unauthorized face at {record['host']}"
    message["Date"] = format_datetime(datetime.now().astimezone())
    message["Message-ID"] = record["message_id"]
    if not test:
        message["Importance"] = "high"
    facts = _facts(record)
    message.set_content(_plain_text(record, facts, test))
    message.add_alternative(_html(record, facts, bool(jpeg), test), subtype="html")
    if jpeg:
        message.get_payload()[1].add_related(jpeg, "image", "jpeg", cid="<snapshot>", disposition="inline",
                                             filename="snapshot.jpg")
        message.add_attachment(jpeg, "image", "jpeg", filename=f"{record['id']}.jpg")
    return message


def _facts(record: dict) -> dict[str, str]:
    """What the mail's table says, in order, as plain text."""
    local = datetime.fromisoformat(record["time_local"])
    utc = datetime.fromisoformat(record["time_utc"])
    location = record["location"]
    facts = {
        "Local time": f"{local:%a} {local.day} {local:%B %Y, %H:%M:%S} {record['timezone']} "
                      f"(UTC{local.isoformat()[-6:]})",
        "UTC": f"{utc:%Y-%m-%d %H:%M:%S}",
        "Computer": record["host"],
        "User": record["user"],
        "Source": record["source"],
        "Local IP": record["address"]["local"],
        "Public IP": record["address"]["public"] or "unknown",
    }
    if "unknown" in location:
        facts["Location"] = f"unknown ({location['unknown']})"
        return facts
    facts["City"] = location["city"] or "unknown"
    facts["Region"] = location["region"] or "unknown"
    facts["Country"] = location["country"] or "unknown"
    if location["latitude"] is not None:
        facts["Latitude, longitude"] = f"{location['latitude']:.4f}, {location['longitude']:.4f}"
    return facts


def _map_link(location: dict) -> str:
    if location.get("latitude") is None:
        return ""
    latitude, longitude = f"{location['latitude']:.4f}", f"{location['longitude']:.4f}"
    return (f"https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}"
            f"#map=12/{latitude}/{longitude}")


def _deeds(record: dict) -> list[tuple[bool, str]]:
    """What was done, each with whether it went well."""
    lock = record["actions"]["lock"]
    detail = lock.get("reason") or lock.get("how")
    deeds = [(lock["state"] in ("confirmed", "accepted", "test"),
              LOCK_WORDS.get(lock["state"], lock["state"]) + (f" ({detail})" if detail else ""))]
    for action, words in SOUND_WORDS.items():
        state = record["actions"][action]
        if state["state"] in words:
            reason = f" ({state['reason']})" if state.get("reason") else ""
            deeds.append((state["state"] != "failed", words[state["state"]] + reason))
    return deeds


def _lateness(record: dict) -> str:
    late_s = (datetime.now(timezone.utc) - datetime.fromisoformat(record["time_utc"])).total_seconds()
    if late_s < LATE_S:
        return ""
    hours, minutes = divmod(round(late_s / 60), 60)
    late = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"This mail left {late} after the incident: it could not be sent sooner."


def _plain_text(record: dict, facts: dict[str, str], test: bool) -> str:
    width = max(map(len, facts)) + 2
    lines = ["This is a test. No face was seen." if test else
             f"An unauthorized face was seen at {record['host']}: it {record['reason']}."]
    refused = "; refused below 0.50" if record["reason"] == REPLAY else ""
    lines += [f"Score {record['score']:.2f} (0: photo or replay, 1: live person{refused}).", ""]
    lines += [f"{name + ':':{width}}{text}" for name, text in facts.items()]
    if _map_link(record["location"]):
        lines.append(f"{'Map:':{width}}{_map_link(record['location'])}")
    lines += ["", "What was done:"] + [f"  {'-' if well else '!'} {text}" for well, text in _deeds(record)]
    lines += ["", f"Incident {record['id']}"]
    if _lateness(record):
        lines += ["", _lateness(record)]
    return "\n".join(lines) + "\n"


# Mail programs ignore style sheets: tables, and styles on the elements themselves.
_SANS = "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"


def _html(record: dict, facts: dict[str, str], picture: bool, test: bool) -> str:
    from html import escape as e

    colour = "#1f5fa8" if test else "#b3261e"
    title = "Test of the alerts" if test else "Unauthorized face"
    local = datetime.fromisoformat(record["time_local"])
    image = ('<tr><td style="padding:0;line-height:0"><img src="cid:snapshot" alt="Snapshot of the face" '
             'width="600" style="display:block;width:100%;height:auto;border:0"></td></tr>'
             if picture else "")
    notes = [e(note) for note in ("This is a test. No face was seen." if test else "", _lateness(record))
             if note]
    note = "".join(f'<tr><td style="{_SANS}padding:14px 24px;background:#fff4d6;color:#5c4300;'
                   f'font-size:15px;line-height:21px">{text}</td></tr>' for text in notes)
    rows = "".join(
        f'<tr><td style="{_SANS}padding:9px 14px 9px 0;border-top:1px solid #e7eaee;color:#68717d;'
        f'font-size:14px;line-height:20px;vertical-align:top;white-space:nowrap">{e(name)}</td>'
        f'<td style="{_SANS}padding:9px 0;border-top:1px solid #e7eaee;color:#1b1f24;font-size:15px;'
        f'line-height:20px;vertical-align:top;word-break:break-word">{e(text)}</td></tr>'
        for name, text in facts.items())
    link = _map_link(record["location"])
    button = (f'<tr><td style="padding:4px 24px 22px"><a href="{e(link)}" style="{_SANS}display:block;'
              f'padding:13px 0;border-radius:10px;background:#1b1f24;color:#ffffff;font-size:16px;'
              f'font-weight:600;text-align:center;text-decoration:none">Show on the map</a>'
              f'<div style="{_SANS}padding-top:8px;color:#68717d;font-size:12px;line-height:17px">'
              f'Where the internet address is registered: right to the city at best.</div></td></tr>'
              if link else "")
    deeds = "".join(
        f'<tr><td width="30" style="padding:6px 0;vertical-align:top"><div style="{_SANS}width:20px;'
        f'height:20px;border-radius:10px;background:{"#1a7f37" if well else "#b3261e"};color:#ffffff;'
        f'font-size:13px;line-height:20px;text-align:center;font-weight:700">'
        f'{"&#10003;" if well else "!"}</div></td><td style="{_SANS}padding:6px 0;color:'
        f'{"#1b1f24" if well else "#b3261e"};font-size:15px;line-height:20px;'
        f'font-weight:{"400" if well else "600"};word-break:break-word">{e(text)}</td></tr>'
        for well, text in _deeds(record))
    judged = "refused below 0.50" if record["reason"] == REPLAY else f"but it {record['reason']}"
    share = min(97, max(3, round(100 * record["score"])))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light"><title>{title}</title></head>
<body style="margin:0;padding:0;background:#eef0f3">
<div style="display:none;max-height:0;overflow:hidden">{e(_deeds(record)[0][1])}.</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="background:#eef0f3">
<tr><td align="center" style="padding:16px 10px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"
 style="max-width:600px;background:#ffffff;border-radius:14px;overflow:hidden;border-collapse:separate">
<tr><td style="{_SANS}padding:20px 24px;background:{colour};color:#ffffff">
<div style="font-size:24px;line-height:30px;font-weight:700">{title}</div>
<div style="padding-top:4px;font-size:16px;line-height:22px">{e(record["host"])} &middot; \
{local.day} {local:%B}, {local:%H:%M} {e(record["timezone"])}</div></td></tr>
{note}{image}
<tr><td style="{_SANS}padding:20px 24px 6px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr>
<td style="{_SANS}font-size:15px;color:#1b1f24;font-weight:600">Liveness score {record["score"]:.2f}</td>
<td align="right" style="{_SANS}font-size:13px;color:#68717d">{e(judged)}</td></tr></table>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="margin-top:8px;\
background:#e7eaee;border-radius:5px"><tr><td width="{share}%" style="height:10px;line-height:10px;\
font-size:1px;background:{colour};border-radius:5px">&nbsp;</td><td style="font-size:1px">&nbsp;</td></tr>
</table>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr>
<td style="{_SANS}padding-top:5px;font-size:12px;color:#68717d">photo or replay</td>
<td align="right" style="{_SANS}padding-top:5px;font-size:12px;color:#68717d">live person</td></tr></table>
</td></tr>
<tr><td style="{_SANS}padding:18px 24px 6px;\
font-size:17px;font-weight:700;color:#1b1f24">What was done</td></tr>
<tr><td style="padding:0 24px 8px"><table role="presentation" width="100%" cellpadding="0" \
cellspacing="0">{deeds}</table></td></tr>
<tr><td style="{_SANS}padding:18px 24px 8px;\
font-size:17px;font-weight:700;color:#1b1f24">When and where</td></tr>
<tr><td style="padding:0 24px 18px"><table role="presentation" width="100%" cellpadding="0" \
cellspacing="0">{rows}</table></td></tr>
{button}
<tr><td style="{_SANS}padding:16px 24px;background:#f7f8fa;color:#68717d;font-size:12px;line-height:18px">
Sent by Liveness Authentication on {e(record["host"])}. The folder of incident {e(record["id"])} on that \
computer holds the frames behind this verdict.</td></tr>
</table></td></tr></table></body></html>
"""


# --- sending it ----------------------------------------------------------------------------------------


class MailDelayed(Exception):
    """The mail could not be sent now; later it may. The message says why, without secrets."""


class MailRefused(Exception):
    """The mail will not be sent until somebody changes something. The message says what."""


def send(settings: EmailSettings, message) -> None:
    """Send one EmailMessage over TLS with a verified certificate. Returns when the server has accepted it.

    Raises MailDelayed or MailRefused.
    """
    import smtplib
    import ssl

    password = _password(settings) if settings.username else ""
    try:
        server = _connect(settings, smtplib, ssl)
        try:
            if settings.username:
                _log_in(server, settings.username, password, smtplib)
            server.send_message(message)
        except BaseException:
            server.close()
            raise
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        raise _by_code(code, "the recipient was refused", text, password) from None
    except smtplib.SMTPSenderRefused as error:
        raise _by_code(error.smtp_code, "the sender was refused", error.smtp_error, password) from None
    except smtplib.SMTPDataError as error:
        raise _by_code(error.smtp_code, "the mail was refused", error.smtp_error, password) from None
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused(f"the server cannot take this mail: {clean(error)}") from None
    except ssl.SSLCertVerificationError as error:
        # Not refused: a hotel's network may stand between, and the mail can go from the next one.
        raise MailDelayed(f"the server's certificate is not trusted: {clean(error.verify_message)}") from None
    except smtplib.SMTPResponseException as error:
        raise MailDelayed(_redact(f"the server is not ready: {error.smtp_code} "
                                  f"{_text(error.smtp_error)}", password)) from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MailDelayed(_redact(f"{settings.host}: {reason}", password)) from None
    # The server has the mail; how it says goodbye changes nothing.
    with contextlib.suppress(smtplib.SMTPException, OSError):
        server.quit()


def _connect(settings: EmailSettings, smtplib, ssl):
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    security = settings.security or ("tls" if settings.port == IMPLICIT_TLS_PORT else "starttls")
    if security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=settings.timeout_s, context=context)
    server = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_s)
    try:
        server.starttls(context=context)
    except smtplib.SMTPNotSupportedError:
        server.close()
        raise MailDelayed("the server offers no STARTTLS; nothing was sent") from None
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server, username: str, password: str, smtplib) -> None:
    try:
        server.login(username, password)
    except smtplib.SMTPAuthenticationError as error:
        raise _by_code(error.smtp_code, "user name or password was refused (most providers want an app "
                       "password)", error.smtp_error, password) from None
    except smtplib.SMTPException as error:
        if type(error) is smtplib.SMTPException:    # how smtplib says that no method is shared
            raise MailRefused("the server offers no way to log in with a password") from None
        raise


def _by_code(code: int, what: str, text: bytes | str, password: str) -> MailDelayed | MailRefused:
    """RFC 5321, 4.2.1: replies 5yz are for good, 4yz may go away by themselves."""
    kind = MailRefused if code >= 500 else MailDelayed
    return kind(_redact(f"{what}: {code} {_text(text)}", password))


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


def _redact(text: str, password: str) -> str:
    """Servers have been seen to echo what they were sent."""
    if password:
        import base64

        encoded = base64.b64encode(password.encode()).decode()
        text = text.replace(password, "(password)").replace(encoded, "(password)")
        text = re.sub(r"[A-Za-z0-9+/]{16,}={0,2}", lambda found: _hide_if_secret(found[0], password), text)
    return clean(text, 200)


def _hide_if_secret(encoded: str, password: str) -> str:
    import base64

    with contextlib.suppress(ValueError):
        if password.encode() in base64.b64decode(encoded):
            return "(password)"
    return encoded


def _password(settings: EmailSettings) -> str:
    """From the environment, else the system keyring. Raises MailRefused or MailDelayed."""
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        return password
    how = f"run: keyring set {KEYRING_SERVICE} {settings.username}   or set {PASSWORD_VARIABLE}"
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise MailRefused(f"no password, and keyring is not installed; {how}") from None
    try:
        password = keyring.get_password(KEYRING_SERVICE, settings.username)
    except keyring.errors.NoKeyringError:
        raise MailRefused(f"no password, and this system has no keyring; set {PASSWORD_VARIABLE}") from None
    except Exception as error:      # KeyringError, and what backends let through; it may only be locked
        raise MailDelayed(f"the system keyring cannot be read now: {type(error).__name__}") from None
    if not password:
        raise MailRefused(f"no password; {how}")
    return password


class Reporter:
    """Mails incidents, one after the other, in a thread of its own; begins with those of earlier runs.

    `mail` False: the thread still calls `find_location` for each new incident, which comes before its mail.
    """

    def __init__(self, email: EmailSettings, root: Path, mail: bool,
                 find_location: Callable[[Incident], None]):
        self._email = email
        self._root = root
        self._mail = mail
        self._find_location = find_location
        self._heap: list[tuple[float, int, Incident, float]] = []   # due, order, incident, next pause
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._busy = True           # until the incidents of earlier runs have been looked through
        self._closed = False
        self._held_until, self._refusal = 0.0, ""
        self._left = False          # incidents wait on the disk alone
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def add(self, case: Incident) -> None:
        """Queue a new incident."""
        self._schedule(case, time.monotonic(), RETRY_FIRST_S)

    def close(self, deadline: float) -> None:
        """End by `deadline` (time.monotonic); tries what is due now as far as time allows."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._is_due(),
                                   max(0.0, deadline - time.monotonic()))
            self._closed = True
            self._changed.notify_all()
        self._thread.join(max(0.1, deadline - time.monotonic()))

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

    def _retry(self, case: Incident, due: float, pause: float) -> None:
        """Later: from memory, or where many wait there and the incident is on the disk, from that."""
        if len(self._heap) < WAITING_LIMIT or not case.folder:
            self._schedule(case, due, pause)
            return
        if not self._left:
            log.warning("%d mails wait; further ones wait in %s", WAITING_LIMIT, self._root)
        self._left = True
        case.release()

    def _schedule(self, case: Incident, due: float, pause: float) -> None:
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._order), case, pause))
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            if self._mail:
                self._take_up_unsent()
            while (entry := self._next()) is not None:
                self._report(*entry)
        except Exception:
            log.exception("mail has stopped")
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                for _, _, case, _ in self._heap:
                    case.release()

    def _next(self) -> tuple[Incident, float] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._closed and not self._is_due():
                self._changed.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
            if self._closed:
                return None
            self._busy = True
            _, _, case, pause = heapq.heappop(self._heap)
            return case, pause

    def _take_up_unsent(self, refused: bool = True) -> None:
        """As many as there is room for; with `refused`, those that a server refused as well."""
        self._left = False
        for case in unsent(self._root, refused):
            mail = case.record["actions"]["mail"]
            if mail["state"] == "refused":
                log.warning("incident %s was not mailed in an earlier run: %s; trying once more", case.name,
                            clean(mail.get("reason"), 200))
                case.update("mail", state="waiting")
            else:
                log.info("incident %s has not been mailed yet; mailing it now", case.name)
            self._schedule(case, time.monotonic(), RETRY_FIRST_S)
            if len(self._heap) >= WAITING_LIMIT:
                self._left = True
                break

    def _report(self, case: Incident, pause: float) -> None:
        if not case.located:
            self._find_location(case)
            case.located = True
        mail = case.record["actions"]["mail"]
        if mail["state"] != "waiting":
            case.release()
            return
        if time.monotonic() < self._held_until:
            case.update("mail", reason=self._refusal)
            self._retry(case, self._held_until, pause)
            return
        attempts = mail.get("attempts", 0) + 1
        try:
            send(self._email, compose(case.record, case.jpeg, self._email.sender, self._email.recipient))
        except MailDelayed as error:
            if mail.get("reason") != str(error):        # the same reason again is no news
                log.warning("incident %s: mail waits: %s", case.name, error)
            case.update("mail", attempts=attempts, reason=str(error))
            self._retry(case, time.monotonic() + pause, min(2 * pause, RETRY_LONGEST_S))
        except MailRefused as error:
            log.error("incident %s: NOT MAILED: %s; the next start tries once more", case.name, error)
            case.update("mail", state="refused", attempts=attempts, reason=str(error))
            case.release()
            self._held_until, self._refusal = time.monotonic() + REFUSED_PAUSE_S, str(error)
        else:
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            case.update("mail", state="sent", attempts=attempts, reason="", time_utc=now)
            case.release()
            log.info("incident %s: owner notified by mail", case.name)
            if self._left and not self._heap:
                self._take_up_unsent(refused=False)
