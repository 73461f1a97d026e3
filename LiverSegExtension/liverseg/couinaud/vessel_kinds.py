"""Portal or hepatic: told by which trunk feeds a vessel, where a mask does not say."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from liverseg.couinaud.borders import Borders
from liverseg.couinaud.landmarks import CAUDATE_BEFORE_CAVA, CAUDATE_LEFT_OF_CAVA
from liverseg.couinaud.vessel_graph import VesselVoxels

PORTAL, HEPATIC = 1, 2
# Where trunks are looked for, mm: so far around the guessed axis of the cava, so far above the level of the
# portal bifurcation; and so near to that level, so far around the guessed porta hepatis, which reaches
# further to the sides, outside of the cava.
CAVA_REACH_MM, CAVA_ABOVE_MM = 30.0, 20.0
PORTA_REACH_MM, PORTA_HEIGHT_MM, PORTA_SIDEWAYS = 30.0, 15.0, 0.6
CAVA_RADIUS_MM = 16.0
# The middle of the porta hepatis lies so far in front of the caudate lobe's middle, mm.
PORTA_BEFORE_CAUDATE_MM = 14.0
# Hepatic veins start from one wide trunk, portal branches from several: their ways count less.
PORTAL_WAY = 0.6


def tell_kinds(voxels: VesselVoxels, borders: Borders) -> np.ndarray:
    """1 portal vein or 2 hepatic vein for each voxel.

    A voxel belongs to the trunk that it is connected to by the cheaper way (long thin ways cost most): seeds
    are the thick vessels at the guessed confluence with the cava and at the guessed porta hepatis. Parts
    connected to no trunk take the kind of the nearest vessel that has one. In six livers of the tuning half
    whose kinds were hidden, 73 % of the portal and 69 % of the hepatic voxels were told right.

    Args:
        voxels: all vessels in and around the liver.
        borders: the first guess.
    """
    z, y, x = voxels.places.T
    level = borders["right_level_z"]
    from_cava = np.hypot(
        y - borders["caudate_y"] - CAUDATE_BEFORE_CAVA[0], x - borders["caudate_x"] + CAUDATE_LEFT_OF_CAVA[0]
    )
    at_cava = (from_cava < CAVA_REACH_MM) & (z > level + CAVA_ABOVE_MM)
    porta_y = borders["caudate_y"] - PORTA_BEFORE_CAUDATE_MM
    sideways = PORTA_SIDEWAYS * (x - float(borders.cantlie_x(porta_y)))
    at_porta = (np.hypot(y - porta_y, sideways) < PORTA_REACH_MM) & (np.abs(z - level) < PORTA_HEIGHT_MM)
    at_porta &= (from_cava > CAVA_RADIUS_MM) & (y < borders["caudate_y"] + 5)
    to_portal, to_hepatic = (voxels.ways_from(_thick(voxels.radius, near)) for near in (at_porta, at_cava))
    kinds = np.where(PORTAL_WAY * to_portal < to_hepatic, PORTAL, HEPATIC).astype(np.uint8)
    lost = np.isinf(to_portal) & np.isinf(to_hepatic)
    if lost.all():
        return np.where(z > level + CAVA_ABOVE_MM, HEPATIC, PORTAL).astype(np.uint8)
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
