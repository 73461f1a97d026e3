"""Hollows of the rough liver are filled before lesions are looked for: a lesion at the rim leaves one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.hollows import fill_hollows
from liverseg.stages import RoughLiver, stricter_in_hollows, without_hollows


def ball(
    shape: tuple[int, int, int], center: tuple[float, float, float], radius: float, step=(1.0, 1.0, 1.0)
):
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, step, strict=True)], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(axes, center, strict=True)) <= radius**2


def test_a_bite_at_the_rim_is_filled_and_the_outline_stays():
    liver = ball((80, 80, 80), (40, 40, 40), 30)
    bitten = liver & ~ball((80, 80, 80), (40, 40, 66), 10)
    filled = fill_hollows(bitten, (1.0, 1.0, 1.0))
    bite = liver & ~bitten
    assert filled[bitten].all()
    assert filled[bite].mean() > 0.75
    assert not filled[~ball((80, 80, 80), (40, 40, 40), 31)].any()


def test_a_hollow_that_the_ball_can_enter_stays():
    liver = ball((90, 90, 90), (45, 45, 45), 40)
    open_ = liver.copy()
    open_[:, :, 45:] = False
    filled = fill_hollows(open_, (1.0, 1.0, 1.0))
    assert np.count_nonzero(filled & ~open_) < 0.01 * np.count_nonzero(open_)


@pytest.mark.parametrize("step", [(4.0, 4.0, 4.0), (5.0, 2.0, 2.0)])
def test_the_radius_is_in_millimeters_on_any_grid(step):
    shape = tuple(int(160 / s) for s in step)
    liver = ball(shape, (80, 80, 80), 60, step)
    bitten = liver & ~ball(shape, (80, 80, 134), 14, step)
    bite = liver & ~bitten
    assert fill_hollows(bitten, step)[bite].mean() > 0.6
    assert fill_hollows(bitten, step, radius_mm=5.0)[bite].mean() < 0.35


def test_a_liver_at_the_end_of_the_scan_keeps_its_voxels_there_and_an_empty_mask_stays_empty():
    cut = ball((40, 60, 60), (0, 30, 30), 25)
    assert fill_hollows(cut, (1.0, 1.0, 1.0))[cut].all()
    nothing = np.zeros((5, 6, 7), dtype=bool)
    assert not fill_hollows(nothing, (1.0, 1.0, 1.0)).any()


def test_the_rough_liver_is_filled_on_its_own_grid():
    liver = ball((40, 40, 40), (80, 80, 80), 60, (4.0, 4.0, 4.0))
    bitten = liver & ~ball((40, 40, 40), (80, 80, 134), 20, (4.0, 4.0, 4.0))
    rough = RoughLiver(bitten, (slice(0, 160),) * 3)
    filled = without_hollows(rough, (160, 160, 160), (1.0, 1.0, 1.0))
    assert np.array_equal(filled.mask, fill_hollows(bitten, (4.0, 4.0, 4.0)))
    assert filled.box == rough.box
    assert filled.mask.sum() > bitten.sum()


def test_in_a_filled_hollow_tissue_must_be_likelier_and_a_lesion_need_not():
    liver = torch.tensor([0.6, 0.6, 0.75, 0.6])
    lesion = torch.tensor([0.1, 0.1, 0.1, 0.4])
    hollow = torch.tensor([False, True, True, True])
    assert (stricter_in_hollows(liver, lesion, hollow) > 0.5).tolist() == [True, False, True, True]
