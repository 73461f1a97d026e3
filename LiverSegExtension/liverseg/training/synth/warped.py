"""A real CT warped so that its liver takes another person's shape.

The two liver masks are registered by their signed distance maps: centers, then an affine map, then
diffeomorphic demons. The field carries the CT (linear) and its labels (nearest). What folds, stretches
beyond what anatomy does, or misses the wanted shape is refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
import SimpleITK as sitk

from liverseg.errors import LiverSegError
from liverseg.geometry import bounding_box
from liverseg.resample import grid_for_spacing, resize_mask

Spacing = tuple[float, float, float]
# Distance maps are cut here, so that what lies far from the outline does not rule.
_FAR_MM = 40.0
# The demons see a narrower band: deep inside the liver, distances would pull tissue along that the outline
# says nothing about.
_BAND_MM = 14.0
_OUTSIDE_HU = -1024.0


class WarpRefused(LiverSegError):
    """The warped scan is not plausible; the message says why."""


@dataclass(frozen=True)
class WarpLimits:
    """What a warp may do.

    Attributes:
        least_dice: of the warped liver and the wanted one.
        volume_factor: smallest and largest local change of volume (Jacobian determinant) inside the liver, at
            the 1st and 99th percentile.
        size_factor: smallest and largest ratio of the two livers' volumes.
        turn_deg: largest rotation in the affine map; more turns the body and not the liver.
        registration_mm: grid on which the outlines are registered; 4 mm follows a liver's shape and takes
            about ten seconds of one core.
        smoothing_voxels: of the demons' field, on that grid.
        iterations: of the demons.
        margin_mm: what is kept around the warped liver.
    """

    least_dice: float = 0.93
    volume_factor: tuple[float, float] = (0.35, 2.8)
    size_factor: tuple[float, float] = (0.5, 2.0)
    turn_deg: float = 20.0
    registration_mm: float = 4.0
    smoothing_voxels: float = 2.0
    iterations: int = 60
    margin_mm: float = 30.0


@dataclass(frozen=True, eq=False)
class Warped:
    """A warped scan.

    Attributes:
        hu: (z, y, x) float32, at the source's spacing, cropped to the new liver plus the margin.
        label: (z, y, x) uint8, 0 background, 1 liver, 2 lesion.
        dice: of the new liver and the wanted one.
        volume_factor: 1st and 99th percentile of the local change of volume in the liver.
    """

    hu: np.ndarray
    label: np.ndarray
    dice: float
    volume_factor: tuple[float, float]


def warp_to_shape(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    shape: np.ndarray,
    shape_spacing_mm: Spacing,
    limits: WarpLimits | None = None,
) -> Warped:
    """Give a scan's liver another liver's shape.

    Args:
        hu: (z, y, x) HU in canonical (S, P, L) order.
        label: (z, y, x) uint8, 0 background, 1 liver, 2 lesion.
        shape: (z, y, x) bool, the other person's liver with its lesions, canonical order.

    Raises:
        WarpRefused: a liver is missing, the sizes differ too much, the field folds or stretches too much, or
            the wanted shape is not reached.
    """
    limits = limits or WarpLimits()
    _check_sizes(label, spacing_mm, shape, shape_spacing_mm, limits)
    moving = _distance_map(label > 0, spacing_mm, limits.registration_mm)
    fixed = _distance_map(shape, shape_spacing_mm, limits.registration_mm)
    field = _register(fixed, moving, limits)
    return _apply(hu, label, spacing_mm, shape, shape_spacing_mm, field, limits)


def _check_sizes(
    label: np.ndarray, spacing_mm: Spacing, shape: np.ndarray, shape_spacing_mm: Spacing, limits: WarpLimits
) -> None:
    source_ml = np.count_nonzero(label) * float(np.prod(spacing_mm)) / 1000
    wanted_ml = np.count_nonzero(shape) * float(np.prod(shape_spacing_mm)) / 1000
    if not source_ml or not wanted_ml:
        raise WarpRefused("one of the two masks holds no liver; choose another pair")
    low, high = limits.size_factor
    if not low <= wanted_ml / source_ml <= high:
        raise WarpRefused(
            f"a liver of {source_ml:.0f} ml cannot plausibly become one of {wanted_ml:.0f} ml; "
            "choose a pair of more equal size"
        )


def _image(array: np.ndarray, spacing_mm: Spacing) -> sitk.Image:
    """An image whose axes are the array's (x, y, z of ITK are array axes 2, 1, 0)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in reversed(spacing_mm)])
    return image


