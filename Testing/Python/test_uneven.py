"""Uneven and tilted stacks reach the networks on an even grid, and the labels come back in place."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.geometry import Geometry
from liverseg.uneven import (
    fitted_to_most,
    is_sheared,
    labels_to_read_grid,
    needs_even_grid,
    shear_degrees,
    to_even_grid,
    uncounted_ml,
    uneven_positions,
)
from liverseg.volume import Volume

# Two slices are missing after the fourth one.
GAPPED_MM = (0.0, 2.0, 4.0, 6.0, 12.0, 14.0, 16.0, 18.0)
SHAPE = (20, 30, 32)


def grid(shape: tuple[int, int, int], tilt_degrees: float = 0.0, gap: float = 2.0) -> Geometry:
    """Rows along left, columns along posterior, slices upwards and, when tilted, backwards."""
    matrix = np.diag([-1.0, -1.5, gap, 1.0])
    matrix[1, 2] = -gap * np.tan(np.radians(tilt_degrees))
    matrix[:3, 3] = (100.0, 80.0, -300.0)
    return Geometry(shape, matrix)


def world(geometry: Geometry) -> np.ndarray:
    """RAS of every voxel, (k, j, i, 3)."""
    return geometry.to_ras(np.stack(np.indices(geometry.shape), axis=-1))


def linear_hu(ras: np.ndarray) -> np.ndarray:
    """A field that linear interpolation gives back exactly."""
    return (2.0 * ras[..., 0] - 3.0 * ras[..., 1] + 4.0 * ras[..., 2]).astype(np.float32)


def gapped_volume() -> tuple[Volume, np.ndarray]:
    """A volume with missing slices and the true world position of its voxels."""
    count = len(GAPPED_MM)
    geometry = grid((count, 10, 12), gap=GAPPED_MM[-1] / (count - 1))
    ras = world(geometry)
    ras[..., 2] = -300.0 + np.array(GAPPED_MM)[:, None, None]
    return Volume(linear_hu(ras), geometry, slice_positions_mm=GAPPED_MM), ras


def test_even_positions_need_nothing() -> None:
    rounded = np.round(np.arange(40) * 1.25 + 7.0, 1)
    volume = Volume(np.zeros(SHAPE, np.int16), grid(SHAPE))

    assert uneven_positions(rounded) is None
    assert uneven_positions(np.array([3.0, 8.0])) is None
    assert not needs_even_grid(volume)
    assert to_even_grid(volume) is volume


def test_missing_slices_are_noticed() -> None:
    assert uneven_positions(np.array(GAPPED_MM) + 55.0) == GAPPED_MM
    assert needs_even_grid(gapped_volume()[0])


def test_a_gap_is_filled_by_interpolation_at_the_median_gap() -> None:
    volume, _ = gapped_volume()

    even = to_even_grid(volume)

    assert even.slice_positions_mm is None
    assert even.geometry.shape == (10, 10, 12)
    np.testing.assert_allclose(even.geometry.spacing_kji, (2.0, 1.5, 1.0))
    np.testing.assert_allclose(even.array, linear_hu(world(even.geometry)), atol=1e-2)


def test_labels_come_back_on_the_slices_that_were_read() -> None:
    volume, ras = gapped_volume()
    even = to_even_grid(volume)
    labels = (world(even.geometry)[..., 2] > -300.0 + 11.0).astype(np.uint8)

    back = labels_to_read_grid(labels, even.geometry, volume)

    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, ras[..., 2] > -300.0 + 11.0)


def test_int16_stays_int16_and_is_rounded() -> None:
    array = np.zeros((3, 4, 4), np.int16)
    array[2] = 10
    volume = Volume(array, grid((3, 4, 4), gap=2.0), slice_positions_mm=(0.0, 1.0, 4.0))

    even = to_even_grid(volume)

    assert even.array.dtype == np.int16
    np.testing.assert_allclose(even.geometry.spacing_kji[0], 2.0)
    np.testing.assert_array_equal(even.array[:, 0, 0], [0, 3, 10])


@pytest.mark.parametrize("tilt", [-18.0, 12.0])
def test_tilt_is_measured_and_straightened(tilt: float) -> None:
    geometry = grid(SHAPE, tilt)
    volume = Volume(linear_hu(world(geometry)), geometry)
    assert shear_degrees(geometry) == pytest.approx(abs(tilt))
    assert needs_even_grid(volume)

    even = to_even_grid(volume)

    assert not is_sheared(even.geometry)
    np.testing.assert_allclose(even.geometry.spacing_kji, (2.0, 1.5, 1.0))
    inside = geometry.to_kji(world(even.geometry))
    inside = ((inside > 0.01) & (inside < np.array(SHAPE) - 1.01)).all(axis=-1)
    assert inside.sum() > 0.8 * np.prod(SHAPE) * 0.8
    np.testing.assert_allclose(even.array[inside], linear_hu(world(even.geometry))[inside], atol=0.05)
    corners = even.geometry.to_kji(geometry.to_ras([(0, 0, 0), (19, 29, 31), (0, 29, 0), (19, 0, 31)]))
    assert corners.min() > -0.01
    assert (corners <= np.array(even.geometry.shape) - 1 + 0.01).all()


def test_a_ball_found_on_the_straight_grid_lies_right_on_the_tilted_one() -> None:
    geometry = grid(SHAPE, 15.0)
    center = geometry.to_ras((10, 15, 16))
    volume = Volume(linear_hu(world(geometry)), geometry)
    even = to_even_grid(volume)
    ball = np.linalg.norm(world(even.geometry) - center, axis=-1) < 9.0

    back = labels_to_read_grid(ball, even.geometry, volume)

    truth = np.linalg.norm(world(geometry) - center, axis=-1) < 9.0
    assert back.dtype == bool
    assert back.shape == SHAPE
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.93
    np.testing.assert_allclose(world(geometry)[back].mean(axis=0), center, atol=0.3)


def test_tilt_and_gaps_together_keep_a_ball_in_place() -> None:
    count = len(GAPPED_MM)
    mean = GAPPED_MM[-1] / (count - 1)
    geometry = grid((count, 30, 32), 15.0, gap=mean)
    step = geometry.ijk_to_ras[:3, 2] / mean
    true_ras = world(grid((1, 30, 32))) + np.array(GAPPED_MM)[:, None, None, None] * step
    volume = Volume(linear_hu(true_ras), geometry, slice_positions_mm=GAPPED_MM)
    center = true_ras[4, 15, 16]
    even = to_even_grid(volume)
    assert not is_sheared(even.geometry)
    ball = np.linalg.norm(world(even.geometry) - center, axis=-1) < 7.0

    back = labels_to_read_grid(ball, even.geometry, volume)

    truth = np.linalg.norm(true_ras - center, axis=-1) < 7.0
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.9


def test_a_nearly_doubled_slice_does_not_blow_up_the_grid() -> None:
    positions = (0.0, 0.02, 0.04, 0.06, 0.08, 60.0)
    volume = Volume(np.ones((6, 4, 4), np.float32), grid((6, 4, 4)), slice_positions_mm=positions)

    assert to_even_grid(volume).array.shape[0] <= 6 * 8 + 1


@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_the_grid_is_right_for_the_longest_even_run(tilt: float) -> None:
    positions = (0.0, 8.0, 10.0, 12.0, 14.0, 16.0, 25.0)
    mean = positions[-1] / 6
    read = grid((7, 4, 4), tilt, gap=mean)
    step = read.ijk_to_ras[:3, 2] / mean

    fitted, counted = fitted_to_most(read, positions)

    for n in range(1, 6):
        np.testing.assert_allclose(fitted.to_ras((n, 0, 0)), read.to_ras((0, 0, 0)) + positions[n] * step)
    assert fitted.shape == read.shape
    np.testing.assert_allclose(counted, np.array(positions) - 6.0)


def test_gaps_of_two_widths_still_have_a_run() -> None:
    fitted, _ = fitted_to_most(grid((3, 4, 4)), (0.0, 2.0, 8.0))
    assert fitted.spacing_kji[0] in (2.0, 6.0)


def test_a_fitted_stack_comes_to_the_networks_where_it_was_read() -> None:
    volume, ras = gapped_volume()
    geometry, positions = fitted_to_most(volume.geometry, GAPPED_MM)
    fitted = Volume(volume.array, geometry, slice_positions_mm=positions)

    even = to_even_grid(fitted)

    np.testing.assert_allclose(even.array, linear_hu(world(even.geometry)), atol=1e-2)
    labels = (world(even.geometry)[..., 2] > -300.0 + 11.0).astype(np.uint8)
    back = labels_to_read_grid(labels, even.geometry, fitted)
    np.testing.assert_array_equal(back, ras[..., 2] > -300.0 + 11.0)


def test_what_lies_between_slices_is_told_but_not_counted() -> None:
    volume, _ = gapped_volume()
    geometry, positions = fitted_to_most(volume.geometry, GAPPED_MM)
    fitted = Volume(volume.array, geometry, slice_positions_mm=positions)
    mask = np.zeros(volume.array.shape, bool)
    mask[2:6] = True
    assert uncounted_ml(mask, fitted) == pytest.approx(10 * 12 * 1.5 * 4.0 / 1000)
    mask[4:] = False
    assert uncounted_ml(mask, fitted) == pytest.approx(10 * 12 * 1.5 * 4.0 / 2000)
    mask[3:] = False
    assert uncounted_ml(mask, fitted) == 0.0
    assert uncounted_ml(mask, Volume(volume.array, geometry)) == 0.0
