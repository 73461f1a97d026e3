"""Where the borders of a liver lie, guessed from its shape, and what is learned when landmarks are seen.

The guess is a linear regression: numbers that describe the shape, times a table, give the borders. Its errors
on livers it was not fitted to give a covariance. So borders are a normal distribution, and a landmark that a
person placed, or a vessel that was found, is an observation of some of them: the others move with it as far
as they go together (conditioning of a normal distribution, Rasmussen and Williams, Gaussian Processes for
Machine Learning, 2006, appendix A.2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.couinaud.borders import AXIS_OF, NAMES, Borders, Frame
from liverseg.errors import ModelError
from liverseg.resources import resources_folder

# The shape is described on a grid of about this spacing.
COARSE_MM = 4.0
PERCENTILES = (2, 10, 25, 50, 75, 90, 98)
# Of the regression; chosen on the tuning half.
RIDGE = 40.0
# The arrays of a regression, in the order of its card.
ARRAYS = ("mean", "scale", "offset", "covariance", "learned_covariance", "table")
# A number of the shape so many standard deviations from the mean of the livers fitted to is unusual.
UNUSUAL_SD = 6.0


@dataclass(frozen=True, eq=False)
class Guess:
    """Borders as a normal distribution: ``borders.values`` is the mean, ``covariance`` in mm2."""

    borders: Borders
    covariance: np.ndarray

    def given(self, observations: list[Observation]) -> Guess:
        """The distribution after the observations."""
        if not observations:
            return self
        rows = np.array([o.row for o in observations])
        values = np.array([o.value for o in observations])
        noise = np.diag([o.sd_mm**2 for o in observations])
        gain = self.covariance @ rows.T @ np.linalg.inv(rows @ self.covariance @ rows.T + noise)
        mean = self.borders.values + gain @ (values - rows @ self.borders.values)
        rest = self.covariance - gain @ rows @ self.covariance
        return Guess(Borders(self.borders.frame, mean), (rest + rest.T) / 2)


@dataclass(frozen=True, eq=False)
class Observation:
    """``row`` times the border values is ``value`` mm, with a standard deviation."""

    row: np.ndarray
    value: float
    sd_mm: float


@dataclass(frozen=True, eq=False)
class ShapeRegression:
    """From shape numbers to borders, both relative to the center of the liver's box.

    Attributes:
        mean, scale: of the shape numbers in the livers fitted to.
        table: (shape numbers, borders).
        offset: (borders,) where the shape is the mean one.
        covariance: (borders, borders) of the errors on livers not fitted to.
        learned_covariance: the same of the planes that fit the network's split, on livers it never saw.
    """

    mean: np.ndarray
    scale: np.ndarray
    table: np.ndarray
    offset: np.ndarray
    covariance: np.ndarray
    learned_covariance: np.ndarray

    def guess(self, mask: np.ndarray, spacing: tuple[float, float, float]) -> Guess:
        """The borders of a liver (bool, z, y, x, canonical order), as far as its shape tells."""
        frame = Frame.of(mask, spacing)
        numbers = (shape_numbers(mask, spacing) - self.mean) / self.scale
        values = np.clip(numbers, -UNUSUAL_SD, UNUSUAL_SD) @ self.table + self.offset + frame.center[AXIS_OF]
        return Guess(Borders(frame, values), self.covariance)

    def is_unusual(self, mask: np.ndarray, spacing: tuple[float, float, float]) -> bool:
        """Whether the shape is far from those fitted to."""
        numbers = (shape_numbers(mask, spacing) - self.mean) / self.scale
        return bool(np.abs(numbers).max() > UNUSUAL_SD)


def fit(numbers: np.ndarray, values: np.ndarray, ridge: float = RIDGE) -> ShapeRegression:
    """Ridge regression with empty covariances.

    Args:
        numbers: (livers, shape numbers) of :func:`shape_numbers`.
        values: (livers, borders) relative to the center of each liver's box.
    """
    mean, scale = numbers.mean(axis=0), numbers.std(axis=0) + 1e-6
    scaled, offset = (numbers - mean) / scale, values.mean(axis=0)
    inner = scaled.T @ scaled + ridge * np.eye(scaled.shape[1])
    table = np.linalg.solve(inner, scaled.T @ (values - offset))
    nothing = np.zeros((len(NAMES), len(NAMES)))
    return ShapeRegression(mean, scale, table, offset, nothing, nothing)


def shape_numbers(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Numbers in mm that describe a liver's shape, none of which depends on where it lies.

    The size of its box; percentiles of its voxels along each axis; how they lean; the center and the size of
    the hollows that have liver on both sides along an axis (fissures, hilum, cava, gallbladder fossa); and
    the middle and the reach of its lower, middle and upper third.

    Args:
        mask: bool (z, y, x), canonical order, not empty.
        spacing: mm (z, y, x).
    """
    frame = Frame.of(mask, spacing)
    steps = [max(1, round(COARSE_MM / s)) for s in spacing]
    coarse = mask[tuple(slice(step // 2, None, step) for step in steps)]
    if not coarse.any():
        coarse, steps = mask, [1, 1, 1]
    step_mm = np.array(spacing) * steps
    start = np.array([step // 2 for step in steps]) * np.array(spacing) - frame.center
    places = np.argwhere(coarse) * step_mm + start
    spread = places.std(axis=0) + 1e-6
    leaning = np.cov(places.T) if len(places) > 1 else np.zeros((3, 3))
    numbers = [
        *frame.size,
        *np.percentile(places, PERCENTILES, axis=0).T.ravel(),
        leaning[0, 2] / spread[0],
        leaning[0, 1] / spread[0],
        leaning[1, 2] / spread[1],
    ]
    for axis in (2, 1, 0):
        hollow = np.argwhere(_hollows(coarse, axis))
        center = hollow.mean(axis=0) * step_mm + start if len(hollow) else places.mean(axis=0)
        numbers += [*center, np.cbrt(len(hollow) * np.prod(step_mm))]
    ends = np.percentile(places[:, 0], (33, 66))
    for low, high in ((-np.inf, ends[0]), (ends[0], ends[1]), (ends[1], np.inf)):
        third = places[(places[:, 0] > low) & (places[:, 0] <= high)]
        third = third if len(third) else places
        numbers += [*third[:, 1:].mean(axis=0), *np.percentile(third[:, 1:], (5, 95), axis=0).ravel()]
    return np.array(numbers, dtype=np.float64)


def _hollows(mask: np.ndarray, axis: int) -> np.ndarray:
    """Voxels outside of a mask that have it on both sides along an axis."""
    before = np.maximum.accumulate(mask, axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis), axis)
    return before & after & ~mask


@lru_cache(maxsize=1)
def installed_regression() -> ShapeRegression:
    """The table that comes with LiverSeg (``Resources/Couinaud/first_guess.json``).

    Raises:
        ModelError: it is missing or of another version.
    """
    path = resources_folder() / "Couinaud" / "first_guess.json"
    try:
        return regression_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is missing or damaged; install LiverSeg again") from error


def regression_from(card: dict[str, Any]) -> ShapeRegression:
    """The regression of a card that :func:`write_regression` wrote.

    Raises:
        ValueError, KeyError: the card has other borders or sizes.
    """
    if card["borders"] != list(NAMES):
        raise ValueError("the table gives other borders")
    fields = {name: np.array(card[name]) for name in ARRAYS}
    if fields["table"].shape != (len(fields["mean"]), len(NAMES)):
        raise ValueError("the table has another size")
    return ShapeRegression(**fields)


def write_regression(regression: ShapeRegression, about: dict[str, Any], path: Path) -> None:
    """Write a regression as a JSON card, with what ``about`` says of it, in four digits."""
    card = {**about, "borders": list(NAMES)}
    for name in ARRAYS:
        array = getattr(regression, name)
        card[name] = [[float(f"{v:.5g}") for v in row] for row in np.atleast_2d(array)]
        card[name] = card[name][0] if array.ndim == 1 else card[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in card.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
