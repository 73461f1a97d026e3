"""Registers the livers of two scans by their shape, and by the CT inside when both are given.

The later scan is the fixed image. Shape alone first: the signed distance maps of the two masks on a coarse
grid, rigid (from several starts, because a cut liver has its centroid elsewhere), affine, then a B-spline
with wide knots. With both CTs a second B-spline follows the vessels, lesions left out: they are what
changes. Each step is kept only when the livers overlap no worse than before it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from liverseg.compare.time_point import TimePoint
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.progress import Progress, silent
from liverseg.reading import to_sitk

log = logging.getLogger(__name__)

Points = npt.NDArray[np.float64]

GRID_MM = 4.0
# Distances are made on a grid finer by this, then averaged: a liver's border is known to about 1 mm then.
FINER = 2
# Room around the later liver, and how far from its border shapes are compared.
MARGIN_MM = 40.0
BAND_MM = 25.0
KNOTS_MM = 50.0
# The CT's step looks so far beyond the liver, and leaves so much out around lesions.
RIM_MM = 8.0
AROUND_LESIONS_MM = 4.0
# A step that lets the overlap of the livers fall by more than this is undone.
DICE_LOSS = 0.01
# A deformation that squeezes any part of the liver below this share of its volume is no anatomy.
SMALLEST_JACOBIAN = 0.2
# Voxels that the B-splines look at, of the whole grid: more take longer and gain nothing.
SPLINE_BAND_MM = 12.0
SHAPE_SAMPLES = 30_000
CT_SAMPLES = 60_000
THREADS = 2
SEED = 1


@dataclass(frozen=True, eq=False)
class Registration:
    """Where each point of the later scan lay in the earlier one.

    Attributes:
        steps: what was done, in order: "rigid", "affine", "b-spline", "CT", or "identity" alone.
        liver_dice: overlap of the livers after registration, where both scans reach; 0..1.
        rigid_dice: the same after the rigid step.
        surface_distance_mm: mean distance of the later liver's border from the earlier one after it.
        smallest_jacobian: smallest local volume ratio inside the liver.
        field: (3, k, j, i) float32, RAS mm: displacement from the later to the earlier scan, on ``grid``.
        grid: of the field, on the later scan's world.
    """

    steps: tuple[str, ...]
    liver_dice: float
    rigid_dice: float
    surface_distance_mm: float
    smallest_jacobian: float
    field: npt.NDArray[np.float32]
    grid: Geometry

    def to_before(self, later_ras: npt.ArrayLike) -> Points:
        """Points (n, 3) of the earlier scan, RAS mm, for points of the later one."""
        points = np.asarray(later_ras, dtype=np.float64).reshape(-1, 3)
        return points + _sampled(self.field, self.grid, points)

    def to_after(self, earlier_ras: npt.ArrayLike) -> Points:
        """Points (n, 3) of the later scan, RAS mm, for points of the earlier one.

        Fixed-point iteration on the displacement, after the field's mean was taken off.
        """
        wanted = np.asarray(earlier_ras, dtype=np.float64).reshape(-1, 3)
        points = wanted - self.field.mean(axis=(1, 2, 3))
        for _ in range(30):
            error = wanted - self.to_before(points)
            points = points + error
            if len(error) == 0 or np.abs(error).max() < 0.01:
                break
        return points


def register_livers(before: TimePoint, after: TimePoint, progress: Progress = silent) -> Registration:
    """Register two livers, neither of them empty.

    The CTs take part when both are given. The same mask twice gives the identity without a search.
    """
    grid = _grid_around(after, MARGIN_MM)
    if _same_masks(before, after):
        nowhere = np.zeros((3, *grid.shape), dtype=np.float32)
        return Registration(("identity",), 1.0, 1.0, 0.0, 1.0, nowhere, grid)
    fixed = _Shape.of(after, grid)
    moving = _Shape.of(before, _grid_around(before, MARGIN_MM))
    progress(0.1, "registering the livers: rigid")
    transform: sitk.Transform = _rigid(fixed, moving)
    best = _judged(transform, ("rigid",), fixed, moving, None)
    rigid_dice = best.liver_dice
    for name, share in (("affine", 0.3), ("b-spline", 0.45), ("CT", 0.7)):
        if name == "CT" and (fixed.ct is None or moving.ct is None):
            continue
        progress(share, f"registering the livers: {name}")
        step = {"affine": _affine, "b-spline": _spline_by_shape, "CT": _spline_by_ct}[name]
        try:
            refined = step(fixed, moving, transform)
        except RuntimeError as error:
            # ITK gives up where hardly a point of one liver falls into the other.
            log.info("registration step %s was left out: %s", name, str(error).splitlines()[-1])
            continue
        tried = _judged(refined, (*best.steps, name), fixed, moving, rigid_dice)
        if tried.liver_dice >= best.liver_dice - DICE_LOSS and tried.smallest_jacobian > SMALLEST_JACOBIAN:
            best, transform = tried, refined
        else:
            log.info("registration step %s was undone (dice %.3f)", name, tried.liver_dice)
    return best


@dataclass(frozen=True, eq=False)
class _Shape:
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
    def of(point: TimePoint, grid: Geometry) -> _Shape:
        fine = _refined(grid)
        liver = _resampled(point.liver_mask, point.geometry, fine, 0.0) > 0.5
        distance = _coarse(_signed_distance(liver, GRID_MM / FINER))
        seen = _inside(grid, point.geometry)
        if point.ct is None:
            return _Shape(grid, distance, seen, None, None)
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
        return _Shape(grid, distance, seen, ct, inner & seen)


def _rigid(fixed: _Shape, moving: _Shape) -> sitk.Transform:
    """The best rigid transform from several starts: centroids, upper and lower ends, the world as it is."""
    to_fixed, to_moving = (_landmarks(s) for s in (fixed, moving))
    starts = [m - f for f, m in zip(to_fixed, to_moving, strict=True)]
    center = to_fixed[0]
    found: list[tuple[float, int, sitk.Euler3DTransform]] = []
    for shift in [*starts, np.zeros(3)]:
        initial = sitk.Euler3DTransform()
        initial.SetCenter(_lps(center))
        initial.SetTranslation(_lps(shift))
        try:
            method = _by_shape(fixed, moving, shrink=(3,))
            method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.05, 40, 0.5)
            method.SetOptimizerScalesFromPhysicalShift()
            method.SetInitialTransform(initial, inPlace=True)
            method.Execute(_image(fixed.distance, fixed.grid), _image(moving.distance, moving.grid))
            found.append((method.GetMetricValue(), len(found), initial))
        except RuntimeError:
            # From this start the livers do not meet; another one will.
            continue
    if not found:
        fallback = sitk.Euler3DTransform()
        fallback.SetTranslation(_lps(starts[0]))
        return fallback
    best = sitk.Euler3DTransform(min(found, key=lambda f: (round(f[0], 6), f[1]))[2])
    method = _by_shape(fixed, moving, shrink=(2, 1))
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 60, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(best, inPlace=True)
    method.Execute(_image(fixed.distance, fixed.grid), _image(moving.distance, moving.grid))
    return best


def _affine(fixed: _Shape, moving: _Shape, rigid: sitk.Transform) -> sitk.Transform:
    start = sitk.Euler3DTransform(rigid)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(start.GetCenter())
    affine.SetMatrix(start.GetMatrix())
    affine.SetTranslation(start.GetTranslation())
    method = _by_shape(fixed, moving, shrink=(2, 1))
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 60, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(affine, inPlace=True)
    method.Execute(_image(fixed.distance, fixed.grid), _image(moving.distance, moving.grid))
    return affine


def _spline_by_shape(fixed: _Shape, moving: _Shape, first: sitk.Transform) -> sitk.Transform:
    there = _through(moving.distance, moving.grid, fixed.grid, first, -2 * BAND_MM)
    seen = _through(moving.seen, moving.grid, fixed.grid, first, 0.0) > 0.5
    near = (np.abs(fixed.distance) < SPLINE_BAND_MM) & fixed.seen & seen
    method = _method((1,), SHAPE_SAMPLES / near.size)
    method.SetMetricAsMeanSquares()
    return _with_spline(method, fixed.distance, there, near, fixed.grid, first)


def _spline_by_ct(fixed: _Shape, moving: _Shape, first: sitk.Transform) -> sitk.Transform:
    assert fixed.ct is not None and moving.ct is not None
    assert fixed.inner is not None and moving.inner is not None
    there = _through(moving.ct, moving.grid, fixed.grid, first, 0.0)
    inner = fixed.inner & (_through(moving.inner, moving.grid, fixed.grid, first, 0.0) > 0.5)
    method = _method((1,), CT_SAMPLES / inner.size)
    # Mutual information, because the phases of contrast may differ.
    method.SetMetricAsMattesMutualInformation(32)
    return _with_spline(method, fixed.ct, there, inner, fixed.grid, first)


def _with_spline(
    method: sitk.ImageRegistrationMethod,
    fixed: np.ndarray,
    moving: np.ndarray,
    where: np.ndarray,
    grid: Geometry,
    first: sitk.Transform,
) -> sitk.Transform:
    """``first`` after a B-spline that is found here; ``moving`` went through ``first`` already."""
    target = _image(fixed, grid)
    mesh = [max(2, round(n * GRID_MM / KNOTS_MM)) for n in target.GetSize()]
    spline = sitk.BSplineTransformInitializer(target, mesh, 3)
    method.SetMetricFixedMask(_image(where, grid))
    method.SetOptimizerAsLBFGSB(1e-5, 20, 5, 40, 1e9)
    method.SetInitialTransform(spline, inPlace=True)
    method.Execute(target, _image(moving, grid))
    # The transform added last is applied first.
    return sitk.CompositeTransform([first, spline])


def _through(
    array: np.ndarray, source: Geometry, grid: Geometry, transform: sitk.Transform, outside: float
) -> np.ndarray:
    """An array carried through a transform onto another grid, linear."""
    target = _image(np.zeros(grid.shape, np.uint8), grid)
    image = _image(array.astype(np.float32), source)
    return sitk.GetArrayFromImage(sitk.Resample(image, target, transform, sitk.sitkLinear, outside))


def _by_shape(fixed: _Shape, moving: _Shape, shrink: Sequence[int]) -> sitk.ImageRegistrationMethod:
    """Mean square difference of the distances around the later liver, where both scans reach."""
    method = _method(shrink)
    method.SetMetricAsMeanSquares()
    method.SetMetricFixedMask(_image((fixed.distance > -BAND_MM) & fixed.seen, fixed.grid))
    if not moving.seen.all():
        method.SetMetricMovingMask(_image(moving.seen, moving.grid))
    return method


def _method(shrink: Sequence[int], samples: float = 1.0) -> sitk.ImageRegistrationMethod:
    """What all steps share; ``samples`` is the part of the voxels that is looked at."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(THREADS)
    method.SetMetricSamplingStrategy(method.REGULAR if samples < 1.0 else method.NONE)
    method.SetMetricSamplingPercentage(min(samples, 1.0), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([0.0] * len(shrink))
    return method


def _judged(
    transform: sitk.Transform,
    steps: tuple[str, ...],
    fixed: _Shape,
    moving: _Shape,
    rigid_dice: float | None,
) -> Registration:
    """The transform as a field of displacements, with what it reaches."""
    reference = _image(fixed.distance, fixed.grid)
    found = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        reference.GetSize(),
        reference.GetOrigin(),
        reference.GetSpacing(),
        reference.GetDirection(),
    )
    field = (
        np.moveaxis(sitk.GetArrayFromImage(found), 3, 0) * np.array([-1.0, -1.0, 1.0])[:, None, None, None]
    )
    field = np.ascontiguousarray(field, dtype=np.float32)
    index = np.indices(fixed.grid.shape).reshape(3, -1).T
    there = fixed.grid.to_ras(index) + field.reshape(3, -1).T
    pulled = _sampled(moving.distance[None], moving.grid, there)[:, 0].reshape(fixed.grid.shape)
    seen = _sampled(moving.seen[None].astype(np.float32), moving.grid, there)[:, 0].reshape(fixed.grid.shape)
    both = fixed.seen & (seen > 0.5)
    dice = _soft_dice(fixed.distance[both], pulled[both])
    border = both & (np.abs(fixed.distance) < GRID_MM / 2)
    away = np.abs(pulled - fixed.distance)[border]
    inside = fixed.distance > 0
    return Registration(
        steps=steps,
        liver_dice=dice,
        rigid_dice=dice if rigid_dice is None else rigid_dice,
        surface_distance_mm=float(away.mean()) if away.size else float("nan"),
        smallest_jacobian=_smallest_jacobian(field, fixed.grid, inside),
        field=field,
        grid=fixed.grid,
    )


