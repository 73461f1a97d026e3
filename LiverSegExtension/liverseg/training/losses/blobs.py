"""Each lesion counts alike, however small: a Dice of every component of a class, after the blob loss of
Kofler et al. 2022 ("blob loss: instance imbalance aware loss functions for semantic segmentation")."""

from __future__ import annotations

import cc3d
import numpy as np
import torch

from liverseg.training.losses.kinds import scores_and_truth

# Keeps the term of a component of one voxel smooth.
_SMOOTH = 1.0


def components(mask: np.ndarray) -> np.ndarray:
    """The numbers 1..n of the connected components (all neighbors) of a mask with 2 or 3 axes; 0 outside."""
    volume = mask if mask.ndim == 3 else mask[None]
    parts = cc3d.connected_components(volume, connectivity=26)
    return np.asarray(parts).astype(np.int64).reshape(mask.shape)


def blobs(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """The mean over the components of all classes of 1 - Dice; 0 where there is none.

    Of the false voxels of its class each component carries the share of its volume, so that a small one is
    not drowned by them. Arguments as :data:`~liverseg.training.losses.kinds.Loss`.
    """
    score, truth = scores_and_truth(logits.float(), target, counted)
    terms = []
    for number in range(foreground_from, logits.shape[1]):
        probability, mask = score[0, number].flatten(), truth[0, number].bool()
        part = torch.from_numpy(components(mask.cpu().numpy())).flatten().to(score.device)
        count = int(part.max())
        if count == 0:
            continue
        hit = probability.new_zeros(count + 1).scatter_add(0, part, probability)
        size = torch.bincount(part, minlength=count + 1).float()
        false = hit[0] * size[1:] / size[1:].sum()
        overlap = (2 * hit[1:] + _SMOOTH) / (hit[1:] + false + size[1:] + _SMOOTH)
        terms.append(1 - overlap)
    return torch.cat(terms).mean() if terms else score.sum() * 0
