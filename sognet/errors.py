"""Errors that a user can mend: shown as one message, without a traceback, by the commands."""


class InputError(ValueError):
    """Something in the user's files, checkpoint or configuration is wrong; the message says what and what to do."""


class MissingFileError(InputError):
    """A file or folder that is not there."""
