"""Lesions planted into any liver, on the fly.

A made-up lesion takes the place of healthy liver tissue: an uneven ellipsoid with a contrast relative to the
liver around it, an edge, perhaps a capsule, a pattern of its own and a push on its surroundings. The scanner
noise of the place stays on top, so that nothing but the lesion gives it away. Other patches get what only
looks like a lesion, labeled as what it is (``confounders``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.training.synth.confounders import add_confounders
from liverseg.training.synth.fields import (
    LESION,
    LIVER,
    Box,
    Tissue,
    average_3,
    box_around,
    is_liver,
    local_tissue,
    log_uniform,
    offsets_mm,
    soft_step,
    split_noise,
)
from liverseg.training.synth.looks import (
    contrast_map,
    draw_kind,
    draw_look,
    needed_contrast,
    possible_kinds,
    visible_contrast,
)
from liverseg.training.synth.recipe import LesionRecipe
from liverseg.training.synth.shapes import lesion_distance, push_aside, reach_mm

Spacing = tuple[float, float, float]
# Places tried for one lesion, and after how many failures it shrinks.
_TRIES, _SHRINK_EVERY = 60, 12
# The liver around a lesion, for its mean and noise: wide enough that a vessel beside it does not rule.
_AROUND_MM = 14.0
# Cysts are rounder than solid lesions.
_CYST_IRREGULARITY = 0.3
# How much a contrast may be raised to reach the recipe's smallest one.
_MOST_RAISED = 3.0


@dataclass(frozen=True, eq=False)
class PlantedLesion:
    """What was planted.

    Attributes:
        kind: "hypo", "hyper", "cyst", "ring" or "iso"; "pasted", "bulging" or "beside" from those modules.
        center: voxels (z, y, x).
        radius_mm: of the sphere of about its volume, before the liver's rim cut it.
        contrast_hu: see :func:`liverseg.training.synth.looks.visible_contrast`.
        noise_hu: standard deviation of a single liver voxel around.
        voxels: labeled ones.
    """

    kind: str
    center: tuple[int, int, int]
    radius_mm: float
    contrast_hu: float
    noise_hu: float
    voxels: int


@dataclass(frozen=True, eq=False)
class Planted:
    """A patch after planting: HU (float32), label (uint8), the lesions, and the names of the confounders."""

    hu: np.ndarray
    label: np.ndarray
    lesions: tuple[PlantedLesion, ...]
    confounders: tuple[str, ...]


def plant_lesions(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    recipe: LesionRecipe | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A patch with planted lesions: HU (float32) and label (uint8). See :func:`plant`."""
    planted = plant(hu, label, spacing_mm, rng, recipe)
    return planted.hu, planted.label


def plant(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    recipe: LesionRecipe | None = None,
) -> Planted:
    """Plant lesions, and sometimes what looks like them, into a copy of a patch.

    Args:
        hu: (z, y, x) Hounsfield units in canonical (S, P, L) order, perhaps clipped to a window.
        label: (z, y, x) uint8: 0 background, 1 liver, 2 lesion, above 2 vessels of the liver. Lesions that
            are there stay as they are.
        spacing_mm: voxel size (z, y, x).
        recipe: what to plant.

    Returns:
        The patch; as it was where it holds too little liver or no place fits.

    Raises:
        ValueError: the arrays differ in size or are not 3D.
    """
    recipe = recipe or LesionRecipe()
    if hu.shape != label.shape or hu.ndim != 3:
        raise ValueError(f"hu {hu.shape} and label {label.shape} must be 3D arrays of one size")
    hu, label = hu.astype(np.float32), label.astype(np.uint8)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    if np.count_nonzero(is_liver(label)) * voxel_ml < recipe.least_liver_ml:
        return Planted(hu, label, (), ())
    confounders: tuple[str, ...] = ()
    if rng.random() < recipe.confounder_share:
        number = int(rng.integers(1, recipe.most_confounders + 1))
        confounders = add_confounders(hu, label, spacing_mm, rng, number, recipe.confounder_kinds)
    lesions = []
    count = min(1 + int(rng.poisson(recipe.more_lesions)), recipe.most_lesions)
    for number in range(count):
        low, high = recipe.radius_mm
        if number:
            high = max(low, min(high, recipe.largest_further_mm))
        lesion = _plant_one(hu, label, spacing_mm, log_uniform(rng, low, high), rng, recipe)
        if lesion is not None:
            lesions.append(lesion)
    return Planted(hu, label, tuple(lesions), confounders)


