"""Attention U-Net (Oktay et al. 2018), MONAI's."""

from __future__ import annotations

from monai.networks.nets import AttentionUnet
from torch import nn

from liverseg.networks.registry import FAMILIES, Blueprint, Family, by_filters


def _build(blueprint: Blueprint) -> nn.Module:
    filters = list(blueprint.description["filters"])
    return AttentionUnet(
        spatial_dims=blueprint.dimensions,
        in_channels=blueprint.in_channels,
        out_channels=blueprint.out_channels,
        channels=filters,
        strides=[2] * (len(filters) - 1),
        dropout=float(blueprint.option("dropout", 0.0)),
    )


FAMILIES["AttentionUNet"] = Family(_build, by_filters, frozenset({"filters"}), frozenset({"dropout"}))
