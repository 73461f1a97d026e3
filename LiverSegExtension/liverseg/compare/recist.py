"""The sum of diameters after RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009), for the liver alone.

Numbers for information: response is judged by a person, from all organs and by all of the rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from liverseg.case import LesionReadout
from liverseg.compare.matching import Group
from liverseg.compare.result import Change

# At most two targets an organ.
TARGETS_PER_ORGAN = 2
# Limits that the sum is held against: fall from baseline; rise from the smallest sum, and its least length.
FALL_PERCENT = -30.0
RISE_PERCENT = 20.0
RISE_MM = 5.0
ROUNDING = 1e-6


def choose_targets(lesions: Sequence[LesionReadout]) -> tuple[int, ...]:
    """Ids of the largest measurable lesions, at most two, by falling long axis.

    Args:
        lesions: of the first scan, without those that a reader rejected.
    """
    measurable = [lesion for lesion in lesions if lesion.recist_measurable]
    largest = sorted(measurable, key=lambda lesion: (-lesion.long_axis_mm, -lesion.volume_ml, lesion.id))
    return tuple(lesion.id for lesion in largest[:TARGETS_PER_ORGAN])


def sum_of_targets(
    targets: Sequence[int],
    groups: Sequence[Group],
    later: Mapping[int, LesionReadout],
    unknown: Sequence[int] = (),
) -> float | None:
    """The sum of long axes in a later scan, mm; None without targets or where one cannot be judged.

    The parts of a split target are added; of targets that have merged the one long axis counts once; a
    target that is gone adds 0.

    Args:
        targets: ids in the first scan.
        groups: how the lesions of the first scan and the later one belong together.
        later: lesions of the later scan by id.
        unknown: ids of the first scan that the later one does not cover.
    """
    if not targets or set(targets) & set(unknown):
        return None
    hit = [group for group in groups if set(group.before) & set(targets)]
    return sum(later[lesion_id].long_axis_mm for group in hit for lesion_id in group.after)


def limit_sentence(from_baseline: Change, from_smallest: Change) -> str:
    """Which of RECIST's limits the sum passes, in words; empty where there is no number."""
    fall, rise, grown = from_baseline.percent, from_smallest.percent, from_smallest.change
    if fall is None or grown is None:
        return ""
    if rise is None:
        # The smallest sum is 0, of which any growth is more than any share.
        rise = math.inf if grown > 0 else 0.0
    if rise >= RISE_PERCENT - ROUNDING and grown >= RISE_MM - ROUNDING:
        text = "The sum lies at least 20 % and 5 mm above its smallest value, a limit of RECIST 1.1"
    elif fall <= FALL_PERCENT + ROUNDING:
        text = "The sum lies at least 30 % below the first scan's, a limit of RECIST 1.1"
    else:
        text = (
            "The sum passes no limit of RECIST 1.1 (30 % below the first scan's; 20 % and 5 mm above its "
            "smallest value)"
        )
    return f"{text}; this is information, not a verdict."
