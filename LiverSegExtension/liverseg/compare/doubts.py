"""What may make a comparison wrong, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from liverseg.compare.registration import Registration
from liverseg.compare.time_point import TimePoint

# Livers of one person, registered by affine and spline, overlap more than this.
POOR_DICE = 0.90
# Rigid alone: below this, or beyond this ratio of volumes, the shapes are not those of one liver soon after.
OTHER_PERSON_DICE = 0.75
OTHER_PERSON_RATIO = 1.6
# Between unenhanced, arterial and portal venous scans the liver's mean differs by more than this; between
# two portal venous ones of one person mostly by less.
PHASE_HU = 20.0
SLICE_RATIO = 1.5
PIXEL_RATIO = 1.5


def doubts(before: TimePoint, after: TimePoint, registration: Registration | None) -> tuple[str, ...]:
    """All sentences that apply."""
    return (
        *_inputs(before, after),
        *_livers(before, after),
        *_shapes(before, after, registration),
        *_scans(before, after),
        *_lesions(before, after),
    )


def _inputs(before: TimePoint, after: TimePoint) -> Iterator[str]:
    one, other = before.input, after.input
    if one.get("sha256") and one.get("sha256") == other.get("sha256"):
        yield "Both results are of the same CT: nothing but the masks can have changed."
    elif one.get("study_uid") and one.get("study_uid") == other.get("study_uid"):
        yield "Both scans belong to one study, so they may be two phases rather than two times."
    if before.made_by != after.made_by:
        yield (
            "The two results were made by different versions or models of LiverSeg (or one from given "
            "masks): part of a change may come from that."
        )


def _livers(before: TimePoint, after: TimePoint) -> Iterator[str]:
    for point, name in ((before, "earlier"), (after, "later")):
        if not point.liver_mask.any():
            yield f"The {name} scan has no liver, so that no lesion can be compared."
        elif not point.liver.complete:
            yield (
                f"The {name} scan cuts the liver off: volumes of the liver do not compare, and lesions may "
                "lie outside of it."
            )


def _shapes(before: TimePoint, after: TimePoint, registration: Registration | None) -> Iterator[str]:
    if registration is None:
        return
    whole = before.liver.complete and after.liver.complete
    ratio = after.liver.volume_ml / before.liver.volume_ml
    unlike = whole and not 1 / OTHER_PERSON_RATIO <= ratio <= OTHER_PERSON_RATIO
    if unlike or registration.rigid_dice < OTHER_PERSON_DICE:
        yield (
            "The livers differ more in size or shape than those of one person usually do: make sure that "
            "both scans are of one person (surgery can explain it, too)."
        )
    if registration.liver_dice < POOR_DICE:
        yield (
            f"The livers overlap by {100 * registration.liver_dice:.0f} % only (Dice) after registration: "
            "check each pair of lesions."
        )


def _scans(before: TimePoint, after: TimePoint) -> Iterator[str]:
    slices = (before.slice_mm, after.slice_mm)
    if max(slices) > SLICE_RATIO * min(slices):
        yield (
            f"Slices are {slices[0]:.3g} mm apart in the earlier scan and {slices[1]:.3g} mm in the later "
            "one: sizes of small lesions compare badly, and one may be missed in the thicker slices."
        )
    pixels = tuple(float(np.sort(p.geometry.spacing_ijk)[0]) for p in (before, after))
    if max(pixels) > PIXEL_RATIO * min(pixels):
        yield f"Pixels are {pixels[0]:.2g} mm in the earlier scan and {pixels[1]:.2g} mm in the later one."
    means = (before.liver.mean_hu, after.liver.mean_hu)
    if means[0] is not None and means[1] is not None and abs(means[1] - means[0]) > PHASE_HU:
        yield (
            f"The liver has {means[0]:.0f} HU in the earlier scan and {means[1]:.0f} HU in the later one: "
            "the phases of contrast probably differ, so that HU, and which lesions are seen, do not compare."
        )


def _lesions(before: TimePoint, after: TimePoint) -> Iterator[str]:
    for point, name in ((before, "earlier"), (after, "later")):
        edge = [str(lesion.id) for lesion in point.measured if lesion.touches_volume_edge]
        if edge:
            yield (
                f"In the {name} scan lesion {', '.join(edge)} reaches the scan's edge: "
                "its size is a lower limit."
            )
        rejected = [str(lesion.id) for lesion in point.lesions if lesion.review.state == "rejected"]
        if rejected:
            yield (
                f"In the {name} scan lesion {', '.join(rejected)} was rejected by the reader and is left out."
            )
