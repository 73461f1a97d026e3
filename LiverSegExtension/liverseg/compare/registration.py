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

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from liverseg.compare.liver_shapes import (
    GRID_MM,
    MARGIN_MM,
    LiverShape,
    Points,
    ends_of,
    grid_around,
    image_on,
    lps,
    sampled,
)
from liverseg.compare.time_point import TimePoint
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.progress import Progress, silent

log = logging.getLogger(__name__)

# How far from the later liver's border shapes are compared.
BAND_MM = 25.0
# Distance of the B-splines' knots.
KNOTS_MM = 50.0
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
        return points + sampled(self.field, self.grid, points)

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
    grid = grid_around(after, MARGIN_MM)
    if _same_masks(before, after):
        nowhere = np.zeros((3, *grid.shape), dtype=np.float32)
        return Registration(("identity",), 1.0, 1.0, 0.0, 1.0, nowhere, grid)
    fixed = LiverShape.of(after, grid)
    moving = LiverShape.of(before, grid_around(before, MARGIN_MM))
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


def _rigid(fixed: LiverShape, moving: LiverShape) -> sitk.Transform:
    """The best rigid transform from several starts: centroids, upper and lower ends, the world as it is."""
    to_fixed, to_moving = (ends_of(s) for s in (fixed, moving))
    starts = [m - f for f, m in zip(to_fixed, to_moving, strict=True)]
    center = to_fixed[0]
    found: list[tuple[float, int, sitk.Euler3DTransform]] = []
    for shift in [*starts, np.zeros(3)]:
        initial = sitk.Euler3DTransform()
        initial.SetCenter(lps(center))
        initial.SetTranslation(lps(shift))
        try:
            method = _by_shape(fixed, moving, shrink=(3,))
            method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.05, 40, 0.5)
            method.SetOptimizerScalesFromPhysicalShift()
            method.SetInitialTransform(initial, inPlace=True)
            method.Execute(image_on(fixed.distance, fixed.grid), image_on(moving.distance, moving.grid))
            found.append((method.GetMetricValue(), len(found), initial))
        except RuntimeError:
            # From this start the livers do not meet; another one will.
            continue
    if not found:
        fallback = sitk.Euler3DTransform()
        fallback.SetTranslation(lps(starts[0]))
        return fallback
    best = sitk.Euler3DTransform(min(found, key=lambda f: (round(f[0], 6), f[1]))[2])
    method = _by_shape(fixed, moving, shrink=(2, 1))
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 60, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(best, inPlace=True)
    method.Execute(image_on(fixed.distance, fixed.grid), image_on(moving.distance, moving.grid))
    return best


def _affine(fixed: LiverShape, moving: LiverShape, rigid: sitk.Transform) -> sitk.Transform:
    start = sitk.Euler3DTransform(rigid)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(start.GetCenter())
    affine.SetMatrix(start.GetMatrix())
    affine.SetTranslation(start.GetTranslation())
    method = _by_shape(fixed, moving, shrink=(2, 1))
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 60, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(affine, inPlace=True)
    method.Execute(image_on(fixed.distance, fixed.grid), image_on(moving.distance, moving.grid))
    return affine


def _spline_by_shape(fixed: LiverShape, moving: LiverShape, first: sitk.Transform) -> sitk.Transform:
    there = _through(moving.distance, moving.grid, fixed.grid, first, -2 * BAND_MM)
    seen = _through(moving.seen, moving.grid, fixed.grid, first, 0.0) > 0.5
    near = (np.abs(fixed.distance) < SPLINE_BAND_MM) & fixed.seen & seen
    method = _method((1,), SHAPE_SAMPLES / near.size)
    method.SetMetricAsMeanSquares()
    return _with_spline(method, fixed.distance, there, near, fixed.grid, first)


def _spline_by_ct(fixed: LiverShape, moving: LiverShape, first: sitk.Transform) -> sitk.Transform:
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
    target = image_on(fixed, grid)
    mesh = [max(2, round(n * GRID_MM / KNOTS_MM)) for n in target.GetSize()]
    spline = sitk.BSplineTransformInitializer(target, mesh, 3)
    method.SetMetricFixedMask(image_on(where, grid))
    method.SetOptimizerAsLBFGSB(1e-5, 20, 5, 40, 1e9)
    method.SetInitialTransform(spline, inPlace=True)
    method.Execute(target, image_on(moving, grid))
    # The transform added last is applied first.
    return sitk.CompositeTransform([first, spline])


def _through(
    array: np.ndarray, source: Geometry, grid: Geometry, transform: sitk.Transform, outside: float
) -> np.ndarray:
    """An array carried through a transform onto another grid, linear."""
    target = image_on(np.zeros(grid.shape, np.uint8), grid)
    image = image_on(array.astype(np.float32), source)
    return sitk.GetArrayFromImage(sitk.Resample(image, target, transform, sitk.sitkLinear, outside))


def _by_shape(fixed: LiverShape, moving: LiverShape, shrink: Sequence[int]) -> sitk.ImageRegistrationMethod:
    """Mean square difference of the distances around the later liver, where both scans reach."""
    method = _method(shrink)
    method.SetMetricAsMeanSquares()
    method.SetMetricFixedMask(image_on((fixed.distance > -BAND_MM) & fixed.seen, fixed.grid))
    if not moving.seen.all():
        method.SetMetricMovingMask(image_on(moving.seen, moving.grid))
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
    fixed: LiverShape,
    moving: LiverShape,
    rigid_dice: float | None,
) -> Registration:
    """The transform as a field of displacements, with what it reaches."""
    reference = image_on(fixed.distance, fixed.grid)
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
    pulled = sampled(moving.distance[None], moving.grid, there)[:, 0].reshape(fixed.grid.shape)
    seen = sampled(moving.seen[None].astype(np.float32), moving.grid, there)[:, 0].reshape(fixed.grid.shape)
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
