"""Errors that a user can act on. Each carries one line: what was refused, why, and what to do."""

from __future__ import annotations


class LiverSegError(Exception):
    """Base of all expected errors.

    Attributes:
        exit_code: what the shell gets.
        without_names: the same line without free text of headers and names of files, which may be a
            patient's, for files that are kept; None where it holds none.
    """

    exit_code = 3
    without_names: str | None = None


class UsageError(LiverSegError):
    """The call itself is wrong (options, output folder)."""

    exit_code = 2


class InputRefused(LiverSegError):
    """The input is no CT that can be read out."""

    exit_code = 3


class ModelError(LiverSegError):
    """A model bundle is missing, damaged or of a kind this version does not know."""

    exit_code = 3


class OutOfMemory(LiverSegError):
    """Out of memory on every rung of the ladder."""

    exit_code = 5


class Cancelled(LiverSegError):
    """The user asked to stop; raised from a progress callback."""

    exit_code = 130
