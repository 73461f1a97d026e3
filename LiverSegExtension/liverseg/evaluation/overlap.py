"""How far two masks agree, from four counts of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of a prediction against the truth, and the scores that follow from them.

    Attributes:
        both: voxels in the truth and in the prediction (true positive).
        truth_only: missed voxels (false negative).
        predicted_only: voxels claimed wrongly (false positive).
        neither: all other voxels of the scan (true negative).
        voxel_ml: volume of one voxel.
    """

    both: int
    truth_only: int
    predicted_only: int
    neither: int
    voxel_ml: float

    @property
    def dice(self) -> float:
        """Twice the shared volume over the sum of both; 1 when both masks are empty."""
        size = 2 * self.both + self.truth_only + self.predicted_only
        return 2.0 * self.both / size if size else 1.0

    @property
    def iou(self) -> float:
        """Shared volume over the volume of the union (Jaccard); 1 when both masks are empty."""
        union = self.both + self.truth_only + self.predicted_only
        return self.both / union if union else 1.0

    @property
    def sensitivity(self) -> float:
        """Share of the truth that was found; 1 when the truth is empty, since nothing was missed."""
        truth = self.both + self.truth_only
        return self.both / truth if truth else 1.0

    @property
    def specificity(self) -> float:
        """Share of the scan outside of the truth that was left alone; 1 when there is no outside."""
        outside = self.predicted_only + self.neither
        return self.neither / outside if outside else 1.0

    @property
    def truth_ml(self) -> float:
        """Volume of the truth."""
        return (self.both + self.truth_only) * self.voxel_ml

    @property
    def predicted_ml(self) -> float:
        """Volume of the prediction."""
        return (self.both + self.predicted_only) * self.voxel_ml

    @property
    def volume_error_ml(self) -> float:
        """Prediction minus truth."""
        return (self.predicted_only - self.truth_only) * self.voxel_ml

    @property
    def volume_error_percent(self) -> float | None:
        """Prediction minus truth in percent of the truth; None when the truth is empty."""
        truth = self.both + self.truth_only
        return 100.0 * (self.predicted_only - self.truth_only) / truth if truth else None

    @property
    def missed(self) -> bool:
        """Whether the truth has voxels and the prediction touches none of them."""
        return self.both == 0 and self.truth_only > 0


def overlap_of(
    truth: np.ndarray, predicted: np.ndarray, voxel_ml: float = 1.0, scan_voxels: int | None = None
) -> Overlap:
    """Count two bool masks of one shape.

    Args:
        scan_voxels: voxels of the whole scan when the masks are crops of it that hold all of their voxels.
    """
    both = int(np.count_nonzero(truth & predicted))
    in_truth, in_predicted = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    total = truth.size if scan_voxels is None else scan_voxels
    return Overlap(
        both, in_truth - both, in_predicted - both, total - in_truth - in_predicted + both, voxel_ml
    )


def dice(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Dice of two bool masks of one shape; 1 when both are empty."""
    return overlap_of(truth, predicted).dice


def dice_by_label(truth: np.ndarray, predicted: np.ndarray, labels: Sequence[int]) -> list[float]:
    """Dice of each label of two label maps of one shape; 1 where a label is in neither."""
    size = max(int(truth.max(initial=0)), int(predicted.max(initial=0)), *labels) + 1
    in_truth = np.bincount(truth.ravel(), minlength=size)
    in_predicted = np.bincount(predicted.ravel(), minlength=size)
    both = np.bincount(truth[truth == predicted], minlength=size)
    sizes = in_truth + in_predicted
    return [2.0 * int(both[n]) / int(sizes[n]) if sizes[n] else 1.0 for n in labels]


def pooled_dice(overlaps: Sequence[Overlap]) -> float:
    """Dice of all cases taken as one large volume, in milliliters; 1 when everything is empty."""
    both = sum(o.both * o.voxel_ml for o in overlaps)
    size = sum(o.truth_ml + o.predicted_ml for o in overlaps)
    return 2.0 * both / size if size else 1.0
