"""Patches of known tissue for the tests of planted, pasted and warped lesions."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

SPACING = (1.5, 1.5, 1.5)
LIVER_HU, FAT_HU, NOISE_HU = 105.0, -95.0, 11.0


def made_patch(
    seed: int = 0,
    shape: tuple[int, int, int] = (64, 96, 96),
    noise: float = NOISE_HU,
    liver_hu: float = LIVER_HU,
) -> tuple[np.ndarray, np.ndarray]:
    """HU (float32) and label of a patch: a liver with a curved border in fat, with noise, without vessels."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    liver = (z / 1.3) ** 2 + ((y + 0.1) / 0.95) ** 2 + ((x - 0.15) / 1.05) ** 2 < 1
    hu = gaussian_filter(np.where(liver, liver_hu, FAT_HU).astype(np.float32), 0.5)
    hu += rng.normal(0, noise, shape).astype(np.float32)
    return hu, liver.astype(np.uint8)


def with_lesion(
    hu: np.ndarray,
    label: np.ndarray,
    center: tuple[int, int, int],
    radius_voxels: tuple[float, float, float],
    contrast_hu: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A copy with an ellipsoid of lesion (semi-axes in voxels) of constant contrast."""
    index = np.indices(label.shape)
    level = sum(((index[a] - center[a]) / radius_voxels[a]) ** 2 for a in range(3))
    inside = (level < 1) & (label > 0)
    return hu + inside * np.float32(contrast_hu), np.where(inside, 2, label).astype(np.uint8)
