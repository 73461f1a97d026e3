"""Planes from landmarks: a person's points where there are some, the first guess everywhere else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from liverseg.bundle import Bundle
from liverseg.couinaud.borders import (
    INDEX,
    NAMES,
    Borders,
    grid_positions,
    segments_by_borders,
    sides,
)
from liverseg.couinaud.confidence import agreement
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.first_guess import Guess, Observation, ShapeRegression, installed_regression
from liverseg.couinaud.guessing import first_guess
from liverseg.couinaud.landmark_file import Point
from liverseg.couinaud.method import Drawn, Guides
from liverseg.couinaud.said import UNUSUAL_SHAPE

# How far a border may pass by a landmark that says where it lies, mm.
PLACED_SD_MM = 1.0
# How far the right plane passes behind the middle of the cava, and the caudate lobe's center lies in front of
# it and to its left (mm, with standard deviation; ten livers of 3D-IRCADb-01, read twice).
RIGHT_PLANE_BEHIND_CAVA = (0.0, 6.0)
CAUDATE_BEFORE_CAVA = (15.0, 5.5)
CAUDATE_LEFT_OF_CAVA = (4.0, 4.5)
# Landmarks without which a border is a guess; each of the others adds a second point to a plane.
WANTED = ("cava", "gallbladder_fossa", "umbilical_fissure", "portal_bifurcation")
# Confidence is taken from about so many voxels.
SAMPLES = 60000


class PlanesFromLandmarks:
    """The method ``landmarks``."""

    name = "planes from landmarks"
    margin_mm = 0.0

    def __init__(self, regression: ShapeRegression | None = None) -> None:
        """Take the first guess from ``regression``, or from the table that is installed."""
        self._regression = regression

    def draw(self, liver: LiverCrop, guides: Guides) -> Drawn:
        """Split by planes; every landmark that was not placed is named in a warning."""
        regression = self._regression or installed_regression()
        guess = first_guess(liver, guides.bundle, regression).guess
        placed, far = placed_landmarks(liver, guides.landmarks)
        left, _ = placed_landmarks(liver, guides.guessed)
        told = guess.given(observations(guess.borders, placed))
        final = told.given(observations(told.borders, left))
        return Drawn(
            segments_by_borders(liver.mask, liver.spacing, final.borders),
            confidence_of(Guess(final.borders, told.covariance), liver),
            (*far, *_missing(placed)),
            unusual_shape(regression, liver),
        )


def first_landmarks(liver: LiverCrop, bundle: Bundle | None = None) -> dict[str, Point]:
    """The first guess as RAS points, for a person to move: all landmarks of the planes.

    Args:
        liver: a crop without a margin.
        bundle: a model whose learned split is the guess; without one it comes from numbers of the shape.
    """
    borders = first_guess(liver, bundle, installed_regression()).guess.borders
    return {name: liver.ras_of(place) for name, place in landmarks_of_borders(borders).items()}


def landmarks_of_borders(borders: Borders) -> dict[str, np.ndarray]:
    """Landmarks (mm in the crop) that lie on the borders, and from which they can be built again."""
    frame = borders.frame
    right_x, front, back = frame.place(2, 0.2), frame.place(1, 0.3), frame.place(1, 0.5)
    high, low = borders["right_level_z"] + 30.0, borders["right_level_z"] - 15.0
    cava_y = borders["caudate_y"] + CAUDATE_BEFORE_CAVA[0]
    middle_y = (front + back) / 2

    def at(z: float, y: float, x: np.ndarray | float) -> np.ndarray:
        return np.array([z, y, float(x)])

    caudate = [borders[f"caudate_{axis}"] for axis in "zyx"]
    return {
        "cava": at(high, cava_y, borders.cantlie_x(cava_y)),
        "gallbladder_fossa": at(low, front, borders.cantlie_x(front)),
        "middle_hepatic_vein": at(high, middle_y, borders.cantlie_x(middle_y)),
        "right_hepatic_vein": at(high, float(borders.right_y(right_x)), right_x),
        "left_hepatic_vein": at(high, back, borders.umbilical_x(back)),
        "umbilical_fissure": at(borders["left_level_z"], front, borders.umbilical_x(front)),
        "portal_bifurcation": at(borders["right_level_z"], middle_y, borders.cantlie_x(middle_y)),
        "caudate_lobe": at(*caudate),
    }


def observations(borders: Borders, placed: Mapping[str, np.ndarray]) -> list[Observation]:
    """What landmarks (mm in the crop) say of the borders."""
    frame = borders.frame
    found = []

    def say(value: float, sd_mm: float, **weights: float) -> None:
        row = np.zeros(len(NAMES))
        for name, weight in weights.items():
            row[INDEX[name]] = weight
        found.append(Observation(row, float(value), sd_mm))

    for name in ("cava", "gallbladder_fossa", "middle_hepatic_vein"):
        if name in placed:
            w = float(frame.depth_weight(placed[name][1]))
            say(placed[name][2], PLACED_SD_MM, cantlie_x_front=1 - w, cantlie_x_back=w)
    for name in ("umbilical_fissure", "left_hepatic_vein"):
        if name in placed:
            w = float(frame.depth_weight(placed[name][1]))
            say(placed[name][2], PLACED_SD_MM, umbilical_x_front=1 - w, umbilical_x_back=w)
    if "right_hepatic_vein" in placed:
        w = float(frame.right_weight(placed["right_hepatic_vein"][2]))
        say(placed["right_hepatic_vein"][1], PLACED_SD_MM, right_y_far=1 - w, right_y_near=w)
    if "cava" in placed:
        _, y, x = placed["cava"]
        w = float(frame.right_weight(x))
        behind, sd = RIGHT_PLANE_BEHIND_CAVA
        say(y + behind, sd, right_y_far=1 - w, right_y_near=w)
        say(y - CAUDATE_BEFORE_CAVA[0], CAUDATE_BEFORE_CAVA[1], caudate_y=1.0)
        say(x + CAUDATE_LEFT_OF_CAVA[0], CAUDATE_LEFT_OF_CAVA[1], caudate_x=1.0)
    if "portal_bifurcation" in placed:
        say(placed["portal_bifurcation"][0], PLACED_SD_MM, right_level_z=1.0)
    if "umbilical_fissure" in placed:
        say(placed["umbilical_fissure"][0], PLACED_SD_MM, left_level_z=1.0)
    if "caudate_lobe" in placed:
        for value, axis in zip(placed["caudate_lobe"], "zyx", strict=True):
            say(value, PLACED_SD_MM, **{f"caudate_{axis}": 1.0})
    return found


def confidence_of(guess: Guess, liver: LiverCrop) -> float:
    """The expected share of voxels whose segment is right, from every few voxels of the liver."""
    z, y, x = sample_positions(liver)
    return agreement(guess, sides(guess.borders, z, y, x), y, x)


def sample_positions(liver: LiverCrop) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) positions z, y, x in the crop of evenly thinned liver voxels."""
    step = max(1, round((liver.mask.size / (4 * SAMPLES)) ** (1 / 3)))
    thin = (slice(None, None, step),) * 3
    mask = liver.mask[thin]
    mask = mask if mask.any() else liver.mask
    step = step if mask is not liver.mask else 1
    spacing = (liver.spacing[0] * step, liver.spacing[1] * step, liver.spacing[2] * step)
    z, y, x = (np.broadcast_to(p, mask.shape)[mask] for p in grid_positions(mask.shape, spacing))
    return z, y, x


def unusual_shape(regression: ShapeRegression, liver: LiverCrop) -> tuple[str, ...]:
    """A doubt where the first guess was never tried on such a liver."""
    if not regression.is_unusual(liver.mask, liver.spacing):
        return ()
    return (f"{UNUSUAL_SHAPE}; the split is approximate",)


def placed_landmarks(
    liver: LiverCrop, landmarks: Mapping[str, Point]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Landmarks in mm of the crop, without those far from the liver, and a warning that names these."""
    size = np.array(liver.mask.shape) * np.array(liver.spacing)
    placed, far = {}, []
    for name, point in landmarks.items():
        place = liver.position_of(point)
        if np.any(place < -0.2 * size - 10) or np.any(place > 1.2 * size + 10):
            far.append(name.replace("_", " "))
        else:
            placed[name] = place
    if not far:
        return placed, ()
    text = f"The landmark {', '.join(far)} lies far from the liver and was left out: is it in RAS mm?"
    return placed, (text,)


def _missing(placed: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    missing = [name.replace("_", " ") for name in WANTED if name not in placed]
    if not missing:
        return ()
    return (f"No landmark was placed for {', '.join(missing)}: guessed from the liver's shape.",)
