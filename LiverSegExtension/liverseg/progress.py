"""Progress and cancel, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with a fraction 0..1 and a short message; may raise ``liverseg.errors.Cancelled``."""

    def __call__(self, fraction: float, message: str) -> None: ...


def silent(fraction: float, message: str) -> None:
    """A progress listener that does nothing."""
