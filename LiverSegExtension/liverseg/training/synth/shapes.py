"""Outlines of planted lesions and how they push their surroundings aside."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from liverseg.phantom_shapes import smooth_min
from liverseg.training.synth.fields import Box, offsets_mm, random_rotation, smooth_field


def lesion_distance(
    box: Box,
    center: np.ndarray,
    radius_mm: float,
    spacing_mm: tuple[float, float, float],
    irregularity: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Distance (mm, first order, negative inside) to a turned, uneven ellipsoid, sometimes lobulated.

    The volume is about that of a sphere of ``radius_mm``.
    """
    z, y, x = offsets_mm(box, center, spacing_mm)
    stretch = np.exp(rng.uniform(-0.28, 0.28, 3))
    axes = radius_mm * stretch / stretch.prod() ** (1 / 3)
    turn = random_rotation(rng)
    level = np.zeros([s.stop - s.start for s in box], dtype=np.float32)
    for row, axis in zip(turn, axes, strict=True):
        along = (np.float32(row[0] / axis) * z + np.float32(row[1] / axis) * y) + np.float32(
            row[2] / axis
        ) * x
        level += along * along
    distance = (np.sqrt(level) - 1) * np.float32(radius_mm)
    if radius_mm > 6 and rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 5))):
            direction = turn @ rng.standard_normal(3)
            direction /= np.linalg.norm(direction)
            lobe = radius_mm * float(rng.uniform(0.35, 0.65))
            dz, dy, dx = direction * (radius_mm * float(rng.uniform(0.75, 1.0)))
            ball = np.sqrt((z - dz) ** 2 + (y - dy) ** 2 + (x - dx) ** 2) - np.float32(lobe)
            distance = smooth_min(distance, ball.astype(np.float32), 0.3 * radius_mm)
    uneven = float(rng.uniform(0.15, 1.0)) * irregularity
    # Bumps of about a radius, and finer ones on large lesions.
    for share, size in ((0.8, 1.0), (0.4, 0.4)):
        bump_mm = max(size * radius_mm, 2.5)
        cells = [
            int(np.clip(round(n * s / bump_mm), 1, 16)) for n, s in zip(level.shape, spacing_mm, strict=True)
        ]
        bumps = np.clip(smooth_field(rng, level.shape, cells), -2.2, 2.2)
        distance += np.float32(share * uneven * radius_mm) * bumps
    return distance


def reach_mm(radius_mm: float, irregularity: float) -> float:
    """How far from its center a shape and its edge may extend."""
    return radius_mm * (1.45 + irregularity) + 4.0


def push_aside(
    hu: np.ndarray,
    label: np.ndarray,
    offsets: list[np.ndarray],
    distance: np.ndarray,
    push_mm: float,
    radius_mm: float,
    spacing_mm: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """A box whose tissue has made way for something that grew in its middle.

    The displacement points away from the middle, is ``push_mm`` at the lesion's surface, dies down over
    the radius, and is 0 at the box's faces. It never folds: its slope stays below 0.7.

    Args:
        hu: (z, y, x) float32, scanner noise taken out (moving it would smooth it).
        label: (z, y, x) uint8, moved with the gray values (nearest).
        offsets: distances from the middle along each axis, mm.
    """
    push_mm = min(push_mm, 0.6 * 0.8 * radius_mm)
    away = np.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2) + np.float32(1e-3)
    size = push_mm * np.exp(-np.maximum(distance, 0) / (0.8 * radius_mm))
    size *= np.minimum(away / radius_mm, 1)
    for axis, n in enumerate(hu.shape):
        ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) / 4
        lines = [1, 1, 1]
        lines[axis] = -1
        size = size * np.minimum(ramp, 1).reshape(lines).astype(np.float32)
    grid = []
    for axis in (2, 1, 0):
        n = hu.shape[axis]
        lines = [1, 1, 1]
        lines[axis] = -1
        index = np.arange(n, dtype=np.float32).reshape(lines)
        source = index - size * (offsets[axis] / away) / spacing_mm[axis]
        grid.append(source * (2 / max(n - 1, 1)) - 1)
    where = torch.from_numpy(np.stack(grid, axis=-1).astype(np.float32))[None]

    def moved(volume: np.ndarray, mode: str) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
        out = F.grid_sample(tensor, where, mode=mode, padding_mode="border", align_corners=True)
        return out[0, 0].numpy()

    return moved(hu, "bilinear"), moved(label, "nearest").astype(label.dtype)
