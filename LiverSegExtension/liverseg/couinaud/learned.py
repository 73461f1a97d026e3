"""Segments learned from the liver's shape: the bundle's network sees the mask alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from liverseg.bundle import Bundle, load_network
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable
from liverseg.couinaud.straight import straight_segments
from liverseg.networks import size_multiple
from liverseg.resample import grid_for_spacing, resize
from liverseg.shape_input import shape_input

# What a voxel without liver counts where no voxel with liver is near.
LEAST_WEIGHT = 1e-3
# Empty voxels around the liver on the network's grid, as in training.
BORDER = 2


class LearnedFromShape:
    """The method ``shape``."""

    name = "learned from shape"
    margin_mm = 0.0

    def draw(self, liver: LiverCrop, guides: Guides) -> Drawn:
        """Split by the network of ``guides.bundle``.

        Raises:
            ModelError: the bundle's network is damaged.
        """
        if guides.bundle is None:
            raise MethodUnavailable("no model is at hand")
        if "couinaud" not in guides.bundle.networks:
            raise MethodUnavailable(f"the model {guides.bundle.name} has no network for the segments")
        scores = shape_scores(liver.mask, liver.spacing, guides.bundle)
        segments = np.where(liver.mask, straight_segments(scores, liver.mask.shape), np.uint8(0))
        drawn = torch.from_numpy(straight_segments(scores, tuple(scores.shape[1:])).astype(np.int64) - 1)
        agreed = torch.gather(scores, 0, drawn[None]).sum() / scores.sum()
        return Drawn(segments, float(agreed))


def shape_scores(mask: np.ndarray, spacing: tuple[float, float, float], bundle: Bundle) -> torch.Tensor:
    """(8, z, y, x) probabilities of the segments times shares of liver, on a coarse grid of a liver's box.

    The network sees the liver twice, on its own grid and on that grid moved by half a voxel along each axis:
    what a voxel rounds off in one view the other one has. The result's voxels are half as large.

    Args:
        mask: bool (z, y, x), canonical order, cropped to the liver.
        spacing: voxel size in mm (z, y, x).
    """
    network = load_network(bundle, "couinaud")
    card = bundle.networks["couinaud"]
    multiples = size_multiple(card.network)
    z, y, x = grid_for_spacing(mask.shape, spacing, [card.spacing_mm] * 3)
    fine = resize(torch.from_numpy(mask.astype(np.float32)), (2 * z, 2 * y, 2 * x))
    there = _weighted_scores(network, fine, multiples)
    moved = _weighted_scores(network, F.pad(fine, [1] * 6), multiples)[:, 1:-1, 1:-1, 1:-1]
    return (there + moved) / 2


def _weighted_scores(network: nn.Module, fine: torch.Tensor, multiples: Sequence[int]) -> torch.Tensor:
    """(8, z, y, x) probabilities on the fine grid, each coarse voxel counting by how much liver is in it.

    Outside of the liver the network has learned nothing, and is not to speak for the rim.

    Args:
        fine: (z, y, x) shares of liver on a grid of half the network's spacing, with even sides.
        multiples: what the sides of the network's input are multiples of.
    """
    share = F.avg_pool3d(fine[None, None], 2)[0, 0]
    pads: list[int] = []
    for size, side in zip(reversed(share.shape), reversed(multiples), strict=True):
        pads += [BORDER, BORDER + -(size + 2 * BORDER) % side]
    if all(size + 2 * BORDER <= side for size, side in zip(share.shape, multiples, strict=True)):
        # One voxel is left at the bottom then, and instance normalization needs two.
        pads[-1] += multiples[0]
    inputs = shape_input(F.pad((share > 0.5).float(), pads))[None]
    with torch.inference_mode():
        scores = torch.softmax(
            network(inputs.contiguous(memory_format=torch.channels_last_3d)).float(), dim=1
        )[0]
    inner = tuple(slice(BORDER, BORDER + size) for size in share.shape)
    weighted = scores[(slice(None), *inner)] * share.clamp(min=LEAST_WEIGHT)
    return resize(weighted, fine.shape)
