"""Distances between surfaces, held against DeepMind's surface-distance on made-up shapes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

from liverseg.evaluation.surface_distance import penalty_mm, surface_distances
from liverseg.geometry import Geometry

with warnings.catch_warnings():
    # It imports from places that SciPy has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import surface_distance as reference

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7, 0.7), (1.6, 0.74, 0.9)]
PENALTY = 500.0


def ball(shape, spacing, center_mm, radius_mm):
    grid = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, center_mm, strict=True)) <= radius_mm**2


def wild_pair(spacing, seed):
    """Two rough shapes of several parts that partly agree, in a box of 60 mm."""
    rng = np.random.default_rng(seed)
    shape = [round(60 / s) for s in spacing]
    first = ndimage.gaussian_filter(rng.normal(size=shape), 6 / np.array(spacing))
    second = first + 0.6 * ndimage.gaussian_filter(rng.normal(size=shape), 6 / np.array(spacing))
    return first > first.std(), second > first.std()


def their_scores(truth, predicted, spacing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = reference.compute_surface_distances(truth, predicted, spacing)
    areas = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
    means = reference.compute_average_surface_distance(found)
    return {
        "hd": reference.compute_robust_hausdorff(found, 100),
        "hd95": reference.compute_robust_hausdorff(found, 95),
        "assd": float(np.average(means, weights=areas)),
        "nsd2": reference.compute_surface_dice_at_tolerance(found, 2.0),
        "areas": areas,
    }


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_rough_shapes_score_as_in_deepminds_package(spacing, seed):
    truth, predicted = wild_pair(spacing, seed)
    theirs = their_scores(truth, predicted, spacing)
    ours = surface_distances(truth, predicted, spacing, PENALTY)
    assert ours.hausdorff_mm == pytest.approx(theirs["hd"], abs=1e-4)
    # The area of an element depends a little on how its polygon is cut into triangles.
    assert ours.hausdorff95_mm == pytest.approx(theirs["hd95"], abs=0.1)
    assert ours.average_mm == pytest.approx(theirs["assd"], rel=0.01)
    assert ours.surface_dice(2.0) == pytest.approx(theirs["nsd2"], abs=0.005)
    assert ours.truth_areas.sum() == pytest.approx(theirs["areas"][0], rel=0.03)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_balls_score_as_in_deepminds_package(spacing):
    shape = tuple(round(50 / s) for s in spacing)
    truth = ball(shape, spacing, (25, 25, 25), 14)
    predicted = ball(shape, spacing, (25, 28, 23), 11)
    theirs = their_scores(truth, predicted, spacing)
    ours = surface_distances(truth, predicted, spacing, PENALTY)
    assert ours.hausdorff_mm == pytest.approx(theirs["hd"], abs=1e-4)
    assert ours.hausdorff95_mm == pytest.approx(theirs["hd95"], abs=1e-4)
    assert ours.average_mm == pytest.approx(theirs["assd"], rel=0.01)
    assert ours.surface_dice(2.0) == pytest.approx(theirs["nsd2"], abs=0.005)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_is_measured_in_millimeters_along_its_own_axis(axis):
    spacing = (4.0, 2.0, 0.5)
    truth = np.zeros((12, 20, 40), dtype=bool)
    truth[4:8, 6:14, 10:30] = True
    distances = surface_distances(truth, np.roll(truth, 1, axis), spacing, PENALTY)
    assert distances.hausdorff_mm == pytest.approx(spacing[axis])
    assert distances.surface_dice(spacing[axis] + 0.01) == 1.0


def test_the_percentile_is_by_area_and_takes_the_worse_direction():
    truth = np.zeros((20, 40, 40), dtype=bool)
    truth[5:15, 5:35, 5:35] = True
    predicted = truth.copy()
    # A far speck with little of the surface moves the maximum alone.
    predicted[18, 38, 38] = True
    distances = surface_distances(truth, predicted, (1, 1, 1), PENALTY)
    assert distances.hausdorff_mm > 4
    assert distances.hausdorff95_mm == 0
    swapped = surface_distances(predicted, truth, (1, 1, 1), PENALTY)
    assert swapped.hausdorff_mm == distances.hausdorff_mm
    # A large false part: nothing of the truth is far away, much of the prediction is.
    predicted[:, :, 36:] = True
    distances = surface_distances(truth, predicted, (1, 1, 1), PENALTY)
    assert distances.hausdorff95_mm > 1


def test_equal_masks_and_two_empty_masks_are_perfect():
    mask = ball((20, 20, 20), (1, 1, 1), (10, 10, 10), 6)
    for one in (mask, np.zeros_like(mask)):
        distances = surface_distances(one, one, (1, 1, 1), PENALTY)
        assert distances.hausdorff_mm == distances.hausdorff95_mm == distances.average_mm == 0
        assert distances.surface_dice(1.0) == 1
        assert not distances.undefined


def test_a_missing_surface_costs_the_penalty_and_never_gives_nan():
    mask = ball((20, 20, 20), (1, 1, 1), (10, 10, 10), 6)
    nothing = np.zeros_like(mask)
    for truth, predicted in ((mask, nothing), (nothing, mask)):
        distances = surface_distances(truth, predicted, (1, 1, 1), PENALTY)
        assert distances.undefined
        assert distances.hausdorff_mm == distances.hausdorff95_mm == distances.average_mm == PENALTY
        assert distances.surface_dice(1000.0) == 0


def test_the_penalty_is_the_diagonal_of_the_scan():
    grid = Geometry((10, 20, 30), np.diag([1.0, 2.0, 4.0, 1.0]))
    assert penalty_mm(grid) == pytest.approx(np.hypot(np.hypot(40, 40), 30))


def test_a_mask_at_the_edge_of_the_scan_is_closed_there():
    whole = np.ones((4, 4, 4), dtype=bool)
    assert surface_distances(whole, whole, (1, 1, 1), PENALTY).truth_areas.sum() > 0