def _distance_map(mask: np.ndarray, spacing_mm: Spacing, grid_mm: float) -> sitk.Image:
    """Signed distance (mm, negative inside, cut at ``_FAR_MM``) on the registration grid, around the mask."""
    pad = [int(np.ceil((_FAR_MM + 10) / s)) for s in spacing_mm]
    box = bounding_box(mask)
    assert box is not None
    part = np.pad(mask[box], [(p, p) for p in pad])
    low = np.array([s.start - p for s, p in zip(box, pad, strict=True)])
    coarse = grid_for_spacing(part.shape, spacing_mm, [grid_mm] * 3)
    step = [n * s / c for n, s, c in zip(part.shape, spacing_mm, coarse, strict=True)]
    small = resize_mask(part, coarse)
    inside, outside = (edt.edt(m, anisotropy=step, black_border=False) for m in (small, ~small))
    half = float(np.mean(step)) / 2
    distance = np.where(small, half - inside, outside - half).clip(-_FAR_MM, _FAR_MM)
    image = sitk.GetImageFromArray(distance.astype(np.float32))
    image.SetSpacing([float(s) for s in reversed(step)])
    # Both grids share their outer faces, so the first voxel's center moves by half the difference.
    first = [a * s + (c - s) / 2 for a, s, c in zip(low, spacing_mm, step, strict=True)]
    image.SetOrigin([float(f) for f in reversed(first)])
    return image


def _register(fixed: sitk.Image, moving: sitk.Image, limits: WarpLimits) -> sitk.Image:
    """Displacements (mm, float64) on the fixed grid from the wanted shape to the source."""
    start = sitk.AffineTransform(3)
    start.SetCenter(_middle(fixed))
    start.SetTranslation([m - f for m, f in zip(_middle(moving), _middle(fixed), strict=True)])
    method = sitk.ImageRegistrationMethod()
    # One thread: sums of several come in any order, and the same pair must give the same field.
    method.SetNumberOfThreads(1)
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=120, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    turned = _turn_deg(np.array(start.GetMatrix()).reshape(3, 3))
    if turned > limits.turn_deg:
        raise WarpRefused(
            f"the body would be turned by {turned:.0f} degrees (allowed {limits.turn_deg:g}); "
            "choose another pair"
        )
    roughly = sitk.Resample(moving, fixed, start, sitk.sitkLinear, _FAR_MM)
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfThreads(1)
    demons.SetNumberOfIterations(limits.iterations)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(limits.smoothing_voxels)
    bands = [sitk.Clamp(each, sitk.sitkFloat32, -_BAND_MM, _BAND_MM) for each in (fixed, roughly)]
    residual = sitk.Cast(demons.Execute(*bands), sitk.sitkVectorFloat64)
    # A point of the wanted shape goes through the demons' field first, then through the affine map.
    both = sitk.CompositeTransform([start, sitk.DisplacementFieldTransform(residual)])
    return sitk.TransformToDisplacementField(
        both,
        sitk.sitkVectorFloat64,
        fixed.GetSize(),
        fixed.GetOrigin(),
        fixed.GetSpacing(),
        fixed.GetDirection(),
    )


def _turn_deg(matrix: np.ndarray) -> float:
    """The angle of the rotation nearest to an affine matrix (polar decomposition)."""
    left, _, right = np.linalg.svd(matrix)
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def _middle(distance: sitk.Image) -> list[float]:
    """Center of mass (mm, ITK's order) of the inside of a distance map."""
    where = np.argwhere(sitk.GetArrayViewFromImage(distance) < 0).mean(0)
    return [float(x) for x in distance.TransformContinuousIndexToPhysicalPoint(where[::-1].tolist())]


