"""Gray values as the engine takes them: int16 or float32 HU without holes."""

from __future__ import annotations

import numpy as np

from liverseg.errors import InputRefused

# Hounsfield units of air, what scanners fill the outside with, and what replaces NaN.
AIR_HU = -1024


def numbered(array: np.ndarray) -> np.ndarray:
    """The array with ``AIR_HU`` in place of what is no number (NaN, infinite); itself without such."""
    if array.dtype.kind != "f":
        return array
    finite = np.isfinite(array)
    return array if finite.all() else np.where(finite, array, array.dtype.type(AIR_HU))


def gray_values(array: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """int16 or float32 values without NaN, and a warning when some had to be replaced by air.

    Raises:
        InputRefused: nothing but NaN, or one value everywhere.
    """
    warnings: tuple[str, ...] = ()
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        finite = np.isfinite(array)
        if not finite.any():
            raise InputRefused(f"{name} holds nothing but NaN: export the scan again from its DICOM files.")
        low, high = float(array[finite].min()), float(array[finite].max())
        if not finite.all():
            share = 100.0 * (1.0 - finite.mean())
            array = numbered(array)
            warnings = (
                f"{share:.2g} % of the voxels had no number (NaN or infinite); they are taken as air.",
            )
    else:
        low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputRefused(f"{name} is constant (every voxel is {low:g}): export the scan again.")
    if array.dtype.kind in "iu":
        limits = np.iinfo(np.int16)
        fits = limits.min <= low and high <= limits.max
        array = array.astype(np.int16 if fits else np.float32, copy=False)
    return array, warnings
