"""The networks, built from the description in a model card or in a training run's settings."""

from __future__ import annotations

from torch import nn

from liverseg.errors import ModelError
from liverseg.intensity import Normalization, NormalizedInput
from liverseg.networks import (
    attention,
    dynunet,
    resnet_unet,
    segresnet,
    transformers,
    transunet,
    two_heads,
    unet,
)
from liverseg.networks.layers import InstanceNorm3d, channels_last
from liverseg.networks.over_slices import SliceNetwork
from liverseg.networks.registry import FAMILIES, Blueprint, Description, family_of

__all__ = [
    "FAMILIES",
    "InstanceNorm3d",
    "build_network",
    "channels_last",
    "context_of",
    "resolution_levels",
    "size_multiple",
    "training_only",
]

# Modules that add their families to the registry when they are imported.
_REGISTERED = (attention, dynunet, resnet_unet, segresnet, transformers, transunet, two_heads, unet)


def build_network(description: Description, deep_supervision: int = 0, training: bool = False) -> nn.Module:
    """A network, not yet trained.

    Args:
        description: ``{"name": a key of FAMILIES, "in_channels": int, "out_channels": int}`` with the options
            of its family, for DynUNet ``"filters": [int, ...]`` and perhaps ``"kernels": [[z, y, x], ...]``,
            one a level (3 x 3 x 3 otherwise). ``"dimensions": 2`` makes a network over slices, each seen
            within ``"context"`` slices (an odd number, 1 by default); ``"normalization"`` is how the CT is
            scaled before the first layer, see :class:`liverseg.intensity.Normalization`.
        deep_supervision: so many coarser levels give an output of their own in training: the output is then
            (batch, 1 + levels, classes, z, y, x), each coarser one repeated to the full size.
        training: with the parts that serve training alone (the branch of SegResNetVAE).

    Raises:
        ModelError: the description names a network that this version does not know, or does not fit it.
    """
    family = family_of(description)
    dimensions, context = int(description.get("dimensions", 3)), context_of(description)
    if context < 1 or context % 2 == 0 or (context > 1 and dimensions == 3):
        raise ModelError(f"the network's context is {context}; it may be an odd number where dimensions is 2")
    if deep_supervision and (not family.deep_supervision or dimensions == 2):
        raise ModelError(f"{description['name']} over {dimensions} dimensions has no deep supervision")
    blueprint = Blueprint(
        description=description,
        dimensions=dimensions,
        in_channels=int(description["in_channels"]) * context,
        out_channels=int(description["out_channels"]),
        deep_supervision=deep_supervision,
        training=training,
    )
    try:
        network = family.build(blueprint)
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise ModelError(f"no {description['name']} can be built from its description: {error}") from error
    if dimensions == 2:
        network = SliceNetwork(network, context)
    if description.get("normalization"):
        try:
            normalization = Normalization.from_json(description["normalization"])
        except (TypeError, ValueError) as error:
            raise ModelError(f"the network's description is damaged: {error}") from error
        network.register_forward_pre_hook(NormalizedInput(normalization, context))
    return channels_last(network)


def context_of(description: Description) -> int:
    """How many neighboring slices in all a slice is seen with; 1 for none and for volumes."""
    return int(description.get("context", 1))


def resolution_levels(description: Description) -> tuple[int, int, int]:
    """The resolution levels of a network along z, y and x; each but the first halves the resolution.

    Raises:
        ModelError: see :func:`build_network`.
    """
    levels = family_of(description).levels(description)
    return (1 if int(description.get("dimensions", 3)) == 2 else levels), levels, levels


def size_multiple(description: Description) -> tuple[int, int, int]:
    """What the sides (z, y, x) of a window must be multiples of.

    Raises:
        ModelError: see :func:`build_network`.
    """
    z, y, x = (2 ** (levels - 1) for levels in resolution_levels(description))
    return z, y, x


def training_only(description: Description) -> tuple[str, ...]:
    """Beginnings of the names of weights that serve training alone and are not exported."""
    return family_of(description).training_only
