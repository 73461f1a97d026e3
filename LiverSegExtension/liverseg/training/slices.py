"""Slices of cached scans as .npy files, and 2D and 2.5D samples from them.

A slice is kept with its neighbors as channels, so that a sample is one read from one file. The folder of
exported slices is a cache folder of its own: ``image.npy`` (n, context, y, x) and ``label.npy`` (n, y, x),
both uint8, for n chosen slices of a case, ``case.json`` and ``grid.json`` as in every cache, and
``slices.json`` with the place of each slice in the scan. The voxels are those of the cache, the grid that the
engine gives a network, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from liverseg.errors import InputRefused, UsageError
from liverseg.resample import grid_for_spacing, resize_mask
from liverseg.slicewise import neighbor_numbers, stack_slices
from liverseg.training import augment
from liverseg.training.cache import gray_on_grid
from liverseg.training.cached_cases import (
    SLICES,
    SLICES_FILE,
    CachedCase,
    CachedGrid,
    Known,
    cached_grid,
    load_cached,
    write_cached,
)
from liverseg.training.synth.weak_slices import WeakSlice
from liverseg.training.tasks import LesionTask, Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SliceChoice:
    """Which slices of a scan are kept: every one with liver or lesion, and some of the others.

    Attributes:
        empty_share: empty slices for each kept slice of liver; all there are where they are fewer.
        context: slices in all that a slice is kept with, an odd number.
        seed: of the choice among the empty ones.
    """

    empty_share: float = 0.1
    context: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.empty_share < 0:
            raise UsageError(f"a share of {self.empty_share:g} empty slices: give 0 or more")
        if self.context < 1 or self.context % 2 == 0:
            raise UsageError(f"a context of {self.context} slices: give an odd number (1, 3, 5)")


@dataclass(frozen=True, eq=False)
class SliceCase:
    """The exported slices of one scan.

    Attributes:
        cached: image (n, context, y, x), label (n, y, x) and what is known, memory-mapped.
        numbers: the place of each slice along z.
        depth: slices of the scan.
    """

    cached: CachedCase
    numbers: tuple[int, ...]
    depth: int

    def stacked(self, scores: torch.Tensor) -> torch.Tensor:
        """Class scores of these slices (n, classes, y, x) as (classes, depth, y, x), background between."""
        return stack_slices(scores, self.numbers, self.depth)


def choose_slices(label: np.ndarray, choice: SliceChoice) -> list[int]:
    """The numbers of the slices (along the first axis of a label map) to keep, rising."""
    filled = label.reshape(len(label), -1).any(axis=1)
    kept, empty = np.flatnonzero(filled), np.flatnonzero(~filled)
    count = min(len(empty), round(choice.empty_share * len(kept)))
    some = np.random.default_rng(choice.seed).choice(empty, count, replace=False)
    return sorted(int(n) for n in (*kept, *some))


def export_slices(cache: Path, case: str, folder: Path, choice: SliceChoice) -> SliceCase:
    """Write the chosen slices of a cached case into ``folder/case``.

    Raises:
        InputRefused: the case has no image (a map alone), or no slice with liver.
        UsageError: a disk that is full or cannot be written to.
    """
    whole = load_cached(cache, case)
    if whole.image is None:
        raise InputRefused(f"{case} has no image in {cache}: slices are made of CTs")
    label, image = whole.label.numpy(), whole.image.numpy()
    numbers = choose_slices(label, choice)
    if not numbers:
        raise InputRefused(f"{case} has no slice with liver in {cache}")
    table = [neighbor_numbers(n, len(label), choice.context) for n in numbers]
    counted = None if whole.counted is None else whole.counted.numpy()[numbers]
    told = {"numbers": numbers, "depth": len(label), "context": choice.context}
    arrays = label[numbers], image[np.array(table)]
    grid = _grid_of_slices(cached_grid(cache, case), choice.context)
    write_cached(folder, case, *arrays, whole.known, counted, grid=grid, slices=told)
    log.info("%s: %d of %d slices", case, len(numbers), len(label))
    return load_slices(folder, case)


def export_weak_slice(weak: WeakSlice, folder: Path, spacing_mm: float, context: int = 1) -> None:
    """Write one weakly labeled slice into ``folder/<case>``: its liver; lesions are part of it and unknown.

    Args:
        spacing_mm: of its pixels as written.
        context: slices in all that it is kept with; it has no neighbors, so it stands for them.

    Raises:
        UsageError: a disk that is full or cannot be written to.
    """
    pixel = (1.0, weak.pixel_mm, weak.pixel_mm)
    shape = grid_for_spacing((1, *weak.hu.shape), pixel, (1.0, spacing_mm, spacing_mm))
    image = gray_on_grid(weak.hu[None], shape)
    liver, known = resize_mask(weak.liver[None], shape), resize_mask(~weak.unknown[None], shape)
    told = {"numbers": [0], "depth": 1, "context": context}
    arrays = liver.astype(np.uint8), np.repeat(image[:, None], context, axis=1)
    # What stands for the neighbors lies as far away as those of a cached scan.
    grid = CachedGrid(SLICES, (spacing_mm,) * 3, context=context)
    write_cached(folder, weak.case, *arrays, Known(lesions=False), known, grid=grid, slices=told)


def _grid_of_slices(whole: CachedGrid | None, context: int) -> CachedGrid:
    """The grid of slices out of a cached scan; a scan of an older cache does not say its own."""
    if whole is None:
        return CachedGrid(SLICES, None, None, context)
    return CachedGrid(SLICES, whole.spacing_mm, whole.window_hu, context)


def load_slices(folder: Path, case: str) -> SliceCase:
    """The exported slices of one case; its arrays stay on disk until they are read.

    Raises:
        InputRefused: no exported slices, or damaged ones.
    """
    path = folder / case / SLICES_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        numbers, depth, context = tuple(map(int, told["numbers"])), int(told["depth"]), int(told["context"])
        cached = load_cached(folder, case)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{path.parent} holds no exported slices; run scripts/export_slices.py") from error
    label = cached.label
    expected = (len(numbers), context, *label.shape[1:])
    if cached.image is None or cached.image.shape != expected or len(label) != len(numbers):
        raise InputRefused(f"{path.parent}: image, label and {SLICES_FILE} differ; export it again")
    return SliceCase(cached, numbers, depth)


@dataclass(frozen=True)
class PlaneChange:
    """How far a slice may be turned, scaled and shifted in its plane; zeros for no change."""

    rotation_deg: float = 12.0
    scale: float = 0.15
    shift_voxels: float = 8.0
    gray_values: bool = True


STILL = PlaneChange(0.0, 0.0, 0.0, False)


def slice_sample(
    case: CachedCase,
    row: int,
    patch: tuple[int, int],
    rng: np.random.Generator,
    change: PlaneChange = STILL,
    center: np.ndarray | None = None,
) -> Sample:
    """One exported slice as a training sample.

    Args:
        case: with an image (n, context, y, x).
        row: which of its slices.
        patch: rows and columns of the sample; outside of the slice there is air that does not count.
        change: of the plane and the gray values.
        center: (y, x) in voxels of the slice; None for its middle.

    Returns:
        inputs (context, y, x) of 0..1; target and counted (1, y, x), as losses want a z axis.
    """
    if case.image is None:
        raise ValueError(f"{case.case} has no image in the cache")
    image, label = case.image[row].float() / 255, case.label[row].float()
    counted = torch.ones_like(label) if case.counted is None else case.counted[row].float()
    grid = _plane_grid(label.shape, patch, rng, change, center)
    nearest = _sampled(torch.stack([label, counted]), grid, "nearest")
    target, inside = nearest[0].round().long(), nearest[1] > 0.5
    inputs = _sampled(image, grid, "bilinear")
    if change.gray_values:
        organ = (target > 0)[None].expand_as(inputs)
        inputs = augment.change_gray_values(inputs, organ, rng)
    return Sample(inputs, target[None], inside[None], LesionTask.groups_of(case.known))


def _plane_grid(
    shape: Sequence[int],
    patch: tuple[int, int],
    rng: np.random.Generator,
    change: PlaneChange,
    center: np.ndarray | None,
) -> torch.Tensor:
    """Where the patch's pixels lie in a slice, (y, x, 2) in grid_sample's -1..1."""
    angle = np.deg2rad(rng.uniform(-change.rotation_deg, change.rotation_deg))
    size = np.exp(rng.uniform(-change.scale, change.scale))
    turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(shape) - 1) / 2 if center is None else np.asarray(center, dtype=float)
    middle = middle + rng.uniform(-change.shift_voxels, change.shift_voxels, 2)
    if change == STILL:
        # On whole voxels, so that nothing is blurred.
        middle = np.ceil(middle - (np.array(patch) - 1) / 2) + (np.array(patch) - 1) / 2
    axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    points = offsets @ torch.from_numpy(turn.T) + torch.from_numpy(middle)
    grid = (points * 2 + 1) / torch.tensor(list(shape), dtype=torch.float64) - 1
    return grid.flip(-1).float()


def _sampled(channels: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    grid = grid.to(channels.device)
    return F.grid_sample(channels[None], grid[None], mode=mode, padding_mode="zeros", align_corners=False)[0]
