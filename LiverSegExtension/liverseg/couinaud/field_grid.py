"""The coarse grid on which borders are read and bent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverseg.couinaud.borders import grid_positions
from liverseg.couinaud.crop import LiverCrop

FIELD_MM = 3.0


@dataclass(frozen=True, eq=False)
class FieldGrid:
    """A grid of about ``FIELD_MM`` over the box of a crop.

    Attributes:
        shape: (z, y, x).
        spacing: mm (z, y, x).
        start: (3,) mm in the crop of the first voxel's center.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    start: np.ndarray

    @staticmethod
    def of(liver: LiverCrop) -> FieldGrid:
        """The grid of a crop."""
        size = [n * s for n, s in zip(liver.mask.shape, liver.spacing, strict=True)]
        k, j, i = (max(1, round(mm / FIELD_MM)) for mm in size)
        spacing = (size[0] / k, size[1] / j, size[2] / i)
        return FieldGrid((k, j, i), spacing, (np.array(spacing) - np.array(liver.spacing)) / 2)

    def positions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mm in the crop of the voxels, three arrays that broadcast to the shape."""
        z, y, x = (p + s for p, s in zip(grid_positions(self.shape, self.spacing), self.start, strict=True))
        return z, y, x

    def index_of(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """The nearest voxels of places (n, 3), mm in the crop."""
        index = np.rint((places - self.start) / np.array(self.spacing)).astype(int)
        return tuple(np.clip(index, 0, np.array(self.shape) - 1).T)

    def gathered(self, places: np.ndarray, values: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Sum of values (n,) at places (n, 3) a voxel, smoothed."""
        flat = np.ravel_multi_index(self.index_of(places), self.shape)
        field = np.bincount(flat, values, minlength=int(np.prod(self.shape))).reshape(self.shape)
        sigma = [sigma_mm / s for s in self.spacing]
        return ndimage.gaussian_filter(field, sigma, truncate=2.5, mode="constant")
