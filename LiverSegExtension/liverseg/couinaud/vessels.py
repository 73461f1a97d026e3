"""Segments guided by vessels: sectors between sheets through the hepatic veins, portal branches inside them.

1. The shape gives a first guess of the borders; the portal vein, the cava and the hepatic veins move it
   (:mod:`liverseg.couinaud.vessel_marks`).
2. Sheets: the planes bend towards the hepatic veins that run near them.
3. Branches: each portal sub-tree gets the segment in which most of it lies; inside a sector the border
   between upper and lower leans towards halfway between the nearest branches of both.

Every border stays a smooth field over the liver, so that the segments fill it without a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import edt
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from liverseg.couinaud.borders import Borders, Sides, grid_positions, sides
from liverseg.couinaud.confidence import agreement
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.first_guess import Guess, ShapeRegression, installed_regression
from liverseg.couinaud.landmarks import observations, placed_landmarks, sample_positions, unusual_shape
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable
from liverseg.couinaud.vessel_graph import VesselTree, VesselVoxels, carried, grow_tree
from liverseg.couinaud.vessel_kinds import HEPATIC, PORTAL, tell_kinds
from liverseg.couinaud.vessel_marks import PLANE_REACH_MM, cava_axis, hepatic_marks, observed, portal_marks

UNTOLD = 3
# Vessels are followed on a grid of about this spacing, and fields bend on one of this.
VESSEL_MM, FIELD_MM = 1.5, 4.0
# How far outside of the liver vessels count (the porta hepatis), mm.
NEAR_MM = 12.0
# Less vessel than this in the liver guides nothing.
LEAST_ML = 2.0
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
    """

    sheets: float = 0.5
    branches: float = 0.1
    untold: float = 3.0


class GuidedByVessels:
    """The method ``vessels``."""

    name = "guided by vessels"
    margin_mm = 25.0

    def __init__(self, regression: ShapeRegression | None = None, strengths: Strengths | None = None) -> None:
        """Take the first guess from ``regression``, or from the table that is installed."""
        self._regression = regression
        self._strengths = strengths or Strengths()

    def draw(self, liver: LiverCrop, guides: Guides) -> Drawn:
        """Split along the vessels of ``liver``.

        Raises:
            MethodUnavailable: there are no vessels, or next to none in the liver.
        """
        if liver.vessels is None:
            raise MethodUnavailable("no vessels were given")
        inside_ml = np.count_nonzero(liver.vessels[liver.mask]) * liver.geometry.voxel_volume_ml
        if inside_ml < LEAST_ML:
            raise MethodUnavailable(f"only {inside_ml:.1f} ml of vessels lie in the liver")
        regression = self._regression or installed_regression()
        guess = regression.guess(liver.mask, liver.spacing)
        placed, far = placed_landmarks(liver, guides.landmarks)
        guess = guess.given(observations(guess.borders, placed))
        portal, hepatic, warnings = _told(liver, guess.borders)
        untold = _is_untold(liver)
        guess = self._moved(guess, portal, hepatic, untold)
        # A border must not bend towards a vessel of the wrong kind.
        strengths = Strengths(0.0, 0.0) if untold else self._strengths
        bent = _bent_sides(liver, guess.borders, portal, hepatic, strengths)
        z, y, x = sample_positions(liver)
        confidence = agreement(guess, sides(guess.borders, z, y, x), y, x)
        segments = np.where(liver.mask, bent.labels(), np.uint8(0))
        return Drawn(segments, confidence, (*far, *warnings), unusual_shape(regression, liver))

    def _moved(self, guess: Guess, portal: _Vessels, hepatic: _Vessels, untold: bool) -> Guess:
        """The guess after the marks of the vessels."""
        marks = portal_marks(portal.voxels.places, portal.voxels.radius, guess.borders) if portal else {}
        if hepatic:
            marks |= hepatic_marks(
                hepatic.voxels.places, hepatic.voxels.radius, hepatic.inside, guess.borders
            )
        return guess.given(observed(marks, self._strengths.untold if untold else 1.0))


@dataclass(frozen=True, eq=False)
class _Vessels:
    """The vessels of one kind: voxels in and around the liver, and which of them lie in it."""

    voxels: VesselVoxels
    inside: np.ndarray

    def __bool__(self) -> bool:
        return len(self.inside) > 0


