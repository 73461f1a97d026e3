"""Two U-Nets of the literature: one with trilinear, one with transposed-convolution upsampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, Pool
from torch import nn

from liverseg.errors import ModelError
from liverseg.networks.layers import NORMS, two_convolutions
from liverseg.networks.registry import FAMILIES, Blueprint, Family, by_filters


class PlainUNet(nn.Module):
    """A U-Net with max pooling, linear upsampling and two convolutions a level.

    Args:
        dimensions: 2 or 3.
        filters: of each level, top first; the encoder's and the decoder's alike.
        norm: a key of :data:`~liverseg.networks.layers.NORMS`.
    """

    def __init__(
        self, dimensions: int, in_channels: int, out_channels: int, filters: Sequence[int], norm: str
    ) -> None:
        super().__init__()
        before = [in_channels, *filters[:-1]]
        self.down = nn.ModuleList(
            two_convolutions(dimensions, (a, b, b), norm) for a, b in zip(before, filters, strict=True)
        )
        self.up = nn.ModuleList(
            two_convolutions(dimensions, (filters[n] + filters[n + 1], filters[n], filters[n]), norm)
            for n in range(len(filters) - 1)
        )
        self.pool = Pool[Pool.MAX, dimensions](2)
        self.head = Conv[Conv.CONV, dimensions](filters[0], out_channels, 1)
        self.mode = "trilinear" if dimensions == 3 else "bilinear"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, [z,] y, x) to logits of the same size."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            wide = F.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
            x = self.up[level](torch.cat([skips[level], wide], dim=1))
        return self.head(x)


class ClassicUNet(nn.Module):
    """The 3D U-Net of Cicek et al. 2016, "3D U-Net: learning dense volumetric segmentation".

    Each encoder level has convolutions of n and 2 n filters, transposed convolutions keep their channels.
    With filters 32, 64, 128, 256, three channels and three classes it has the paper's 19,069,955
    parameters: its convolutions have a bias, its transposed ones none, and its batch normalization
    (before each ReLU) learns neither scale nor offset. The paper's convolutions lose the border; these are
    padded, which changes no weight.
    """

    def __init__(
        self, dimensions: int, in_channels: int, out_channels: int, filters: Sequence[int], norm: str
    ) -> None:
        super().__init__()
        before = [in_channels, *(2 * n for n in filters[:-1])]
        self.down = nn.ModuleList(
            two_convolutions(dimensions, (a, n, 2 * n), norm) for a, n in zip(before, filters, strict=True)
        )
        wide = [2 * n for n in filters]
        self.grow = nn.ModuleList(
            Conv[Conv.CONVTRANS, dimensions](n, n, 2, stride=2, bias=False) for n in wide[1:]
        )
        self.up = nn.ModuleList(
            two_convolutions(dimensions, (wide[n] + wide[n + 1], wide[n], wide[n]), norm)
            for n in range(len(wide) - 1)
        )
        self.pool = Pool[Pool.MAX, dimensions](2)
        self.head = Conv[Conv.CONV, dimensions](wide[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, [z,] y, x) to logits of the same size."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([skips[level], self.grow[level](x)], dim=1))
        return self.head(x)


def _norm(blueprint: Blueprint, default: str) -> str:
    name = blueprint.option("norm", default)
    if name not in NORMS:
        raise ModelError(f"the network's norm is {name!r}; it may be {', '.join(NORMS)}")
    return str(name)


def _plain(blueprint: Blueprint) -> nn.Module:
    return PlainUNet(
        blueprint.dimensions,
        blueprint.in_channels,
        blueprint.out_channels,
        blueprint.description["filters"],
        _norm(blueprint, "none"),
    )


def _classic(blueprint: Blueprint) -> nn.Module:
    return ClassicUNet(
        blueprint.dimensions,
        blueprint.in_channels,
        blueprint.out_channels,
        blueprint.description["filters"],
        _norm(blueprint, "plain_batch"),
    )


FAMILIES["PlainUNet"] = Family(_plain, by_filters, frozenset({"filters"}), frozenset({"norm"}))
FAMILIES["ClassicUNet"] = Family(_classic, by_filters, frozenset({"filters"}), frozenset({"norm"}))
