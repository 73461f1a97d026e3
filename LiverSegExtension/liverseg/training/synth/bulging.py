"""Tumors that bulge or hang out of the liver, and masses beside it that are no part of it.

A tumor inside the liver teaches stage 1 little: it lies within the outline anyway. What stage 1 leaves out
are tumors at the rim, most of them outside of the shape a liver usually has. Here one grows at the surface:
its middle lies from well inside to nearly a radius beyond, sometimes on a stalk; neighbors make way or
vanish. Other copies get the same mass with fat between it and the liver, labeled as background, so that
looking made-up does not make a mass liver.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter

from liverseg.phantom_shapes import smooth_min
from liverseg.training.synth.fields import (
    LESION,
    LIVER,
    Box,
    Tissue,
    box_around,
    local_tissue,
    log_uniform,
    offsets_mm,
    soft_step,
    split_noise,
)
from liverseg.training.synth.looks import Look, contrast_map, draw_kind, draw_look, possible_kinds
from liverseg.training.synth.planted import Planted, PlantedLesion, Spacing
from liverseg.training.synth.recipe import LesionRecipe
from liverseg.training.synth.shapes import lesion_distance, push_aside

# Places tried for one mass, and after how many failures it shrinks.
_TRIES, _SHRINK_EVERY = 40, 10
# The direction out of the liver is that of its mask blurred by so much.
_BLUR_MM = 8.0
# The liver around the root of a mass, for its mean and noise.
_AROUND_MM = 20.0
# Neighbors give way within so many radii of the middle.
_REACH = 2.2
_AIR_HU, _BONE_HU, _FAT_HU = -150.0, 180.0, -100.0
# Skin and muscles, where nothing grows into.
_WALL_MM = 12.0
# Noise of a mass: the deviation around its root holds small vessels, too.
_GRAIN_SHARE, _MOST_GRAIN_HU = 0.5, 6.0


@dataclass(frozen=True)
class BulgeRecipe:
    """Which masses grow at the liver's surface.

    Attributes:
        radius_mm: smallest and largest, log-uniform.
        beyond: how far the middle lies outside of the surface, in radii; negative inside.
        stalk_beyond: from there on a stalk leads to the liver.
        stalk_mm: smallest and largest radius of a stalk.
        alike_share: how many are as gray as the liver, give or take ``alike_hu``.
        alike_hu: standard deviation of their contrast.
        push_share: how many push their neighbors aside; the others take their place.
        beside_share: how many lie beside the liver and are no part of it.
        gap_mm: fat between those and the liver.
        most_air, most_bone: share of the mass where lung or bone may have been.
        most_inside: share of a tumor that may lie in the liver; of a mass beside it ``most_touching``.
        looks: contrasts of the others, as of planted lesions.
    """

    radius_mm: tuple[float, float] = (12.0, 50.0)
    beyond: tuple[float, float] = (-0.2, 0.95)
    stalk_beyond: float = 0.7
    stalk_mm: tuple[float, float] = (5.0, 14.0)
    alike_share: float = 0.3
    alike_hu: float = 7.0
    push_share: float = 0.6
    beside_share: float = 0.3
    gap_mm: tuple[float, float] = (4.0, 10.0)
    most_air: float = 0.2
    most_bone: float = 0.1
    most_inside: float = 0.8
    most_touching: float = 0.25
    looks: LesionRecipe = LesionRecipe()


@dataclass(frozen=True, eq=False)
class _Mass:
    """A mass in its place.

    Attributes:
        box: the part of the scan that it changes.
        center: voxels (z, y, x).
        distance: (z, y, x) of the box, mm to the surface, negative inside.
        radius_mm: of the sphere of about its volume.
        fat_mm: layer of fat around a mass beside the liver; 0 for a tumor of the liver.
        tissue: the liver around its root.
    """

    box: Box
    center: np.ndarray
    distance: np.ndarray
    radius_mm: float
    fat_mm: float
    tissue: Tissue


@dataclass(frozen=True, eq=False)
class Survey:
    """A scan and what every mass asks of it.

    Attributes:
        hu: (z, y, x) float32.
        label: (z, y, x) uint8.
        spacing_mm: voxel size (z, y, x).
        places: (n, 3) voxels at the liver's surface.
        outward: (n, 3), direction out of the liver there, of length 1 in mm.
        depth: (z, y, x), mm to the outside of the body.
        bone_hu: from where on it may be bone.
    """

    hu: np.ndarray
    label: np.ndarray
    spacing_mm: Spacing
    places: np.ndarray
    outward: np.ndarray
    depth: np.ndarray
    bone_hu: float

    @classmethod
    def of(cls, hu: np.ndarray, label: np.ndarray, spacing_mm: Spacing) -> Survey:
        """Look a scan over, once for all its copies.

        Args:
            hu: (z, y, x) Hounsfield units in canonical (S, P, L) order, perhaps clipped to a window.
            label: (z, y, x) uint8: 0 background, 1 liver, 2 lesion, above 2 vessels of the liver.
            spacing_mm: voxel size (z, y, x).

        Raises:
            ValueError: the arrays differ in size or are not 3D.
        """
        if hu.shape != label.shape or hu.ndim != 3:
            raise ValueError(f"hu {hu.shape} and label {label.shape} must be 3D arrays of one size")
        hu, label = hu.astype(np.float32), label.astype(np.uint8)
        spacing = np.array(spacing_mm)
        # Clipped scans have nothing above their limit.
        bone_hu = min(_BONE_HU, float(hu.max()) - 5)
        return cls(hu, label, spacing_mm, *_surface(label > 0, spacing), _depth(hu, spacing), bone_hu)


def grow_at_surface(scan: Survey, rng: np.random.Generator, recipe: BulgeRecipe | None = None) -> Planted:
    """A copy of a scan with one mass at the liver's surface.

    Returns:
        HU and label; the kind of the lesion is "bulging", or "beside" where it is labeled background. As it
        was, without lesions, where no place fits.
    """
    recipe = recipe or BulgeRecipe()
    hu, label = scan.hu.copy(), scan.label.copy()
    beside = rng.random() < recipe.beside_share
    radius = log_uniform(rng, *recipe.radius_mm)
    for attempt in range(_TRIES if len(scan.places) else 0):
        if attempt and attempt % _SHRINK_EVERY == 0:
            radius = max(recipe.radius_mm[0], 0.7 * radius)
        mass = _try_place(scan, radius, beside, rng, recipe)
        if mass is not None:
            return _put(hu, label, mass, scan.spacing_mm, rng, recipe)
    return Planted(hu, label, (), ())


def _surface(liver: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels at the liver's surface, (n, 3), and the directions out of it there, (n, 3), of length 1."""
    soft = gaussian_filter(liver.astype(np.float32), _BLUR_MM / spacing)
    slope = np.stack(np.gradient(soft, *spacing), axis=-1)
    steep = np.linalg.norm(slope, axis=-1)
    # Where the blurred mask is flat, as in a groove, its slope says little.
    at_rim = liver & (soft < 0.6) & (steep > 0.25 * steep.max())
    return np.argwhere(at_rim), -slope[at_rim] / steep[at_rim][:, None]


