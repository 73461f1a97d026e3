"""Real lesions pasted elsewhere: shapes and textures out of labeled scans, in another place of a liver.

A lesion is kept as its contrast to the liver around it, so that it fits a brighter or darker liver; its
own border and a little of what surrounds it come along. The noise at the new place is matched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cc3d
import edt
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation

from liverseg.training.persons import person_of
from liverseg.training.synth.fields import (
    LESION,
    LIVER,
    Box,
    average_3,
    box_around,
    is_liver,
    local_tissue,
    log_uniform,
    soft_step,
    split_noise,
)
from liverseg.training.synth.looks import needed_contrast
from liverseg.training.synth.planted import Planted, PlantedLesion, Spacing
from liverseg.training.synth.recipe import LesionRecipe

# What comes along around a lesion, and over what width it fades into the new place.
_BORDER_MM, _FADE_MM = 1.5, 3.0
_MARGIN_MM = 6.0
_AROUND_MM = 14.0
_TRIES = 60
# Voxels of a lesion that are looked at before it is resampled.
_POINTS = 150


@dataclass(frozen=True)
class PasteRecipe:
    """Which lesions are pasted, and how far they may be changed.

    Attributes:
        tilt_deg: largest turn about the in-plane axes (slices may be thick); about the body's axis any.
        scale: smallest and largest change of size, log-uniform.
        volume_ml: smallest and largest lesion taken into the library.
        most_lesions: pasted into one patch; at least one where it fits.
        most_raised: how much a contrast may be raised to be visible in noisier tissue.
        least_inside: share that must lie in liver tissue; the rest is cut off at its rim.
        gap_mm: distance that is kept to other lesions.
        visible: contrast limits, as for planted lesions.
    """

    tilt_deg: float = 20.0
    scale: tuple[float, float] = (0.75, 1.3)
    volume_ml: tuple[float, float] = (0.03, 120.0)
    most_lesions: int = 2
    most_raised: float = 1.6
    least_inside: float = 0.7
    gap_mm: float = 2.0
    visible: LesionRecipe = LesionRecipe()


@dataclass(frozen=True, eq=False)
class RealLesion:
    """One lesion out of a scan.

    Attributes:
        person: whose it is.
        contrast: (z, y, x) float32, HU relative to the liver around; 0 where something else than liver lay.
        distance: (z, y, x) float32, mm to its surface, negative inside.
        spacing_mm: voxel size (z, y, x).
        mean_contrast_hu: over its voxels.
        radius_mm: of the sphere of its volume.
        points_mm: (n, 3) offsets of some of its voxels from the middle of the array, for quick looks.
    """

    person: str
    contrast: np.ndarray
    distance: np.ndarray
    spacing_mm: Spacing
    mean_contrast_hu: float
    radius_mm: float
    points_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class LesionLibrary:
    """Lesions by person, so that nobody with many counts more than the others."""

    lesions: Mapping[str, tuple[RealLesion, ...]]

    def draw(self, rng: np.random.Generator) -> RealLesion:
        """A person, then one of the person's lesions."""
        persons = sorted(self.lesions)
        own = self.lesions[persons[int(rng.integers(len(persons)))]]
        return own[int(rng.integers(len(own)))]


def build_library(
    cases: Mapping[str, tuple[np.ndarray, np.ndarray]],
    spacing_mm: Spacing,
    training_persons: Collection[str],
    recipe: PasteRecipe | None = None,
) -> LesionLibrary:
    """Collect the lesions of the training persons.

    Args:
        cases: HU and label (0, 1 liver, 2 lesion), both (z, y, x), by case name.
        training_persons: persons (:func:`liverseg.training.persons.person_of`) whose lesions may be used;
            all others are left out.

    Raises:
        ValueError: none of these persons has a lesion of the wanted size.
    """
    recipe = recipe or PasteRecipe()
    found: dict[str, list[RealLesion]] = {}
    for case in sorted(cases):
        person = person_of(case)
        if person in training_persons:
            hu, label = cases[case]
            found.setdefault(person, []).extend(lesions_of(person, hu, label, spacing_mm, recipe))
    library = {person: tuple(lesions) for person, lesions in found.items() if lesions}
    if not library:
        raise ValueError(
            f"none of the {len(training_persons)} training persons has a lesion of "
            f"{recipe.volume_ml[0]:g} to {recipe.volume_ml[1]:g} ml"
        )
    return LesionLibrary(library)


