"""How far off the border wrong voxels lie: the boundary loss of Kervadec et al. 2019."""

from __future__ import annotations

import edt
import numpy as np
import torch

from liverseg.training.losses.kinds import scores_and_truth


def signed_distances(truth: np.ndarray) -> np.ndarray:
    """Distance of each voxel to the border of a mask in voxels, negative inside; 0 without a border.

    Args:
        truth: bool, 2 or 3 axes.
    """
    if not truth.any() or truth.all():
        return np.zeros(truth.shape, dtype=np.float32)
    # To the border between voxels, half a voxel from the centers on both sides of it.
    outside = np.maximum(edt.edt(~truth) - 0.5, 0)
    inside = np.maximum(edt.edt(truth) - 0.5, 0)
    return np.where(truth, -inside, outside).astype(np.float32)


def boundary(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """The mean over voxels of probability times signed distance to the true border, in voxels.

    A constant is added so that the truth has 0 (the published loss is negative there); gradients are the
    same. Arguments as :data:`~liverseg.training.losses.kinds.Loss`; beyond the counted voxels there is
    background.
    """
    score, truth = scores_and_truth(logits.float(), target, counted)
    total = score.new_zeros(())
    classes = range(foreground_from, logits.shape[1])
    for number in classes:
        mask = truth[0, number].bool().cpu().numpy()
        distance = torch.from_numpy(signed_distances(mask)).to(score.device)
        total = total + ((score[0, number] - truth[0, number]) * distance).sum()
    return total / counted.sum().clamp(min=1) / max(1, len(classes))
