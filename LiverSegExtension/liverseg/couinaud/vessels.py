"""Segments guided by vessels: sectors between sheets through the hepatic veins, portal branches inside them.

1. The learned split (or, without a model, planes guessed from the shape) is where it starts from. What the
   portal vein, the cava and the hepatic veins say of the planes that fit its borders
   (:mod:`liverseg.couinaud.vessel_marks`) moves these borders.
2. They bend towards hepatic veins and portal branches (:mod:`liverseg.couinaud.bending`).

Every border stays a field over the liver (:mod:`liverseg.couinaud.moving`), so that the segments fill it
without a gap, and a liver whose vessels say nothing new keeps the split it started from.
"""

from __future__ import annotations

import edt
import numpy as np

from liverseg.couinaud.bending import Strengths, Vessels, branch_bends, sheet_bends
from liverseg.couinaud.borders import Borders, Sides, segments_by_borders, sides
from liverseg.couinaud.confidence import agreement
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.field_grid import FieldGrid
from liverseg.couinaud.first_guess import Guess, ShapeRegression, installed_regression
from liverseg.couinaud.guessing import FirstGuess, first_guess
from liverseg.couinaud.landmarks import observations, placed_landmarks, sample_positions, unusual_shape
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable
from liverseg.couinaud.moving import moved, relabeled, sides_of_split
from liverseg.couinaud.said import MOVED_FAR
from liverseg.couinaud.vessel_graph import VesselVoxels
from liverseg.couinaud.vessel_kinds import HEPATIC, PORTAL, tell_kinds
from liverseg.couinaud.vessel_marks import hepatic_marks, observed, portal_marks

UNTOLD = 3
# Vessels are followed on a grid of about this spacing.
VESSEL_MM = 1.5
# How far outside of the liver vessels count (the porta hepatis), mm.
NEAR_MM = 12.0
# Less vessel than this in the liver guides nothing.
LEAST_ML = 2.0
# Vessels that put more of the liver into other segments than its shape does are doubted. Drawn ones put at
# most 0.06 there (46 livers), predicted ones at most 0.08 but in two scans of 27, which both lost by it.
MOST_MOVED = 0.1


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
        tight, box = liver.without_margin()
        first = first_guess(tight, guides.bundle, regression)
        placed, far = placed_landmarks(tight, guides.landmarks)
        told = first.guess.given(observations(first.guess.borders, placed))
        corner = np.array([part.start for part in box]) * np.array(liver.spacing)
        portal, hepatic, warnings = _told(liver, corner, told.borders)
        untold = _is_untold(liver)
        strengths = self._strengths
        inflate = strengths.untold if first.scores is None else strengths.untold_learned
        final = _moved(told, portal, hepatic, inflate if untold else 1.0)
        # A border must not bend towards a vessel of the wrong kind.
        strengths = Strengths(0.0, 0.0) if untold else strengths
        z, y, x = sample_positions(tight)
        confidence = agreement(final, sides(final.borders, z, y, x), y, x)
        segments = np.zeros(liver.mask.shape, dtype=np.uint8)
        segments[box], share = _bent(tight, first, final.borders, portal, hepatic, strengths)
        doubts = (*unusual_shape(regression, tight), *(() if first.scores is None else _moved_far(share)))
        return Drawn(segments, confidence, (*far, *warnings), doubts)


def _moved_far(share: float) -> tuple[str, ...]:
    """A doubt about vessels that disagree with the learned split over so much of the liver."""
    if share <= MOST_MOVED:
        return ()
    return (f"{MOVED_FAR} over {share:.0%} of the liver; the split is approximate",)


def _moved(guess: Guess, portal: Vessels, hepatic: Vessels, inflate: float) -> Guess:
    """The guess after the marks of the vessels, their standard deviations ``inflate`` times as large."""
    marks = portal_marks(portal.voxels.places, portal.voxels.radius, guess.borders) if portal else {}
    if hepatic:
        marks |= hepatic_marks(hepatic.voxels.places, hepatic.voxels.radius, hepatic.inside, guess.borders)
    return guess.given(observed(marks, inflate))


def _is_untold(liver: LiverCrop) -> bool:
    assert liver.vessels is not None
    return bool(np.any(liver.vessels == UNTOLD))


def _told(liver: LiverCrop, corner: np.ndarray, borders: Borders) -> tuple[Vessels, Vessels, tuple[str, ...]]:
    """Portal and hepatic vessels on a coarser grid, and warnings about what was missing.

    Args:
        liver: with a margin.
        corner: (3,) mm in it where the liver's own box begins: places are counted from there.
        borders: in mm of the liver's own box.
    """
    assert liver.vessels is not None
    kinds, mask, near, spacing, origin = _coarse(liver)
    origin = origin - corner
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
        vessels.append(Vessels(voxels, mask[taken]))
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


def _bent(
    liver: LiverCrop,
    first: FirstGuess,
    borders: Borders,
    portal: Vessels,
    hepatic: Vessels,
    strengths: Strengths,
) -> tuple[np.ndarray, float]:
    """Segments of a crop without a margin: the first split, its borders moved as ``borders`` are and bent.

    Also the share of the liver that is in another segment than in the first split.
    """
    grid = FieldGrid.of(liver)
    places = grid.positions()
    planes, wanted = (sides(b, *places) for b in (first.guess.borders, borders))
    segments, before = _first_split(liver, first, planes, grid)
    after = moved(
        before, {name: getattr(wanted, name) - getattr(planes, name) for name in planes.__dataclass_fields__}
    )
    if hepatic:
        after = moved(after, sheet_bends(grid, after, borders, hepatic, strengths.sheets))
    if portal:
        after = moved(after, branch_bends(grid, after, portal, strengths.branches))
    result = relabeled(segments, before, after)
    return result, np.count_nonzero(result != segments) / np.count_nonzero(segments)


def _first_split(
    liver: LiverCrop, first: FirstGuess, planes: Sides, grid: FieldGrid
) -> tuple[np.ndarray, Sides]:
    """What the network learned, or the planes; with its sides on the coarse grid."""
    if first.scores is None or first.coarse is None:
        whole = [np.broadcast_to(getattr(planes, name), grid.shape) for name in planes.__dataclass_fields__]
        return segments_by_borders(liver.mask, liver.spacing, first.guess.borders), Sides(*whole)
    from liverseg.couinaud.straight import straight_segments

    segments = np.where(liver.mask, straight_segments(first.scores, liver.mask.shape), np.uint8(0))
    return segments, sides_of_split(first.coarse, grid.spacing)
