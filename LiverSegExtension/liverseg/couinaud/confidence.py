"""How sure a split by borders is: the chance that a voxel lies on the right side of every border near it."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from liverseg.couinaud.borders import INDEX, Sides
from liverseg.couinaud.first_guess import Guess

# What stays unsure of a border whose landmarks are exact: two readers who see the same CT put borders
# 3 to 9 mm apart (root mean square over 15 livers read twice, each reader's part).
READING_MM = 5.0


def agreement(guess: Guess, sides: Sides, y: np.ndarray, x: np.ndarray) -> float:
    """The expected share of points whose segment is right.

    Args:
        guess: the borders with their covariance.
        sides: of (n,) points, about mm.
        y, x: the points' positions in the crop.
    """
    frame = guess.borders.frame
    depth, width = frame.depth_weight(y), frame.right_weight(x)

    def sure(distance: np.ndarray, variance: np.ndarray | float) -> np.ndarray:
        return ndtr(np.abs(distance) / np.sqrt(variance + READING_MM**2))

    def of_line(first: str, second: str, weight: np.ndarray) -> np.ndarray:
        a, b = INDEX[first], INDEX[second]
        c = guess.covariance
        return (1 - weight) ** 2 * c[a, a] + 2 * weight * (1 - weight) * c[a, b] + weight**2 * c[b, b]

    def of_one(name: str) -> float:
        return float(guess.covariance[INDEX[name], INDEX[name]])

    sure_left = sure(sides.left, of_line("cantlie_x_front", "cantlie_x_back", depth))
    sure_lateral = sure(sides.lateral, of_line("umbilical_x_front", "umbilical_x_back", depth))
    sure_posterior = sure(sides.posterior, of_line("right_y_far", "right_y_near", width))
    sure_right = sure(sides.right_upper, of_one("right_level_z"))
    sure_upper = sure(sides.left_upper, of_one("left_level_z"))
    mean_variance = float(np.mean([of_one(f"caudate_{axis}") for axis in "zyx"]))
    sure_caudate = sure(sides.caudate, mean_variance)
    on_left = sure_lateral * np.where(sides.lateral > 0, sure_upper, 1.0)
    each = sure_left * np.where(sides.left > 0, on_left, sure_posterior * sure_right)
    return float(np.mean(sure_caudate * np.where(sides.caudate > 0, 1.0, each)))