def _depth(hu: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """How far (mm) a voxel lies from the outside of the body; lungs and bowel count as body."""
    body = np.stack([binary_fill_holes(part) for part in hu > _AIR_HU])
    return edt.edt(body, anisotropy=tuple(spacing), black_border=False)


def _try_place(
    scan: Survey, radius: float, beside: bool, rng: np.random.Generator, recipe: BulgeRecipe
) -> _Mass | None:
    """A mass at a random place of the surface; None where it has no room."""
    spacing = np.array(scan.spacing_mm)
    chosen = int(rng.integers(len(scan.places)))
    root, outward = scan.places[chosen], scan.outward[chosen]
    gap = float(rng.uniform(*recipe.gap_mm))
    beyond = 1 + gap / radius if beside else float(rng.uniform(*recipe.beyond))
    center = root + outward * beyond * radius / spacing
    nearest = np.round(center).astype(int)
    if ((nearest < 0) | (nearest >= scan.label.shape)).any():
        return None
    if scan.depth[tuple(nearest)] < radius + _WALL_MM:
        return None
    around = box_around(root, _AROUND_MM / spacing, scan.label.shape)
    tissue = local_tissue(scan.hu[around], scan.label[around] == LIVER)
    if tissue is None:
        return None
    box = box_around(center, _REACH * radius / spacing, scan.label.shape)
    distance = lesion_distance(box, center, radius, scan.spacing_mm, recipe.looks.irregularity, rng)
    if not _has_room(scan, box, distance < 0, beside, recipe):
        return None
    if not beside and beyond > recipe.stalk_beyond:
        thickness = log_uniform(rng, *recipe.stalk_mm)
        inner = root - outward * thickness / spacing
        stalk = _from_line(box, center, inner, scan.spacing_mm) - np.float32(thickness)
        distance = smooth_min(distance, stalk, 0.5 * thickness)
    return _Mass(box, center, distance.astype(np.float32), radius, gap if beside else 0.0, tissue)


def _has_room(scan: Survey, box: Box, inside: np.ndarray, beside: bool, recipe: BulgeRecipe) -> bool:
    """Whether a mass fills neither lung nor bone, nor hides in the liver (or, beside it, reaches into it)."""
    hu, label = scan.hu[box], scan.label[box]
    within = int(np.count_nonzero(inside))
    if within < 8:
        return False
    outside = inside & (label == 0)
    if np.count_nonzero(outside & (hu <= _AIR_HU)) > recipe.most_air * within:
        return False
    if np.count_nonzero(outside & (hu >= scan.bone_hu)) > recipe.most_bone * within:
        return False
    most = recipe.most_touching if beside else recipe.most_inside
    return int(np.count_nonzero(inside & (label > 0))) < most * within


def _from_line(box: Box, start: np.ndarray, end: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Distance (mm) of a box's voxels from the line between two places (voxels)."""
    z, y, x = offsets_mm(box, start, spacing_mm)
    along = (end - start) * np.array(spacing_mm)
    length = max(float(along @ along), 1e-6)
    share = np.clip((z * along[0] + y * along[1] + x * along[2]) / length, 0, 1)
    apart = (z - share * along[0]) ** 2 + (y - share * along[1]) ** 2 + (x - share * along[2]) ** 2
    return np.sqrt(apart).astype(np.float32)


def _look(mass: _Mass, rng: np.random.Generator, recipe: BulgeRecipe) -> Look:
    """As gray as the liver, or as a planted lesion."""
    kinds = [kind for kind in possible_kinds(mass.tissue, mass.radius_mm, recipe.looks) if kind != "cyst"]
    if not kinds or rng.random() < recipe.alike_share:
        core = float(rng.normal(0, recipe.alike_hu))
        necrosis = -float(rng.uniform(10, 40)) if rng.random() < 0.4 else 0.0
        narrow = recipe.looks.edge_mm[0]
        return Look("iso", core, None, 0.0, necrosis, narrow, texture=0.5, vessels_kept=0.0)
    kind = draw_kind(kinds, rng, recipe.looks)
    return draw_look(kind, mass.radius_mm, mass.tissue, rng, recipe.looks)


def _put(
    hu: np.ndarray,
    label: np.ndarray,
    mass: _Mass,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    recipe: BulgeRecipe,
) -> Planted:
    """Change ``hu`` and ``label`` in the mass's box, in place."""
    box, distance, tissue = mass.box, mass.distance, mass.tissue
    inside = distance < 0
    look = _look(mass, rng, recipe)
    anatomy, noise = split_noise(hu[box], tissue.sd)
    known = label[box].copy()
    if rng.random() < recipe.push_share:
        push = float(rng.uniform(0.2, 0.5)) * mass.radius_mm
        offsets = offsets_mm(box, mass.center, spacing_mm)
        around = distance - mass.fat_mm
        anatomy, known = push_aside(anatomy, known, offsets, around, push, mass.radius_mm, spacing_mm)
    edge = max(look.edge_mm, float(min(spacing_mm)))
    if mass.fat_mm:
        fat = soft_step(distance - mass.fat_mm, edge)
        anatomy = anatomy + fat * (np.float32(_FAT_HU) - anatomy)
        known[distance < mass.fat_mm] = 0
    else:
        known[inside] = LESION
    contrast = contrast_map(look, distance, mass.radius_mm, spacing_mm, rng)
    # The noise of the place would show the organs that were there.
    strength = min(_GRAIN_SHARE * tissue.sd, _MOST_GRAIN_HU)
    grain = rng.normal(0, strength, distance.shape).astype(np.float32)
    share = soft_step(distance, edge)
    hu[box] = anatomy + noise + share * (np.float32(tissue.mean) + contrast + grain - anatomy - noise)
    label[box] = known
    z, y, x = (int(n) for n in np.round(mass.center))
    kind = "beside" if mass.fat_mm else "bulging"
    seen, voxels = abs(float(contrast[inside].mean())), int(np.count_nonzero(inside))
    return Planted(hu, label, (PlantedLesion(kind, (z, y, x), mass.radius_mm, seen, tissue.sd, voxels),), ())
