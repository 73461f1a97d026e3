"""Segments learned from the liver's shape: the bundle's network sees the mask alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from liverseg.bundle import Bundle, load_network
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable
from liverseg.networks import size_multiple
from liverseg.resample import grid_for_spacing, resize, resize_best_class
from liverseg.shape_input import shape_input

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
        winner, best = resize_best_class(scores, liver.mask.shape)
        # Class 0 is segment I, and 0 is outside of the liver.
        segments = np.where(liver.mask, winner + np.uint8(1), np.uint8(0))
        return Drawn(segments, float(best[liver.mask].mean()))


def shape_scores(mask: np.ndarray, spacing: tuple[float, float, float], bundle: Bundle) -> torch.Tensor:
    """(8, z, y, x) probabilities of the segments on the network's coarse grid of a liver's box.

    Args:
        mask: bool (z, y, x), canonical order, cropped to the liver.
        spacing: voxel size in mm (z, y, x).
    """
    network = load_network(bundle, "couinaud")
    card = bundle.networks["couinaud"]
    coarse = grid_for_spacing(mask.shape, spacing, [card.spacing_mm] * 3)
    soft = resize(torch.from_numpy(mask.astype(np.float32)), coarse)
    multiples = size_multiple(card.network)
    pads: list[int] = []
    for size, side in zip(reversed(coarse), reversed(multiples), strict=True):
        pads += [BORDER, BORDER + -(size + 2 * BORDER) % side]
    if all(size + 2 * BORDER <= side for size, side in zip(coarse, multiples, strict=True)):
        # One voxel is left at the bottom then, and instance normalization needs two.
        pads[-1] += multiples[0]
    padded = F.pad((soft > 0.5).float(), pads)
    inputs = shape_input(padded)[None].contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        scores = torch.softmax(network(inputs).float(), dim=1)[0]
    inner = tuple(slice(BORDER, BORDER + size) for size in coarse)
    return scores[(slice(None), *inner)].clone()
