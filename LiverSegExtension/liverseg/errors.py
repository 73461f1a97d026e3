"""Errors that a user can act on. Each carries one line: what was refused, why, and what to do."""

from __future__ import annotations


class LiverSegError(Exception):
    """Base of all expected errors. ``exit_code`` is what the shell gets."""

    exit_code = 3


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
