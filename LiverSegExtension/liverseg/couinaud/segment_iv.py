"""Segment IV in two: IVa above, IVb below."""

from __future__ import annotations

import numpy as np

from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB


def split_segment_iv(segments: np.ndarray) -> np.ndarray:
    """Divide segment IV into IVa (above) and IVb (below).

    The level is the mean of the heights that best separate VIII from V and II from III: the plane of the
    portal bifurcation that divides upper from lower segments on both sides.

    Args:
        segments: uint8 (z, y, x) in canonical order, labels 1..8.
    """
    levels = [
        level
        for upper, lower in ((8, 5), (2, 3))
        if (level := separating_level(segments == upper, segments == lower)) is not None
    ]
    result = segments.copy()
    if levels:
        below = result[: round(float(np.mean(levels)))]
        below[below == SEGMENT_IVA.label] = SEGMENT_IVB.label
    return result


def separating_level(upper: np.ndarray, lower: np.ndarray) -> float | None:
    """The first slice of the upper part, with the fewest voxels on the wrong side; None if one is empty."""
    above = upper.sum(axis=(1, 2)).astype(float)
    below = lower.sum(axis=(1, 2)).astype(float)
    if above.sum() == 0 or below.sum() == 0:
        return None
    wrong = (
        np.concatenate([[0.0], np.cumsum(above)]) + below.sum() - np.concatenate([[0.0], np.cumsum(below)])
    )
    best = np.flatnonzero(wrong == wrong.min())
    return float(best.mean())
