"""One network on several grids: what a fine look finds and a coarse one knows, averaged.

A fine grid shows lesions of a few millimeters as large as the network has learned them, a coarse one shows
a window the whole of a large tumor. A card says so by ``"views"``: pairs of a spacing in mm and a share of
the average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from liverseg.bundle import NetworkCard
from liverseg.device import Rung
from liverseg.progress import Progress, part_of, silent
from liverseg.resample import grid_for_spacing, resize
from liverseg.slicewise import card_scores


def scores_in_views(
    network: torch.nn.Module,
    card: NetworkCard,
    image: torch.Tensor,
    spacing: Sequence[float],
    masks: Sequence[torch.Tensor],
    near: torch.Tensor,
    rung: Rung,
    overlap: float,
    progress: Progress = silent,
) -> torch.Tensor:
    """The class probabilities of a network, averaged over the views of its card.

    Args:
        card: with ``views``.
        image: (z, y, x) float32, the CT of a box at its own resolution, normalized to 0..1.
        spacing: its voxel size in mm.
        masks: (z, y, x) of 0 and 1, further channels, on the grid of ``near``.
        near: bool; windows without any true voxel are skipped. The result has its grid.
        rung, overlap, progress: as in :func:`liverseg.inference.sliding_scores`.

    Returns:
        (classes, z, y, x) float32 on the CPU.
    """
    shapes = [grid_for_spacing(image.shape, spacing, [step] * 3) for step, _ in card.views]
    voxels = [math.prod(shape) for shape in shapes]
    average: torch.Tensor | None = None
    for number, ((_, share), shape) in enumerate(zip(card.views, shapes, strict=True)):
        low, high = (sum(voxels[:n]) / sum(voxels) for n in (number, number + 1))
        seen = torch.stack([resize(image, shape), *((resize(m, shape) > 0.5).float() for m in masks)])
        where = resize(near.float(), shape) > 0
        scores = card_scores(network, card, seen, rung, overlap, where, part_of(progress, low, high))
        scores = share * resize(scores, near.shape)
        average = scores if average is None else average.add_(scores)
    assert average is not None
    return average
