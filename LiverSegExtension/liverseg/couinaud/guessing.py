"""Where a liver's borders are taken to lie before a landmark or a vessel says more.

The split that the network learned gives the planes that fit its borders best; without a model, or where it
leaves a border out, the numbers of the liver's shape do (:mod:`liverseg.couinaud.first_guess`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from liverseg.bundle import Bundle
from liverseg.couinaud.border_reading import borders_of_split
from liverseg.couinaud.borders import Borders, Frame, sides
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.field_grid import FieldGrid
from liverseg.couinaud.first_guess import Guess, ShapeRegression

if TYPE_CHECKING:
    import torch

# Planes that give less than this share of a split back say nothing of it (seen on 141 livers: 0.82 and more).
LEAST_AGREEMENT = 0.6
# The network's borders are small and turned where it is unsure; those of readers are not.
LEARNED_COURSE = 0.5


@dataclass(frozen=True, eq=False)
class FirstGuess:
    """Borders with their covariance, and the learned split where it gave them.

    Attributes:
        guess: in mm of the crop.
        coarse: uint8 on the liver's :class:`FieldGrid`, 1..8, 0 outside of the liver; or None.
        scores: (8, z, y, x) of the network on its own grid of the crop's box; or None.
    """

    guess: Guess
    coarse: np.ndarray | None = None
    scores: torch.Tensor | None = None


def first_guess(liver: LiverCrop, bundle: Bundle | None, regression: ShapeRegression) -> FirstGuess:
    """The first guess for a crop without a margin.

    Raises:
        ModelError: the bundle's network is damaged.
    """
    if bundle is not None and "couinaud" in bundle.networks:
        coarse, scores = _learned(liver, bundle)
        borders = _borders(liver, coarse)
        if borders is not None:
            return FirstGuess(Guess(borders, regression.learned_covariance), coarse, scores)
    return FirstGuess(regression.guess(liver.mask, liver.spacing))


def learned_borders(liver: LiverCrop, bundle: Bundle) -> Borders | None:
    """The planes that fit the learned split of a crop without a margin; None where a border is missing or
    planes do not fit it."""
    return _borders(liver, _learned(liver, bundle)[0])


def _learned(liver: LiverCrop, bundle: Bundle) -> tuple[np.ndarray, torch.Tensor]:
    from liverseg.couinaud.learned import shape_scores
    from liverseg.couinaud.straight import straight_segments
    from liverseg.resample import resize_mask

    scores = shape_scores(liver.mask, liver.spacing, bundle)
    grid = FieldGrid.of(liver)
    drawn = straight_segments(scores, grid.shape)
    return np.where(resize_mask(liver.mask, grid.shape), drawn, np.uint8(0)), scores


def _borders(liver: LiverCrop, coarse: np.ndarray) -> Borders | None:
    grid = FieldGrid.of(liver)
    frame = Frame.of(liver.mask, liver.spacing)
    borders = borders_of_split(coarse, grid.spacing, frame, grid.start, LEARNED_COURSE)
    if borders is None:
        return None
    inside = coarse > 0
    agreeing = sides(borders, *grid.positions()).labels() == coarse
    return borders if agreeing[inside].mean() >= LEAST_AGREEMENT else None
