"""How far borders bend towards vessels: sheets through hepatic veins, levels halfway between portal branches.

- Sheets: the borders of the sectors bend towards the hepatic veins that run near them.
- Branches: each portal sub-tree gets the segment in which most of it lies; inside a sector the border
  between upper and lower leans towards halfway between the nearest branches of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from liverseg.couinaud.borders import Borders, Sides
from liverseg.couinaud.field_grid import FieldGrid
from liverseg.couinaud.vessel_graph import VesselTree, VesselVoxels, carried, grow_tree
from liverseg.couinaud.vessel_marks import PLANE_REACH_MM, cava_axis

# Smoothing of a sheet's bend and of the pull of branches, mm.
SHEET_SIGMA_MM, BRANCH_SIGMA_MM = 15.0, 6.0
# A vein pulls a sheet fully where so much vein (mm3 a mm3, smoothed) runs near it, half at that.
SHEET_HALF = 0.002
# A sub-tree belongs to a segment when this share of it lies there; trunks before this order belong to none.
SUBTREE_SHARE, LEAST_ORDER = 0.75, 1
# A branch further away than this pulls no more, mm.
BRANCH_REACH_MM = 25.0


@dataclass(frozen=True)
class Strengths:
    """How far vessels bend what the marks have placed: 0 not at all, 1 fully. Chosen on the tuning half.

    Attributes:
        sheets: of the sector planes towards hepatic veins.
        branches: of the border between upper and lower towards halfway between portal branches.
        untold: factor on the standard deviation of the marks where kinds were told by connection.
        untold_learned: the same where they move the borders of a learned split, which errs less.
    """

    sheets: float = 0.5
    branches: float = 0.1
    untold: float = 3.0
    untold_learned: float = 12.0


@dataclass(frozen=True, eq=False)
class Vessels:
    """The vessels of one kind: voxels in and around the liver, and which of them lie in it."""

    voxels: VesselVoxels
    inside: np.ndarray

    def __bool__(self) -> bool:
        return len(self.inside) > 0


def sheet_bends(
    grid: FieldGrid, at: Sides, borders: Borders, hepatic: Vessels, strength: float
) -> dict[str, np.ndarray]:
    """What to add to the sides of the sectors' borders so that they pass through the veins near them.

    Args:
        grid: where the sides ``at`` are given.
        borders: the planes that fit these sides.
    """
    if strength == 0 or not hepatic.inside.any():
        return {}
    places, radius = hepatic.voxels.places[hepatic.inside], hepatic.voxels.radius[hepatic.inside]
    cava = cava_axis(hepatic.voxels.places, hepatic.voxels.radius, borders)
    if cava is not None:
        branch = np.hypot(places[:, 1] - cava[0], places[:, 2] - cava[1]) > PLANE_REACH_MM
        places, radius = places[branch], radius[branch]
    index = grid.index_of(places)
    left, lateral, posterior = (getattr(at, name)[index] for name in ("left", "lateral", "posterior"))
    above = places[:, 0] > borders["right_level_z"] - 15
    regions = {
        "left": (left, above & (posterior < -8)),
        "lateral": (lateral, above & (left > 0)),
        "posterior": (posterior, above & (left < -12)),
    }
    voxel_share = 1.0 / np.prod(grid.spacing)
    bends = {}
    for name, (distance, region) in regions.items():
        taken = region & (np.abs(distance) < PLANE_REACH_MM)
        if not taken.any():
            continue
        weight = radius[taken] * voxel_share
        pull = grid.gathered(places[taken], weight * distance[taken], SHEET_SIGMA_MM)
        mass = grid.gathered(places[taken], weight, SHEET_SIGMA_MM)
        bends[name] = -strength * pull / (mass + SHEET_HALF)
    return bends


def branch_bends(grid: FieldGrid, coarse: Sides, portal: Vessels, strength: float) -> dict[str, np.ndarray]:
    """What to add to the upper sides so that they lean towards halfway between portal branches."""
    if strength == 0:
        return {}
    voxels = portal.voxels
    widest = voxels.places[voxels.radius >= 0.6 * voxels.radius.max()]
    tree = grow_tree(voxels, np.median(widest, axis=0))
    index = grid.index_of(tree.places)
    at = Sides(**{name: getattr(coarse, name)[index] for name in coarse.__dataclass_fields__})
    sectors = {
        "left": (at.lateral > 0, at.left_upper, coarse.left_upper),
        "anterior": ((at.left < 0) & (at.posterior < 0), at.right_upper, coarse.right_upper),
        "posterior": ((at.left < 0) & (at.posterior > 0), at.right_upper, coarse.right_upper),
    }
    bend = {}
    for name, (inside, height, field) in sectors.items():
        belongs = subtree_labels(tree, np.where(inside, height, 0.0))
        upper, lower = (tree.places[inside & (belongs == side)] for side in (1, -1))
        if len(upper) and len(lower):
            halfway = _halfway(grid, upper, lower)
            bend[name] = strength * (np.clip(halfway, -BRANCH_REACH_MM, BRANCH_REACH_MM) - field)
    near = {name: np.exp(-np.square(b / 40.0)) * b for name, b in bend.items()}
    result = {}
    if "left" in near:
        result["left_upper"] = near["left"]
    if "anterior" in near or "posterior" in near:
        zero = np.zeros(grid.shape)
        behind = ndimage.gaussian_filter((coarse.posterior > 0).astype(np.float32), 1.0)
        result["right_upper"] = (1 - behind) * near.get("anterior", zero) + behind * near.get(
            "posterior", zero
        )
    return result


def subtree_labels(tree: VesselTree, height: np.ndarray) -> np.ndarray:
    """1 for nodes of sub-trees above a border, -1 for those below, 0 for trunks that feed both.

    The first sub-tree from the root that has ``SUBTREE_SHARE`` of it on one side goes there as a whole.

    Args:
        tree: parents come before their children.
        height: (m,) mm above the border; 0 where a node does not count.
    """
    above, below = (carried(tree.parent, tree.weight * side) for side in (height > 0, height < 0))
    total = above + below
    share = np.divide(above, total, out=np.full(len(total), 0.5), where=total > 0)
    labels = np.zeros(len(total), dtype=np.int64)
    for node, before in enumerate(tree.parent):
        if before >= 0 and labels[before]:
            labels[node] = labels[before]
        elif tree.order[node] >= LEAST_ORDER:
            labels[node] = int(share[node] >= SUBTREE_SHARE) - int(share[node] <= 1 - SUBTREE_SHARE)
    return labels


def _halfway(grid: FieldGrid, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Half of how much nearer the upper branches are than the lower ones, mm, smoothed."""
    places = np.stack(np.broadcast_arrays(*grid.positions()), axis=-1).reshape(-1, 3)
    to_upper, to_lower = (cKDTree(branch).query(places)[0] for branch in (upper, lower))
    half = ((to_lower - to_upper) / 2).reshape(grid.shape)
    return ndimage.gaussian_filter(half, [BRANCH_SIGMA_MM / s for s in grid.spacing])
