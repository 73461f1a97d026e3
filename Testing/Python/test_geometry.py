"""Where voxels lie, in world coordinates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from liverseg.geometry import CanonicalOrder, Geometry, bounding_box

PERMUTATIONS = list(itertools.permutations(range(3)))
FLIPS = list(itertools.product((1, -1), repeat=3))


def turned(shape: tuple[int, int, int], permutation: tuple[int, ...], flips: tuple[int, ...]) -> Geometry:
    """A grid whose index axes (i, j, k) run along the given RAS axes, with different spacings."""
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for column, (axis, sign) in enumerate(zip(permutation, flips, strict=True)):
        matrix[axis, column] = sign * (0.7, 1.1, 2.5)[column]
    matrix[:3, 3] = (11, -7, 5)
    return Geometry(shape, matrix)


@pytest.mark.parametrize("permutation", PERMUTATIONS)
@pytest.mark.parametrize("flips", FLIPS)
def test_canonical_order_runs_to_superior_posterior_left_and_back(permutation, flips):
    geometry = turned((4, 5, 6), permutation, flips)
    order = CanonicalOrder.of(geometry)
    array = np.arange(120).reshape(4, 5, 6)
    canonical = order.apply(array)
    grid = order.geometry(geometry)
    assert canonical.shape == grid.shape
    directions = grid.directions[:, ::-1]
    assert np.allclose(directions, [[0, 0, -1], [0, -1, 0], [1, 0, 0]])
    assert np.array_equal(order.undo(canonical), array)
    for kji in [(0, 0, 0), (3, 4, 5), (1, 2, 4)]:
        value = array[kji]
        where = np.argwhere(canonical == value)[0]
        assert np.allclose(grid.to_ras(where), geometry.to_ras(kji))


def test_world_and_voxel_coordinates_are_inverse_on_an_oblique_grid():
    angle = np.deg2rad(23)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    matrix[:3, :3] *= (0.8, 0.9, 3.0)
    geometry = Geometry((3, 4, 5), matrix)
    assert np.allclose(geometry.spacing_kji, (3.0, 0.9, 0.8))
    points = np.array([[0, 0, 0], [2, 3, 4], [0.5, 1.25, 3.75]])
    assert np.allclose(geometry.to_kji(geometry.to_ras(points)), points)
    assert geometry.voxel_volume_ml == pytest.approx(3.0 * 0.9 * 0.8 / 1000)


def test_a_cropped_grid_keeps_its_voxels_in_place():
    geometry = turned((7, 8, 9), (2, 0, 1), (1, -1, 1))
    part = geometry.cropped((slice(1, 5), slice(2, 6), slice(3, 9)))
    assert part.shape == (4, 4, 6)
    assert np.allclose(part.to_ras((0, 1, 2)), geometry.to_ras((1, 3, 5)))


def test_grids_match_only_within_the_tolerance():
    geometry = turned((4, 5, 6), (0, 1, 2), (1, 1, 1))
    moved = geometry.ijk_to_ras.copy()
    moved[0, 3] += 0.005
    assert geometry.matches(Geometry((4, 5, 6), moved))
    moved[0, 3] += 0.02
    assert not geometry.matches(Geometry((4, 5, 6), moved))
    assert not geometry.matches(Geometry((4, 6, 5), geometry.ijk_to_ras))


def test_a_bounding_box_holds_the_mask_and_stays_inside_the_array():
    mask = np.zeros((6, 7, 8), dtype=bool)
    assert bounding_box(mask) is None
    mask[2, 3, 1] = mask[4, 3, 5] = True
    assert bounding_box(mask) == (slice(2, 5), slice(3, 4), slice(1, 6))
    assert bounding_box(mask, (3, 1, 2)) == (slice(0, 6), slice(2, 5), slice(0, 8))
