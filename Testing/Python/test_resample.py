"""Resampling between grids of one box keeps everything in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.resample import grid_for_spacing, resize, resize_best_class, resize_labels, resize_mask


def test_the_grid_comes_nearest_to_the_wanted_spacing():
    assert grid_for_spacing((100, 512, 512), (5.0, 0.75, 0.75), (4.0, 4.0, 4.0)) == (125, 96, 96)
    assert grid_for_spacing((1, 2, 2), (1.0, 1.0, 1.0), (4.0, 4.0, 4.0)) == (1, 1, 1)


@pytest.mark.parametrize("shape", [(5, 6, 7), (20, 24, 28), (13, 9, 40)])
def test_a_constant_stays_constant(shape):
    assert torch.allclose(resize(torch.full((10, 12, 14), 3.5), shape), torch.full(shape, 3.5))


def test_a_ramp_keeps_its_values_at_each_place():
    ramp = torch.arange(64, dtype=torch.float32).view(1, 1, 64).expand(4, 4, 64)
    for size in (16, 32, 128):
        resized = resize(ramp, (4, 4, size))[2, 2]
        expected = (torch.arange(size) + 0.5) * 64 / size - 0.5
        inner = slice(size // 8, -size // 8)
        assert torch.allclose(resized[inner], expected[inner], atol=1e-4)


def test_coarsening_averages_noise_and_does_not_pick_it():
    noise = torch.randn((48, 48, 48), generator=torch.Generator().manual_seed(0))
    coarse = resize(noise, (12, 12, 12))
    assert float(coarse.std()) < 0.2


def test_a_mask_keeps_volume_and_center_there_and_back():
    z, y, x = np.ogrid[:60, :60, :60]
    ball = (z - 25.0) ** 2 + (y - 33.0) ** 2 + (x - 28.0) ** 2 < 18.0**2
    back = resize_mask(resize_mask(ball, (24, 24, 24)), (60, 60, 60))
    assert back.sum() == pytest.approx(ball.sum(), rel=0.05)
    assert np.argwhere(back).mean(axis=0) == pytest.approx([25, 33, 28], abs=0.3)


def test_labels_take_the_largest_share_and_no_new_value_appears():
    labels = np.zeros((12, 12, 12), dtype=np.uint8)
    labels[:, :, 4:8] = 3
    labels[:, :, 8:] = 7
    small = resize_labels(labels, (6, 6, 6))
    assert set(np.unique(small)) == {0, 3, 7}
    assert small.dtype == np.uint8
    assert (small[3, 3] == [0, 0, 3, 3, 7, 7]).all()


def test_the_best_class_is_the_argmax_of_the_interpolated_scores():
    scores = torch.rand((5, 6, 7, 8), generator=torch.Generator().manual_seed(3))
    winner, best = resize_best_class(scores, (13, 15, 17))
    whole = resize(scores, (13, 15, 17))
    assert np.array_equal(winner, whole.argmax(0).numpy())
    assert np.allclose(best, whole.max(0).values.numpy())
