"""What vessels say of the borders: where the portal vein divides, where cava and hepatic veins run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.couinaud.borders import INDEX, NAMES, Borders, sides
from liverseg.couinaud.first_guess import Observation

# Fewer voxels than this say nothing.
LEAST_VOXELS = 20
# Hepatic veins this far from the cava's axis are branches; nearer ones converge and tell planes not apart.
BRANCH_MM = 22.0
# A vein this far from a guessed plane is not taken for the one that runs in it.
PLANE_REACH_MM = 18.0


@dataclass(frozen=True)
class Calibration:
    """A border lies ``offset`` mm beyond the mark, with a standard deviation of ``sd`` mm."""

    offset: float
    sd: float


# From the livers of the tuning half whose vessel kinds were drawn (scripts/evaluate_couinaud_methods.py).
CALIBRATION = {
    "portal_right_z": Calibration(1.2, 5.9),
    "portal_caudate_y": Calibration(12.0, 4.2),
    "portal_right_y": Calibration(25.9, 5.5),
    "cava_right_y": Calibration(-1.6, 6.3),
    "cava_caudate_y": Calibration(-15.5, 5.9),
    "cava_caudate_x": Calibration(3.7, 4.1),
    "middle_vein": Calibration(-3.0, 11.3),
    "umbilical_portion": Calibration(-1.8, 9.5),
}


def portal_marks(
    places: np.ndarray, radius: np.ndarray, guess: Borders
) -> dict[str, tuple[np.ndarray, float]]:
    """Marks of the portal vein: name to (row of border weights, value in mm).

    Args:
        places: (n, 3) mm in the crop of portal voxels in and close around the liver.
        radius: (n,) mm.
        guess: the borders from the shape.
    """
    marks: dict[str, tuple[np.ndarray, float]] = {}
    if len(places) < LEAST_VOXELS:
        return marks
    thick = radius > 0.6 * radius.max()
    _, y, _ = np.average(places[thick], axis=0, weights=radius[thick])
    marks["portal_caudate_y"] = (_row(caudate_y=1.0), float(y))
    marks["portal_right_y"] = (_row(right_y_far=0.2, right_y_near=0.8), float(y))
    side = sides(guess, *places.T)
    right = side.left < 0
    if right.sum() >= LEAST_VOXELS:
        level = float(np.average(places[right, 0], weights=radius[right] ** 2))
        marks["portal_right_z"] = (_row(right_level_z=1.0), level)
    in_front = y - 6.0
    umbilical = (side.left > 5) & (np.abs(side.lateral) < 20) & (places[:, 1] < in_front)
    if umbilical.sum() >= LEAST_VOXELS:
        at = np.average(places[umbilical], axis=0, weights=radius[umbilical] ** 2)
        w = float(guess.frame.depth_weight(at[1]))
        marks["umbilical_portion"] = (_row(umbilical_x_front=1 - w, umbilical_x_back=w), float(at[2]))
    return marks


def hepatic_marks(
    places: np.ndarray, radius: np.ndarray, inside: np.ndarray, guess: Borders
) -> dict[str, tuple[np.ndarray, float]]:
    """Marks of the cava and the middle hepatic vein, as :func:`portal_marks`.

    Args:
        inside: (n,) bool, whether the voxel lies in the liver.
    """
    marks: dict[str, tuple[np.ndarray, float]] = {}
    cava = cava_axis(places, radius, guess)
    if cava is None:
        return marks
    y, x = cava
    marks["cava_right_y"] = (_row(right_y_far=0.2, right_y_near=0.8), y)
    marks["cava_caudate_y"] = (_row(caudate_y=1.0), y)
    marks["cava_caudate_x"] = (_row(caudate_x=1.0), x)
    side = sides(guess, *places.T)
    far = np.hypot(places[:, 1] - y, places[:, 2] - x) > BRANCH_MM
    middle = inside & far & (np.abs(side.left) < PLANE_REACH_MM)
    middle &= (places[:, 0] > guess["right_level_z"] - 10) & (places[:, 1] < y - 10)
    if middle.sum() >= LEAST_VOXELS:
        at = np.average(places[middle], axis=0, weights=radius[middle])
        w = float(guess.frame.depth_weight(at[1]))
        marks["middle_vein"] = (_row(cantlie_x_front=1 - w, cantlie_x_back=w), float(at[2]))
    return marks


def cava_axis(places: np.ndarray, radius: np.ndarray, guess: Borders) -> tuple[float, float] | None:
    """y and x (mm in the crop) of the cava above the portal vein, or None when it is not drawn.

    The widest hepatic voxel of each level; a cava is wider than 6 mm in radius.
    """
    level = guess["right_level_z"]
    near = (places[:, 0] > level + 5) & (places[:, 0] < level + 45)
    near &= np.abs(places[:, 1] - guess["caudate_y"] - 13) < 35
    near &= np.abs(places[:, 2] - guess["caudate_x"]) < 35
    if not near.any():
        return None
    wide = near & (radius > 0.7 * radius[near].max())
    if wide.sum() < LEAST_VOXELS or radius[wide].max() < 6.0:
        return None
    _, y, x = np.median(places[wide], axis=0)
    return float(y), float(x)


def observed(marks: dict[str, tuple[np.ndarray, float]], inflate: float = 1.0) -> list[Observation]:
    """Marks as observations by their calibration; ``inflate`` widens it where vessels are less sure."""
    return [
        Observation(row, value + CALIBRATION[name].offset, CALIBRATION[name].sd * inflate)
        for name, (row, value) in marks.items()
    ]


def _row(**weights: float) -> np.ndarray:
    row = np.zeros(len(NAMES))
    for name, weight in weights.items():
        row[INDEX[name]] = weight
    return row
