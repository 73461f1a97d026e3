"""Mean teacher (Tarvainen and Valpola 2017): an averaged copy of a network teaches it on unlabeled cases."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from liverseg.networks.segresnet import Redrawn
from liverseg.training.road_config import TeacherConfig


def finest_logits(outputs: Any) -> torch.Tensor:
    """The logits at full size out of whatever a network gives in training."""
    if isinstance(outputs, Redrawn):
        return outputs.logits
    # With deep supervision the axis after the batch holds the levels.
    return outputs[:, 0] if outputs.dim() == 6 else outputs


def ramp(step: int, length: int) -> float:
    """The rise from nearly 0 to 1 over ``length`` steps, exp(-5 (1 - t)^2) (Laine and Aila 2017)."""
    if step >= length:
        return 1.0
    return math.exp(-5 * (1 - step / length) ** 2)


class MeanTeacher(nn.Module):
    """The averaged copy, and what it says about unlabeled samples."""

    def __init__(self, network: nn.Module, settings: TeacherConfig) -> None:
        super().__init__()
        self.copy = copy.deepcopy(network)
        self.copy.requires_grad_(False)
        self.settings = settings

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Move the copy towards the network after a step; at first fast, as the network changes fast."""
        decay = min(self.settings.decay, 1 - 1 / (step + 1))
        for weight, new in zip(self.copy.parameters(), network.parameters(), strict=True):
            weight.lerp_(new.to(weight.dtype), 1 - decay)
        for mine, theirs in zip(self.copy.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def disagreement(
        self, student: Callable[[torch.Tensor], Any], inputs: torch.Tensor, step: int
    ) -> torch.Tensor:
        """The mean squared difference of both ones' probabilities, times the risen weight.

        Args:
            student: the network in training; it sees the inputs with noise, the teacher without.
            inputs: (batch, channels, [z,] y, x) of unlabeled samples.
        """
        noisy = inputs + torch.randn_like(inputs) * self.settings.noise
        with torch.no_grad():
            taught = torch.softmax(finest_logits(self.copy(inputs)).float(), dim=1)
        said = torch.softmax(finest_logits(student(noisy)).float(), dim=1)
        return self.settings.weight * ramp(step, self.settings.ramp_up) * ((said - taught) ** 2).mean()
