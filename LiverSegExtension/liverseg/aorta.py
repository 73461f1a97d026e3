"""The aorta as stage 1 finds it: a landmark for the eye, drawn on the network's coarse grid and no finer."""

from __future__ import annotations

import numpy as np
import torch

from liverseg.geometry import bounding_box
from liverseg.labels import AORTA
from liverseg.postprocess import keep_main_parts
from liverseg.resample import resize

# The aorta beside a liver has 20 ml and more; less is a vertebra's edge or a bowel loop.
SMALLEST_VOXELS = 200
# Coarse voxels around the aorta within which its border is drawn.
MARGIN = 2


def find_aorta(scores: torch.Tensor, classes: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray | None:
    """The largest piece of what is likelier aorta than everything else.

    Args:
        scores: (classes, z, y, x) on the network's grid.
        classes: their names.
        shape: voxels (z, y, x) of the finer grid of the result, over the same box.

    Returns:
        bool of ``shape``; None where the network knows no aorta.
    """
    if AORTA.key not in classes:
        return None
    found = np.zeros(shape, dtype=bool)
    score = scores[classes.index(AORTA.key)]
    piece = keep_main_parts(score.numpy() > 0.5, 1.0)
    if piece.sum() < SMALLEST_VOXELS:
        return found
    coarse = bounding_box(piece, (MARGIN, MARGIN, MARGIN))
    assert coarse is not None
    box = tuple(
        slice(part.start * fine // side, -(-part.stop * fine // side))
        for part, fine, side in zip(coarse, shape, piece.shape, strict=True)
    )
    found[box] = resize(score, shape, box).numpy() > 0.5
    return keep_main_parts(found, 1.0)
