"""Hollows in the rough liver: bites that a lesion at its rim, a fissure or the gallbladder leave in it.

Stage 1 knows lesions too little to count every one at the rim as liver, and stage 2 looks for lesions where
it is told that there is liver. So it is shown the liver with its bites filled, and finds the border itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from liverseg.geometry import bounding_box

# A place is in a hollow when in so many of the 26 directions of a grid
DIRECTIONS = 16
# there is liver no further away than this.
REACH_MM = 40.0


def fill_hollows(
    mask: np.ndarray,
    spacing: Sequence[float],
    directions: int = DIRECTIONS,
    reach_mm: float = REACH_MM,
) -> np.ndarray:
    """A mask with the places filled that it surrounds in most directions.

    Args:
        mask: bool (z, y, x); the work grows with the number of voxels to walk, so the grid should be coarse.
        spacing: voxel size in mm (z, y, x).
        directions: of 26, how many must meet the mask.
        reach_mm: how far along each.

    Returns:
        bool; never less than the mask.
    """
    box = bounding_box(mask)
    if box is None:
        return mask
    part = mask[box]
    met = np.zeros(part.shape, dtype=np.uint8)
    for direction in itertools.product((-1, 0, 1), repeat=3):
        if any(direction):
            met += _meets(part, direction, int(reach_mm / np.linalg.norm(np.multiply(direction, spacing))))
    filled = mask.copy()
    filled[box] |= met >= directions
    return filled


def _meets(mask: np.ndarray, direction: tuple[int, ...], steps: int) -> np.ndarray:
    """From which voxels a walk of so many steps meets the mask."""
    met = np.zeros_like(mask)
    for step in range(1, steps + 1):
        ahead = [step * d for d in direction]
        if any(abs(a) >= side for a, side in zip(ahead, mask.shape, strict=True)):
            break
        here = tuple(slice(max(0, -a), min(n, n - a)) for a, n in zip(ahead, mask.shape, strict=True))
        there = tuple(slice(max(0, a), min(n, n + a)) for a, n in zip(ahead, mask.shape, strict=True))
        met[here] |= mask[there]
    return met
