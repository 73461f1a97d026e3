"""Two evaluations of the same cases, person by person.

Differences are "this minus other", of the mean over each person's cases; a person counts once. The
confidence interval is a percentile bootstrap over persons (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13), the test Wilcoxon's signed ranks (Biometrics Bulletin, 1945) in which
differences of zero say nothing. Several scores are tested side by side and none is corrected for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

RESAMPLES = 10_000
LEVEL = 0.95
# Under chance alone all of n differences have one sign in 2 of 2 ** n trials, and any interval then leaves
# zero out: 25 % of trials with three persons, 3 % with six.
FEWEST = 6


@dataclass(frozen=True)
class Paired:
    """One score of two evaluations.

    Attributes:
        name: of the score.
        higher_is_better: whether a positive difference is a gain.
        persons: names, in the order of the values.
        other, own: mean over each person's cases in the other evaluation, and in this one.
    """

    name: str
    higher_is_better: bool
    persons: tuple[str, ...]
    other: tuple[float, ...]
    own: tuple[float, ...]

    @property
    def differences(self) -> np.ndarray:
        """This minus other, for each person."""
        return np.array(self.own, dtype=float) - np.array(self.other, dtype=float)

    @property
    def mean_difference(self) -> float:
        """Mean over persons; there is at least one."""
        return float(self.differences.mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the mean difference; None with fewer than six persons."""
        return bootstrap_interval(self.differences)

    @property
    def p_value(self) -> float | None:
        """Two-sided, of Wilcoxon's signed ranks; None where fewer than six persons differ."""
        differing = self.differences[self.differences != 0]
        if len(differing) < FEWEST:
            return None
        return float(wilcoxon(differing).pvalue)

    @property
    def better(self) -> int:
        """How many persons gained."""
        gains = self.differences if self.higher_is_better else -self.differences
        return int(np.count_nonzero(gains > 0))

    @property
    def worse(self) -> int:
        """How many persons lost."""
        gains = self.differences if self.higher_is_better else -self.differences
        return int(np.count_nonzero(gains < 0))

    @property
    def verdict(self) -> str:
        """``"better"`` or ``"worse"`` where the interval leaves zero out, else ``"not told apart"``."""
        interval = self.interval
        if interval is None:
            return "too few persons"
        if interval[0] <= 0 <= interval[1]:
            return "not told apart"
        return "better" if (interval[0] > 0) == self.higher_is_better else "worse"


def bootstrap_interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float] | None:
    """The middle 95 % of the means of 10,000 resamples; the same for the same differences and seed."""
    count = len(differences)
    if count < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    # In parts: thousands of persons would need gigabytes at once.
    means = [differences[rng.integers(0, count, (RESAMPLES // 10, count))].mean(axis=1) for _ in range(10)]
    low, high = np.percentile(np.concatenate(means), (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return float(low), float(high)


def paired(
    name: str,
    higher_is_better: bool,
    other: Mapping[str, float],
    own: Mapping[str, float],
    person: Mapping[str, str],
) -> Paired | None:
    """Pair the cases that have a value in both; None when there is none.

    Args:
        other, own: value by case.
        person: person by case.
    """
    cases = [case for case in own if case in other]
    persons = sorted({person[case] for case in cases})
    if not persons:
        return None

    def means(values: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(_mean([values[c] for c in cases if person[c] == each]) for each in persons)

    return Paired(name, higher_is_better, tuple(persons), means(other), means(own))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
