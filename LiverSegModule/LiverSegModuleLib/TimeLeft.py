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
        # Up to when it was counted, None while nobody reads; and when the reader is taken to have gone.
        self._last: float | None = None
        self._until = 0.0
        self._spent = 0.0

    @property
    def isCounting(self) -> bool:
        """Whether somebody reads."""
        return self._last is not None

    def touch(self) -> None:
        """The reader did something."""
        self._count()
        self._last = self._clock()
        self._until = self._last + self._longest

    def pause(self) -> None:
        """The reader turned to something else."""
        self._count()
        self._last = None

    def take(self) -> float:
        """The seconds since they were last taken, up to now."""
        self._count()
        spent, self._spent = self._spent, 0.0
        return spent

    def _count(self) -> None:
        if self._last is not None:
            end = max(self._last, min(self._clock(), self._until))
            self._spent += end - self._last
            self._last = end
