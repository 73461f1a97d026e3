"""Two tasks on shared features: what tissue a voxel is of, and in which Couinaud segment it lies.

Any other network is the trunk; its features go through two heads. The output has one class for each pair
(background, liver in segment I to VIII, lesion in segment I to VIII) whose probability is the product of
both heads', so that losses, partial labels and the engine treat it as any network.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv
from torch import nn

from liverseg.errors import ModelError
from liverseg.networks.registry import COMMON, FAMILIES, Blueprint, Description, Family, family_of

SEGMENTS = 8
# Background, liver and lesion.
TISSUES = 3
PAIRS = 1 + (TISSUES - 1) * SEGMENTS


class TwoHeads(nn.Module):
    """See the module.

    Args:
        trunk: gives ``features`` channels at the size of its input.
        dimensions: 2 or 3.
        features: shared by the heads.
    """

    def __init__(self, trunk: nn.Module, dimensions: int, features: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.tissue = Conv[Conv.CONV, dimensions](features, TISSUES, 1)
        self.segment = Conv[Conv.CONV, dimensions](features, SEGMENTS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, [z,] y, x) to the logarithm of each pair's probability (batch, 17, [z,] y, x)."""
        features = F.relu(self.trunk(x))
        tissue = F.log_softmax(self.tissue(features).float(), dim=1)
        segment = F.log_softmax(self.segment(features).float(), dim=1)
        return torch.cat([tissue[:, :1], *(tissue[:, n : n + 1] + segment for n in range(1, TISSUES))], dim=1)


def _trunk(description: Description) -> dict[str, Any]:
    """The trunk's description: the one given, with the keys that both share."""
    shared = {key: value for key, value in description.items() if key in COMMON - {"normalization"}}
    features = int(description.get("features", 16))
    return {**shared, **description["trunk"], "out_channels": features}


def _build(blueprint: Blueprint) -> nn.Module:
    if blueprint.out_channels != PAIRS:
        raise ModelError(f"TwoHeads has {PAIRS} classes, not {blueprint.out_channels}")
    description = _trunk(blueprint.description)
    if description["name"] in ("TwoHeads", "SegResNetVAE"):
        raise ModelError(f"{description['name']} is no trunk for TwoHeads")
    family, features = family_of(description), int(description["out_channels"])
    own = replace(blueprint, description=description, out_channels=features)
    return TwoHeads(family.build(own), blueprint.dimensions, features)


def _levels(description: Description) -> int:
    trunk = _trunk(description)
    return family_of(trunk).levels(trunk)


FAMILIES["TwoHeads"] = Family(
    _build,
    _levels,
    required=frozenset({"trunk"}),
    options=frozenset({"features"}),
    training_only=("trunk.skip_layers.", "trunk.deep_supervision_heads."),
)
