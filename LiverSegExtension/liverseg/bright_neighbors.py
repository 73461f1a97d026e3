"""Takes brighter organs off a rough liver: bowel filled with oral contrast, the kidney's cortex, the spleen.

A network that knows few scans takes them for liver where they touch it. Liver tissue of one scan has one
brightness; what is far brighter and lies beside the liver, not in it, is something else. Bright things that
liver surrounds (vessels, enhancing or treated lesions) stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import edt
import numpy as np
from scipy import ndimage

from liverseg.geometry import bounding_box
from liverseg.postprocess import opened

# How much brighter than the liver's commonest value, in HU. Portal and hepatic veins are about 40 to 60
# brighter, but lie inside.
BRIGHTER_HU = 40.0
# Smaller things are not worth the risk.
SMALLEST_ML = 2.5
# A bright thing belongs to the liver when so much of what is around it is liver.
LIVER_AROUND = 0.7
# Its wall goes with it: what is thinner than twice the first, up to the second away from it.
RIND_MM, NEAR_MM = 5.0, 12.0
_BINS_HU = 6.0


def without_bright_neighbors(mask: np.ndarray, hu: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The rough liver without far brighter things at its side.

    Args:
        mask: bool (z, y, x), a rough liver on a coarse grid of about 3 to 5 mm.
        hu: (z, y, x) on the same grid, perhaps clipped to a window.
        spacing: voxel size in mm (z, y, x).

    Returns:
        A bool mask inside ``mask``; ``mask`` itself where nothing is far brighter.
    """
    if not mask.any():
        return mask
    smooth = ndimage.uniform_filter(hu.astype(np.float32), 3)
    bright = mask & (smooth >= commonest_hu(smooth, mask) + BRIGHTER_HU)
    smallest = SMALLEST_ML * 1000 / float(np.prod(spacing))
    parts = cc3d.connected_components(bright, connectivity=6)
    kept = mask
    for number, size in enumerate(np.bincount(parts.ravel())):
        if number == 0 or size < smallest:
            continue
        near = ndimage.binary_dilation(parts == number)
        around = ndimage.binary_dilation(near) & ~near
        if (mask & ~bright)[around].mean() < LIVER_AROUND:
            # Its rim, half bright and half not, goes with it.
            kept = kept & ~near
    return _without_rind(kept, mask & ~kept, spacing)


def _without_rind(mask: np.ndarray, taken: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A mask without the thin wall around what was taken off it.

    A ball (opening) must fit into what stays near by.
    """
    if not taken.any():
        return mask
    margin = [int(np.ceil((RIND_MM + NEAR_MM) / step)) + 1 for step in spacing]
    box = bounding_box(taken, (margin[0], margin[1], margin[2]))
    assert box is not None
    # Beyond the ends of the scan the liver goes on.
    part = np.pad(mask[box], [(m, m) for m in margin], mode="edge")
    thick = opened(part, spacing, RIND_MM)
    near = edt.edt(~taken[box], anisotropy=tuple(spacing)) <= NEAR_MM
    inner = tuple(slice(m, m + n) for m, n in zip(margin, mask[box].shape, strict=True))
    kept = mask.copy()
    kept[box] &= thick[inner] | ~near
    return kept


def commonest_hu(smooth: np.ndarray, mask: np.ndarray) -> float:
    """The commonest value inside a mask, its border left out where that leaves anything."""
    core = ndimage.binary_erosion(mask, iterations=2)
    values = smooth[core if core.any() else mask]
    low = float(np.floor(values.min()))
    bins = max(1, int(np.ceil((float(values.max()) - low) / _BINS_HU)))
    counts, edges = np.histogram(values, bins=bins, range=(low, low + bins * _BINS_HU))
    best = int(np.convolve(counts, np.ones(3), "same").argmax())
    return float(edges[best] + edges[best + 1]) / 2
