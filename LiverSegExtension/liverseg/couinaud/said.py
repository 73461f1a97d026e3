"""Which warnings speak of a Couinaud split: they go when the liver is split anew."""

from __future__ import annotations

import re

_DOUBT = "; the split is approximate"
# Doubts about what a method went by, and not about the segments that came of it.
UNUSUAL_SHAPE = "the liver's shape is unlike those the borders were learned from"
MOVED_FAR = "the vessels and the liver's shape disagree"
_OF_A_SPLIT = re.compile(
    _DOUBT + "$"
    r"|^The method '.*' was not used: "
    r"|^No landmark was placed for "
    r"|^The landmark .* lies far from the liver"
    r"|^The vessels do not say which is portal"
    r"|^No (portal vein|hepatic veins) lies in the liver"
    r"|^[0-9.]+ ml of the segments were drawn by hand and kept"
    r"|^No edit of the segments was found"
)


def is_of_a_split(warning: str) -> bool:
    """Whether a warning was said when a liver was split."""
    return _OF_A_SPLIT.search(warning) is not None


def is_of_the_segments(warning: str) -> bool:
    """Whether a warning is one of :func:`liverseg.couinaud.checks.doubts`, which see the segments alone."""
    return is_a_doubt(warning) and not warning.startswith((UNUSUAL_SHAPE, MOVED_FAR))


def is_a_doubt(warning: str) -> bool:
    """Whether a warning makes a split approximate."""
    return warning.endswith(_DOUBT)


def kept_sentence(kept_ml: float) -> str:
    """What is said of a person's edits after a new split."""
    if kept_ml > 0:
        return f"{kept_ml:.1f} ml of the segments were drawn by hand and kept; the rest was split anew."
    return "No edit of the segments was found: the liver was split anew as a whole."
