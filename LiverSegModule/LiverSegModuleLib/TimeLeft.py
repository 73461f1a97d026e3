"""How long a run will still take, from how far it came. Free of Qt."""

from __future__ import annotations

import time
from collections.abc import Callable

from LiverSegModuleLib.Translation import _

# Before this nothing useful can be said.
_FIRST_FRACTION, _FIRST_SECONDS = 0.03, 2.0


class TimeLeft:
    """Estimates from the fraction done and the seconds since the start.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    def seconds(self, fraction: float) -> float | None:
        """The seconds left, or None where it is too early to tell, or done."""
        elapsed = self._clock() - self._began
        if not _FIRST_FRACTION <= fraction < 1 or elapsed < _FIRST_SECONDS:
            return None
        return elapsed * (1.0 - fraction) / fraction


def in_words(seconds: float | None) -> str:
    """ "12 s" or "3 min"; empty for None."""
    if seconds is None:
        return ""
    if seconds < 90:
        return _("{count} s").format(count=round(seconds))
    return _("{count} min").format(count=round(seconds / 60))


class ReviewClock:
    """Counts the seconds that a reader works on a case; long pauses count as the pause alone.

    Args:
        clock: seconds that only rise.
        longest_pause_s: time without any :meth:`touch` after which the reader is taken to be away.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, longest_pause_s: float = 60.0) -> None:
        self._clock = clock
        self._longest = longest_pause_s
        self._last: float | None = None
        self._spent = 0.0

    def touch(self) -> None:
        """The reader did something."""
        now = self._clock()
        if self._last is not None:
            self._spent += min(now - self._last, self._longest)
        self._last = now

    def pause(self) -> None:
        """The reader turned to something else."""
        if self._last is not None:
            self.touch()
        self._last = None

    def take(self) -> float:
        """The seconds counted since they were last taken."""
        spent, self._spent = self._spent, 0.0
        return spent
