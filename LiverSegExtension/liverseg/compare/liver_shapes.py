"""Livers on a coarse grid, as the registration sees them: distance to the border, reach of the scan, CT."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from liverseg.compare.time_point import TimePoint
from liverseg.geometry import Geometry, bounding_box
from liverseg.images import to_sitk

Points = npt.NDArray[np.float64]

GRID_MM = 4.0
# Distances are made on a grid finer by this, then averaged: a liver's border is known to about 1 mm then.
FINER = 2
# Room around a liver.
MARGIN_MM = 40.0
# The CT's step looks so far beyond the liver, and leaves so much out around lesions.
RIM_MM = 8.0
AROUND_LESIONS_MM = 4.0


@dataclass(frozen=True, eq=False)
class LiverShape:
    """One liver on its coarse grid.

    ``distance`` is mm to the border, positive inside, (k, j, i); ``seen`` is 1 where the scan reaches;
    ``ct`` (dark outside of the liver) and ``inner`` (the liver with a rim, without lesions) only with a CT.
    """

    grid: Geometry
    distance: np.ndarray
    seen: np.ndarray
    ct: np.ndarray | None
    inner: np.ndarray | None

    @staticmethod
    def of(point: TimePoint, grid: Geometry) -> LiverShape:
        fine = _refined(grid)
        liver = _resampled(point.liver_mask, point.geometry, fine, 0.0) > 0.5
        distance = _coarse(_signed_distance(liver, GRID_MM / FINER))
        seen = _inside(grid, point.geometry)
        if point.ct is None:
            return LiverShape(grid, distance, seen, None, None)
        mean = point.liver.mean_hu or 0.0
        box = bounding_box(point.liver_mask, (8, 8, 8))
        part = point.ct if box is None else point.ct[box]
        place = point.geometry if box is None else point.geometry.cropped(box)
        # Bones and air would stretch the histogram of the liver's own gray values.
        gray = np.clip(part.astype(np.float32), mean - 100.0, mean + 120.0)
        inside = np.clip(distance / GRID_MM + 0.5, 0.0, 1.0)
        ct = _coarse(_resampled(gray, place, fine, mean, crop=False))
        # Outside of the liver all is dark, so that the border holds the outline while vessels are followed.
        ct = inside * ct + (1.0 - inside) * (mean - 100.0)
        inner = distance > -RIM_MM
        if point.lesion_labels.any():
            lesion = _resampled(point.lesion_labels > 0, point.geometry, fine, 0.0) > 0.01
            away = edt.edt(~lesion, anisotropy=(GRID_MM / FINER,) * 3, black_border=False)
            inner &= _coarse(away) > AROUND_LESIONS_MM
        return LiverShape(grid, distance, seen, ct, inner & seen)


def grid_around(point: TimePoint, margin_mm: float) -> Geometry:
    """A grid of ``GRID_MM`` with axes along the world's around a liver (k to S, j to P, i to L)."""
    box = bounding_box(point.liver_mask)
    assert box is not None
    corners = np.array(np.meshgrid(*[(s.start - 0.5, s.stop - 0.5) for s in box])).reshape(3, -1).T
    world = point.geometry.to_ras(corners)
    low, high = world.min(axis=0) - margin_mm, world.max(axis=0) + margin_mm
    i, j, k = np.ceil((high - low) / GRID_MM).astype(int) + 1
    matrix = np.diag([-GRID_MM, -GRID_MM, GRID_MM, 1.0])
    matrix[:3, 3] = (high[0], high[1], low[2])
    return Geometry((int(k), int(j), int(i)), matrix)


def _refined(grid: Geometry) -> Geometry:
    """The grid with ``FINER`` voxels in each direction for one, over the same box."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] /= FINER
    matrix[:3, 3] = grid.to_ras([(1 / FINER - 1) / 2] * 3)
    k, j, i = (n * FINER for n in grid.shape)
    return Geometry((k, j, i), matrix)


def _coarse(array: np.ndarray) -> np.ndarray:
    """Means of blocks: from the refined grid back."""
    k, j, i = (n // FINER for n in array.shape)
    return array.reshape(k, FINER, j, FINER, i, FINER).mean(axis=(1, 3, 5), dtype=np.float32)


def _signed_distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """mm to the border halfway between voxel centers, positive inside."""
    size = (spacing,) * 3
    inside = edt.edt(mask, anisotropy=size, black_border=False)
    outside = edt.edt(~mask, anisotropy=size, black_border=False)
    return np.where(mask, inside - spacing / 2, spacing / 2 - outside).astype(np.float32)


def _inside(grid: Geometry, scan: Geometry) -> np.ndarray:
    """Where the voxels of a grid lie inside of a scan (k, j, i)."""
    kji = scan.to_kji(grid.to_ras(np.indices(grid.shape).reshape(3, -1).T))
    inside = np.all((kji > -0.5) & (kji < np.array(scan.shape) - 0.5), axis=1)
    return inside.reshape(grid.shape)


def ends_of(shape: LiverShape) -> tuple[Points, Points, Points]:
    """The liver's centroid, and the same moved to its upper and to its lower end, RAS mm."""
    inside = shape.distance > 0
    if not inside.any():
        inside = shape.distance >= shape.distance.max()
    places = shape.grid.to_ras(np.argwhere(inside))
    center = places.mean(axis=0)
    return (
        center,
        np.array([center[0], center[1], places[:, 2].max()]),
        np.array([center[0], center[1], places[:, 2].min()]),
    )


def _resampled(
    array: np.ndarray, geometry: Geometry, grid: Geometry, outside: float, crop: bool = True
) -> np.ndarray:
    """An array on another grid, linear, float32; of a mask only its own box is looked at."""
    box = bounding_box(array, (1, 1, 1)) if crop else None
    if box is not None:
        array, geometry = array[box], geometry.cropped(box)
    source = to_sitk(array.astype(np.float32), geometry)
    target = to_sitk(np.zeros((1, 1, 1), np.uint8), Geometry((1, 1, 1), grid.ijk_to_ras))
    k, j, i = grid.shape
    moved = sitk.Resample(
        source,
        [i, j, k],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        target.GetOrigin(),
        target.GetSpacing(),
        target.GetDirection(),
        outside,
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(moved)


def sampled(layers: np.ndarray, grid: Geometry, points: Points) -> Points:
    """Linear values (n, layers) of (layers, k, j, i) at RAS points (n, 3); the edge's beyond it."""
    index = grid.to_kji(points).T
    return np.stack([ndimage.map_coordinates(a, index, order=1, mode="nearest") for a in layers], axis=1)


def image_on(array: np.ndarray, grid: Geometry) -> sitk.Image:
    """An image of an array on a grid; bool becomes uint8, all else float32."""
    return to_sitk(array.astype(np.uint8) if array.dtype == bool else array.astype(np.float32), grid)


def lps(ras: Points) -> list[float]:
    """LPS mm of a point in RAS mm."""
    return [-float(ras[0]), -float(ras[1]), float(ras[2])]
