"""SegResNet and its variational form (Myronenko 2018, "3D MRI brain tumor segmentation using autoencoder
regularization"), MONAI's. The branch that redraws the input serves training alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.nets import SegResNet, SegResNetVAE
from torch import nn

from liverseg.networks.registry import FAMILIES, Blueprint, Description, Family


class Redrawn(NamedTuple):
    """What the variational branch says about a batch.

    Attributes:
        logits: (batch, classes, z, y, x).
        inputs: (batch, channels, z, y, x), what was to be redrawn.
        redrawn: of the same shape.
        mean, deviation: (batch, numbers) of the latent normal distributions.
    """

    logits: torch.Tensor
    inputs: torch.Tensor
    redrawn: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor


class RedrawingSegResNet(SegResNetVAE):
    """A SegResNetVAE that gives its reconstruction and latent distribution instead of a loss of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor | Redrawn:  # type: ignore[override]
        """Logits; in training mode a :class:`Redrawn`."""
        deep, skips = self.encode(x)
        skips.reverse()
        logits = self.decode(deep, skips)
        if not self.training:
            return logits
        flat = self.vae_down(deep).flatten(1)
        mean = self.vae_fc1(flat)
        deviation = F.softplus(self.vae_fc2(flat))
        drawn = self.act_mod(self.vae_fc3(mean + deviation * torch.randn_like(mean)))
        image = self.vae_fc_up_sample(drawn.view(-1, self.smallest_filters, *self.fc_insize))
        for grow, refine in zip(self.up_samples, self.up_layers, strict=True):
            image = refine(grow(image))
        return Redrawn(logits, x, self.vae_conv_final(image), mean, deviation)


def _blocks(description: Description) -> tuple[int, ...]:
    return tuple(description.get("blocks_down", (1, 2, 2, 4)))


def _levels(description: Description) -> int:
    return len(_blocks(description))


def _vae_levels(description: Description) -> int:
    # The branch halves the resolution once more.
    return len(_blocks(description)) + 1


def _build(blueprint: Blueprint) -> nn.Module:
    down = _blocks(blueprint.description)
    common = {
        "spatial_dims": blueprint.dimensions,
        "in_channels": blueprint.in_channels,
        "out_channels": blueprint.out_channels,
        "init_filters": int(blueprint.option("init_filters", 16)),
        "blocks_down": down,
        "blocks_up": tuple(blueprint.option("blocks_up", (1,) * (len(down) - 1))),
        "dropout_prob": blueprint.option("dropout", None),
    }
    if blueprint.description["name"] == "SegResNetVAE" and blueprint.training:
        return RedrawingSegResNet(
            input_image_size=[int(side) for side in blueprint.description["patch"]],
            vae_estimate_std=True,
            vae_nz=int(blueprint.option("latent", 128)),
            **common,
        )
    return SegResNet(**common)


_OPTIONS = frozenset({"init_filters", "blocks_down", "blocks_up", "dropout"})
FAMILIES["SegResNet"] = Family(_build, _levels, options=_OPTIONS)
FAMILIES["SegResNetVAE"] = Family(
    _build,
    _vae_levels,
    required=frozenset({"patch"}),
    options=_OPTIONS | {"latent"},
    dimensions=(3,),
    training_only=("vae_",),
)