def lesions_of(
    person: str, hu: np.ndarray, label: np.ndarray, spacing_mm: Spacing, recipe: PasteRecipe
) -> list[RealLesion]:
    """The lesions (26-connected) of one scan that are whole and of the wanted size."""
    parts, count = cc3d.connected_components(label == LESION, connectivity=26, return_N=True)
    if count == 0:
        return []
    spacing = np.array(spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    statistics = cc3d.statistics(parts)
    lesions = []
    for number in range(1, count + 1):
        volume_ml = float(statistics["voxel_counts"][number]) * voxel_ml
        tight = statistics["bounding_boxes"][number]
        cut_off = any(s.start == 0 or s.stop == n for s, n in zip(tight, label.shape, strict=True))
        if cut_off or not recipe.volume_ml[0] <= volume_ml <= recipe.volume_ml[1]:
            continue
        middle = np.array([(s.start + s.stop - 1) / 2 for s in tight])
        half = np.array([(s.stop - s.start) / 2 for s in tight])
        around = box_around(middle, half + _AROUND_MM / spacing, label.shape)
        tissue = local_tissue(hu[around].astype(np.float32), label[around] == LIVER)
        if tissue is None:
            continue
        box = box_around(middle, half + _MARGIN_MM / spacing, label.shape)
        own = parts[box] == number
        distance = _signed_distance(own, spacing_mm)
        known = own | (average_3(is_liver(label[box])) > 0.6)
        voxels = np.argwhere(own)
        points = voxels[:: max(1, len(voxels) // _POINTS)] - (np.array(own.shape) - 1) / 2
        contrast = np.where(known, hu[box].astype(np.float32) - np.float32(tissue.mean), np.float32(0))
        lesions.append(
            RealLesion(
                person=person,
                contrast=contrast,
                distance=distance,
                spacing_mm=spacing_mm,
                mean_contrast_hu=float(contrast[own].mean()),
                radius_mm=float((volume_ml * 1000 * 0.75 / np.pi) ** (1 / 3)),
                points_mm=points * spacing,
            )
        )
    return lesions


def _signed_distance(mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Distance (mm) to the faces between inside and outside, negative inside."""
    inside = edt.edt(mask, anisotropy=spacing_mm, black_border=False)
    outside = edt.edt(~mask, anisotropy=spacing_mm, black_border=False)
    half = float(np.mean(spacing_mm)) / 2
    return np.where(mask, half - inside, outside - half).astype(np.float32)


def paste_lesions(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    library: LesionLibrary,
    recipe: PasteRecipe | None = None,
) -> Planted:
    """A patch with real lesions in new places; arguments and result as :func:`planted.plant`.

    The kind of the lesions is "pasted". Lesions that are there stay as they are.
    """
    recipe = recipe or PasteRecipe()
    if hu.shape != label.shape or hu.ndim != 3:
        raise ValueError(f"hu {hu.shape} and label {label.shape} must be 3D arrays of one size")
    hu, label = hu.astype(np.float32), label.astype(np.uint8)
    pasted = []
    if is_liver(label).any():
        for _ in range(int(rng.integers(1, recipe.most_lesions + 1))):
            lesion = _paste_one(hu, label, spacing_mm, rng, library, recipe)
            if lesion is not None:
                pasted.append(lesion)
    return Planted(hu, label, tuple(pasted), ())


def _paste_one(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    library: LesionLibrary,
    recipe: PasteRecipe,
) -> PlantedLesion | None:
    """Change ``hu`` and ``label`` in place; None where no place was found."""
    spacing = np.array(spacing_mm)
    lesion = library.draw(rng)
    scale = log_uniform(rng, *recipe.scale)
    turn = _draw_turn(rng, recipe.tilt_deg)
    points = lesion.points_mm @ turn.T * scale / spacing
    extent = np.abs(turn) @ (np.array(lesion.contrast.shape) * lesion.spacing_mm) / 2 * scale
    for _ in range(_TRIES):
        center = rng.integers(0, label.shape)
        if not is_liver(label[tuple(center)]):
            continue
        places = np.round(center + points).astype(int)
        places = places[((places >= 0) & (places < label.shape)).all(axis=1)]
        there = label[tuple(places.T)]
        if is_liver(there).mean() < recipe.least_inside or (there == LESION).any():
            continue
        box = box_around(center, extent / spacing, label.shape)
        distance, contrast = _moved(lesion, box, center, spacing, turn, scale)
        inside = distance < 0
        kept = inside & is_liver(label[box])
        voxels = int(np.count_nonzero(kept))
        if voxels < max(4, recipe.least_inside * np.count_nonzero(inside)):
            continue
        if (label[box][distance < recipe.gap_mm] == LESION).any():
            continue
        return _blend(hu, label, box, center, distance, contrast, lesion.radius_mm * scale, recipe, spacing)
    return None


def _draw_turn(rng: np.random.Generator, tilt_deg: float) -> np.ndarray:
    """A turn with a random mirror, for offsets (z, y, x)."""
    about_y, about_x = rng.uniform(-tilt_deg, tilt_deg, 2)
    # scipy names the axes of a vector x, y, z by their place; the first one is the body's axis here.
    turn = Rotation.from_euler("xyz", [rng.uniform(0, 360), about_y, about_x], degrees=True).as_matrix()
    return turn @ np.diag(rng.choice([-1.0, 1.0], 3))


def _moved(
    lesion: RealLesion, box: Box, center: np.ndarray, spacing: np.ndarray, turn: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and contrast of a turned and scaled lesion on the voxels of a box."""
    lines = [(np.arange(s.start, s.stop) - c) * p for s, c, p in zip(box, center, spacing, strict=True)]
    offsets = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    size = np.array(lesion.contrast.shape) - 1
    # From offsets (mm) in the new place back to those in the old one, then to -1..1 over the lesion's array.
    back = (turn / scale / np.array(lesion.spacing_mm) * 2 / size)[:, ::-1].copy()
    where = (torch.from_numpy(offsets).float() @ torch.from_numpy(back).float())[None]

    def sampled(volume: np.ndarray, padding: str) -> np.ndarray:
        tensor = torch.from_numpy(volume)[None, None]
        return F.grid_sample(tensor, where, padding_mode=padding, align_corners=True)[0, 0].numpy()

    return sampled(lesion.distance, "border") * np.float32(scale), sampled(lesion.contrast, "zeros")


def _blend(
    hu: np.ndarray,
    label: np.ndarray,
    box: Box,
    center: np.ndarray,
    distance: np.ndarray,
    contrast: np.ndarray,
    radius_mm: float,
    recipe: PasteRecipe,
    spacing: np.ndarray,
) -> PlantedLesion | None:
    around = box_around(center, (radius_mm + _AROUND_MM) / spacing, label.shape)
    tissue = local_tissue(hu[around], label[around] == LIVER)
    if tissue is None:
        return None
    inside = (distance < 0) & is_liver(label[box])
    mean = float(contrast[inside].mean())
    needed = needed_contrast(tissue, radius_mm, recipe.visible)
    seen = float(np.sqrt(np.mean(contrast[inside] ** 2))) if abs(mean) < needed else abs(mean)
    if seen * recipe.most_raised < needed:
        return None
    factor = max(1.0, needed / seen)
    # In a dark liver a dark lesion's contrast ends at water.
    if mean < 0:
        factor = min(factor, (tissue.mean - recipe.visible.cyst_hu[0]) / -mean)
        if factor * seen < needed * 0.999:
            return None
    contrast = contrast * np.float32(factor)
    anatomy, noise = split_noise(hu[box], tissue.sd)
    smooth, grain = split_noise(contrast, tissue.sd)
    here, brought = float(noise[inside].std()), float(grain[inside].std())
    if brought > here:
        contrast = smooth + grain * np.float32(here / brought)
        missing = 0.0
    else:
        missing = float(np.sqrt(max(0.0, 1 - (brought / max(here, 1e-3)) ** 2)))
    liver = average_3(label[box] > 0)
    share = soft_step(distance - _BORDER_MM, _FADE_MM) * np.minimum(1.5 * liver, 1)
    cleared = share * np.clip(2 * liver - 1, 0, 1)
    hu[box] = (
        anatomy
        + cleared * (np.float32(tissue.mean) - anatomy)
        + share * contrast
        + noise * (1 - share * np.float32(1 - missing))
    )
    label[box][inside] = LESION
    place = (int(center[0]), int(center[1]), int(center[2]))
    return PlantedLesion("pasted", place, radius_mm, seen * factor, tissue.sd, int(np.count_nonzero(inside)))
