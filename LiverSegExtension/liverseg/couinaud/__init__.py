"""The eight Couinaud segments of a liver, by one of three methods.

- ``shape``: a network that learned them from label maps sees the liver's mask (``learned``).
- ``vessels``: the portal vein and the hepatic veins guide the borders (``vessels``).
- ``landmarks``: planes through points that a person placed, or guessed from the shape (``landmarks``).

:func:`split_liver` and :func:`split_mask` choose among them. :func:`resplit` and :func:`split_keeping_edits`
keep what a person drew.
"""

from liverseg.couinaud.checks import doubts, doubts_of_given
from liverseg.couinaud.edited import EditedSplit, split_keeping_edits
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable, SplitMethod
from liverseg.couinaud.resplit import resplit
from liverseg.couinaud.segment_iv import split_segment_iv
from liverseg.couinaud.splitting import (
    DEFAULT_METHOD,
    METHODS,
    Split,
    SplitOptions,
    split_liver,
    split_mask,
)

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Drawn",
    "EditedSplit",
    "Guides",
    "MethodUnavailable",
    "Split",
    "SplitMethod",
    "SplitOptions",
    "doubts",
    "doubts_of_given",
    "resplit",
    "split_keeping_edits",
    "split_liver",
    "split_mask",
    "split_segment_iv",
]
