"""UNETR (Hatamizadeh et al. 2021) and Swin UNETR (2022), MONAI's."""

from __future__ import annotations

import torch
from monai.networks.nets import UNETR, SwinUNETR
from torch import nn

from liverseg.networks.layers import grid_positions
from liverseg.networks.registry import FAMILIES, Blueprint, Family


class AnySizeUNETR(UNETR):
    """A UNETR whose learned positions are interpolated to windows of another size than its training patch."""

    def forward(self, x_in: torch.Tensor) -> torch.Tensor:
        """(batch, channels, z, y, x), sides multiples of 16, to logits of the same size."""
        grid = tuple(n // p for n, p in zip(x_in.shape[2:], self.patch_size, strict=True))
        embedding = self.vit.patch_embedding
        x = embedding.patch_embeddings(x_in).flatten(2).transpose(1, 2)
        x = embedding.dropout(x + grid_positions(embedding.position_embeddings, self.feat_size, grid))
        hidden = []
        for block in self.vit.blocks:
            x = block(x)
            hidden.append(x)

        def as_volume(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid).contiguous()

        deep = self.decoder5(as_volume(self.vit.norm(x)), self.encoder4(as_volume(hidden[9])))
        deep = self.decoder4(deep, self.encoder3(as_volume(hidden[6])))
        deep = self.decoder3(deep, self.encoder2(as_volume(hidden[3])))
        return self.out(self.decoder2(deep, self.encoder1(x_in)))


def _unetr(blueprint: Blueprint) -> nn.Module:
    hidden = int(blueprint.option("hidden_size", 384))
    return AnySizeUNETR(
        in_channels=blueprint.in_channels,
        out_channels=blueprint.out_channels,
        img_size=[int(side) for side in blueprint.description["patch"]][-blueprint.dimensions :],
        feature_size=int(blueprint.option("feature_size", 16)),
        hidden_size=hidden,
        mlp_dim=int(blueprint.option("mlp_dim", 4 * hidden)),
        num_heads=int(blueprint.option("heads", 12)),
        dropout_rate=float(blueprint.option("dropout", 0.0)),
        norm_name="instance",
        spatial_dims=blueprint.dimensions,
    )


def _swin(blueprint: Blueprint) -> nn.Module:
    return SwinUNETR(
        in_channels=blueprint.in_channels,
        out_channels=blueprint.out_channels,
        feature_size=int(blueprint.option("feature_size", 24)),
        depths=tuple(blueprint.option("depths", (2, 2, 2, 2))),
        num_heads=tuple(blueprint.option("heads", (3, 6, 12, 24))),
        window_size=int(blueprint.option("window", 7)),
        drop_rate=float(blueprint.option("dropout", 0.0)),
        use_checkpoint=bool(blueprint.option("checkpointing", False)) and blueprint.training,
        spatial_dims=blueprint.dimensions,
    )


FAMILIES["UNETR"] = Family(
    _unetr,
    lambda description: 5,
    required=frozenset({"patch"}),
    options=frozenset({"feature_size", "hidden_size", "mlp_dim", "heads", "dropout"}),
    needs=("einops",),
)
FAMILIES["SwinUNETR"] = Family(
    _swin,
    lambda description: 6,
    options=frozenset({"feature_size", "depths", "heads", "window", "dropout", "checkpointing"}),
    needs=("einops",),
)
