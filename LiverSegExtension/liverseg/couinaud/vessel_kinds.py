"""Portal or hepatic: told by which trunk feeds a vessel, where a mask does not say."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from liverseg.couinaud.borders import Borders
from liverseg.couinaud.landmarks import CAUDATE_BEFORE_CAVA
from liverseg.couinaud.vessel_graph import VesselVoxels

PORTAL, HEPATIC = 1, 2
# Where trunks are looked for: this far around the guessed axis of the cava above the portal vein, and around
# the guessed porta hepatis, mm.
CAVA_REACH_MM, CAVA_ABOVE_MM = 28.0, 22.0
PORTA_REACH_MM = 26.0
# The middle of the porta hepatis lies so far in front of the caudate lobe's middle, mm.
PORTA_BEFORE_CAUDATE_MM = 12.0


def tell_kinds(voxels: VesselVoxels, borders: Borders) -> np.ndarray:
    """1 portal vein or 2 hepatic vein for each voxel.

    A voxel belongs to the trunk that it is connected to by the cheaper way (long thin ways cost most): seeds
    are the thick vessels at the guessed confluence with the cava and at the guessed porta hepatis. Parts
    connected to no trunk take the kind of the nearest vessel that has one.

    Args:
        voxels: all vessels in and around the liver.
        borders: the first guess.
    """
    z, y, x = voxels.places.T
    cava_y = borders["caudate_y"] + CAUDATE_BEFORE_CAVA[0]
    porta_y = borders["caudate_y"] - PORTA_BEFORE_CAUDATE_MM
    from_cava = np.hypot(y - cava_y, x - borders["caudate_x"])
    at_cava = (from_cava < CAVA_REACH_MM) & (z > borders["right_level_z"] + CAVA_ABOVE_MM)
    porta = np.array([borders["right_level_z"], porta_y, float(borders.cantlie_x(porta_y))])
    at_porta = (np.linalg.norm(voxels.places - porta, axis=1) < PORTA_REACH_MM) & (y < cava_y - 10)
    to_portal, to_hepatic = (
        voxels.ways_from(_thick(voxels.radius, near)) for near in (at_porta & ~at_cava, at_cava & ~at_porta)
    )
    kinds = np.where(to_portal < to_hepatic, PORTAL, HEPATIC).astype(np.uint8)
    lost = np.isinf(to_portal) & np.isinf(to_hepatic)
    if lost.all():
        return np.where(z > borders["right_level_z"] + CAVA_ABOVE_MM, HEPATIC, PORTAL).astype(np.uint8)
    if lost.any():
        _, nearest = cKDTree(voxels.places[~lost]).query(voxels.places[lost])
        kinds[lost] = kinds[~lost][nearest]
    return kinds


def _thick(radius: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The voxels of the widest vessels among those near."""
    where = np.flatnonzero(near)
    if len(where) == 0:
        return where
    return where[radius[where] >= 0.6 * radius[where].max()]
