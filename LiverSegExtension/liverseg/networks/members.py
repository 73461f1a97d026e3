"""A usual member of each family, as the experiment files and the tables of the documentation have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Member:
    """A network of usual size.

    Attributes:
        patch: what it is trained on (z, y, x).
        options: of its description.
        batch: slices in a step of a network over slices; 1 for volumes.
    """

    patch: tuple[int, int, int]
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 1

    @property
    def description(self) -> dict[str, Any]:
        """For :func:`liverseg.networks.build_network`, with one channel and three classes (or its own)."""
        return {"in_channels": 1, "out_channels": 3, **self.options}


_CUBE = (64, 64, 64)
_SLICE = (1, 256, 256)
_FOUR = [32, 64, 128, 256]

MEMBERS: dict[str, Member] = {
    "DynUNet": Member(_CUBE, {"name": "DynUNet", "filters": [16, 32, 64, 128, 192]}),
    "PlainUNet": Member(_CUBE, {"name": "PlainUNet", "filters": _FOUR}),
    "ClassicUNet": Member(_CUBE, {"name": "ClassicUNet", "filters": _FOUR}),
    "ResNetUNet (2D)": Member(
        _SLICE, {"name": "ResNetUNet", "dimensions": 2, "encoder": "resnet34", "repeat": 3}, batch=8
    ),
    "PlainUNet (2.5D)": Member(
        _SLICE,
        {
            "name": "PlainUNet",
            "dimensions": 2,
            "context": 3,
            "filters": [32, 64, 128, 256, 512],
            "norm": "batch",
        },
        batch=8,
    ),
    "SegResNet": Member(_CUBE, {"name": "SegResNet", "init_filters": 16}),
    "SegResNetVAE": Member(_CUBE, {"name": "SegResNetVAE", "init_filters": 16, "patch": list(_CUBE)}),
    "AttentionUNet": Member(_CUBE, {"name": "AttentionUNet", "filters": [16, 32, 64, 128, 256]}),
    "SwinUNETR": Member(_CUBE, {"name": "SwinUNETR", "feature_size": 24}),
    "UNETR": Member(_CUBE, {"name": "UNETR", "hidden_size": 384, "patch": list(_CUBE)}),
    "TransUNet": Member(_CUBE, {"name": "TransUNet", "filters": _FOUR, "patch": list(_CUBE)}),
    "TwoHeads": Member(
        _CUBE,
        {
            "name": "TwoHeads",
            "out_channels": 17,
            "features": 16,
            "trunk": {"name": "DynUNet", "filters": [16, 32, 64, 128, 192]},
        },
    ),
}
