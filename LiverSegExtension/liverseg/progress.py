"""Progress and cancel, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with a fraction 0..1 and a short message; may raise ``liverseg.errors.Cancelled``."""

    def __call__(self, fraction: float, message: str) -> None: ...


def part_of(progress: Progress, low: float, high: float, name: str = "") -> Progress:
    """A listener that maps 0..1 onto ``low``..``high`` of another one; it says the name, if there is one."""

    def listener(fraction: float, message: str) -> None:
        progress(low + fraction * (high - low), f"{name}: {message}" if name else message)

    return listener


def silent(fraction: float, message: str) -> None:
    """A progress listener that does nothing."""
