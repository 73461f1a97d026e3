"""Foreground statistics of cached cases, for networks that see standardized HU."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from liverseg.errors import UsageError
from liverseg.intensity import SYMMETRIC, UNIT, Normalization, hu_of, standardizing
from liverseg.training.cached_cases import WINDOW, CachedCase

KINDS = ("unit", "symmetric", "foreground")
PERCENTILES = (0.5, 99.5)


def foreground_statistics(cases: Iterable[CachedCase], window: tuple[float, float] = WINDOW) -> Normalization:
    """To zero mean and unit deviation of all voxels of livers and lesions, clipped to their percentiles.

    Of the cases that are learned from alone: held-out persons say nothing. HU beyond the cache's window are
    not known and count as its ends.

    Args:
        cases: with images of 0..255 over ``window``; those without an image are passed over.

    Raises:
        UsageError: no voxel is labeled.
    """
    counts = np.zeros(256, dtype=np.int64)
    for case in cases:
        if case.image is not None:
            # Exported slices have their neighbors beside them.
            image = case.image if case.image.dim() == 3 else case.image[:, case.image.shape[1] // 2]
            counts += np.bincount(image.cpu().numpy()[case.label.cpu().numpy() > 0], minlength=256)
    if not counts.any():
        raise UsageError("the normalization is to be by the foreground, and no voxel of the cases is labeled")
    low, high = window
    hu = hu_of(np.arange(256) / 255, window)
    mean = float(np.average(hu, weights=counts))
    deviation = float(np.sqrt(np.average((hu - mean) ** 2, weights=counts)))
    shares = 100 * np.cumsum(counts) / counts.sum()
    clip = [float(hu[np.searchsorted(shares, percentile)]) for percentile in PERCENTILES]
    if clip[0] == clip[1]:
        clip = [low, high]
    return standardizing(mean, deviation, (clip[0], clip[1]), window)


def normalization_of(kind: str, cases: Iterable[CachedCase]) -> Normalization:
    """The normalization of that name, for a run over these cases.

    Raises:
        UsageError: no such kind, or as :func:`foreground_statistics`.
    """
    if kind not in KINDS:
        raise UsageError(f"no normalization {kind!r}; it may be {', '.join(KINDS)}")
    if kind == "foreground":
        return foreground_statistics(cases)
    return SYMMETRIC if kind == "symmetric" else UNIT
