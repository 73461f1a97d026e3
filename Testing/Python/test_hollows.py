"""Hollows of the rough liver are filled before lesions are looked for: a lesion at the rim leaves one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.hollows import fill_hollows
from liverseg.stages import stricter_in_hollows, without_hollows

COARSE = (4.0, 4.0, 4.0)
FINE = (2.0, 2.0, 2.0)


def ball(
    shape: tuple[int, int, int], center: tuple[float, float, float], radius: float, step=(1.0, 1.0, 1.0)
):
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, step, strict=True)], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(axes, center, strict=True)) <= radius**2


def test_a_bite_at_the_rim_is_filled_and_the_outline_stays():
    liver = ball((40, 40, 40), (80, 80, 80), 60, COARSE)
    bitten = liver & ~ball((40, 40, 40), (80, 80, 130), 18, COARSE)
    filled = fill_hollows(bitten, COARSE)
    bite = liver & ~bitten
    assert filled[bitten].all()
    assert filled[bite].mean() > 0.7
    assert not filled[~ball((40, 40, 40), (80, 80, 80), 62, COARSE)].any()


def test_a_lesion_left_out_deep_in_the_liver_is_filled_whole():
    liver = ball((40, 40, 40), (80, 80, 80), 70, COARSE)
    left_out = ball((40, 40, 40), (80, 80, 100), 30, COARSE)
    assert fill_hollows(liver & ~left_out, COARSE)[left_out].all()


def test_half_a_liver_has_no_hollow():
    liver = ball((45, 45, 45), (90, 90, 90), 80, COARSE)
    open_ = liver.copy()
    open_[:, :, 22:] = False
    filled = fill_hollows(open_, COARSE)
    assert np.count_nonzero(filled & ~open_) < 0.01 * np.count_nonzero(open_)


@pytest.mark.parametrize("step", [(4.0, 4.0, 4.0), (5.0, 3.0, 3.0)])
def test_the_reach_is_in_millimeters_on_any_grid(step):
    shape = tuple(int(200 / s) for s in step)
    liver = ball(shape, (100, 100, 100), 95, step)
    left_out = ball(shape, (100, 100, 100), 50, step)
    hole = fill_hollows(liver & ~left_out, step)
    assert not hole[ball(shape, (100, 100, 100), 8, step)].any()
    assert hole[left_out & ~ball(shape, (100, 100, 100), 35, step)].mean() > 0.6
    assert fill_hollows(liver & ~left_out, step, reach_mm=60.0)[left_out].all()


def test_a_liver_at_the_end_of_the_scan_keeps_its_voxels_there_and_an_empty_mask_stays_empty():
    cut = ball((10, 15, 15), (0, 30, 30), 25, COARSE)
    assert fill_hollows(cut, COARSE)[cut].all()
    nothing = np.zeros((5, 6, 7), dtype=bool)
    assert not fill_hollows(nothing, COARSE).any()


@pytest.fixture
def bitten():
    """A liver on a fine grid with a lesion left out at its rim, the lesion, and a CT of both."""
    shape = (60, 70, 70)
    liver = ball(shape, (60, 70, 70), 52, FINE)
    lesion = liver & ~ball(shape, (60, 70, 70), 20, FINE) & ball(shape, (60, 70, 108), 16, FINE)
    hu = torch.full(shape, -80.0)
    hu[torch.from_numpy(liver)] = 110.0
    return torch.from_numpy((liver & ~lesion).astype(np.float32)), lesion, hu


def test_a_lesion_left_out_by_the_rough_liver_is_shown_without_a_seam(bitten):
    known, lesion, hu = bitten
    hu[torch.from_numpy(lesion)] = 50.0
    shown = without_hollows(known, hu, FINE).numpy() > 0
    assert shown[known.numpy() > 0].all()
    assert shown[lesion].mean() > 0.7
    # The border of what was filled lies against the rough liver: nothing is left out in between.
    deep = lesion & ball(known.shape, (60, 70, 98), 12, FINE)
    assert shown[deep].all()


def test_bowel_with_contrast_in_a_hollow_is_not_shown(bitten):
    known, _, hu = bitten
    bowel = ball(known.shape, (60, 70, 120), 26, FINE)
    hu[torch.from_numpy(bowel)] = 230.0
    known[torch.from_numpy(bowel)] = 0.0
    as_liver = without_hollows(known, hu.clamp(max=110), FINE).numpy() > 0
    shown = without_hollows(known, hu, FINE).numpy() > 0
    assert as_liver[bowel].mean() > 0.2
    assert shown[bowel].mean() < 0.05


def test_in_a_filled_hollow_tissue_must_be_likelier_and_a_lesion_need_not():
    liver = torch.tensor([0.6, 0.6, 0.75, 0.6])
    lesion = torch.tensor([0.1, 0.1, 0.1, 0.4])
    hollow = torch.tensor([False, True, True, True])
    assert (stricter_in_hollows(liver, lesion, hollow) > 0.5).tolist() == [True, False, True, True]
