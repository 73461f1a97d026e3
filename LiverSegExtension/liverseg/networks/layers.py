"""What the networks share: a fast instance normalization, the layout of weights, two convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, Norm
from torch import nn


class InstanceNorm3d(nn.InstanceNorm3d):
    """Instance normalization that keeps the channels-last layout of a single sample.

    PyTorch's own copies into the plain layout and back, which takes a third of a step on a CPU. The
    statistics of a batch of one are those of the instance, and batch normalization works in place.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return super().forward(x)


Norm.add_factory_callable(
    "liverseg_instance", lambda dim: InstanceNorm3d if dim == 3 else Norm[Norm.INSTANCE, dim]
)
FAST_INSTANCE = ("liverseg_instance", {"affine": True})
# Batch normalization without learned scale and offset: the "plain batch" of the classic 3D U-Net.
PLAIN_BATCH = ("batch", {"affine": False})
NORMS = {
    "none": None,
    "instance": FAST_INSTANCE,
    "batch": ("batch", {"affine": True}),
    "plain_batch": PLAIN_BATCH,
}


def norm_layer(name: str, dimensions: int, channels: int) -> nn.Module:
    """A normalization by its key in :data:`NORMS`."""
    kind = NORMS[name]
    if kind is None:
        return nn.Identity()
    return Norm[kind[0], dimensions](channels, **kind[1])


def two_convolutions(dimensions: int, channels: Sequence[int], norm: str, bias: bool = True) -> nn.Sequential:
    """Convolution (3 to a side), normalization and ReLU, twice, with ``channels`` (in, between, out)."""
    layers: list[nn.Module] = []
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        layers += [
            Conv[Conv.CONV, dimensions](before, after, 3, padding=1, bias=bias),
            norm_layer(norm, dimensions, after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights in the layout that is fastest on CPUs and new GPUs (in place)."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.dim()])
    return network


def grid_positions(embedding: torch.Tensor, grid: Sequence[int], wanted: Sequence[int]) -> torch.Tensor:
    """Learned positions (1, tokens, channels) of one grid of tokens, interpolated to another grid."""
    if tuple(grid) == tuple(wanted):
        return embedding
    channels = embedding.shape[-1]
    positions = embedding.transpose(1, 2).reshape(1, channels, *grid)
    mode = "trilinear" if len(grid) == 3 else "bilinear"
    resized = F.interpolate(positions, size=tuple(wanted), mode=mode, align_corners=False)
    return resized.flatten(2).transpose(1, 2)
