"""TransUNet (Chen et al. 2021) in 2D and 3D: a convolutional encoder, transformer blocks over its coarsest
features, and a U-Net decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import TransformerBlock
from monai.networks.layers.factories import Conv, Pool
from torch import nn

from liverseg.networks.layers import grid_positions, two_convolutions
from liverseg.networks.registry import FAMILIES, Blueprint, Family, by_filters


class TransUNet(nn.Module):
    """See the module.

    Args:
        dimensions: 2 or 3.
        filters: of each level of the encoder and decoder, top first.
        patch: the training patch; positions are learned on its coarsest grid, others are interpolated.
        hidden: numbers in a token.
        layers: transformer blocks.
        heads: of the attention; divides ``hidden``.
    """

    def __init__(
        self,
        dimensions: int,
        in_channels: int,
        out_channels: int,
        filters: Sequence[int],
        patch: Sequence[int],
        hidden: int,
        layers: int,
        heads: int,
    ) -> None:
        super().__init__()
        before = [in_channels, *filters[:-1]]
        convolution, transposed = Conv[Conv.CONV, dimensions], Conv[Conv.CONVTRANS, dimensions]
        self.down = nn.ModuleList(
            two_convolutions(dimensions, (a, b, b), "instance") for a, b in zip(before, filters, strict=True)
        )
        self.pool = Pool[Pool.MAX, dimensions](2)
        self.grid = tuple(side // 2 ** (len(filters) - 1) for side in patch)
        count = math.prod(self.grid)
        self.to_tokens = convolution(filters[-1], hidden, 1)
        self.positions = nn.Parameter(torch.randn(1, count, hidden) * 0.02)
        self.blocks = nn.ModuleList(TransformerBlock(hidden, 4 * hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.from_tokens = convolution(hidden, filters[-1], 1)
        pairs = list(zip(filters[:-1], filters[1:], strict=True))
        self.grow = nn.ModuleList(transposed(deep, fine, 2, stride=2) for fine, deep in pairs)
        self.up = nn.ModuleList(
            two_convolutions(dimensions, (2 * fine, fine, fine), "instance") for fine, _ in pairs
        )
        self.head = convolution(filters[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, [z,] y, x) to logits of the same size."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        grid = x.shape[2:]
        tokens = self.to_tokens(x).flatten(2).transpose(1, 2)
        tokens = tokens + grid_positions(self.positions, self.grid, grid)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens).transpose(1, 2)
        x = self.from_tokens(tokens.reshape(tokens.shape[0], -1, *grid))
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([skips[level], self.grow[level](x)], dim=1))
        return self.head(x)


def _build(blueprint: Blueprint) -> nn.Module:
    return TransUNet(
        blueprint.dimensions,
        blueprint.in_channels,
        blueprint.out_channels,
        blueprint.description["filters"],
        [int(side) for side in blueprint.description["patch"]][-blueprint.dimensions :],
        hidden=int(blueprint.option("hidden_size", 256)),
        layers=int(blueprint.option("layers", 6)),
        heads=int(blueprint.option("heads", 8)),
    )


FAMILIES["TransUNet"] = Family(
    _build,
    by_filters,
    required=frozenset({"filters", "patch"}),
    options=frozenset({"hidden_size", "layers", "heads"}),
    needs=("einops",),
)
