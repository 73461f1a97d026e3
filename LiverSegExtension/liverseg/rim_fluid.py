"""Fluid at the liver's rim: the gallbladder and bowel, which a network takes for lesions.

Where the rough liver's hollows are filled (:mod:`liverseg.hollows`) the gallbladder lies in what stage 2 is
shown as liver, dark and round as a lesion is. A tumor at the rim that stage 1 left out is brighter than bile;
a cyst within the liver was never left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import edt
import numpy as np
from scipy import ndimage

from liverseg.postprocess import opened

# A claim is no lesion when so much of it lies beside stage 1's liver,
OUTSIDE_SHARE = 0.05
# its median is that of bile or bowel fluid,
FLUID_HU = 35.0
# and the liver's tissue is so much brighter: in a fatty or an unenhanced liver a tumor is as dark.
DARKER_HU = 35.0
# A lesion beside it stays: what lies further from the fluid than its wall, is twice as thick, and not tiny.
WALL_MM = 3.0
SMALLEST_BESIDE_ML = 1.0


def rim_fluid(
    lesions: np.ndarray, liver: np.ndarray, rough: np.ndarray, hu: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Which of the claimed lesions are fluid at the liver's rim.

    Args:
        lesions: bool (z, y, x).
        liver: bool, of the same shape, lesions included.
        rough: bool (z, y, x), stage 1's own liver over the same box, on any grid.
        hu: of the shape of ``lesions``.
        spacing: of their grid, in mm (z, y, x).

    Returns:
        bool, inside ``lesions``: whole claims (26-connected), but for lesions that touch the fluid.
    """
    fluid = np.zeros_like(lesions)
    tissue = hu[liver & ~lesions]
    if tissue.size == 0 or not lesions.any():
        return fluid
    brightness = float(np.median(tissue))
    claims, count = cc3d.connected_components(lesions, connectivity=26, return_N=True)
    boxes = cc3d.statistics(claims)["bounding_boxes"]
    for number in range(1, count + 1):
        own = claims[boxes[number]] == number
        gray = float(np.median(hu[boxes[number]][own]))
        if gray > FLUID_HU or brightness - gray < DARKER_HU:
            continue
        voxels = np.argwhere(own) + [part.start for part in boxes[number]]
        if np.mean(~_at(rough, voxels, lesions.shape)) >= OUTSIDE_SHARE:
            fluid[boxes[number]] |= own & ~_beside_fluid(own, hu[boxes[number]], spacing)
    return fluid


def _beside_fluid(claim: np.ndarray, hu: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The solid parts of a claim that is mostly fluid: a lesion beside the gallbladder."""
    steps = tuple(spacing)
    dark = claim & (ndimage.uniform_filter(hu.astype(np.float32), 3) <= FLUID_HU)
    beyond = np.pad(claim & (edt.edt(~dark, anisotropy=steps) > WALL_MM), 1)
    solid = opened(beyond, steps, WALL_MM)[1:-1, 1:-1, 1:-1]
    parts = cc3d.connected_components(solid, connectivity=6)
    kept = np.bincount(parts.ravel()) * float(np.prod(steps)) / 1000 >= SMALLEST_BESIDE_ML
    kept[0] = False
    return np.asarray(kept[parts])


def _at(mask: np.ndarray, voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a mask at voxels (n, 3) of another grid of that shape over the same box."""
    places = ((voxels + 0.5) * (np.array(mask.shape) / np.array(shape))).astype(int)
    return np.asarray(mask[tuple(np.minimum(places, np.array(mask.shape) - 1).T)])
