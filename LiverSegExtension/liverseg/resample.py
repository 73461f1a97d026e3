"""Separable resampling between grids that cover the same box.

Input and output grids share their outer voxel faces, so that going to another size and back keeps
everything in place. When a grid gets coarser the triangle kernel widens with the ratio (as in Pillow's
reduce), so noise and thin slices are averaged and not picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch


def grid_for_spacing(
    shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]
) -> tuple[int, int, int]:
    """The number of voxels along each axis whose size comes nearest to ``target`` mm, at least one."""
    k, j, i = (max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
    return k, j, i


@lru_cache(maxsize=64)
def _weights(n_in: int, n_out: int) -> torch.Tensor:
    """(n_out, n_in) rows of a triangle kernel that sum to 1; edges are clamped."""
    ratio = n_in / n_out
    support = max(1.0, ratio)
    centers = (torch.arange(n_out, dtype=torch.float64) + 0.5) * ratio - 0.5
    reach = int(np.ceil(support)) + 1
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    index = torch.floor(centers)[:, None] + offsets[None, :]
    weight = (1.0 - (index - centers[:, None]).abs() / support).clamp(min=0.0)
    matrix = torch.zeros(n_out, n_in, dtype=torch.float64)
    matrix.scatter_add_(1, index.clamp(0, n_in - 1).long(), weight)
    return (matrix / matrix.sum(1, keepdim=True)).float()


def resize(volume: torch.Tensor, shape: Sequence[int], box: Sequence[slice] | None = None) -> torch.Tensor:
    """Resample the last three axes of a float tensor to ``shape``, or to a ``box`` of it alone.

    Linear where the grid gets finer, area-weighted where it gets coarser. Axes that shrink most are
    taken first, which keeps the work and the memory small.
    """
    order = sorted(range(3), key=lambda a: shape[a] / volume.shape[a - 3])
    for axis in order:
        n_in, n_out = volume.shape[axis - 3], int(shape[axis])
        part = slice(None) if box is None else box[axis]
        if n_in == n_out and box is None:
            continue
        weights = _weights(n_in, n_out)[part].to(volume.device, volume.dtype)
        moved = volume.movedim(axis - 3, -2)
        volume = torch.matmul(weights, moved).movedim(-2, axis - 3)
    return volume.contiguous()


def resize_mask(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A boolean mask on another grid of the same box: true where more than half of the voxel is covered."""
    return (resize(torch.from_numpy(mask.astype(np.float32)), shape) > 0.5).numpy()


def resize_labels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An integer label map on another grid of the same box, each voxel taking its largest share."""
    values = [int(v) for v in np.unique(labels)]
    best = torch.full(tuple(shape), -1.0)
    result = torch.zeros(tuple(shape), dtype=torch.int32)
    for value in values:
        share = resize(torch.from_numpy((labels == value).astype(np.float32)), shape)
        better = share > best
        best[better] = share[better]
        result[better] = value
    return result.numpy().astype(labels.dtype)


def resize_best_class(
    scores: torch.Tensor, shape: Sequence[int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The class of largest interpolated score at each voxel of a finer grid, and that score.

    Classes are interpolated one after the other, so that no (classes, volume) array is ever held.

    Args:
        scores: (classes, z, y, x) float.
        shape: size of the finer grid of the same box.
    """
    best = resize(scores[0], shape)
    winner = torch.zeros(tuple(shape), dtype=torch.uint8)
    for index in range(1, scores.shape[0]):
        score = resize(scores[index], shape)
        better = score > best
        winner.masked_fill_(better, index)
        best = torch.maximum(best, score, out=best)
    return winner.numpy(), best.numpy()
