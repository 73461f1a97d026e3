"""What a loss is, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

# Added to overlap and size in voxels: a class that is absent or tiny in a patch pulls little.
SMOOTH = 50.0

# Logits (1, classes, [z,] y, x), target (1, [z,] y, x) of classes, counted (bool, as the target), and the
# first class in the terms of overlap (1 leaves the background out); gives one number.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class LossSettings:
    """What the losses that have settings take.

    Attributes:
        class_weights: of the weighted cross-entropy, one a class; empty for weights by rarity.
        boundary: weight of the distance term.
        blobs: weight of the term in which each component counts alike.
        gamma: of the focal cross-entropy.
        missed: weight of missed voxels in the Tversky index; false ones have the rest of 1.
    """

    class_weights: tuple[float, ...] = ()
    boundary: float = 0.1
    blobs: float = 1.0
    gamma: float = 2.0
    missed: float = 0.7


def counted_mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The mean of the values at the counted voxels, 0 where there are none."""
    # A product and not a selection: a GPU need not be waited for.
    return (values * counted).sum() / counted.sum().clamp(min=1)


def scores_and_truth(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and one-hot truth (1, classes, ...), both 0 where nothing counts."""
    inside = counted[:, None]
    score = torch.softmax(logits, dim=1) * inside
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1) * inside
    return score, truth
