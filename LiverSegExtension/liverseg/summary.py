"""Plain sentences about lesions, and hints from their size and number.

Hints say what size and number alone are compatible with. They know no diagnosis, no vessel invasion and
no spread, and give no category of any reporting system. Lesions that a reader rejected are left out of
them. Sizes are long axes in whole millimeters, as the sentences show them, so that both always agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from liverseg.case import LesionReadout

# Mazzaferro et al., NEJM 1996: one lesion of at most 5 cm, or two or three of at most 3 cm each.
MILAN_SINGLE_MM = 50
MILAN_EACH_MM = 30
MILAN_NUMBER = 3
# Mazzaferro et al., Lancet Oncol 2009: largest size in cm plus number of lesions.
UP_TO_SEVEN = 7
SMALL_MM = 10
LARGE_MM = 20


def sentences(lesions: Sequence[LesionReadout]) -> tuple[str, ...]:
    """One sentence a lesion, such as "Lesion 2: 23 mm, segment IVa"."""
    return tuple(_sentence(lesion) for lesion in lesions)


def hints(lesions: Sequence[LesionReadout]) -> tuple[str, ...]:
    """Milan, up-to-seven and size classes, by size and number; empty without lesions."""
    sizes = [size_mm(lesion) for lesion in lesions if lesion.review.state != "rejected"]
    if not sizes:
        return ()
    return (_milan(sizes), _up_to_seven(sizes), _size_classes(sizes))


def size_mm(lesion: LesionReadout) -> int:
    """The long axis in whole millimeters, as shown to people."""
    return whole_mm(lesion.long_axis_mm)


def whole_mm(length_mm: float) -> int:
    """A length in whole millimeters, halves upwards: the one rounding of every door."""
    # The small term keeps an exact half from falling to the lower side by rounding of the machine.
    return math.floor(length_mm + 0.5 + 1e-6)


def _sentence(lesion: LesionReadout) -> str:
    text = f"Lesion {lesion.id}: {size_mm(lesion)} mm"
    if lesion.primary_segment is not None:
        text += f", segment {lesion.primary_segment}"
    if lesion.review.state == "rejected":
        text += ", rejected by the reader"
    return text


def _milan(sizes: Sequence[int]) -> str:
    single = len(sizes) == 1 and sizes[0] <= MILAN_SINGLE_MM
    several = len(sizes) <= MILAN_NUMBER and max(sizes) <= MILAN_EACH_MM
    place = "within" if single or several else "beyond"
    return (
        f"Size and number compatible with a tumor {place} the Milan criteria for hepatocellular carcinoma "
        "(one lesion of at most 5 cm, or up to three of at most 3 cm each)."
    )


def _up_to_seven(sizes: Sequence[int]) -> str:
    total = len(sizes) + max(sizes) / 10.0
    place = "within" if total <= UP_TO_SEVEN else "beyond"
    return (
        f"Size and number compatible with a tumor {place} the up-to-seven criteria "
        "for hepatocellular carcinoma "
        f"(number {len(sizes)} + largest size {max(sizes) / 10.0:.1f} cm = {total:.1f})."
    )


def _size_classes(sizes: Sequence[int]) -> str:
    small = sum(size < SMALL_MM for size in sizes)
    large = sum(size > LARGE_MM for size in sizes)
    classes = (
        (small, f"under {SMALL_MM} mm"),
        (len(sizes) - small - large, f"of {SMALL_MM} to {LARGE_MM} mm"),
        (large, f"over {LARGE_MM} mm"),
    )
    listed = ", ".join(f"{count} {name}" for count, name in classes if count)
    lesions = "lesion" if len(sizes) == 1 else "lesions"
    return f"{len(sizes)} {lesions} by size: {listed}."
