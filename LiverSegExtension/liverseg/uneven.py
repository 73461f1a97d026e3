"""CTs whose slices lie unevenly or slanted (gantry tilt), and the even grid the networks need.

The user gets results on the grid that was read, which is right for the longest run of evenly spaced slices.
Only the networks see the even grid: same in-plane spacing, slices at right angles to the plane and the median
gap apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from liverseg.geometry import Geometry
from liverseg.images import to_sitk
from liverseg.volume import Volume

# Slices may lie this share of the median gap away from even places: scanners write positions rounded to
# 0.1 mm, which is 4 % of a 1.25 mm gap.
UNEVEN_SHARE = 0.1
# Axes further from right angles than this are sheared. Over a scan of 300 mm it moves the last slice by
# 0.5 mm, less than a pixel; rounded direction cosines stay far below.
SHEAR_DEGREES = 0.1
# A broken header must not make a grid that fills the memory.
_MOST_SLICES_PER_SLICE = 8


def uneven_positions(positions_mm: np.ndarray) -> tuple[float, ...] | None:
    """Positions (n,) that rise along the normal, counted from the first one; None when they are even."""
    if len(positions_mm) < 3:
        return None
    positions = np.asarray(positions_mm, dtype=np.float64) - positions_mm[0]
    even = np.linspace(0.0, positions[-1], len(positions))
    if np.abs(positions - even).max() <= UNEVEN_SHARE * float(np.median(np.diff(positions))):
        return None
    return tuple(float(p) for p in positions)


def fitted_to_most(geometry: Geometry, positions_mm: Sequence[float]) -> tuple[Geometry, tuple[float, ...]]:
    """The grid on which the longest run of evenly spaced slices has its true size and place.

    A mean gap would be right for no slice: eight slices missing above the liver make it a sixth too large.

    Args:
        geometry: a grid whose first slice lies where it was read, of whatever gap.
        positions_mm: of at least three slices, rising along the normal from 0.

    Returns:
        That grid, and the positions of the slices counted from its first one.
    """
    positions = np.asarray(positions_mm, dtype=np.float64)
    first, last = _longest_run(np.diff(positions))
    gap = (positions[last] - positions[first]) / (last - first)
    start = positions[first] - first * gap
    along = geometry.ijk_to_ras[:3, 2] / _gap_along_normal(geometry)
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 2] = along * gap
    matrix[:3, 3] += along * start
    return Geometry(geometry.shape, matrix), tuple(float(p) for p in positions - start)


def _longest_run(gaps: np.ndarray) -> tuple[int, int]:
    """First and last slice of the longest run of gaps about as wide as their median."""
    typical = float(np.median(gaps))
    even = np.abs(gaps - typical) <= UNEVEN_SHARE * typical
    # No gap is near a median between two widths: the one nearest to it is a run.
    if not even.any():
        nearest = int(np.argmin(np.abs(gaps - typical)))
        return nearest, nearest + 1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], even, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])


def uncounted_ml(mask: np.ndarray, volume: Volume) -> float:
    """What of a structure lies between slices further apart than the grid says; below 0 where nearer.

    Args:
        mask: bool (k, j, i) on the volume's grid.

    Returns:
        Milliliters by the mean area of the slices on both sides; 0 for even slices.
    """
    if volume.slice_positions_mm is None:
        return 0.0
    beyond = np.diff(volume.slice_positions_mm) - _gap_along_normal(volume.geometry)
    slice_ml = np.count_nonzero(mask, axis=(1, 2)) * volume.geometry.voxel_volume_ml
    areas = slice_ml / _gap_along_normal(volume.geometry)
    return float(np.sum(beyond * (areas[:-1] + areas[1:]) / 2))


def shear_degrees(geometry: Geometry) -> float:
    """The largest angle by which two axes of a grid miss a right angle."""
    cosines = geometry.directions.T @ geometry.directions - np.eye(3)
    return float(np.degrees(np.arcsin(min(1.0, np.abs(cosines).max()))))


def is_sheared(geometry: Geometry) -> bool:
    """Whether the axes are so far from right angles that it matters."""
    return shear_degrees(geometry) > SHEAR_DEGREES


def needs_even_grid(volume: Volume) -> bool:
    """Whether the networks need :func:`to_even_grid`: uneven slices or a sheared grid."""
    return volume.slice_positions_mm is not None or is_sheared(volume.geometry)


def to_even_grid(volume: Volume) -> Volume:
    """The volume on an even grid with right angles that covers the same box.

    Linear interpolation between slices, at the median gap; then linear resampling of a sheared grid. What
    lies outside of the read volume gets its lowest value. The array keeps its type.

    Returns:
        A ``Volume`` with the same source and warnings and no ``slice_positions_mm``; the volume itself
        when it is even.
    """
    if not needs_even_grid(volume):
        return volume
    array, stacked = volume.array, _stacked_geometry(volume)
    if volume.slice_positions_mm is not None:
        positions = np.array(volume.slice_positions_mm)
        array = _interpolate_slices(array, positions - positions[0], stacked)
    if not is_sheared(stacked):
        return replace(volume, array=array, geometry=stacked, slice_positions_mm=None)
    even = _right_angled(stacked)
    resampled = _resample(array, stacked, even, sitk.sitkLinear, float(volume.array.min()))
    return replace(
        volume, array=resampled.astype(array.dtype, copy=False), geometry=even, slice_positions_mm=None
    )


def labels_to_read_grid(labels: np.ndarray, even: Geometry, volume: Volume) -> np.ndarray:
    """Labels found on the even grid, on the grid of the volume that was read, by the nearest voxel.

    Args:
        labels: (k, j, i) bool, integer labels or scores on ``even``.
        even: the geometry of ``to_even_grid(volume)``.
        volume: the volume that was read.

    Returns:
        Labels of the same type with the shape of ``volume``; 0 outside of ``even``.
    """
    if not needs_even_grid(volume):
        return labels
    stacked = _stacked_geometry(volume)
    if is_sheared(stacked):
        values = labels.astype(np.uint8) if labels.dtype == bool else labels
        labels = _resample(values, even, stacked, sitk.sitkNearestNeighbor, 0.0).astype(labels.dtype)
    if volume.slice_positions_mm is None:
        return labels
    positions = np.array(volume.slice_positions_mm)
    index = np.rint((positions - positions[0]) / _gap_along_normal(stacked)).astype(int)
    return labels[np.clip(index, 0, labels.shape[0] - 1)]


def _normal(geometry: Geometry) -> np.ndarray:
    """Unit normal of the slices, on the side that k rises to."""
    i, j, k = geometry.directions.T
    normal = np.cross(i, j)
    normal /= np.linalg.norm(normal)
    return normal if normal @ k > 0 else -normal


def _gap_along_normal(geometry: Geometry) -> float:
    return float(_normal(geometry) @ geometry.ijk_to_ras[:3, 2])


def _stacked_geometry(volume: Volume) -> Geometry:
    """The grid with the same slices' plane and slant and the median gap between slices."""
    if volume.slice_positions_mm is None:
        return volume.geometry
    positions = np.array(volume.slice_positions_mm)
    extent = float(positions[-1] - positions[0])
    gap = max(float(np.median(np.diff(positions))), extent / (_MOST_SLICES_PER_SLICE * len(positions)))
    # The last slice may lie a little beyond the last place; it must not be lost.
    slices = int(np.ceil(extent / gap - UNEVEN_SHARE)) + 1
    matrix = volume.geometry.ijk_to_ras.copy()
    along = matrix[:3, 2] / _gap_along_normal(volume.geometry)
    matrix[:3, 2] = along * gap
    matrix[:3, 3] += along * positions[0]
    return Geometry((slices, *volume.geometry.shape[1:]), matrix)


