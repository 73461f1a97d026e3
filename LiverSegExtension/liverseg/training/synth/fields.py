"""Smooth random fields, boxes and noise: what all made-up changes of a patch are built of.

Arrays are (z, y, x). Everything is deterministic from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation

Box = tuple[slice, slice, slice]
LIVER, LESION = 1, 2
# Noise beyond so many standard deviations is an edge or a vessel and belongs to the anatomy.
NOISE_LIMIT = 2.2
# Scales the median absolute deviation to the standard deviation of a normal distribution.
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Tissue:
    """The liver around a place: its mean HU and the standard deviation of a single voxel (robust, HU)."""

    mean: float
    sd: float


def local_tissue(hu: np.ndarray, liver: np.ndarray, fallback_sd: float = 10.0) -> Tissue | None:
    """Median and median absolute deviation of the liver voxels of a box; None for fewer than 30 voxels.

    Both are robust against the vessels, which fill less than a fifth of a liver.
    """
    values = hu[liver]
    if len(values) < 30:
        return None
    if len(values) > 20_000:
        values = values[:: len(values) // 10_000]
    mean = float(np.median(values))
    sd = MAD_TO_SD * float(np.median(np.abs(values - mean)))
    # A constant patch (a phantom without noise) still needs a scale.
    return Tissue(mean, sd if sd > 0.5 else fallback_sd)


def is_liver(label: np.ndarray) -> np.ndarray:
    """Where a label shows liver without lesion: every code but 0 and 2; codes above 2 are its vessels."""
    return (label > 0) & (label != LESION)


def box_around(center: np.ndarray, reach_voxels: np.ndarray, shape: Sequence[int]) -> Box:
    """The part of an array within ``reach_voxels`` of a place (voxels)."""
    low = np.maximum(np.floor(center - reach_voxels).astype(int), 0)
    high = np.minimum(np.ceil(center + reach_voxels).astype(int) + 1, shape)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def offsets_mm(box: Box, center: np.ndarray, spacing_mm: Sequence[float]) -> list[np.ndarray]:
    """Distance along each axis of the box's voxels from a place, in mm, as three broadcastable arrays."""
    lines = []
    for axis, part in enumerate(box):
        line = (np.arange(part.start, part.stop, dtype=np.float32) - np.float32(center[axis])) * np.float32(
            spacing_mm[axis]
        )
        shape = [1, 1, 1]
        shape[axis] = -1
        lines.append(line.reshape(shape))
    return lines


@lru_cache(maxsize=256)
def _spline_rows(count: int, cells: int) -> np.ndarray:
    """(count, cells + 3) weights of cubic B-splines whose knots divide ``count`` voxels into ``cells``."""
    place = (np.arange(count) + 0.5) / count * cells
    first = np.minimum(place.astype(int), cells - 1)
    t = place - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    rows = np.zeros((count, cells + 3), dtype=np.float32)
    np.put_along_axis(rows, first[:, None] + np.arange(4)[None], weights.astype(np.float32), axis=1)
    return rows


def smooth_field(rng: np.random.Generator, shape: Sequence[int], cells: Sequence[int]) -> np.ndarray:
    """A twice differentiable random field (float32) of about unit deviation.

    Args:
        shape: voxels (z, y, x).
        cells: grid cells along each axis; the field changes its sign about once a cell.
    """
    field = rng.standard_normal([c + 3 for c in cells]).astype(np.float32)
    for axis in range(3):
        field = np.moveaxis(np.tensordot(_spline_rows(shape[axis], cells[axis]), field, (1, axis)), 0, axis)
    # A cubic B-spline sum of unit normals has a variance of 0.479 along each axis (mean over a cell).
    return np.ascontiguousarray(field / np.float32(0.479**1.5))


def average_3(volume: np.ndarray) -> np.ndarray:
    """Mean over 3x3x3 voxels (float32); at the faces over those that are there."""
    tensor = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
    return F.avg_pool3d(tensor, 3, 1, 1, count_include_pad=False)[0, 0].numpy()


def split_noise(hu: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Anatomy and scanner noise of a box: the noise is the fine grain within ``NOISE_LIMIT`` deviations."""
    noise = hu - average_3(hu)
    np.clip(noise, -NOISE_LIMIT * sd, NOISE_LIMIT * sd, out=noise)
    return hu - noise, noise


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly distributed 3x3 rotation."""
    return Rotation.from_quat(rng.standard_normal(4)).as_matrix()


def soft_step(distance: np.ndarray, width: float) -> np.ndarray:
    """1 inside (negative distance), 0 outside, with a smooth edge ``width`` mm wide around 0."""
    share = np.clip(0.5 - distance / np.float32(width), 0, 1)
    return share * share * (3 - 2 * share)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Evenly distributed on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
