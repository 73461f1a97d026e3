"""The networks, built with MONAI from the description in a model card."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Norm
from monai.networks.nets import DynUNet

from liverseg.errors import ModelError
from liverseg.intensity import Normalization, NormalizedInput


class InstanceNorm3d(torch.nn.InstanceNorm3d):
    """Instance normalization that keeps the channels-last layout of a single sample.

    PyTorch's own copies into the plain layout and back, which takes a third of a step on a CPU. The
    statistics of a batch of one are those of the instance, and batch normalization works in place.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        return super().forward(x)


Norm.add_factory_callable("liverseg_instance", lambda dim: InstanceNorm3d)


def build_network(description: dict[str, Any], deep_supervision: int = 0) -> torch.nn.Module:
    """A network, not yet trained.

    Args:
        description: ``{"name": "DynUNet", "in_channels": int, "out_channels": int, "filters": [int, ...]}``,
            perhaps with ``"kernels": [[z, y, x], ...]``, one a level (3 x 3 x 3 otherwise). Every level but
            the first halves the resolution, so a patch's sides are multiples of ``2 ** (len(filters) - 1)``.
            ``"normalization"`` is how the CT is brought from 0..1 into the network's own range
            (:class:`liverseg.intensity.Normalization`); the first layer then sees that.
        deep_supervision: so many coarser levels give an output of their own in training: the output is then
            (batch, 1 + levels, classes, z, y, x), each coarser one repeated to the full size.

    Raises:
        ModelError: the description names a network that this version does not know, or no normalization.
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
        kernel_size=description.get("kernels") or [3] * len(filters),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        norm_name=("liverseg_instance", {"affine": True}),
        deep_supervision=deep_supervision > 0,
        deep_supr_num=max(1, deep_supervision),
    )
    if description.get("normalization"):
        try:
            normalization = Normalization.from_json(description["normalization"])
        except (TypeError, ValueError) as error:
            raise ModelError(f"the network's description is damaged: {error}") from error
        network.register_forward_pre_hook(NormalizedInput(normalization))
    return channels_last(network)


def channels_last(network: torch.nn.Module) -> torch.nn.Module:
    """The network with its weights in the layout that is fastest on CPUs and new GPUs (in place)."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return network
