"""Hounsfield units to network input, the same in training and inference.

In two steps: HU of a window become 0..1 (:func:`normalize_hu`; caches, changes of gray values and padding
live there, as air is 0), and a network may see them in another range (:class:`Normalization`), which its
description says and its first step does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def normalize_hu(hu: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU clipped to ``window`` and scaled to 0..1 (float32). Air is 0, so a grid may be padded with 0."""
    low, high = window
    scaled = hu.astype(np.float32)
    np.clip(scaled, low, high, out=scaled)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return scaled


def hu_of(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU of values 0..1 of a window: :func:`normalize_hu` the other way round."""
    low, high = window
    return values * (high - low) + low


@dataclass(frozen=True)
class Normalization:
    """What a network sees of the window's 0..1: clipped to ``low..high``, times ``scale``, plus ``shift``."""

    scale: float = 1.0
    shift: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The same tensor's values in the network's range."""
        if (self.low, self.high) != (0.0, 1.0):
            values = values.clamp(self.low, self.high)
        return values * self.scale + self.shift

    def to_json(self) -> dict[str, float]:
        """As a network's description has it under ``"normalization"``."""
        return asdict(self)

    @staticmethod
    def from_json(told: Mapping[str, Any]) -> Normalization:
        """Read from a description; ``low`` and ``high`` may be left out.

        Raises:
            ValueError: a name that is unknown or missing, no number, or a scale of 0.
        """
        surplus = sorted(set(told) - {"scale", "shift", "low", "high"})
        if surplus or not {"scale", "shift"} <= set(told):
            raise ValueError(f"a normalization has scale, shift, low and high, not {sorted(told)}")
        result = Normalization(**{name: float(value) for name, value in told.items()})
        if result.scale == 0 or not result.low < result.high:
            raise ValueError(f"no normalization: {result}")
        return result


# 0..1 as it is, and -1..1.
UNIT = Normalization()
SYMMETRIC = Normalization(2.0, -1.0)


def standardizing(
    mean_hu: float, deviation_hu: float, clip_hu: tuple[float, float], window: tuple[float, float]
) -> Normalization:
    """To zero mean and unit deviation of a foreground, clipped to its 0.5 and 99.5 percentiles first.

    As nnU-Net does with CTs (Isensee et al., Nature Methods 2021).

    Args:
        mean_hu, deviation_hu: of all foreground voxels of the training cases.
        clip_hu: their 0.5 and 99.5 percentiles.
        window: HU range that is 0..1.
    """
    low, high = window
    width = high - low
    deviation = max(deviation_hu, 1e-3)
    return Normalization(
        scale=width / deviation,
        shift=(low - mean_hu) / deviation,
        low=max(0.0, (clip_hu[0] - low) / width),
        high=min(1.0, (clip_hu[1] - low) / width),
    )


class NormalizedInput:
    """A hook before a network's forward pass: brings the channels that hold the CT into its range.

    Args:
        normalization: of the CT; other channels (a mask) stay.
        context: slices as channels where the input has no z axis; of a volume the first channel is the CT.
    """

    def __init__(self, normalization: Normalization, context: int = 1) -> None:
        self.normalization, self.context = normalization, context

    def __call__(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0].clone()
        channels = self.context if x.dim() == 4 else 1
        x[:, :channels] = self.normalization(x[:, :channels])
        return (x, *inputs[1:])
