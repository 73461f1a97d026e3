"""What a planted lesion looks like: contrast to the liver by kind, edge, capsule, texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverseg.training.synth.fields import Tissue, log_uniform, smooth_field, soft_step
from liverseg.training.synth.recipe import LesionRecipe

# Radius above which a lesion is no small one.
_SMALL_MM = 8.0
# A rim needs room, and a small bright dot is a vessel to any reader.
_SMALLEST_MM = {"ring": 5.0, "iso": 7.0, "hyper": 4.5}


@dataclass(frozen=True)
class Look:
    """The appearance of one lesion, drawn once.

    Attributes:
        kind: one of ``recipe.KINDS``.
        core_hu: contrast of its inside to the liver.
        rim_hu: contrast of its rim (ring and iso lesions, capsules); None without one.
        rim_mm: thickness of the rim.
        necrosis_hu: further change in the middle of large ones.
        edge_mm: width of the edge.
        texture: standard deviation of its inner pattern as a share of the contrast.
        vessels_kept: share of the liver's own structure that shines through.
    """

    kind: str
    core_hu: float
    rim_hu: float | None
    rim_mm: float
    necrosis_hu: float
    edge_mm: float
    texture: float
    vessels_kept: float


def possible_kinds(tissue: Tissue, radius_mm: float, recipe: LesionRecipe) -> list[str]:
    """The kinds that this liver's brightness leaves room for: a fatty liver holds no darker metastasis."""
    needed = needed_contrast(tissue, radius_mm, recipe)
    kinds = []
    for kind in recipe.kind_shares:
        room = {
            "hypo": tissue.mean - recipe.darkest_hu,
            "ring": tissue.mean - recipe.darkest_hu,
            "cyst": tissue.mean - recipe.cyst_hu[1],
        }.get(kind, np.inf)
        large_enough = radius_mm >= _SMALLEST_MM.get(kind, 0.0)
        if room >= needed and large_enough:
            kinds.append(kind)
    return kinds


def draw_kind(kinds: Sequence[str], rng: np.random.Generator, recipe: LesionRecipe) -> str:
    """One of these kinds, by the recipe's shares."""
    shares = np.array([recipe.kind_shares[kind] for kind in kinds])
    return str(rng.choice(kinds, p=shares / shares.sum()))


def needed_contrast(tissue: Tissue, radius_mm: float, recipe: LesionRecipe) -> float:
    """The smallest contrast in HU that the recipe allows at this size in this tissue."""
    small = float(np.clip((_SMALL_MM - radius_mm) / max(_SMALL_MM - recipe.radius_mm[0], 1e-3), 0, 1))
    cnr = recipe.least_cnr + small * max(0.0, recipe.least_cnr_small - recipe.least_cnr)
    return max(recipe.least_contrast_hu, cnr * tissue.sd)


def draw_look(
    kind: str, radius_mm: float, tissue: Tissue, rng: np.random.Generator, recipe: LesionRecipe
) -> Look:
    """Draw a lesion's appearance."""
    needed = needed_contrast(tissue, radius_mm, recipe)
    rim_hu: float | None = None
    rim_mm = 0.0
    necrosis = 0.0
    narrow, wide = recipe.edge_mm
    edge = min(wide, log_uniform(rng, narrow, max(narrow * 1.1, 0.5 * radius_mm)))
    if kind == "cyst":
        core, edge = float(rng.uniform(*recipe.cyst_hu)) - tissue.mean, narrow
    elif kind == "hyper":
        # Bright and faint is what vessels are.
        core = log_uniform(rng, max(recipe.hyper_hu[0], 1.3 * needed), max(recipe.hyper_hu[1], 1.8 * needed))
    elif kind == "iso":
        core = float(rng.normal(0, 0.3)) * needed
        sign = 1.0 if rng.random() < 0.5 or tissue.mean - recipe.darkest_hu < 3 * needed else -1.0
        rim_hu, rim_mm = sign * float(rng.uniform(1.5, 2.5)) * needed, float(rng.uniform(2.5, 5.0))
        edge = narrow
    else:
        room = max(tissue.mean - recipe.darkest_hu, needed)
        high = min(max(recipe.hypo_hu[1], 2 * needed), room)
        core = -log_uniform(rng, min(max(recipe.hypo_hu[0], needed), high), high)
        if kind == "ring":
            rim_hu = float(rng.uniform(0.3, 1.3)) * max(needed, 20.0)
            rim_mm = float(np.clip(rng.uniform(0.2, 0.4) * radius_mm, 2.5, 8.0))
            edge = min(edge, 4.5)
        if radius_mm > 9 and rng.random() < 0.5:
            necrosis = -min(float(rng.uniform(8, 30)), room + core)
    if kind in ("hypo", "hyper") and radius_mm > 6 and rng.random() < recipe.capsule_share:
        # The capsule of a dark lesion is about as bright as the liver, that of a bright one darker than it.
        rim_hu = float(rng.uniform(-10, 12)) if kind == "hypo" else core - float(rng.uniform(0.4, 1.2)) * core
        rim_mm = float(rng.uniform(1.8, 3.0))
    calm = kind == "cyst"
    return Look(
        kind=kind,
        core_hu=core,
        rim_hu=rim_hu,
        rim_mm=rim_mm,
        necrosis_hu=necrosis,
        edge_mm=edge,
        texture=0.0 if calm else float(rng.uniform(0.08, 0.5)),
        vessels_kept=0.0 if calm else float(rng.uniform(0, 0.25)),
    )


def visible_contrast(kind: str, contrast: np.ndarray) -> float:
    """The contrast (HU) by which a lesion of a kind is seen, from the values of its voxels.

    The size of the mean for those that are dark or bright as a whole; the root mean square for rings and
    iso lesions, whose rim and core may cancel out.
    """
    if kind in ("ring", "iso"):
        return float(np.sqrt(np.mean(contrast**2)))
    return abs(float(contrast.mean()))


def contrast_map(
    look: Look,
    distance: np.ndarray,
    radius_mm: float,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """HU relative to the liver, as if the lesion filled its whole box; the edge is blended in later.

    Args:
        distance: signed distance (mm) to its surface, negative inside.
    """
    contrast = np.full(distance.shape, np.float32(look.core_hu))
    if look.texture > 0:
        grain = max(3.0, radius_mm / float(rng.uniform(1.2, 4.0)))
        cells = [
            int(np.clip(round(n * s / grain), 1, 24)) for n, s in zip(distance.shape, spacing_mm, strict=True)
        ]
        strength = look.texture * min(abs(look.core_hu) + 5.0, 45.0)
        contrast += np.float32(strength) * np.clip(smooth_field(rng, distance.shape, cells), -2, 2)
    if look.necrosis_hu:
        depth = float(rng.uniform(0.25, 0.5)) * radius_mm
        contrast += np.float32(look.necrosis_hu) * soft_step(distance + depth, 0.5 * radius_mm)
    if look.rim_hu is not None:
        rim = 1 - soft_step(distance + 0.8 * look.rim_mm, max(2.4, 1.2 * look.rim_mm))
        # Rims are never equally bright all around; many are open on a side.
        rim *= np.clip(0.85 + 0.5 * smooth_field(rng, distance.shape, [2, 2, 2]), 0.0, 1.3)
        contrast += np.minimum(rim, 1) * (np.float32(look.rim_hu) - contrast)
    return contrast