def _interpolate_slices(array: np.ndarray, positions: np.ndarray, stacked: Geometry) -> np.ndarray:
    """Slices of ``array`` at ``positions`` from 0 on, linearly interpolated at the places of ``stacked``."""
    wanted = np.minimum(np.arange(stacked.shape[0]) * _gap_along_normal(stacked), positions[-1])
    below = np.clip(np.searchsorted(positions, wanted, side="right") - 1, 0, len(positions) - 2)
    weight = ((wanted - positions[below]) / (positions[below + 1] - positions[below])).astype(np.float32)
    result = np.empty(stacked.shape, dtype=array.dtype)
    for n, (low, w) in enumerate(zip(below, weight, strict=True)):
        mixed = array[low] * (1 - w) + array[low + 1] * w
        result[n] = np.rint(mixed) if array.dtype.kind in "iu" else mixed
    return result


def _right_angled(geometry: Geometry) -> Geometry:
    """The grid with right angles that covers a sheared one: i kept, k along the slices' normal."""
    q, r = np.linalg.qr(geometry.ijk_to_ras[:3, :3])
    signs = np.sign(np.diag(r))
    axes, spacing = q * signs, np.abs(np.diag(r))
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in geometry.shape], indexing="ij")).reshape(3, -1).T
    along = geometry.to_ras(corners) @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    i, j, k = (int(n) for n in np.ceil((high - low) / spacing - 1e-3) + 1)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = axes @ low
    return Geometry((k, j, i), matrix)


def _resample(
    array: np.ndarray, source: Geometry, target: Geometry, interpolator: int, outside: float
) -> np.ndarray:
    grid = to_sitk(np.zeros((1, 1, 1), np.uint8), Geometry((1, 1, 1), target.ijk_to_ras))
    k, j, i = target.shape
    moved = sitk.Resample(
        to_sitk(array, source),
        (i, j, k),
        sitk.Transform(),
        interpolator,
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
        outside,
    )
    return sitk.GetArrayFromImage(moved)
