"""The one family of errors of the app.

The text of each error is one sentence for a person: what happened, the value that caused it, and what to do.
Command line and browser show that text as it is; `exit_code` is what the command line ends with.
"""

from __future__ import annotations


class EveryageError(Exception):
    """Something the app could not do. `str(error)` is one sentence for a person."""

    exit_code = 1


class InputError(EveryageError):
    """What the person gave cannot be used: a file, a number, a name, a setting."""

    exit_code = 2


class DeviceError(EveryageError):
    """The device that was asked for is missing or too small for the work."""


class Cancelled(EveryageError):
    """The person stopped the work; nothing is wrong."""

    exit_code = 130

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message)