def _is_untold(liver: LiverCrop) -> bool:
    assert liver.vessels is not None
    return bool(np.any(liver.vessels == UNTOLD))


def _told(liver: LiverCrop, borders: Borders) -> tuple[_Vessels, _Vessels, tuple[str, ...]]:
    """Portal and hepatic vessels on a coarser grid, and warnings about what was missing."""
    assert liver.vessels is not None
    kinds, mask, near, spacing, origin = _coarse(liver)
    warnings: tuple[str, ...] = ()
    if np.any(kinds == UNTOLD):
        voxels = VesselVoxels.of(kinds > 0, spacing, origin)
        found = tell_kinds(voxels, borders)
        drawn = kinds[kinds > 0]
        kinds = kinds.copy()
        kinds[kinds > 0] = np.where(drawn == UNTOLD, found, drawn)
        warnings = (
            "The vessels do not say which is portal and which is hepatic: told by the trunk that each is "
            "connected to.",
        )
    vessels = []
    for kind, name, lost in (
        (PORTAL, "portal vein", "levels"),
        (HEPATIC, "hepatic veins", "sectors"),
    ):
        # The cava lies beside the liver: hepatic veins count further out.
        taken = (kinds == kind) & near if kind == PORTAL else kinds == kind
        voxels = VesselVoxels.of(taken, spacing, origin)
        vessels.append(_Vessels(voxels, mask[taken]))
        if not np.any(taken & mask):
            warnings += (f"No {name} lies in the liver: its {lost} come from the shape.",)
    return vessels[0], vessels[1], warnings


