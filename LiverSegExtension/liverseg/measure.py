"""From masks to a :class:`~liverseg.case.Case`: the one road for networks and hand edits alike.

Everything is computed on the crop around the liver, in canonical order (:class:`CanonicalOrder`), so
that the way a file stores its voxels changes no number and no choice among equals.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cc3d
import numpy as np

from liverseg import labels, summary
from liverseg.axes import max_diameter_3d_mm, recist_axes
from liverseg.case import (
    Case,
    CouinaudMethod,
    LesionReadout,
    LiverReadout,
    Masks,
    Provenance,
    Remnant,
    Review,
    SegmentReadout,
)
from liverseg.errors import InputRefused
from liverseg.fingerprints import EarlierReadout, Fingerprints
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.lesion_measures import (
    centroid_kji,
    hu_statistics,
    is_measurable,
    label_at_centroid,
    primary_segment,
    segment_shares,
    sphericity,
    volume_ml,
)
from liverseg.liver_crop import LiverCrop
from liverseg.mending import Box, mend
from liverseg.surfaces import face_centers
from liverseg.uneven import uncounted_ml
from liverseg.volume import Volume

# So much liver on one side of the scan means that the scan cuts it. A liver's dome (about 7 cm in radius)
# that ends with 5 cm2 lacks 0.2 ml, a thin lower edge a few ml: below 1 % of a liver.
CUT_AREA_MM2 = 500.0
# Less of the liver between uneven slices is not worth a word.
MISSED_SHARE = 0.005
# Ends of the canonical axes (superior, posterior, left), first and last.
SIDES = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))


def measure(
    ct: Volume,
    masks: Masks,
    *,
    method: CouinaudMethod,
    provenance: Provenance,
    tracking_uids: Mapping[int, str] | None = None,
    reviews: Mapping[int, Review] | None = None,
    confidences: Mapping[int, float] | None = None,
    warnings: Sequence[str] = (),
    remnant: Remnant | None = None,
    fresh_split: Callable[[np.ndarray], np.ndarray] | None = None,
    earlier: EarlierReadout | None = None,
) -> Case:
    """Measure everything in the masks.

    Masks that contradict each other are mended with a warning (:func:`liverseg.mending.mend`). Lesion ids
    are the label values as given; a label may have several parts.

    Args:
        ct: gray values in HU.
        masks: on the CT's grid; the arrays are not written to.
        method: how the liver was split.
        provenance: what made the masks.
        tracking_uids: by lesion id; a lesion without one gets a UID that follows from the CT and the lesion.
        reviews, confidences: by lesion id.
        warnings: sentences of earlier steps, kept in front.
        remnant: a future liver remnant computed before, passed on.
        fresh_split: splits a liver on the CT's grid, for liver that the segments do not cover yet; see
            :func:`liverseg.mending.mend`.
        earlier: what was measured of these masks before some were corrected; lesions that are still the same
            are not measured again.

    Raises:
        UsageError: masks that cannot be mended, see :func:`liverseg.mending.mend`.
    """
    masks, mended = mend(masks, ct.geometry, fresh_split)
    crop = LiverCrop.of(ct, masks)
    structures = labels.segments(_is_split(masks, crop, provenance))
    names = {labels.numeral(structure) for structure in structures}
    unchanged, same_liver = earlier.still_true(Fingerprints.of_crop(crop), names) if earlier else ({}, False)
    said = _Said(tracking_uids or {}, reviews or {}, confidences or {}, unchanged, same_liver)

    liver, cut = _liver_readout(crop)
    cut += _between_slices(ct, masks, liver.volume_ml)
    lesions = _lesion_readouts(crop, structures, liver, said)
    at_edge = [str(lesion.id) for lesion in lesions if lesion.touches_volume_edge]
    if at_edge:
        cut += (f"Lesion {', '.join(at_edge)} reaches the edge of the scan: its size is a lower limit.",)
    return Case(
        ct=ct,
        masks=masks,
        liver=liver,
        segments=_segment_readouts(crop, structures),
        lesions=lesions,
        method=method,
        provenance=provenance,
        summary=summary.sentences(lesions),
        hints=summary.hints(lesions),
        warnings=tuple(dict.fromkeys((*ct.warnings, *warnings, *mended, *cut))),
        remnant=remnant,
    )


def label_lesions(lesion_mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The components (26 neighbors) of a lesion mask.

    Args:
        lesion_mask: bool (k, j, i).
        geometry: its grid.

    Returns:
        uint16 of the same shape, ids 1..n by falling volume; components of one size in the order of their
        centroids (inferior, anterior, right first), whatever the order of the array's axes.

    Raises:
        InputRefused: more than 65535 components.
    """
    result = np.zeros(lesion_mask.shape, dtype=np.uint16)
    order = CanonicalOrder.of(geometry)
    view = order.apply(lesion_mask)
    box = bounding_box(view)
    if box is None:
        return result
    components, count = cc3d.connected_components(
        np.ascontiguousarray(view[box] > 0), connectivity=26, return_N=True
    )
    if count > np.iinfo(np.uint16).max:
        raise InputRefused(f"The lesion mask has {count} separate parts: this is noise, not lesions.")
    statistics = cc3d.statistics(components)
    voxels, centroids = statistics["voxel_counts"], np.round(statistics["centroids"], 3)
    by_size = sorted(range(1, count + 1), key=lambda n: (-int(voxels[n]), *centroids[n].tolist(), n))
    ids = np.zeros(count + 1, dtype=np.uint16)
    ids[by_size] = np.arange(1, count + 1)
    order.apply(result)[box] = ids[components]
    return result


