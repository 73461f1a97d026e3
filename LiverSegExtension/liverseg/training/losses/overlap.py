"""Dice, cross-entropy and their kin over the counted voxels of one sample.

All take and give what :data:`~liverseg.training.losses.kinds.Loss` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from liverseg.training.losses.kinds import SMOOTH, Loss, LossSettings, counted_mean, scores_and_truth


def dice(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """Soft Dice loss (Milletari et al. 2016), the mean over classes."""
    score, truth = scores_and_truth(logits.float(), target, counted)
    overlap = (score * truth).flatten(2).sum(-1)
    size = (score + truth).flatten(2).sum(-1)
    return (1 - (2 * overlap + SMOOTH) / (size + SMOOTH))[:, foreground_from:].mean()


def cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """The mean of the negative log-probability of the true class, background included."""
    return counted_mean(F.cross_entropy(logits.float(), target, reduction="none"), counted)


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Cross-entropy with a weight a class, so that rare classes count; a mean by weight.

    Attributes:
        weights: one a class; empty for the inverse square root of each class's share of the sample.
    """

    weights: tuple[float, ...] = ()

    def for_groups(self, groups: Sequence[Sequence[int]]) -> WeightedCrossEntropy:
        """The same with weights for merged classes: the mean over the channels in each."""
        if not self.weights:
            return self
        merged = []
        for group in groups:
            known = [self.weights[code] for code in group if code < len(self.weights)]
            merged.append(sum(known) / len(known))
        return WeightedCrossEntropy(tuple(merged))

    def __call__(
        self, logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
    ) -> torch.Tensor:
        if self.weights:
            weights = torch.tensor(self.weights, device=logits.device)
        else:
            _, truth = scores_and_truth(logits, target, counted)
            found = truth.flatten(2).sum(dim=(0, 2)).float()
            weights = (found.sum() / found.clamp(min=1)).sqrt()
        entropy = F.cross_entropy(logits.float(), target, reduction="none")
        share = weights[target] * counted
        return (entropy * share).sum() / share.sum().clamp(min=1e-6)


def focal(settings: LossSettings) -> Loss:
    """Focal loss (Lin et al. 2017): voxels that are right already count little."""

    def loss(
        logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
    ) -> torch.Tensor:
        entropy = F.cross_entropy(logits.float(), target, reduction="none")
        return counted_mean((1 - torch.exp(-entropy)) ** settings.gamma * entropy, counted)

    return loss


def tversky(settings: LossSettings) -> Loss:
    """Focal Tversky loss (gamma 4/3; Abraham and Khan 2019): missed voxels cost more than false ones."""

    def loss(
        logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
    ) -> torch.Tensor:
        score, truth = scores_and_truth(logits.float(), target, counted)
        hit = (score * truth).flatten(2).sum(-1)
        missed = ((1 - score) * truth).flatten(2).sum(-1)
        false = (score * (1 - truth)).flatten(2).sum(-1)
        index = (hit + SMOOTH) / (hit + settings.missed * missed + (1 - settings.missed) * false + SMOOTH)
        # The slope of the power is infinite at 0, which is reached where nothing counts.
        return ((1 - index).clamp(min=1e-8) ** 0.75)[:, foreground_from:].mean()

    return loss
