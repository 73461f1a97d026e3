"""A made-up person scanned twice: the second time moved and deformed by a known field, lesions changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.measure import measure
from liverseg.phantom import PlannedLesion, make_phantom
from liverseg.phantom_motion import Motion, moved
from liverseg.volume import Volume

SHAPE, SPACING = (64, 96, 110), (4.0, 3.6, 3.4)


def read_out(ct: Volume, masks: Masks) -> Case:
    """The case of true masks."""
    return measure(
        ct,
        replace(masks, vessels=None),
        method=CouinaudMethod("truth"),
        provenance=Provenance("1.2.3", "truth", started="2025-01-02T03:04:05+00:00"),
    )


def scan(
    lesions: Sequence[PlannedLesion],
    motion: Motion | None = None,
    seed: int = 3,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    **options: object,
) -> Case:
    """A read-out of the person with these lesions, moved or not."""
    phantom = make_phantom(seed, shape, spacing, lesions=lesions, **options)
    if motion is None:
        return read_out(phantom.ct, phantom.masks)
    return read_out(*moved(phantom, motion))
