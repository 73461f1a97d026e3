"""The two stages: where the liver is, and what lies in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from liverseg.aorta import find_aorta
from liverseg.bright_neighbors import without_bright_neighbors
from liverseg.bundle import Bundle, NetworkCard, load_network
from liverseg.device import Rung, free_memory_bytes, is_out_of_memory, ladder, needed
from liverseg.errors import ModelError, OutOfMemory
from liverseg.geometry import bounding_box
from liverseg.hollows import fill_hollows
from liverseg.intensity import hu_of, normalize_hu
from liverseg.labels import HEPATIC_VEINS, PORTAL_VEIN
from liverseg.lesion_masks import claims, lesions_among
from liverseg.lesion_rules import rules_from_card
from liverseg.postprocess import fill_holes, keep_main_parts
from liverseg.progress import Progress, silent
from liverseg.resample import grid_for_spacing, resize, resize_mask
from liverseg.rim_fluid import rim_fluid
from liverseg.slicewise import card_scores
from liverseg.views import scores_in_views

log = logging.getLogger(__name__)

Box = tuple[slice, slice, slice]
T = TypeVar("T")

# Below this there is no liver worth reading out (a child's liver has some 200 ml).
SMALLEST_LIVER_ML = 60.0
# Pieces of stage 1 below this share of the largest are other organs; a liver cut in two keeps both parts.
SMALLEST_PART = 0.1
# Room around the liver that stage 2 sees.
MARGIN_MM = 20.0
# Enclosed gaps that are filled: vessels and fat within the liver, not the gallbladder fossa or the cava.
LARGEST_HOLE_ML = 3.0
# Hollows of the rough liver are looked for on a grid of at least this spacing.
HOLLOWS_SPACING_MM = 4.0
# How far the fine liver may reach beyond the rough one.
REACH_MM = 10.0
# In a filled hollow the liver must be so much likelier, unless a lesion may be there.
STRICTER_IN_HOLLOW, LESION_IN_HOLLOW = 0.15, 0.2
OVERLAP = {"fast": 0.125, "full": 0.4}


@dataclass(frozen=True, eq=False)
class RoughLiver:
    """What stage 1 found, in canonical order.

    Attributes:
        mask: the liver, bool on the coarse grid.
        box: of the liver with its surroundings, on the CT's grid.
        aorta: bool on the CT's grid; None where the network knows none.
    """

    mask: np.ndarray
    box: Box
    aorta: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FineMasks:
    """Stage 2's masks on the crop (canonical order), and the lesion probability there.

    ``vessels`` is uint8 (1 portal vein, 2 hepatic veins) inside the liver; None where the network knows none.
    ``segments`` is uint8 (1..8, everywhere) of a network with two heads; None of any other.
    """

    liver: np.ndarray
    lesions: np.ndarray
    lesion_score: np.ndarray
    vessels: np.ndarray | None = None
    segments: np.ndarray | None = None


@dataclass(frozen=True)
class Ran:
    """What a stage ran on, and warnings about rungs that did not hold."""

    rung: Rung
    warnings: tuple[str, ...]


def on_ladder(device: str, work: Callable[[Rung], T], largest_tile: float = 1.0) -> tuple[T, Ran]:
    """Do ``work`` on the first rung of the memory ladder that holds, with no tile above the largest.

    Raises:
        OutOfMemory: none does.
    """
    warnings: list[str] = []
    rungs = list(ladder(device, largest_tile))
    for rung in rungs:
        free = free_memory_bytes(rung.device)
        if free is not None and free < needed(rung) and rung != rungs[-1]:
            warnings.append(f"too little memory is free for {rung.describe()}; tried the next smaller way")
            log.info(warnings[-1])
            continue
        try:
            return work(rung), Ran(rung, tuple(warnings))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            warnings.append(f"out of memory on {rung.describe()}; tried the next smaller way")
            log.info(warnings[-1])
        if rung.device == "cuda":
            torch.cuda.empty_cache()
    raise OutOfMemory("out of memory on every rung (GPU, small tiles, CPU); close programs or crop the CT")


def hu_window(card: NetworkCard) -> tuple[float, float]:
    """The HU range of a network that takes a CT.

    Raises:
        ModelError: the card names none.
    """
    if card.window_hu is None:
        raise ModelError(f"the model card has no window_hu for {card.stage}; copy the bundle again")
    return card.window_hu


def find_liver(
    hu: np.ndarray,
    spacing: tuple[float, float, float],
    bundle: Bundle,
    device: str,
    progress: Progress = silent,
    largest_tile: float = 1.0,
) -> tuple[RoughLiver | None, Ran]:
    """Stage 1 over the whole volume.

    Args:
        hu: (z, y, x) canonical CT.
        spacing: voxel size in mm (z, y, x).
        largest_tile: factor on the card's patch (1 or 0.5).

    Returns:
        None for the liver when there is none.
    """
    network = load_network(bundle, "stage1")
    card = bundle.networks["stage1"]
    shape = grid_for_spacing(hu.shape, spacing, card.grid_spacing(hu.shape, spacing))
    window = hu_window(card)
    inputs = resize(torch.from_numpy(normalize_hu(hu, window)), shape)[None]
    overlap = 0.25 if card.overlap is None else card.overlap
    scores, ran = on_ladder(
        device,
        lambda rung: card_scores(network, card, inputs, rung, overlap, progress=progress),
        largest_tile,
    )
    # A network that tells lesions from the liver may find the liver, too.
    inside = score_of("liver", scores, card.classes) + score_of("lesion", scores, card.classes)
    mask = keep_main_parts(inside.numpy() > 0.5, SMALLEST_PART)
    coarse_spacing = [n * s / c for n, s, c in zip(hu.shape, spacing, shape, strict=True)]
    seen = hu_of(inputs[0].numpy(), window)
    mask = keep_main_parts(without_bright_neighbors(mask, seen, coarse_spacing), SMALLEST_PART)
    voxel_ml = float(np.prod(coarse_spacing)) / 1000
    if mask.sum() * voxel_ml < SMALLEST_LIVER_ML:
        return None, ran
    coarse = bounding_box(mask)
    assert coarse is not None
    box = []
    for axis in range(3):
        ratio = hu.shape[axis] / shape[axis]
        margin = MARGIN_MM / spacing[axis]
        low = max(0, int(np.floor(coarse[axis].start * ratio - margin)))
        high = min(hu.shape[axis], int(np.ceil(coarse[axis].stop * ratio + margin)))
        box.append(slice(low, high))
    return RoughLiver(mask, (box[0], box[1], box[2]), find_aorta(scores, card.classes, hu.shape)), ran


def mask_on_crop(
    rough: RoughLiver, full_shape: tuple[int, ...], crop_shape: tuple[int, int, int]
) -> torch.Tensor:
    """Stage 1's mask (0/1, float) on a grid of ``crop_shape`` voxels over its box."""
    axes = []
    for axis, part in enumerate(rough.box):
        # Voxel centers of the crop's grid, as fractions of the whole scan, in grid_sample's -1..1.
        line = (torch.arange(crop_shape[axis]) + 0.5) / crop_shape[axis]
        axes.append((part.start + line * (part.stop - part.start)) / full_shape[axis] * 2 - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flip(-1)[None].float()
    soft = torch.nn.functional.grid_sample(
        torch.from_numpy(rough.mask.astype(np.float32))[None, None],
        grid,
        padding_mode="border",
        align_corners=False,
    )
    return (soft[0, 0] > 0.5).float()


def without_hollows(known: torch.Tensor, hu: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
    """The rough liver with its hollows filled, but for what is far brighter than liver.

    Args:
        known: stage 1's mask (0/1, float; z, y, x).
        hu: the CT on the same grid, perhaps clipped to a window.
        spacing: of that grid, in mm (z, y, x).

    Returns:
        A mask like ``known``, never less than it.
    """
    shape = grid_for_spacing(known.shape, spacing, [max(step, HOLLOWS_SPACING_MM) for step in spacing])
    steps = [n * step / m for n, step, m in zip(known.shape, spacing, shape, strict=True)]
    filled = fill_hollows((resize(known, shape) > 0.5).numpy(), steps)
    filled = without_bright_neighbors(filled, resize(hu, shape).numpy(), steps)
    return torch.maximum(known, torch.from_numpy(resize_mask(filled, known.shape)).float())


def stricter_in_hollows(liver: torch.Tensor, lesion: torch.Tensor, hollow: torch.Tensor) -> torch.Tensor:
    """The liver's probability, lesions included, lowered in filled hollows, where more is asked for.

    Args:
        liver, lesion: probabilities (z, y, x).
        hollow: bool, what was filled.
    """
    return torch.where(hollow & (lesion < LESION_IN_HOLLOW), liver - STRICTER_IN_HOLLOW, liver)


def grown(mask: torch.Tensor, voxels: Sequence[int]) -> torch.Tensor:
    """A mask (0/1) dilated by a box of so many voxels (z, y, x) to each side, as bool."""
    wide = mask[None, None]
    for axis, reach in enumerate(voxels):
        kernel = [2 * reach + 1 if a == axis else 1 for a in range(3)]
        wide = torch.nn.functional.max_pool3d(wide, kernel, 1, [size // 2 for size in kernel])
    return wide[0, 0] > 0


def find_lesions(
    hu: np.ndarray,
    spacing: tuple[float, float, float],
    rough: RoughLiver,
    bundle: Bundle,
    device: str,
    quality: str = "full",
    progress: Progress = silent,
    largest_tile: float = 1.0,
) -> tuple[FineMasks | None, Ran]:
    """Stage 2 over the crop: the liver's fine border and its lesions; None when too little is left.

    Args:
        hu: (z, y, x) canonical CT, whole.
        spacing: voxel size in mm (z, y, x).
        quality: "fast" or "full": how far windows overlap, and whether all views of the card are looked at.
        largest_tile: factor on the card's patch (1 or 0.5).
    """
    network = load_network(bundle, "stage2")
    card = bundle.networks["stage2"]
    crop = hu[rough.box]
    target = card.grid_spacing(hu.shape, spacing)
    shape = grid_for_spacing(crop.shape, spacing, target)
    window = hu_window(card)
    finest = torch.from_numpy(normalize_hu(crop, window))
    image = resize(finest, shape)
    known = mask_on_crop(rough, hu.shape, shape)
    shown = without_hollows(known, torch.from_numpy(hu_of(image.numpy(), window)), target)
    near = grown(shown, [int(round(REACH_MM / step)) for step in target])
    # A network that was trained on the CT alone does not see stage 1's liver.
    masks = [shown][: int(card.network["in_channels"]) - 1]
    overlap = OVERLAP[quality] if card.overlap is None else card.overlap

    def look(rung: Rung) -> torch.Tensor:
        if card.views and quality == "full":
            return scores_in_views(network, card, finest, spacing, masks, near, rung, overlap, progress)
        return card_scores(network, card, torch.stack([image, *masks]), rung, overlap, near, progress)

    scores, ran = on_ladder(device, look, largest_tile)
    scores[1:] *= near
    rules = rules_from_card(bundle.card.get("postprocessing", {}))
    lesion = score_of("lesion", scores, card.classes)
    lesion_score = resize(lesion, crop.shape).numpy()
    # A network for lesions alone leaves the liver as stage 1 found it.
    finds_liver = any(name.split()[0] == "liver" for name in card.classes)
    inside = scores[1:].sum(dim=0) if finds_liver else torch.maximum(known, scores[1] * near)
    inside = stricter_in_hollows(inside, lesion, shown > known)
    liver_score = resize(inside, crop.shape).numpy()
    voxel_ml = float(np.prod(spacing)) / 1000
    liver = keep_main_parts(liver_score > rules.liver_threshold, 0.02)
    if liver.sum() * voxel_ml < SMALLEST_LIVER_ML:
        return None, ran
    liver = fill_holes(liver, LARGEST_HOLE_ML / voxel_ml)
    claimed = claims(lesion_score, liver, rules.lesion_threshold, rules.largest_hole_ml / voxel_ml)
    lesions = lesions_among(claimed, lesion_score, liver, crop, spacing, rules)
    # A gallbladder is no liver either, where the claim is too unsure to be a lesion.
    fluid = rim_fluid(claimed | lesions, liver, known.numpy() > 0, crop, spacing)
    liver, lesions = liver & ~fluid, lesions & ~fluid
    vessels = vessels_in(scores, card.classes, liver & ~lesions)
    return FineMasks(
        liver, lesions, lesion_score, vessels, segments_in(scores, card.classes, crop.shape)
    ), ran


def score_of(tissue: str, scores: torch.Tensor, classes: tuple[str, ...]) -> torch.Tensor:
    """The score of a tissue, over all segments where the network tells them apart ("lesion I", ...)."""
    return scores[[n for n, name in enumerate(classes) if name.split()[0] == tissue]].sum(dim=0)


def vessels_in(scores: torch.Tensor, classes: tuple[str, ...], where: np.ndarray) -> np.ndarray | None:
    """Vessels where they are likelier than everything else together, told apart by the larger score.

    Args:
        scores: (classes, z, y, x) on the network's grid.
        classes: their names; without "portal vein" and "hepatic vein" there are no vessels.
        where: bool, on the finer grid of the result.

    Returns:
        uint8 of ``where``'s shape: 1 portal vein, 2 hepatic veins.
    """
    if not {"portal vein", "hepatic vein"} <= set(classes):
        return None
    portal, hepatic = (
        resize(scores[classes.index(name)], where.shape).numpy() for name in ("portal vein", "hepatic vein")
    )
    found = np.where(portal >= hepatic, np.uint8(PORTAL_VEIN.label), np.uint8(HEPATIC_VEINS.label))
    return np.where(where & (portal + hepatic > 0.5), found, np.uint8(0))


def segments_in(
    scores: torch.Tensor, classes: tuple[str, ...], shape: tuple[int, int, int]
) -> np.ndarray | None:
    """The likeliest Couinaud segment of each voxel, whatever its tissue.

    Args:
        scores: (classes, z, y, x) on the network's grid.
        classes: their names; without "liver I" and so on there are no segments.
        shape: of the finer grid of the result.

    Returns:
        uint8 1..8.
    """
    # Named "liver I" to "liver VIII", in this order.
    numerals = [name.split()[1] for name in classes if name.startswith("liver ")]
    if not numerals:
        return None
    best = torch.full(shape, -1.0)
    found = torch.zeros(shape, dtype=torch.uint8)
    for number, numeral in enumerate(numerals, start=1):
        both = [n for n, name in enumerate(classes) if name.split()[-1] == numeral]
        score = resize(scores[both].sum(dim=0), shape)
        found[score > best] = number
        best = torch.maximum(best, score)
    return found.numpy()