@dataclass(frozen=True)
class _Said:
    """What is known of lesions besides their voxels, by id."""

    tracking_uids: Mapping[int, str]
    reviews: Mapping[int, Review]
    confidences: Mapping[int, float]
    unchanged: Mapping[int, LesionReadout]
    same_liver: bool


def _is_split(masks: Masks, crop: LiverCrop, provenance: Provenance) -> bool:
    """Whether segment IV comes in two parts: it was asked for, or label 9 is there."""
    asked = provenance.parameters.get("split_segment_4") is True
    return asked or bool(np.any(crop.couinaud == labels.SEGMENT_IVB.label))


def _liver_readout(crop: LiverCrop) -> tuple[LiverReadout, tuple[str, ...]]:
    voxels = int(np.count_nonzero(crop.liver))
    if voxels == 0:
        return LiverReadout(0.0, None, None, None, complete=False), ("No liver was found.",)
    lesion = crop.lesions > 0
    mean, sd = hu_statistics(crop.ct[crop.liver & ~lesion])
    cut = _cut_sides(crop)
    readout = LiverReadout(
        volume_ml=voxels * crop.geometry.voxel_volume_ml,
        mean_hu=mean,
        sd_hu=sd,
        tumor_burden_percent=100.0 * int(np.count_nonzero(lesion)) / voxels,
        complete=not cut,
    )
    if not cut:
        return readout, ()
    return readout, (f"The scan cuts the liver off ({', '.join(cut)}): its volume is a lower limit.",)


def _between_slices(ct: Volume, masks: Masks, liver_ml: float) -> tuple[str, ...]:
    """A warning where slices within the liver lie further apart, or nearer, than the grid has them."""
    missed = uncounted_ml(masks.liver, ct)
    if abs(missed) <= MISSED_SHARE * liver_ml:
        return ()
    if missed > 0:
        return (f"About {missed:.0f} ml of the liver lie where slices are missing and are not counted.",)
    return (f"Slices in the liver lie nearer than others: its volume is about {-missed:.0f} ml too large.",)


def _cut_sides(crop: LiverCrop) -> tuple[str, ...]:
    """The sides of the scan on which more than 5 cm2 of the liver lie."""
    columns = crop.geometry.ijk_to_ras[:3, 2::-1]
    sides = []
    for axis, names in enumerate(SIDES):
        one, other = (columns[:, a] for a in range(3) if a != axis)
        area = float(np.linalg.norm(np.cross(one, other)))
        first_is_edge = crop.start[axis] == 0
        last_is_edge = crop.start[axis] + crop.liver.shape[axis] == crop.full_shape[axis]
        for name, is_edge, index in zip(names, (first_is_edge, last_is_edge), (0, -1), strict=True):
            if is_edge and np.count_nonzero(np.take(crop.liver, index, axis=axis)) * area > CUT_AREA_MM2:
                sides.append(name)
    return tuple(sides)


def _segment_readouts(crop: LiverCrop, structures: Sequence[labels.Structure]) -> tuple[SegmentReadout, ...]:
    voxel_ml = crop.geometry.voxel_volume_ml
    counts = np.bincount(crop.couinaud.ravel(), minlength=10)
    lesion_counts = np.bincount(crop.couinaud[crop.lesions > 0], minlength=10)
    total = int(np.count_nonzero(crop.liver))
    return tuple(
        SegmentReadout(
            name=labels.numeral(structure),
            code=structure.code,
            volume_ml=int(counts[structure.label]) * voxel_ml,
            share_percent=100.0 * int(counts[structure.label]) / total if total else None,
            lesion_ml=int(lesion_counts[structure.label]) * voxel_ml,
        )
        for structure in structures
    )


