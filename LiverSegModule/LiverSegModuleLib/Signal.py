"""A signal between the parts of the panel. Free of Qt."""

from __future__ import annotations

from collections.abc import Callable


class Signal:
    """Calls what is connected, in the order of connection."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., object]] = []

    def connect(self, slot: Callable[..., object]) -> None:
        """Call ``slot`` with the arguments of every :meth:`emit`."""
        self._slots.append(slot)

    def emit(self, *arguments: object) -> None:
        """Call all slots."""
        for slot in list(self._slots):
            slot(*arguments)