def _soft_dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of two shapes by their distances; border voxels count by the part that lies inside."""
    a, b = (np.clip(d / GRID_MM + 0.5, 0.0, 1.0) for d in (one, other))
    total = float(a.sum() + b.sum())
    return float(2.0 * np.minimum(a, b).sum() / total) if total else 0.0


def _smallest_jacobian(field: np.ndarray, grid: Geometry, inside: np.ndarray) -> float:
    """The smallest local volume ratio of a field (3, k, j, i), RAS mm, among the voxels ``inside``."""
    # Every second voxel: knots are many times wider. The world's axes R, A, S are the array's i, j, k.
    thin = (slice(None, None, 2),) * 3
    if not inside[thin].any():
        return 1.0
    steps = [(2 - axis, 2 * grid.ijk_to_ras[axis, axis]) for axis in range(3)]
    gradient = np.stack(
        [[np.gradient(each[thin], step, axis=axis)[inside[thin]] for axis, step in steps] for each in field]
    )
    matrix = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    return float(np.linalg.det(matrix).min())


def _same_masks(before: TimePoint, after: TimePoint) -> bool:
    """Whether both livers are the same voxels in the world, however they are stored."""
    orders = [CanonicalOrder.of(point.geometry) for point in (before, after)]
    one, other = (o.geometry(p.geometry) for o, p in zip(orders, (before, after), strict=True))
    return one.matches(other) and np.array_equal(
        orders[0].apply(before.liver_mask), orders[1].apply(after.liver_mask)
    )


def _grid_around(point: TimePoint, margin_mm: float) -> Geometry:
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


def _landmarks(shape: _Shape) -> tuple[Points, Points, Points]:
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


def _sampled(layers: np.ndarray, grid: Geometry, points: Points) -> Points:
    """Linear values (n, layers) of (layers, k, j, i) at RAS points (n, 3); the edge's beyond it."""
    index = grid.to_kji(points).T
    return np.stack([ndimage.map_coordinates(a, index, order=1, mode="nearest") for a in layers], axis=1)


def _image(array: np.ndarray, grid: Geometry) -> sitk.Image:
    return to_sitk(array.astype(np.uint8) if array.dtype == bool else array.astype(np.float32), grid)


def _lps(ras: Points) -> list[float]:
    return [-float(ras[0]), -float(ras[1]), float(ras[2])]
