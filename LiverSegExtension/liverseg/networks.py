"""The networks, built with MONAI from the description in a model card."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import DynUNet

from liverseg.errors import ModelError


def build_network(description: dict[str, Any]) -> torch.nn.Module:
    """A network, not yet trained.

    Args:
        description: ``{"name": "DynUNet", "in_channels": int, "out_channels": int, "filters": [int, ...]}``.
            Every level but the first halves the resolution, so a patch's sides are multiples of
            ``2 ** (len(filters) - 1)``.

    Raises:
        ModelError: the description names a network that this version does not know.
    """
    if description.get("name") != "DynUNet":
        raise ModelError(
            f"the model card asks for the network {description.get('name')!r}; this version knows DynUNet"
        )
    filters = list(description["filters"])
    strides = [1] + [2] * (len(filters) - 1)
    network = DynUNet(
        spatial_dims=3,
        in_channels=int(description["in_channels"]),
        out_channels=int(description["out_channels"]),
        kernel_size=[3] * len(filters),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        norm_name=("INSTANCE", {"affine": True}),
        deep_supervision=False,
    )
    return channels_last(network)


def channels_last(network: torch.nn.Module) -> torch.nn.Module:
    """The network with its weights in the layout that is fastest on CPUs and new GPUs (in place)."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network
