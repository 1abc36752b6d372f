"""What all errors have in common that a user can mend."""


class UserError(Exception):
    """Something that the user can put right; the message is one line that says what is wrong and what to do.

    A script ends with it on standard error, and with status 2.
    """
