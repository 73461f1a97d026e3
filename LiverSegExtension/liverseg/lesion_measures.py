"""What is said of one lesion: pure functions on its mask.

Masks and label arrays are (k, j, i); axes and diameters are in :mod:`liverseg.axes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from liverseg.case import SegmentShare
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.labels import Structure, numeral
from liverseg.surfaces import surface_area

# RECIST 1.1: a lesion on CT is measurable from 10 mm of long axis, in slices of more than 5 mm from twice
# their thickness.
MEASURABLE_MM = 10.0
THICK_SLICE_MM = 5.0
# A segment is listed with this share of the lesion, or with this much of it.
LISTED_SHARE_PERCENT = 10.0
LISTED_ML = 0.5
# Segments within so many percentage points of the largest share are named together.
TIE_PERCENT = 5.0
# Fewer voxels have no surface worth the name.
SPHERICITY_VOXELS = 64
# Lengths of exactly 10 mm must not fail by rounding.
ROUNDING_MM = 1e-6


def volume_ml(mask: np.ndarray, geometry: Geometry) -> float:
    """Voxels times the volume of one, in milliliters."""
    return int(np.count_nonzero(mask)) * geometry.voxel_volume_ml


def hu_statistics(values: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Mean and standard deviation (of the population) of gray values; None without a finite one."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return None, None
    return float(finite.mean()), float(finite.std())


def sphericity(mask: np.ndarray, geometry: Geometry) -> float | None:
    """Surface of the sphere of the same volume over the lesion's own: pi^(1/3) (6V)^(2/3) / A, at most 1.

    After Wadell (J Geology 1935). A ball has 1, a cube 0.806. None below 64 voxels.
    """
    voxels = int(np.count_nonzero(mask))
    if voxels < SPHERICITY_VOXELS:
        return None
    volume_mm3 = voxels * geometry.voxel_volume_ml * 1000.0
    area = surface_area(mask, geometry.spacing_kji)
    return min(1.0, float(np.pi ** (1 / 3) * (6.0 * volume_mm3) ** (2 / 3) / area))


def centroid_kji(mask: np.ndarray) -> npt.NDArray[np.float64]:
    """Mean index (k, j, i) of the voxels; fractional, and outside of a concave lesion perhaps."""
    return np.argwhere(mask).mean(axis=0)


def label_at_centroid(mask: np.ndarray, labels: np.ndarray, geometry: Geometry) -> int:
    """The label of the voxel at the lesion's centroid.

    Where the centroid leaves the lesion, or has no label, the nearest lesion voxel with a label tells; 0
    when none has one. Ties are decided in world order.
    """
    order = CanonicalOrder.of(geometry)
    mask, labels, grid = order.apply(mask), order.apply(labels), order.geometry(geometry)
    center = centroid_kji(mask)
    voxel = tuple(np.floor(center + 0.5).astype(int))
    if mask[voxel] and labels[voxel]:
        return int(labels[voxel])
    candidates = np.argwhere(mask & (labels > 0))
    if len(candidates) == 0:
        return 0
    distance = np.linalg.norm(grid.to_ras(candidates) - grid.to_ras(center), axis=1)
    nearest = candidates[np.argmax(distance <= distance.min() + ROUNDING_MM)]
    return int(labels[tuple(nearest)])


def segment_shares(
    labels_inside: np.ndarray, structures: Sequence[Structure], voxel_volume_ml: float
) -> tuple[SegmentShare, ...]:
    """Share of a lesion in each segment, largest first (equal ones in reading order), small ones left out.

    Listed are segments with at least 10 % of the lesion or at least 0.5 ml of it.

    Args:
        labels_inside: segment labels of the lesion's voxels, any shape.
        structures: the segments in reading order.
        voxel_volume_ml: volume of one voxel.
    """
    counts = np.bincount(labels_inside.ravel(), minlength=max(s.label for s in structures) + 1)
    total = sum(int(counts[s.label]) for s in structures)
    if total == 0:
        return ()
    shares = []
    for structure in structures:
        count = int(counts[structure.label])
        percent = 100.0 * count / total
        if percent >= LISTED_SHARE_PERCENT or count * voxel_volume_ml >= LISTED_ML:
            shares.append(SegmentShare(numeral(structure), percent))
    return tuple(sorted(shares, key=lambda share: -share.share_percent))


def primary_segment(shares: Sequence[SegmentShare], structures: Sequence[Structure]) -> str | None:
    """The numeral of the largest share; "IV/V" when others come within 5 percentage points of it.

    Numerals of a tie stand in reading order, so that a voxel more or less does not turn the name around.
    """
    if not shares:
        return None
    largest = max(share.share_percent for share in shares)
    tied = {share.name for share in shares if share.share_percent >= largest - TIE_PERCENT}
    return "/".join(numeral(s) for s in structures if numeral(s) in tied)


def is_measurable(long_axis_mm: float, slice_mm: float = 0.0) -> bool:
    """RECIST 1.1: long axis of at least 10 mm, and of twice the distance of slices more than 5 mm apart."""
    smallest = MEASURABLE_MM if slice_mm <= THICK_SLICE_MM + ROUNDING_MM else 2.0 * slice_mm
    return long_axis_mm >= smallest - ROUNDING_MM
