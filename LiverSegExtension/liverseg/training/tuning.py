"""The settings of lesion post-processing that serve validation cases best.

First every combination of threshold, size, peak and holes is scored, from tables of claims that are made
once for each threshold: what a claim is does not depend on which claims are dropped. Then the active
contour is tried on the best of them, by the engine's own function. Test cases have no business here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cc3d
import numpy as np

from liverseg.lesion_masks import claims, lesion_masks_from_scores
from liverseg.lesion_rules import ContourRules, LesionRules, sphere_diameter_mm
from liverseg.training.score_maps import ScoreMap, load_score_map

# Lesions of this size and more (sphere of their volume) must be found.
RECALL_FROM_MM = 10.0
# More false lesions than this a CT make a reader stop looking.
MOST_FALSE_PER_CT = 2.0
# The contour is one more thing that can go wrong: it stays off unless it gains so much mean Dice.
LEAST_CONTOUR_GAIN = 0.003

Peaks = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Grid:
    """What is tried."""

    thresholds: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    smallest_ml: tuple[float, ...] = (0.03, 0.1, 0.25)
    peaks: tuple[Peaks, ...] = (
        ((0.0, 0.5),),
        ((0.0, 0.6),),
        ((0.0, 0.7),),
        ((0.0, 0.8),),
        ((0.0, 0.9),),
        ((5.0, 0.8), (15.0, 0.5)),
        ((5.0, 0.9), (15.0, 0.6)),
        ((5.0, 0.95), (20.0, 0.7)),
    )
    holes_ml: tuple[float, ...] = (0.0, 1.0)
    contours: tuple[ContourRules, ...] = (
        ContourRules(reach_mm=2.0),
        ContourRules(reach_mm=3.0),
        ContourRules(reach_mm=4.0),
        ContourRules(reach_mm=3.0, smoothing=2),
    )


@dataclass(frozen=True)
class CaseScore:
    """One case under one setting.

    Attributes:
        dice: of all lesions together; None without lesions in truth.
        large, found: true lesions of 10 mm and more, and how many of them are touched.
        false: claims that touch no true lesion.
    """

    case: str
    person: str
    dice: float | None
    large: int
    found: int
    false: int


@dataclass(frozen=True)
class Outcome:
    """A setting and what it gives over all cases.

    Attributes:
        mean_dice: over the persons with lesions, each the mean of their cases.
        recall: found share of all true lesions of 10 mm and more.
        false_per_ct: mean number of false lesions.
    """

    rules: LesionRules
    mean_dice: float
    recall: float
    false_per_ct: float

    @staticmethod
    def of(rules: LesionRules, scores: Sequence[CaseScore]) -> Outcome:
        by_person: dict[str, list[float]] = {}
        for score in scores:
            if score.dice is not None:
                by_person.setdefault(score.person, []).append(score.dice)
        large = sum(score.large for score in scores)
        return Outcome(
            rules,
            float(np.mean([np.mean(own) for own in by_person.values()])) if by_person else 1.0,
            sum(score.found for score in scores) / large if large else 1.0,
            float(np.mean([score.false for score in scores])),
        )

    def rank(self) -> tuple[float, float, float]:
        """Sorts the better outcome first: few enough false lesions, then Dice and recall, then fewer."""
        excess = max(0.0, self.false_per_ct - MOST_FALSE_PER_CT)
        return excess, -round(self.mean_dice + self.recall, 6), self.false_per_ct


@dataclass(frozen=True, eq=False)
class _Truth:
    """The true lesions of a case: labels (26-connected) and which are large."""

    labels: np.ndarray
    large: np.ndarray
    voxels: int

    @staticmethod
    def of(scores: ScoreMap) -> _Truth:
        labels, count = cc3d.connected_components(scores.truth, connectivity=26, return_N=True)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        diameters = sphere_diameter_mm(sizes * _voxel_ml(scores))
        return _Truth(labels, np.flatnonzero(diameters >= RECALL_FROM_MM) + 1, int(sizes.sum()))


@dataclass(frozen=True, eq=False)
class _Claims:
    """All claims of a case at one threshold: volumes, peaks, overlap with the truth, whom they touch."""

    ml: np.ndarray
    peaks: np.ndarray
    voxels: np.ndarray
    right: np.ndarray
    touched: tuple[frozenset[int], ...]

    @staticmethod
    def of(scores: ScoreMap, truth: _Truth, mask: np.ndarray) -> _Claims:
        labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
        at = np.flatnonzero(labels)
        owner, score, true = labels.ravel()[at], scores.score.ravel()[at], truth.labels.ravel()[at]
        peaks = np.zeros(count + 1, np.float32)
        np.maximum.at(peaks, owner, score)
        voxels = np.bincount(owner, minlength=count + 1)[1:]
        right = np.bincount(owner[true > 0], minlength=count + 1)[1:]
        touched: list[set[int]] = [set() for _ in range(count)]
        for claim, lesion in np.unique(np.stack([owner[true > 0], true[true > 0]]), axis=1).T:
            touched[int(claim) - 1].add(int(lesion))
        return _Claims(
            voxels * _voxel_ml(scores), peaks[1:], voxels, right, tuple(frozenset(t) for t in touched)
        )

    def score(self, scores: ScoreMap, truth: _Truth, keep: np.ndarray) -> CaseScore:
        """What is reached by the claims of ``keep`` (bool, one a claim)."""
        size = int(self.voxels[keep].sum()) + truth.voxels
        touched = frozenset().union(*(self.touched[n] for n in np.flatnonzero(keep)))
        return CaseScore(
            scores.case,
            scores.person,
            2.0 * int(self.right[keep].sum()) / size if truth.voxels else None,
            len(truth.large),
            sum(int(lesion) in touched for lesion in truth.large),
            sum(not self.touched[n] for n in np.flatnonzero(keep)),
        )


def _voxel_ml(scores: ScoreMap) -> float:
    return float(np.prod(scores.spacing_mm)) / 1000


def score_case(scores: ScoreMap, rules: LesionRules) -> CaseScore:
    """One case under one setting, by the function that the engine itself uses."""
    truth = _Truth.of(scores)
    mask = lesion_masks_from_scores(scores.score, scores.liver, scores.hu, scores.spacing_mm, rules)
    found = _Claims.of(scores, truth, mask)
    return found.score(scores, truth, np.ones(len(found.voxels), bool))


def tune(paths: Iterable[Path], grid: Grid, contour_candidates: int = 5) -> list[Outcome]:
    """All outcomes, the best first.

    Args:
        paths: score maps; read one at a time.
        contour_candidates: on how many of the best settings without contour every contour is tried; 0 for
            none.

    Raises:
        InputRefused: a score map that cannot be used.
    """
    paths = list(paths)
    settings = [
        LesionRules(threshold, smallest, peaks, holes)
        for threshold, holes, smallest, peaks in itertools.product(
            grid.thresholds, grid.holes_ml, grid.smallest_ml, grid.peaks
        )
    ]
    rows: dict[LesionRules, list[CaseScore]] = {rules: [] for rules in settings}
    for path in paths:
        for rules, score in _score_from_tables(load_score_map(path), settings):
            rows[rules].append(score)
    outcomes = sorted((Outcome.of(rules, scores) for rules, scores in rows.items()), key=Outcome.rank)
    with_contour = [
        replace(outcome.rules, active_contour=contour)
        for outcome in outcomes[:contour_candidates]
        for contour in grid.contours
    ]
    more: dict[LesionRules, list[CaseScore]] = {rules: [] for rules in with_contour}
    if with_contour:
        for path in paths:
            scores = load_score_map(path)
            for rules in with_contour:
                more[rules].append(score_case(scores, rules))
    outcomes += [Outcome.of(rules, scores) for rules, scores in more.items()]
    return sorted(outcomes, key=Outcome.rank)


def choose(outcomes: Sequence[Outcome]) -> Outcome:
    """The best outcome without contour, or with it where that gains Dice and is no worse in the rest.

    Args:
        outcomes: of :func:`tune`, at least one without contour.
    """
    plain = min((o for o in outcomes if o.rules.active_contour is None), key=Outcome.rank)
    moved = [
        o
        for o in outcomes
        if o.rules.active_contour is not None
        and o.rank() < plain.rank()
        and o.mean_dice >= plain.mean_dice + LEAST_CONTOUR_GAIN
    ]
    return min(moved, key=Outcome.rank, default=plain)


def _score_from_tables(
    scores: ScoreMap, settings: Sequence[LesionRules]
) -> Iterable[tuple[LesionRules, CaseScore]]:
    """Every setting without contour; claims are made once for each threshold and size of holes."""
    truth = _Truth.of(scores)
    voxel_ml = _voxel_ml(scores)
    made: dict[tuple[float, float], _Claims] = {}
    for rules in settings:
        key = (rules.lesion_threshold, rules.largest_hole_ml)
        if key not in made:
            mask = claims(scores.score, scores.liver, key[0], key[1] / voxel_ml)
            made[key] = _Claims.of(scores, truth, mask)
        found = made[key]
        wanted = rules.peak_wanted(found.ml).astype(np.float32)
        keep = (found.voxels >= rules.smallest_lesion_ml / voxel_ml) & (found.peaks >= wanted)
        yield rules, found.score(scores, truth, keep)
