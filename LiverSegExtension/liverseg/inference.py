"""A network over a volume: overlapping windows, blended, with progress between windows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.data.utils import compute_importance_map, dense_patch_slices

from liverseg.device import Rung
from liverseg.networks import channels_last
from liverseg.progress import Progress, silent

log = logging.getLogger(__name__)


def window_size(
    shape: Sequence[int], patch: Sequence[int], levels: int | Sequence[int], tile: float
) -> tuple[int, ...]:
    """The window for a volume: the card's patch times ``tile``, no larger than the volume needs.

    Sides are multiples of ``2 ** (levels - 1)``, which the network halves so often (one number, or one an
    axis). An axis that is only a little longer than the patch is taken in one window.
    """
    each = [levels] * len(shape) if isinstance(levels, int) else list(levels)
    multiples = [2 ** (n - 1) for n in each]
    sides = []
    for size, side, multiple in zip(shape, patch, multiples, strict=True):
        wanted = max(multiple, int(side * tile))
        if size <= wanted * 1.25:
            wanted = min(max(size, multiple), int(wanted * 1.25) + multiple)
        sides.append(-(-wanted // multiple) * multiple)
    halved = [axis for axis, n in enumerate(each) if n > 1]
    if halved and all(sides[axis] == multiples[axis] for axis in halved):
        # One voxel is left at the bottom then, and instance normalization needs two.
        sides[halved[0]] *= 2
    return tuple(sides)


def sliding_scores(
    network: torch.nn.Module,
    inputs: torch.Tensor,
    patch: Sequence[int],
    levels: int | Sequence[int],
    rung: Rung,
    overlap: float = 0.25,
    where: torch.Tensor | None = None,
    progress: Progress = silent,
) -> torch.Tensor:
    """Class probabilities over a volume.

    Args:
        network: takes (1, channels, z, y, x).
        inputs: (channels, z, y, x) float32 on the CPU; 0 is what lies outside the volume.
        patch: window (z, y, x) in voxels.
        levels: resolution levels of the network, one number or one an axis.
        rung: device, precision and tile factor.
        overlap: share of a window that neighbors cover too.
        where: (z, y, x) bool; windows without any true voxel are skipped (their class is 0).
        progress: called after each window with the share done.

    Returns:
        (classes, z, y, x) float32 on the CPU.

    Raises:
        liverseg.errors.Cancelled: from ``progress``.
    """
    shape = tuple(inputs.shape[1:])
    window = window_size(shape, patch, levels, rung.tile)
    padded = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    before = [(p - n) // 2 for p, n in zip(padded, shape, strict=True)]
    pads = [q for b, p, n in reversed(list(zip(before, padded, shape, strict=True))) for q in (b, p - n - b)]
    volume = F.pad(inputs, pads)
    inside = F.pad(where, pads) if where is not None else None
    step = [p if p == w else max(1, int(w * (1 - overlap))) for p, w in zip(padded, window, strict=True)]
    boxes = [
        box for box in dense_patch_slices(padded, window, step) if inside is None or bool(inside[box].any())
    ]
    importance = compute_importance_map(window, mode="gaussian", sigma_scale=0.2).clamp(min=1e-3)
    device = torch.device(rung.device)
    network = channels_last(network).to(device)
    scores: torch.Tensor | None = None
    weight = torch.zeros(padded)
    for done, box in enumerate(boxes):
        part = volume[(slice(None), *box)][None].to(device).contiguous(memory_format=torch.channels_last_3d)
        with (
            torch.inference_mode(),
            torch.autocast(device.type, rung.dtype, enabled=rung.precision != "fp32"),
        ):
            logits = network(part)
        probability = torch.softmax(logits.float(), dim=1)[0].cpu()
        if scores is None:
            scores = torch.zeros((probability.shape[0], *padded))
        scores[(slice(None), *box)] += probability * importance
        weight[box] += importance
        progress((done + 1) / len(boxes), f"window {done + 1} of {len(boxes)}")
    if scores is None:
        raise ValueError("no window holds a voxel of interest")
    scores /= weight.clamp(min=1e-6)
    scores[0][weight == 0] = 1.0
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    return scores[(slice(None), *inner)].clone()
