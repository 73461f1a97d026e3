"""Optimizers and schedules of the learning rate by name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

from liverseg.training.config import OptimizerConfig

Parameters = Iterable[torch.nn.Parameter]
SCHEDULES = ("constant", "cosine", "plateau", "poly", "step")


def _adamw(parameters: Parameters, settings: OptimizerConfig, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
    )


def _adam(parameters: Parameters, settings: OptimizerConfig, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
    )


def _sgd(parameters: Parameters, settings: OptimizerConfig, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        fused=fused,
    )


OPTIMIZERS: dict[str, Callable[[Parameters, OptimizerConfig, bool], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
}


def rate_factor(settings: OptimizerConfig, step: int, done: float) -> float:
    """The learning rate at a step as a share of the one that is set.

    Args:
        done: share of the training that lies behind, 0..1.
    """
    warm = min(1.0, (step + 1) / max(1, settings.warm_up))
    left = max(0.0, 1 - done)
    if settings.schedule == "poly":
        # The smaller of the two, so that a long warm-up never lifts the falling rate.
        return min(warm, left**0.9)
    falls = {
        "cosine": (1 + math.cos(math.pi * (1 - left))) / 2,
        "step": settings.step_factor ** (step // max(1, settings.step_every)),
    }
    return warm * falls.get(settings.schedule, 1.0)


def with_schedule(
    optimizer: torch.optim.Optimizer, settings: OptimizerConfig, done: Callable[[int], float]
) -> dict[str, Any]:
    """What Lightning's ``configure_optimizers`` gives: the optimizer and its schedule.

    Args:
        done: the share of the training that lies behind at a step.
    """
    if settings.schedule == "plateau":
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=settings.step_factor, patience=settings.step_every
        )
        # Lightning would step it after the checkpoint of the epoch, too late: ``follow_plateau`` does.
        kept = {"scheduler": plateau, "monitor": "val_loss", "frequency": sys.maxsize}
        return {"optimizer": optimizer, "lr_scheduler": kept}
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(settings, step, done(step))
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def follow_plateau(schedule: Any, validation_loss: torch.Tensor | None) -> None:
    """Tell a schedule "plateau" an epoch's validation loss, before that epoch's checkpoint is written.

    Args:
        schedule: of any kind; the others go by steps.
        validation_loss: None in an epoch without one, which is not counted.
    """
    if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau) and validation_loss is not None:
        schedule.step(float(validation_loss))
