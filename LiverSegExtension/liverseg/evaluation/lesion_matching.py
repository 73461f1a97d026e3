"""Which lesions were found, and which claims were false.

A lesion is a component of 26 neighbors, in the truth and in the prediction alike, whatever ids a file
gives. Matching is reported in two ways: at any overlap (one shared voxel), where a lesion may be hit by
several claims and a claim may hit several lesions, and at an IoU above 0.5, where each has one partner
at most. Sizes are diameters of the sphere of a lesion's volume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np

# A match by shape: no lesion and no claim can have two partners above one half.
IOU_MATCH = 0.5
SIZE_CLASSES = ("under 10 mm", "10 to 20 mm", "over 20 mm")


@dataclass(frozen=True)
class MatchedLesion:
    """One component of the truth, or one of the prediction (a claim).

    Attributes:
        id: 1..n, by falling volume, within the truth or within the prediction.
        volume_ml: its volume.
        diameter_mm: of the sphere of that volume.
        partners: ids of the components on the other side that share a voxel with it, most shared first.
        best_iou: the largest IoU with one of them; 0 without one.
        best_dice: the largest Dice with one of them; 0 without one.
    """

    id: int
    volume_ml: float
    diameter_mm: float
    partners: tuple[int, ...]
    best_iou: float
    best_dice: float

    @property
    def size_class(self) -> str:
        """One of :data:`SIZE_CLASSES`; exactly 10 mm and exactly 20 mm belong to the middle one."""
        if self.diameter_mm < 10.0:
            return SIZE_CLASSES[0]
        return SIZE_CLASSES[1] if self.diameter_mm <= 20.0 else SIZE_CLASSES[2]

    def is_matched(self, by_shape: bool = False) -> bool:
        """Whether the other side has it, at any overlap or (``by_shape``) at an IoU above one half."""
        return self.best_iou > IOU_MATCH if by_shape else bool(self.partners)


@dataclass(frozen=True, eq=False)
class LesionMatches:
    """All lesions of a case; the label arrays (k, j, i) hold the ids."""

    truth_labels: np.ndarray
    claim_labels: np.ndarray
    truth: tuple[MatchedLesion, ...]
    claims: tuple[MatchedLesion, ...]

    @property
    def false_claims(self) -> tuple[MatchedLesion, ...]:
        """Claims that touch no true lesion."""
        return tuple(claim for claim in self.claims if not claim.partners)


@dataclass(frozen=True)
class Detection:
    """Counts of lesions, which add up over cases.

    Attributes:
        lesions: true lesions, ``found`` of which were matched.
        claims: predicted lesions, ``right`` of which were matched.
    """

    lesions: int = 0
    found: int = 0
    claims: int = 0
    right: int = 0

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.lesions + other.lesions,
            self.found + other.found,
            self.claims + other.claims,
            self.right + other.right,
        )

    @property
    def recall(self) -> float | None:
        """Share of the lesions that were found; None without a lesion."""
        return self.found / self.lesions if self.lesions else None

    @property
    def precision(self) -> float | None:
        """Share of the claims that are right; None without a claim."""
        return self.right / self.claims if self.claims else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 when one is missing or 0, None without any lesion."""
        if not self.lesions and not self.claims:
            return None
        precision, recall = self.precision or 0.0, self.recall or 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def match_lesions(truth: np.ndarray, predicted: np.ndarray, voxel_ml: float) -> LesionMatches:
    """Match the components of two bool masks (k, j, i) of one shape."""
    truth_labels, truth_voxels = _components(truth)
    claim_labels, claim_voxels = _components(predicted)
    shared = np.zeros((len(truth_voxels), len(claim_voxels)), dtype=np.int64)
    both = truth & predicted
    np.add.at(shared, (truth_labels[both] - 1, claim_labels[both] - 1), 1)
    return LesionMatches(
        truth_labels,
        claim_labels,
        _matched(truth_voxels, claim_voxels, shared, voxel_ml),
        _matched(claim_voxels, truth_voxels, shared.T, voxel_ml),
    )


def detection(
    truth: Iterable[MatchedLesion], claims: Iterable[MatchedLesion], by_shape: bool = False
) -> Detection:
    """Count lesions and claims, of one size class or of all.

    In a size class, recall is over the lesions of that size and precision over the claims of that size.
    """
    found = [lesion.is_matched(by_shape) for lesion in truth]
    right = [claim.is_matched(by_shape) for claim in claims]
    return Detection(len(found), sum(found), len(right), sum(right))


def sphere_diameter_mm(volume_ml: float) -> float:
    """Diameter of the sphere of a volume."""
    return float((6.0 * volume_ml * 1000.0 / np.pi) ** (1 / 3))


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components of 26 neighbors numbered by falling size (int32), and their voxel counts in that order."""
    found, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
    voxels = np.bincount(found.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-voxels, kind="stable")
    ids = np.zeros(count + 1, dtype=np.int32)
    ids[order + 1] = np.arange(1, count + 1)
    return ids[found], voxels[order]


def _matched(
    own: np.ndarray, other: np.ndarray, shared: np.ndarray, voxel_ml: float
) -> tuple[MatchedLesion, ...]:
    result = []
    for index, voxels in enumerate(own):
        row = shared[index]
        partners = [int(n) for n in np.argsort(-row, kind="stable") if row[n]]
        ious = [row[n] / (voxels + other[n] - row[n]) for n in partners]
        dices = [2 * row[n] / (voxels + other[n]) for n in partners]
        volume = int(voxels) * voxel_ml
        result.append(
            MatchedLesion(
                index + 1,
                volume,
                sphere_diameter_mm(volume),
                tuple(n + 1 for n in partners),
                float(max(ious, default=0.0)),
                float(max(dices, default=0.0)),
            )
        )
    return tuple(result)
