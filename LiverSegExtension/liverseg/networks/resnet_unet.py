"""A U-Net with a residual encoder of torchvision's shape, which takes weights learned on ImageNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import nn

from liverseg.errors import ModelError
from liverseg.networks.registry import FAMILIES, Blueprint, Family

# MONAI's own encoders have other shortcuts than torchvision's, so that ImageNet weights would not fit.
_PREFIX = "torchvision-"
_DEPTHS: dict[str, tuple[Any, list[int], tuple[int, ...]]] = {
    "resnet10": (ResNetBlock, [1, 1, 1, 1], (64, 64, 128, 256, 512)),
    "resnet18": (ResNetBlock, [2, 2, 2, 2], (64, 64, 128, 256, 512)),
    "resnet34": (ResNetBlock, [3, 4, 6, 3], (64, 64, 128, 256, 512)),
    "resnet50": (ResNetBottleneck, [3, 4, 6, 3], (64, 256, 512, 1024, 2048)),
}


class TorchvisionEncoder(ResNet, BaseEncoder):
    """MONAI's ResNet with torchvision's layers and names, giving the features of each resolution."""

    def __init__(self, model_name: str, pretrained: bool, spatial_dims: int, in_channels: int) -> None:
        block, layers, _ = _DEPTHS[model_name]
        super().__init__(
            block=block,
            layers=layers,
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            shortcut_type="B",
            feed_forward=False,
            bias_downsample=False,
        )

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:  # type: ignore[override]
        """(batch, channels, [z,] y, x) to five feature maps, each of half the size of the one before."""
        x = self.act(self.bn1(self.conv1(inputs)))
        features = [x]
        x = self.maxpool(x)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return [_PREFIX + name for name in _DEPTHS]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        return [
            {"model_name": name, "pretrained": False, "spatial_dims": 2, "in_channels": 1} for name in _DEPTHS
        ]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [channels for _, _, channels in _DEPTHS.values()]

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [5 for _ in _DEPTHS]


FLEXUNET_BACKBONE.register_class(TorchvisionEncoder)


class RepeatChannels(nn.Module):
    """A network that sees each input channel several times: an image as the three colors of ImageNet."""

    def __init__(self, network: nn.Module, times: int) -> None:
        super().__init__()
        self.network = network
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.repeat_interleave(self.times, dim=1))


def _build(blueprint: Blueprint) -> nn.Module:
    encoder = str(blueprint.option("encoder", "resnet34"))
    repeat = int(blueprint.option("repeat", 1))
    library = blueprint.option("library", "monai")
    channels = blueprint.in_channels * repeat
    if library == "smp":
        network = _of_smp(encoder, channels, blueprint)
    elif library == "monai" and encoder in _DEPTHS:
        network = FlexibleUNet(
            in_channels=channels,
            out_channels=blueprint.out_channels,
            backbone=_PREFIX + encoder,
            decoder_channels=tuple(blueprint.option("decoder", (256, 128, 64, 32, 16))),
            spatial_dims=blueprint.dimensions,
            interp_mode="nearest",
        )
    elif library == "monai":
        raise ModelError(f"the network's encoder is {encoder!r}; it may be {', '.join(_DEPTHS)}")
    else:
        raise ModelError(f"the network's library is {library!r}; it may be monai or smp")
    return RepeatChannels(network, repeat) if repeat > 1 else network


def _of_smp(encoder: str, channels: int, blueprint: Blueprint) -> nn.Module:
    if blueprint.dimensions != 2:
        raise ModelError("segmentation-models-pytorch has networks over slices alone; set dimensions to 2")
    try:
        import segmentation_models_pytorch as smp
    except (ImportError, RuntimeError) as error:
        # torchvision raises a RuntimeError where it was built for another torch.
        raise ModelError(
            "library: smp needs segmentation-models-pytorch and the torchvision of this torch "
            "(pip install segmentation-models-pytorch), or set library to monai"
        ) from error
    return smp.Unet(encoder, encoder_weights=None, in_channels=channels, classes=blueprint.out_channels)


def load_imagenet_weights(network: nn.Module, path: Path) -> None:
    """Put torchvision's weights of a residual network, from a local file, into a network's encoder.

    With another number of input channels than three, the first layer's weights are averaged over the
    colors and spread, so that the sum over channels stays.

    Raises:
        ModelError: the file cannot be read, or holds another network.
    """
    encoder = next((m.encoder for m in network.modules() if hasattr(m, "encoder")), None)
    if not isinstance(encoder, nn.Module):
        raise ModelError("network.pretrained: this network has no encoder that takes ImageNet weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
        wanted = encoder.state_dict()["conv1.weight"].shape[1]
        first = weights["conv1.weight"]
        if first.shape[1] != wanted:
            first = first.sum(dim=1, keepdim=True).expand(-1, wanted, -1, -1) / wanted
        encoder.load_state_dict({**weights, "conv1.weight": first})
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(
            f"network.pretrained: {path} does not hold torchvision's weights of this encoder"
        ) from error


FAMILIES["ResNetUNet"] = Family(
    _build,
    lambda description: 6,
    options=frozenset({"encoder", "decoder", "repeat", "library"}),
)
