"""Dice slice by slice, along the axis of the scan that lies nearest to the patient's.

A slice counts for a structure when truth or prediction has some of it there: an empty slice that was left
empty would have Dice 1 and only say how much of the scan is not liver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverseg.evaluation.overlap import Overlap
from liverseg.geometry import CanonicalOrder, Geometry

# The lower, middle and upper third of the true liver.
THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True)
class SliceScore:
    """One slice in which there is something to score.

    Attributes:
        name: where it is in the files, such as ``"k = 42"``.
        position: 0 in the lowest slice of the true liver, 1 in its highest; beyond it below 0 or above 1.
            None when the truth has no liver.
        liver, lesions: None where neither truth nor prediction has any of it.
    """

    name: str
    position: float | None
    liver: Overlap | None
    lesions: Overlap | None

    @property
    def third(self) -> str | None:
        """One of :data:`THIRDS`; None beyond the true liver."""
        if self.position is None or not 0 <= self.position <= 1:
            return None
        return THIRDS[min(int(3 * self.position), 2)]


def slice_scores(
    truth: tuple[np.ndarray, np.ndarray],
    predicted: tuple[np.ndarray, np.ndarray],
    geometry: Geometry,
) -> tuple[SliceScore, ...]:
    """The slices of a scan from below upwards.

    Args:
        truth, predicted: liver (with lesions) and lesions, bool, (k, j, i) on the grid ``geometry``.
    """
    order = CanonicalOrder.of(geometry)
    counts = [
        _counted(order.apply(own), order.apply(found)) for own, found in zip(truth, predicted, strict=True)
    ]
    canonical = order.geometry(geometry)
    area = canonical.shape[1] * canonical.shape[2]
    levels = np.flatnonzero(counts[0].in_truth)
    lowest, highest = (int(levels[0]), int(levels[-1])) if len(levels) else (0, 0)
    rows = []
    for level in np.flatnonzero(counts[0].any | counts[1].any):
        position = (level - lowest) / max(highest - lowest, 1) if len(levels) else None
        own = canonical.shape[0] - 1 - level if order.flips[0] else level
        liver, lesions = (count.overlap(int(level), area, geometry.voxel_volume_ml) for count in counts)
        name = f"{'kji'[order.axes[0]]} = {own}"
        rows.append(SliceScore(name, None if position is None else float(position), liver, lesions))
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class _Counts:
    in_truth: np.ndarray
    in_predicted: np.ndarray
    both: np.ndarray

    @property
    def any(self) -> np.ndarray:
        return (self.in_truth > 0) | (self.in_predicted > 0)

    def overlap(self, level: int, area: int, voxel_ml: float) -> Overlap | None:
        if not self.any[level]:
            return None
        truth, predicted, both = (int(c[level]) for c in (self.in_truth, self.in_predicted, self.both))
        return Overlap(both, truth - both, predicted - both, area - truth - predicted + both, voxel_ml)


def _counted(truth: np.ndarray, predicted: np.ndarray) -> _Counts:
    return _Counts(*(np.count_nonzero(m, axis=(1, 2)) for m in (truth, predicted, truth & predicted)))


def distribution(dices: Sequence[float]) -> dict[str, object]:
    """Count, mean, quartiles, and the share of slices that were missed (Dice 0) or poor (below 0.5)."""
    if not dices:
        return {"slices": 0, "mean": None, "quartiles": None, "missed_share": None, "below_half_share": None}
    values = np.array(dices, dtype=float)
    return {
        "slices": len(values),
        "mean": float(values.mean()),
        "quartiles": [float(q) for q in np.percentile(values, (25, 50, 75))],
        "missed_share": float(np.mean(values == 0)),
        "below_half_share": float(np.mean(values < 0.5)),
    }


def slice_summary(cases: Sequence[Sequence[SliceScore]]) -> dict[str, object]:
    """The distribution over all slices of all cases, and the mean by third of the liver."""
    slices = [score for case in cases for score in case]
    result: dict[str, object] = {}
    for name in ("liver", "lesions"):
        known = [(s.third, overlap.dice) for s in slices if (overlap := getattr(s, name)) is not None]
        by_third = {third: [dice for place, dice in known if place == third] for third in (*THIRDS, None)}
        result[name] = distribution([dice for _, dice in known]) | {
            "mean_by_third": {
                third or "beyond the true liver": float(np.mean(values)) if values else None
                for third, values in by_third.items()
            }
        }
    return result
