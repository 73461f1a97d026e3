"""Future liver remnant: what a planned resection would leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from liverseg.case import Case, Remnant, SegmentReadout
from liverseg.errors import UsageError

# Beyond these a height in meters or a weight in pounds was meant, or a digit slipped.
HEIGHT_CM = (50.0, 250.0)
WEIGHT_KG = (10.0, 350.0)
# After Zorzi et al., Br J Surg 2007. Shown, never judged by.
USUAL_LIMITS = (
    "at least 20 % is usually asked for in a healthy liver, 30 % after chemotherapy, 40 % in cirrhosis"
)
# Segment IV may be named whole where it comes in two parts.
PARTS_OF_SEGMENT_4 = ("IVa", "IVb")


def future_liver_remnant(
    segments: Sequence[SegmentReadout],
    resected: Sequence[str],
    height_cm: float | None = None,
    weight_kg: float | None = None,
) -> Remnant:
    """The remnant after resection of whole segments, tumor left out of both sides of the fraction.

    Percent of the liver is remnant / (total liver - tumor). With height and weight, also of the
    standardized liver volume (:func:`standardized_liver_ml`). Segments resected come back in reading
    order, each once.

    Args:
        segments: of a measured case, in reading order.
        resected: numerals such as "VI"; "IV" means both parts where segment IV is split.
        height_cm, weight_kg: of the person, both or neither.

    Raises:
        UsageError: no segment or an unknown one; only one of height and weight; a value no person has.
    """
    gone = _known_segments(segments, resected)
    out = [segment for segment in segments if segment.name in gone]
    kept = [segment for segment in segments if segment.name not in gone]
    parts = [_Part(sum(s.volume_ml for s in each), sum(s.lesion_ml for s in each)) for each in (out, kept)]
    return _remnant(parts[0], parts[1], tuple(s.name for s in out), height_cm, weight_kg)


def remnant_outside_mask(
    liver: np.ndarray,
    lesions: np.ndarray,
    resect: np.ndarray,
    voxel_volume_ml: float,
    height_cm: float | None = None,
    weight_kg: float | None = None,
) -> Remnant:
    """The remnant after resection of any part of the liver, by the definitions of whole segments.

    Args:
        liver: bool (k, j, i), lesions included.
        lesions: 0 or the lesion's id, on the same grid.
        resect: bool, what is taken out; voxels of it outside of the liver do not count.
        voxel_volume_ml: volume of a voxel.
        height_cm, weight_kg: of the person, both or neither.

    Raises:
        UsageError: no liver; the mask holds no part of it; height and weight as
            :func:`future_liver_remnant`.
    """
    if not liver.any():
        raise UsageError("There is no liver to resect: the liver's mask is empty.")
    if not resect.any():
        raise UsageError("The mask of the resection is empty: mark what is taken out with values above 0.")
    if not (resect & liver).any():
        raise UsageError("The mask of the resection lies outside of the liver: check that it fits this CT.")
    parts = [
        _Part(*(voxel_volume_ml * int(np.count_nonzero(each)) for each in (part, part & (lesions > 0))))
        for part in (liver & resect, liver & ~resect)
    ]
    return _remnant(parts[0], parts[1], (), height_cm, weight_kg)


def measured_again(remnant: Remnant, segments: Sequence[SegmentReadout]) -> Remnant | None:
    """The remnant of the same resection in a liver whose masks have changed since.

    None when the liver has no segment of one of the names any more (a whole IV in place of IVa and IVb). The
    standardized volume is the person's and stays.
    """
    try:
        again = future_liver_remnant(segments, remnant.resected)
    except UsageError:
        return None
    standardized = remnant.standardized_liver_ml
    return replace(
        again,
        standardized_liver_ml=standardized,
        percent_of_standardized=100.0 * again.remnant_ml / standardized if standardized else None,
    )


def planned_again(case: Case, earlier: Remnant | None) -> Case:
    """The case with an earlier plan measured again in its own segments, or a warning where that cannot be."""
    if earlier is None:
        return case
    again = measured_again(earlier, case.segments)
    if again is not None:
        return replace(case, remnant=again)
    lost = ", ".join(earlier.resected)
    warning = (
        f"The planned resection of {lost} was left out: the segments have other names now."
        if lost
        else "The planned resection was left out: it was a mask, which may not fit the liver any more."
    )
    return replace(case, warnings=(*case.warnings, warning))


def standardized_liver_ml(height_cm: float | None, weight_kg: float | None) -> float:
    """-794.41 + 1267.28 x BSA (Vauthey et al., Liver Transpl 2002), BSA in m2 by Mosteller (NEJM 1987).

    Raises:
        UsageError: a value is missing or no person has it, or the person is too small for the formula,
            which was found in adults.
    """
    if height_cm is None or weight_kg is None:
        raise UsageError("The standardized liver volume needs height and weight: give both or neither.")
    for name, value, (low, high), unit in (
        ("height", height_cm, HEIGHT_CM, "cm"),
        ("weight", weight_kg, WEIGHT_KG, "kg"),
    ):
        if not low <= value <= high:
            raise UsageError(f"A {name} of {value:g} {unit} is no person's: give {low:g} to {high:g} {unit}.")
    volume = -794.41 + 1267.28 * math.sqrt(height_cm * weight_kg / 3600.0)
    if volume <= 0:
        raise UsageError(
            f"{height_cm:g} cm and {weight_kg:g} kg are too small for the formula of the standardized liver "
            "volume, which holds for adults: leave height and weight out."
        )
    return volume


@dataclass(frozen=True)
class _Part:
    """A part of the liver: its volume, and that of the lesions in it."""

    volume_ml: float
    tumor_ml: float

    @property
    def without_tumor_ml(self) -> float:
        return self.volume_ml - self.tumor_ml


def _remnant(
    out: _Part, kept: _Part, names: tuple[str, ...], height_cm: float | None, weight_kg: float | None
) -> Remnant:
    """The numbers of a resection from what goes and what stays."""
    functional_ml = out.without_tumor_ml + kept.without_tumor_ml
    remnant_ml = kept.without_tumor_ml
    standardized = None
    if height_cm is not None or weight_kg is not None:
        standardized = standardized_liver_ml(height_cm, weight_kg)
    return Remnant(
        resected=names,
        remnant_ml=remnant_ml,
        percent_of_liver=100.0 * remnant_ml / functional_ml if functional_ml > 0 else None,
        standardized_liver_ml=standardized,
        percent_of_standardized=100.0 * remnant_ml / standardized if standardized is not None else None,
        resected_ml=out.volume_ml,
        tumor_resected_ml=out.tumor_ml,
        tumor_left_ml=kept.tumor_ml,
    )


def _known_segments(segments: Sequence[SegmentReadout], resected: Sequence[str]) -> set[str]:
    if not resected:
        raise UsageError("No segment to resect was named: give some of I to VIII.")
    names = [segment.name for segment in segments]
    known: dict[str, tuple[str, ...]] = {name.lower(): (name,) for name in names}
    if set(PARTS_OF_SEGMENT_4) <= set(names):
        known["iv"] = PARTS_OF_SEGMENT_4
    gone: set[str] = set()
    for name in resected:
        parts = known.get(name.strip().lower(), ())
        if not parts:
            raise UsageError(f"There is no segment {name!r} to resect: this liver has {', '.join(names)}.")
        gone.update(parts)
    return gone
