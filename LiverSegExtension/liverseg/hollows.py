"""Hollows in the rough liver: bites that a lesion at its rim, a fissure or the gallbladder leave in it.

Stage 1 knows lesions too little to count every one at the rim as liver, and stage 2 looks for lesions where
it is told that there is liver. So it is shown the liver with its bites filled, and finds the border itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np

from liverseg.geometry import bounding_box

# What a ball of this radius cannot enter from outside is filled.
HOLLOW_MM = 18.0


def fill_hollows(mask: np.ndarray, spacing: Sequence[float], radius_mm: float = HOLLOW_MM) -> np.ndarray:
    """A mask with its hollows (a morphological closing by a ball).

    Args:
        mask: bool (z, y, x).
        spacing: voxel size in mm (z, y, x).
        radius_mm: of the ball.

    Returns:
        bool; never less than the mask.
    """
    margin = [int(np.ceil(radius_mm / step)) + 1 for step in spacing]
    box = bounding_box(mask, (margin[0], margin[1], margin[2]))
    if box is None:
        return mask
    # Room for the ball beyond the ends of the scan, too.
    part = np.pad(mask[box], [(m, m) for m in margin])
    wide = edt.edt(~part, anisotropy=tuple(spacing)) <= radius_mm
    closed = edt.edt(wide, anisotropy=tuple(spacing)) > radius_mm
    inner = tuple(slice(m, m + n) for m, n in zip(margin, mask[box].shape, strict=True))
    filled = mask.copy()
    filled[box] |= closed[inner]
    return filled
