"""Handing a mail to the server: over TLS with a verified certificate, or not at all."""

import base64
import contextlib
from typing import TYPE_CHECKING

from alerting.mail_failure import MailDelayed, MailRefused, MailTooLarge, without_password
from alerting.printable import clean
from alerting.settings import IMPLICIT_TLS_PORT, EmailSettings

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

BAD_CREDENTIALS = 535  # RFC 4954
TOO_LARGE = 552  # RFC 1870


def send(settings: EmailSettings, message: "EmailMessage", password: str) -> None:
    """Send one mail. Returns when the server has accepted it. `password` goes with settings.username.

    Raises MailDelayed or MailRefused.
    """
    import smtplib

    try:
        server = _connect(settings)
        try:
            if settings.username:
                _log_in(server, settings.username, password)
            server.send_message(message)
        except BaseException:
            server.close()
            raise
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _judged(error, settings, password) from None
    # The server has the mail; how it says goodbye changes nothing.
    with contextlib.suppress(smtplib.SMTPException, OSError):
        server.quit()


def _judged(error: Exception, settings: EmailSettings, password: str) -> MailDelayed | MailRefused:
    """Whether it may go away by itself, and what to tell."""
    import smtplib
    import ssl

    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return _by_code(code, "the recipient was refused", text, password)
    if isinstance(error, smtplib.SMTPResponseException):
        what = {smtplib.SMTPSenderRefused: "the sender was refused", smtplib.SMTPDataError: "the mail was refused"}
        return _by_code(error.smtp_code, what.get(type(error), "the server is not ready"), error.smtp_error, password)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return MailRefused(
            "the server takes no mail addresses beyond ASCII (SMTPUTF8): use others for sender and recipient in [email]"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        # Not refused: a hotel's network may stand between, and the mail can go from the next one.
        return MailDelayed(f"the server's certificate is not trusted: {clean(error.verify_message)}")
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        # Its text may hold what could not be encoded, so it is not told; the next try would end in the same.
        return MailRefused(
            "host, addresses or this mail hold what mail cannot carry: see [email] in alerts.toml "
            f"({type(error).__name__})"
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return MailDelayed(without_password(f"{settings.host}: {reason}", password))


def _connect(settings: EmailSettings) -> "smtplib.SMTP":
    import smtplib
    import ssl

    from alerting.computer import UNKNOWN, local_address

    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ValueError):
        raise MailRefused(f"ca_file in [email]: no certificates can be read from {clean(settings.ca_file)}") from None
    # An address (RFC 5321, 4.1.3) is at hand at once, is always ASCII, and keeps the computer's name to itself.
    address = local_address()
    myself = f"[{'127.0.0.1' if address == UNKNOWN else address}]"
    security = settings.security or ("tls" if settings.port == IMPLICIT_TLS_PORT else "starttls")
    if security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, myself, timeout=settings.timeout_s, context=context)
    server = smtplib.SMTP(settings.host, settings.port, myself, timeout=settings.timeout_s)
    try:
        server.starttls(context=context)
    except smtplib.SMTPNotSupportedError:
        server.close()
        raise MailDelayed("the server offers no STARTTLS; nothing was sent") from None
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: "smtplib.SMTP", username: str, password: str) -> None:
    """By the first method that both sides know. smtplib's own login takes ASCII alone."""
    server.ehlo_or_helo_if_needed()
    offered = server.esmtp_features.get("auth", "").upper().split()
    answer = None
    for name, method in (("PLAIN", _plain), ("LOGIN", _login), ("CRAM-MD5", _cram_md5)):
        if name not in offered:
            continue
        code, text = method(server, username.encode(), password.encode())
        if code in (235, 503):  # accepted; logged in already
            return
        answer = code, text
        if code == BAD_CREDENTIALS:  # by any other method, too; servers lock accounts that keep knocking
            break
    if not answer:
        raise MailRefused("the server offers no way to log in with a password")
    raise _by_code(
        answer[0], "user name or password was refused (most providers want an app password)", answer[1], password
    )


def _plain(server: "smtplib.SMTP", username: bytes, password: bytes) -> tuple[int, bytes]:
    """RFC 4616: UTF-8."""
    return server.docmd("AUTH", "PLAIN " + _base64(b"\0" + username + b"\0" + password))


def _login(server: "smtplib.SMTP", username: bytes, password: bytes) -> tuple[int, bytes]:
    answer = server.docmd("AUTH", "LOGIN")
    for part in (username, password):
        if answer[0] == 334:
            answer = server.docmd(_base64(part))
    return answer


def _cram_md5(server: "smtplib.SMTP", username: bytes, password: bytes) -> tuple[int, bytes]:
    """RFC 2195."""
    import hmac

    code, challenge = server.docmd("AUTH", "CRAM-MD5")
    if code != 334:
        return code, challenge
    digest = hmac.new(password, base64.b64decode(challenge), "md5").hexdigest()
    return server.docmd(_base64(username + b" " + digest.encode()))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _by_code(code: int, what: str, text: bytes | str, password: str) -> MailDelayed | MailRefused:
    """RFC 5321, 4.2.1: replies 5yz are for good, 4yz may go away by themselves."""
    kind = MailTooLarge if code == TOO_LARGE else MailRefused if code >= 500 else MailDelayed
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return kind(without_password(f"{what}: {code} {said}", password))
