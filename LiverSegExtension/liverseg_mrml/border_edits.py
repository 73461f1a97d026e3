"""Moves the border between two Couinaud segments, as a brush does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverseg.case import Point
from liverseg.errors import UsageError
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.segment_voxels import SegmentVoxels
from liverseg_mrml.translation import _


def move_segment_border(
    nodes: CaseNodes, from_segment: str, to_segment: str, points_ras_mm: Sequence[Point], radius_mm: float
) -> float:
    """Give what a round brush touches of one Couinaud segment to another one. No other segment changes.

    Args:
        from_segment, to_segment: numerals, such as "V" and "IVb".
        points_ras_mm: centers of the brush along its stroke, world RAS mm.
        radius_mm: of the ball.

    Returns:
        The volume that changed hands, ml; 0 where the brush touched nothing of the first segment.

    Raises:
        UsageError: a segment is not there, both are one, no point, or a radius that is not above 0.
    """
    if from_segment.strip().lower() == to_segment.strip().lower():
        raise UsageError(_("choose two different segments to move the border between"))
    if not points_ras_mm or not radius_mm > 0:
        raise UsageError(_("the brush needs at least one point and a radius above 0 mm"))
    voxels = SegmentVoxels(nodes)
    giver, taker = voxels.couinaud_segment(from_segment), voxels.couinaud_segment(to_segment)
    mask = voxels.mask(giver)
    places = np.argwhere(mask)
    world = voxels.grid.to_ras(places)
    touched = np.zeros(len(places), dtype=bool)
    for point in points_ras_mm:
        touched |= ((world - np.asarray(point)) ** 2).sum(axis=1) <= radius_mm**2
    moved = np.zeros_like(mask)
    moved[tuple(places[touched].T)] = True
    if touched.any():
        # Given away first: voxels of two segments would be parted into labelmaps of their own.
        taken = voxels.mask(taker) | moved
        voxels.set_mask(giver, mask & ~moved)
        voxels.set_mask(taker, taken)
    return int(touched.sum()) * voxels.grid.voxel_volume_ml
