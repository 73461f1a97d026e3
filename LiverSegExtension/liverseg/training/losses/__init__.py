"""The losses by name, each made from settings; how partly labeled scans are learned from: ``merging``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from liverseg.training.losses.blobs import blobs
from liverseg.training.losses.boundary import boundary
from liverseg.training.losses.kinds import SMOOTH, Loss, LossSettings
from liverseg.training.losses.merging import merge_classes, sample_loss
from liverseg.training.losses.overlap import WeightedCrossEntropy, cross_entropy, dice, focal, tversky
from liverseg.training.losses.redrawing import divergence, reconstruction

__all__ = [
    "LOSSES",
    "SMOOTH",
    "Loss",
    "LossSettings",
    "WeightedCrossEntropy",
    "blobs",
    "boundary",
    "build_loss",
    "cross_entropy",
    "dice",
    "dice_ce",
    "dice_focal",
    "divergence",
    "merge_classes",
    "reconstruction",
    "sample_loss",
]


def weighted_sum(*terms: tuple[float, Loss]) -> Loss:
    """The sum of losses, each times a weight."""

    def loss(
        logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
    ) -> torch.Tensor:
        parts = [weight * term(logits, target, counted, foreground_from) for weight, term in terms]
        return torch.stack(parts).sum()

    return loss


_MAKERS: dict[str, Callable[[LossSettings], Loss]] = {
    "dice": lambda settings: dice,
    "cross_entropy": lambda settings: cross_entropy,
    "weighted_cross_entropy": lambda settings: WeightedCrossEntropy(settings.class_weights),
    "dice_ce": lambda settings: weighted_sum((1, cross_entropy), (1, dice)),
    "dice_focal": lambda settings: weighted_sum((1, focal(settings)), (1, dice)),
    "focal_tversky": lambda settings: weighted_sum((1, cross_entropy), (1, tversky(settings))),
    "boundary": lambda settings: weighted_sum((1, cross_entropy), (1, dice), (settings.boundary, boundary)),
    "size_aware": lambda settings: weighted_sum((1, cross_entropy), (1, dice), (settings.blobs, blobs)),
}


def build_loss(name: str, settings: LossSettings) -> Loss:
    """The loss of that name (a key of :data:`LOSSES`) with these settings."""
    return _MAKERS[name](settings)


# Each with its usual settings.
LOSSES: dict[str, Loss] = {name: make(LossSettings()) for name, make in _MAKERS.items()}
dice_ce, dice_focal = LOSSES["dice_ce"], LOSSES["dice_focal"]