def _apply(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    shape: np.ndarray,
    shape_spacing_mm: Spacing,
    field: sitk.Image,
    limits: WarpLimits,
) -> Warped:
    liver_on_field = sitk.Resample(
        _image(shape.astype(np.uint8), shape_spacing_mm), field, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    factors = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    if (factors <= 0).any():
        raise WarpRefused("the field folds (a Jacobian determinant is not above 0); choose another pair")
    inside = factors[sitk.GetArrayFromImage(liver_on_field) > 0]
    # The field leads from the new place back to the old one, so volumes change by its inverse.
    low, high = (float(f) for f in 1 / np.percentile(inside, [99, 1]))
    if low < limits.volume_factor[0] or high > limits.volume_factor[1]:
        raise WarpRefused(
            f"tissue would change its volume by factors of {low:.2f} to {high:.2f} "
            f"(allowed {limits.volume_factor[0]:g} to {limits.volume_factor[1]:g}); choose another pair"
        )
    box = bounding_box(shape)
    assert box is not None
    # The output grid, in the space of the wanted shape, at the source's spacing.
    first = np.array([s.start * p - limits.margin_mm for s, p in zip(box, shape_spacing_mm, strict=True)])
    last = np.array([s.stop * p + limits.margin_mm for s, p in zip(box, shape_spacing_mm, strict=True)])
    size = [int(round(length / s)) for length, s in zip(last - first, spacing_mm, strict=True)]
    grid = sitk.Image(size[::-1], sitk.sitkUInt8)
    grid.SetSpacing([float(s) for s in reversed(spacing_mm)])
    grid.SetOrigin([float(f) for f in first[::-1]])
    # Beyond the field its border's displacement goes on, or the body would break off there.
    wide = _extended(field, grid)
    transform = sitk.DisplacementFieldTransform(wide)
    outside = min(_OUTSIDE_HU, float(hu.min())) if hu.min() < -300 else float(hu.min())
    new_hu = sitk.Resample(
        _image(hu.astype(np.float32), spacing_mm), grid, transform, sitk.sitkLinear, outside, sitk.sitkFloat32
    )
    new_label = sitk.GetArrayFromImage(
        sitk.Resample(
            _image(label.astype(np.uint8), spacing_mm), grid, transform, sitk.sitkNearestNeighbor, 0
        )
    )
    wanted = sitk.GetArrayFromImage(
        sitk.Resample(
            _image(shape.astype(np.uint8), shape_spacing_mm),
            grid,
            sitk.Transform(),
            sitk.sitkNearestNeighbor,
            0,
        )
    )
    both = np.count_nonzero((new_label > 0) & (wanted > 0))
    dice = 2 * both / (np.count_nonzero(new_label) + np.count_nonzero(wanted))
    if dice < limits.least_dice:
        raise WarpRefused(
            f"the warped liver meets the wanted shape with a Dice of {dice:.3f} only "
            f"(at least {limits.least_dice:g} is asked); choose another pair"
        )
    return Warped(sitk.GetArrayFromImage(new_hu), new_label, float(dice), (low, high))


def _extended(field: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The field on the points of a grid (at the field's spacing), its border continued outwards."""
    step = field.GetSpacing()
    size = [
        int(np.ceil(n * g / s)) + 3 for n, g, s in zip(grid.GetSize(), grid.GetSpacing(), step, strict=True)
    ]
    origin = [o - s for o, s in zip(grid.GetOrigin(), step, strict=True)]
    array = sitk.GetArrayFromImage(field)
    index = []
    for axis in range(3):
        places = (origin[axis] + np.arange(size[axis]) * step[axis] - field.GetOrigin()[axis]) / step[axis]
        index.append(np.clip(places, 0, field.GetSize()[axis] - 1))
    low = [np.minimum(np.floor(i).astype(int), n - 2) for i, n in zip(index, field.GetSize(), strict=True)]
    values = array
    for axis, (i, lo) in enumerate(zip(index, low, strict=True)):
        along = 2 - axis
        share = (i - lo).reshape([-1 if a == along else 1 for a in range(4)])
        values = np.take(values, lo, along) * (1 - share) + np.take(values, lo + 1, along) * share
    image = sitk.GetImageFromArray(values, isVector=True)
    image.SetSpacing(step)
    image.SetOrigin(origin)
    return image