def _plant_one(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    radius_mm: float,
    rng: np.random.Generator,
    recipe: LesionRecipe,
) -> PlantedLesion | None:
    """Change ``hu`` and ``label`` in place; None where no place was found."""
    spacing = np.array(spacing_mm)
    for attempt in range(_TRIES):
        if attempt and attempt % _SHRINK_EVERY == 0:
            radius_mm = max(recipe.radius_mm[0], 0.6 * radius_mm)
        center = rng.integers(0, label.shape)
        if not is_liver(label[tuple(center)]) or not _fits(
            label, center, radius_mm / spacing, recipe.least_inside
        ):
            continue
        box = box_around(center, reach_mm(radius_mm, recipe.irregularity) / spacing, label.shape)
        around = box_around(center, (radius_mm + _AROUND_MM) / spacing, label.shape)
        tissue = local_tissue(hu[around], label[around] == LIVER)
        if tissue is None:
            continue
        kinds = possible_kinds(tissue, radius_mm, recipe)
        if not kinds:
            continue
        kind = draw_kind(kinds, rng, recipe)
        irregularity = recipe.irregularity * (_CYST_IRREGULARITY if kind == "cyst" else 1.0)
        distance = lesion_distance(box, center, radius_mm, spacing_mm, irregularity, rng)
        inside = distance < 0
        if (label[box][distance < recipe.gap_mm] == LESION).any():
            continue
        kept = np.count_nonzero(inside & is_liver(label[box]))
        if kept < max(4, recipe.least_inside * np.count_nonzero(inside)):
            continue
        return _paint(hu, label, box, center, distance, kind, radius_mm, tissue, spacing_mm, rng, recipe)
    return None


def _fits(label: np.ndarray, center: np.ndarray, reach: np.ndarray, least_inside: float) -> bool:
    """A quick look along the axes: enough liver, before the shape is worked out."""
    hits = total = 0
    for axis in range(3):
        for part in (-0.9, -0.5, 0.5, 0.9):
            place = center.copy()
            place[axis] += round(part * reach[axis])
            total += 1
            if ((place >= 0) & (place < label.shape)).all():
                hits += int(is_liver(label[tuple(place)]))
            else:
                hits += 1
    return hits >= least_inside * total


def _paint(
    hu: np.ndarray,
    label: np.ndarray,
    box: Box,
    center: np.ndarray,
    distance: np.ndarray,
    kind: str,
    radius_mm: float,
    tissue: Tissue,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    recipe: LesionRecipe,
) -> PlantedLesion | None:
    """Put one lesion into its box, in place; None when no allowed contrast reaches the recipe's."""
    look = draw_look(kind, radius_mm, tissue, rng, recipe)
    anatomy, noise = split_noise(hu[box], tissue.sd)
    known = label[box].copy()
    pushes = radius_mm > 8 and rng.random() < recipe.mass_effect_share and not (known == LESION).any()
    push = float(rng.uniform(0.3, 1.0)) * recipe.largest_push_mm
    if pushes:
        offsets = offsets_mm(box, center, spacing_mm)
        anatomy, known = push_aside(anatomy, known, offsets, distance, push, radius_mm, spacing_mm)
    inside = (distance < 0) & is_liver(known)
    voxels = int(np.count_nonzero(inside))
    if voxels < 4:
        return None
    liver = average_3(is_liver(known))
    share = soft_step(distance, max(look.edge_mm, float(min(spacing_mm)))) * np.minimum(1.5 * liver, 1)
    contrast = contrast_map(look, distance, radius_mm, spacing_mm, rng)
    reached = visible_contrast(kind, share[inside] * contrast[inside])
    needed = needed_contrast(tissue, radius_mm, recipe)
    if reached < needed:
        # Edges take contrast away from small lesions.
        raised = 1.02 * needed / max(reached, 1e-3)
        darkest = tissue.mean + raised * min(look.core_hu, 0.0)
        if raised > _MOST_RAISED or darkest < recipe.cyst_hu[0] - 5:
            return None
        contrast *= np.float32(raised)
        reached *= raised
    # Vessels and gradients of the liver vanish inside, except at its border, where they are partial volume.
    cleared = share * (1 - look.vessels_kept) * np.clip(2 * liver - 1, 0, 1)
    hu[box] = anatomy + cleared * (np.float32(tissue.mean) - anatomy) + share * contrast + noise
    known[inside] = LESION
    label[box] = known
    place = (int(center[0]), int(center[1]), int(center[2]))
    return PlantedLesion(kind, place, radius_mm, reached, tissue.sd, voxels)