def _coarse(
    liver: LiverCrop,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float], np.ndarray]:
    """Vessel kinds, liver and its near surroundings on a grid of about ``VESSEL_MM``, spacing and origin.

    A coarse voxel has a vessel where any of its voxels has one, so that thin ones do not break.
    """
    assert liver.vessels is not None
    steps = np.array([max(1, round(VESSEL_MM / s)) for s in liver.spacing])
    shape = -(-np.array(liver.mask.shape) // steps)
    kinds = np.zeros(shape, dtype=np.uint8)
    where = np.argwhere(liver.vessels)
    kinds[tuple((where // steps).T)] = liver.vessels[tuple(where.T)]
    mask = np.ascontiguousarray(liver.mask[tuple(slice(s // 2, None, s) for s in steps)])
    mask = np.pad(mask, [(0, n - m) for n, m in zip(shape, mask.shape, strict=True)], mode="edge")
    spacing = tuple(float(s) for s in np.array(liver.spacing) * steps)
    k, j, i = spacing
    near = edt.edt(~mask, anisotropy=spacing, black_border=False) < NEAR_MM
    return kinds, mask, near, (k, j, i), (steps - 1) / 2 * np.array(liver.spacing)


def _bent_sides(
    liver: LiverCrop, borders: Borders, portal: _Vessels, hepatic: _Vessels, strengths: Strengths
) -> Sides:
    """The sides of the crop's voxels, planes bent by the vessels near them."""
    from liverseg.resample import grid_for_spacing, resize

    shape = grid_for_spacing(liver.mask.shape, liver.spacing, [FIELD_MM] * 3)
    spacing = tuple(n * s / m for n, s, m in zip(liver.mask.shape, liver.spacing, shape, strict=True))
    k, j, i = spacing
    start = (np.array(spacing) - np.array(liver.spacing)) / 2
    places = [p + s for p, s in zip(grid_positions(shape, (k, j, i)), start, strict=True)]
    coarse = sides(borders, *places)
    fields = _Fields((k, j, i), start, shape)
    bends = _sheet_bends(fields, borders, hepatic, strengths.sheets) if hepatic else {}
    if portal:
        bends |= _branch_bends(fields, coarse, borders, portal, strengths.branches)
    straight = sides(borders, *grid_positions(liver.mask.shape, liver.spacing))
    import torch

    changed = {}
    for name, bend in bends.items():
        bent = resize(
            torch.from_numpy(np.ascontiguousarray(bend, dtype=np.float32)), liver.mask.shape
        ).numpy()
        bent += getattr(straight, name)
        changed[name] = bent
    return replace(straight, **changed)


@dataclass(frozen=True, eq=False)
class _Fields:
    """The coarse grid on which borders bend."""

    spacing: tuple[float, float, float]
    start: np.ndarray
    shape: tuple[int, int, int]

    def gathered(self, places: np.ndarray, values: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Sum of values (n,) at places (n, 3) a coarse voxel, smoothed."""
        index = np.rint((places - self.start) / np.array(self.spacing)).astype(int)
        index = np.clip(index, 0, np.array(self.shape) - 1)
        flat = np.ravel_multi_index(tuple(index.T), self.shape)
        field = np.bincount(flat, values, minlength=int(np.prod(self.shape))).reshape(self.shape)
        sigma = [sigma_mm / s for s in self.spacing]
        return ndimage.gaussian_filter(field, sigma, truncate=2.5, mode="constant")


def _sheet_bends(
    fields: _Fields, borders: Borders, hepatic: _Vessels, strength: float
) -> dict[str, np.ndarray]:
    """What to add to the sides of the sector planes so that they pass through the veins near them."""
    if strength == 0 or not hepatic.inside.any():
        return {}
    places, radius = hepatic.voxels.places[hepatic.inside], hepatic.voxels.radius[hepatic.inside]
    cava = cava_axis(hepatic.voxels.places, hepatic.voxels.radius, borders)
    if cava is not None:
        branch = np.hypot(places[:, 1] - cava[0], places[:, 2] - cava[1]) > PLANE_REACH_MM
        places, radius = places[branch], radius[branch]
    side = sides(borders, *places.T)
    above = places[:, 0] > borders["right_level_z"] - 15
    regions = {
        "left": (side.left, above & (side.posterior < -8)),
        "lateral": (side.lateral, above & (side.left > 0)),
        "posterior": (side.posterior, above & (side.left < -12)),
    }
    voxel_share = 1.0 / np.prod(fields.spacing)
    bends = {}
    for name, (distance, region) in regions.items():
        taken = region & (np.abs(distance) < PLANE_REACH_MM)
        if not taken.any():
            continue
        weight = radius[taken] * voxel_share
        pull = fields.gathered(places[taken], weight * distance[taken], SHEET_SIGMA_MM)
        mass = fields.gathered(places[taken], weight, SHEET_SIGMA_MM)
        bends[name] = -strength * pull / (mass + SHEET_HALF)
    return bends


def _branch_bends(
    fields: _Fields, coarse: Sides, borders: Borders, portal: _Vessels, strength: float
) -> dict[str, np.ndarray]:
    """What to add to the upper sides so that they lean towards halfway between portal branches."""
    if strength == 0:
        return {}
    voxels = portal.voxels
    widest = voxels.places[voxels.radius >= 0.6 * voxels.radius.max()]
    tree = grow_tree(voxels, np.median(widest, axis=0))
    at = sides(borders, *tree.places.T)
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
            halfway = _halfway(fields, upper, lower)
            bend[name] = strength * (np.clip(halfway, -BRANCH_REACH_MM, BRANCH_REACH_MM) - field)
    near = {name: np.exp(-np.square(b / 40.0)) * b for name, b in bend.items()}
    result = {}
    if "left" in near:
        result["left_upper"] = near["left"]
    if "anterior" in near or "posterior" in near:
        zero = np.zeros(fields.shape)
        behind = ndimage.gaussian_filter(
            np.broadcast_to(coarse.posterior > 0, fields.shape).astype(np.float32), 1.0
        )
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


def _halfway(fields: _Fields, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Half of how much nearer the upper branches are than the lower ones, mm, smoothed."""
    grid = np.stack(
        np.meshgrid(
            *(
                np.arange(n) * s + b
                for n, s, b in zip(fields.shape, fields.spacing, fields.start, strict=True)
            ),
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, 3)
    to_upper, to_lower = (cKDTree(branch).query(grid)[0] for branch in (upper, lower))
    half = ((to_lower - to_upper) / 2).reshape(fields.shape)
    return ndimage.gaussian_filter(half, [BRANCH_SIGMA_MM / s for s in fields.spacing])
