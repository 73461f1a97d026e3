"""A rising curve from a network's score to the share of true lesions, without a law behind it.

Pool adjacent violators (Ayer et al., Ann Math Stat 1955; for probabilities Zadrozny and Elkan, KDD 2002):
lesions in the order of their score are pooled until shares rise; between the pools the curve is linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IsotonicCalibration:
    """``shares`` at ``scores``, both rising; linear between them, and level beyond the ends."""

    scores: tuple[float, ...]
    shares: tuple[float, ...]

    def probability(self, features: npt.ArrayLike) -> Vector:
        """Probability 0..1 (n,) of lesions of features (n, m), of which the first is the mean score."""
        rows = np.asarray(features, dtype=np.float64)
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        return np.interp(rows[:, 0], self.scores, self.shares)


def fit_isotonic(scores: npt.ArrayLike, is_true: npt.ArrayLike) -> IsotonicCalibration:
    """The rising curve with the least squared error.

    No share is nearer to 0 or 1 than one lesion more of the other kind would bring it.

    Args:
        scores: (n,), n at least 1.
        is_true: (n,).
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(is_true, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    # Share, count, and the mean score of each pool.
    pools: list[list[float]] = []
    for score, yes in zip(values[order], truth[order], strict=True):
        pools.append([float(yes), 1.0, float(score)])
        while len(pools) > 1 and (pools[-2][0] >= pools[-1][0] or pools[-2][2] == pools[-1][2]):
            share, count, mean = pools.pop()
            other = pools[-1]
            total = other[1] + count
            pools[-1] = [
                (other[0] * other[1] + share * count) / total,
                total,
                (other[2] * other[1] + mean * count) / total,
            ]
    end = 1.0 / (len(values) + 2)
    shares = np.clip([pool[0] for pool in pools], end, 1 - end)
    return IsotonicCalibration(tuple(pool[2] for pool in pools), tuple(shares.tolist()))
