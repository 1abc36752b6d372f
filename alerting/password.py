"""The mail password: from the environment, else the system keyring, which may hang or wait for its owner."""

import os

from alerting.bounded import Call
from alerting.mail_failure import MailDelayed, MailRefused
from alerting.printable import clean
from alerting.settings import KEYRING_SERVICE, PASSWORD_VARIABLE

KEYRING_LIMIT_S = 10.0  # one that is locked may ask its owner first, who may not be there


class Password:
    """The password that belongs to a user name of the mail server."""

    def __init__(self, username: str):
        self._username = username
        self._asked: Call | None = None  # of a keyring that has not answered yet: it is not asked twice

    def get(self) -> str:
        """Raises MailRefused or MailDelayed, and takes no longer than KEYRING_LIMIT_S."""
        password = os.environ.get(PASSWORD_VARIABLE) or self._from_keyring()
        if "\0" in password or any("\ud800" <= letter <= "\udfff" for letter in password):
            raise MailRefused(
                "the password is not valid text; set it anew "
                f"(keyring set {KEYRING_SERVICE} {self._username}, or {PASSWORD_VARIABLE} in UTF-8)"
            )
        return password

    def _from_keyring(self) -> str:
        self._asked = self._asked or Call(_ask_keyring, self._username)
        if not self._asked.wait(KEYRING_LIMIT_S):
            raise MailDelayed(
                f"the system keyring has not answered in {KEYRING_LIMIT_S:.0f} s: unlock it, or set {PASSWORD_VARIABLE}"
            )
        asked, self._asked = self._asked, None
        password = asked.result()
        if not password:
            raise MailRefused(
                f"no password; run: keyring set {KEYRING_SERVICE} {self._username}   or set {PASSWORD_VARIABLE}"
            )
        return password


def _ask_keyring(username: str) -> str | None:
    try:
        import keyring

        return keyring.get_password(KEYRING_SERVICE, username)
    except ImportError as error:  # keyring, or the module that PYTHON_KEYRING_BACKEND names
        missing = (
            "keyring is not installed (pip install -r requirements.txt)"
            if error.name == "keyring"
            else f"the keyring cannot be used without {clean(error.name)}, which is not installed"
        )
        raise MailRefused(f"no password: {missing}; or set {PASSWORD_VARIABLE}") from None
    except BaseException as error:  # KeyringError, and whatever backends let through; it may only be locked
        if type(error).__name__ == "NoKeyringError":
            raise MailRefused(f"no password, and this system has no keyring; set {PASSWORD_VARIABLE}") from None
        raise MailDelayed(f"the system keyring cannot be read now: {type(error).__name__}") from None