def _lesion_readouts(
    crop: LiverCrop, structures: Sequence[labels.Structure], liver: LiverReadout, said: _Said
) -> tuple[LesionReadout, ...]:
    return tuple(
        _lesion_readout(lesion_id, box, crop, structures, liver, said)
        if lesion_id not in said.unchanged
        else _carried_over(said.unchanged[lesion_id], box, crop, liver, said)
        for lesion_id, box in crop.lesion_boxes.items()
    )


def _carried_over(
    lesion: LesionReadout, box: Box, crop: LiverCrop, liver: LiverReadout, said: _Said
) -> LesionReadout:
    """A lesion whose own voxels are as they were: only what depends on the liver around it is new."""
    distance = lesion.distance_to_surface_mm
    if not said.same_liver:
        distance = _distance_to_surface(crop, crop.lesions[box] == lesion.id, box)
    return replace(
        lesion,
        tracking_uid=said.tracking_uids.get(lesion.id, lesion.tracking_uid),
        contrast_to_liver_hu=_difference(lesion.mean_hu, liver.mean_hu),
        distance_to_surface_mm=distance,
        confidence=said.confidences.get(lesion.id),
        review=said.reviews.get(lesion.id, Review()),
    )


def _distance_to_surface(crop: LiverCrop, mask: np.ndarray, box: Box) -> float | None:
    return crop.border.distance_mm(face_centers(mask) + np.array([s.start for s in box]))


def _lesion_readout(
    lesion_id: int,
    box: Box,
    crop: LiverCrop,
    structures: Sequence[labels.Structure],
    liver: LiverReadout,
    said: _Said,
) -> LesionReadout:
    mask = crop.lesions[box] == lesion_id
    grid = crop.geometry.cropped(box)
    couinaud = crop.couinaud[box]
    corner = np.array([s.start for s in box])
    axes = recist_axes(mask, grid)
    mean, sd = hu_statistics(crop.ct[box][mask])
    x, y, z = grid.to_ras(centroid_kji(mask)).tolist()
    shares = segment_shares(couinaud[mask], structures, grid.voxel_volume_ml)
    names = {s.label: labels.numeral(s) for s in structures}
    return LesionReadout(
        id=lesion_id,
        tracking_uid=said.tracking_uids.get(lesion_id)
        or _tracking_uid(crop.input_hash, lesion_id, (x, y, z)),
        volume_ml=volume_ml(mask, grid),
        long_axis_mm=axes.long_axis_mm,
        short_axis_mm=axes.short_axis_mm,
        long_axis_points_ras_mm=axes.long_axis_points_ras_mm,
        short_axis_points_ras_mm=axes.short_axis_points_ras_mm,
        key_slice=crop.original_slice(int(corner[0]) + axes.key_slice),
        max_diameter_3d_mm=max_diameter_3d_mm(mask, grid),
        centroid_ras_mm=(x, y, z),
        centroid_segment=names.get(label_at_centroid(mask, couinaud, grid)),
        segments=shares,
        primary_segment=primary_segment(shares, structures),
        mean_hu=mean,
        sd_hu=sd,
        contrast_to_liver_hu=_difference(mean, liver.mean_hu),
        sphericity=sphericity(mask, grid),
        distance_to_surface_mm=_distance_to_surface(crop, mask, box),
        recist_measurable=is_measurable(axes.long_axis_mm, grid.spacing_kji[0]),
        touches_volume_edge=_touches_edge(crop, box),
        confidence=said.confidences.get(lesion_id),
        review=said.reviews.get(lesion_id, Review()),
    )


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _touches_edge(crop: LiverCrop, box: Box) -> bool:
    return any(
        crop.start[axis] + box[axis].start == 0 or crop.start[axis] + box[axis].stop == crop.full_shape[axis]
        for axis in range(3)
    )


def _tracking_uid(input_hash: str, lesion_id: int, centroid: tuple[float, float, float]) -> str:
    """A DICOM UID (PS3.5 B.2, UUID derived) that the same input and lesion always get."""
    place = " ".join(f"{c + 0.0:.1f}" for c in centroid)
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{input_hash} {lesion_id} {place}').int}"
