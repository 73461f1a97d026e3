"""The borders that readers draw straight are straight, where the network's scores put them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.couinaud.straight import Planes, straight_segments

SHAPE = (20, 16, 30)


def ideal(shape: tuple[int, int, int]) -> np.ndarray:
    """A box with all segments: right ones at low x, levels at 0.4 and 0.7, a coronal plane at half of y."""
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
    right = np.where(y > 0.5, np.where(z > 0.4, 7, 6), np.where(z > 0.4, 8, 5))
    lateral = np.where(z > 0.7, 2, 3)
    split = np.where(x < 0.5, right, np.where(x < 0.7, 4, lateral))
    split[(abs(x - 0.55) < 0.05) & (y > 0.6)] = 1
    return split.astype(np.uint8)


def scores_of(split: np.ndarray, sure: float = 0.8) -> torch.Tensor:
    scores = np.full((8, *split.shape), (1 - sure) / 7, np.float32)
    np.put_along_axis(scores, split[None].astype(np.int64) - 1, sure, axis=0)
    return torch.from_numpy(scores)


def wavy(split: np.ndarray) -> np.ndarray:
    """The split with its axial borders up by a voxel, down by one, and where they were, in turn."""
    moved = split.copy()
    for first, shift in ((0, 1), (1, -1)):
        moved[:, :, first::3] = np.roll(split, shift, axis=0)[:, :, first::3]
    moved[0], moved[-1] = split[0], split[-1]
    return moved


def test_the_planes_lie_where_the_scores_change_sides():
    planes = Planes.of(scores_of(ideal(SHAPE)))
    assert (planes.right_z, planes.lateral_z, planes.right_y) == pytest.approx((0.4, 0.7, 0.5))


def test_wavy_borders_become_straight_and_the_others_stay():
    split = ideal(SHAPE)
    drawn = wavy(split)
    assert np.mean(drawn != split) > 0.02
    np.testing.assert_array_equal(straight_segments(scores_of(drawn), SHAPE), split)


def test_the_segments_come_on_a_finer_grid_of_the_same_box():
    fine = (60, 16, 60)
    found = straight_segments(scores_of(ideal(SHAPE)), fine)
    assert found.shape == fine
    assert np.mean(found == ideal(fine)) > 0.97
    assert len({tuple(np.unique(found[k, :, :28])) for k in range(60)}) == 2, "one level parts the right ones"


def test_voxels_without_liver_move_no_plane():
    split = ideal(SHAPE)
    wrong = split.copy()
    wrong[:5] = np.where(np.isin(split[:5], (5, 6)), 8, split[:5])
    weights = np.ones(SHAPE, np.float32)
    weights[:5] = 1e-3
    scores = scores_of(wrong) * torch.from_numpy(weights)
    assert Planes.of(scores).right_z == pytest.approx(0.4)


def test_a_liver_without_upper_right_segments_keeps_its_lower_ones():
    lower = np.array([0, 1, 2, 3, 4, 5, 6, 6, 5], np.uint8)
    split = lower[ideal(SHAPE)]
    np.testing.assert_array_equal(straight_segments(scores_of(split, 1.0), SHAPE), split)
