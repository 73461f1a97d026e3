"""How a CT's HU window (0..1) becomes the numbers that a network sees; kept in its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

UNIT = {"scale": 1.0, "shift": 0.0}
SYMMETRIC = {"scale": 2.0, "shift": -1.0}


def standardizing(mean: float, deviation: float) -> dict[str, float]:
    """The map to zero mean and unit deviation, for foreground statistics in units of the window (0..1)."""
    return {"scale": 1 / deviation, "shift": -mean / deviation}


class Normalize:
    """A hook before a network's forward pass: scales and shifts the channels that hold the CT.

    Args:
        mapping: ``{"scale": float, "shift": float}``.
        context: slices as channels where the input has no z axis; of a volume the first channel is the CT.
    """

    def __init__(self, mapping: Mapping[str, Any], context: int) -> None:
        self.scale, self.shift = float(mapping["scale"]), float(mapping["shift"])
        self.context = context

    def __call__(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0]
        channels = self.context if x.dim() == 4 else 1
        image = x[:, :channels] * self.scale + self.shift
        return (image if channels == x.shape[1] else torch.cat([image, x[:, channels:]], dim=1),)
