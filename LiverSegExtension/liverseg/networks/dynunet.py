"""The engine's own: MONAI's DynUNet, a U-Net with instance normalization and strided convolutions."""

from __future__ import annotations

from monai.networks.nets import DynUNet
from torch import nn

from liverseg.networks.layers import FAST_INSTANCE
from liverseg.networks.registry import FAMILIES, Blueprint, Family, by_filters


def _build(blueprint: Blueprint) -> nn.Module:
    filters = list(blueprint.description["filters"])
    strides = [1] + [2] * (len(filters) - 1)
    return DynUNet(
        spatial_dims=blueprint.dimensions,
        in_channels=blueprint.in_channels,
        out_channels=blueprint.out_channels,
        kernel_size=blueprint.option("kernels", None) or [3] * len(filters),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        norm_name=FAST_INSTANCE,
        deep_supervision=blueprint.deep_supervision > 0,
        deep_supr_num=max(1, blueprint.deep_supervision),
    )


FAMILIES["DynUNet"] = Family(
    build=_build,
    levels=by_filters,
    required=frozenset({"filters"}),
    options=frozenset({"kernels"}),
    deep_supervision=True,
    # MONAI lists the same layers twice in its state: by their own names and inside a chain.
    training_only=("deep_supervision_heads.", "skip_layers."),
)
