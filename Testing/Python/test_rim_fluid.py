"""The gallbladder at the liver's rim is no lesion; tumors at the rim and cysts within the liver are."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.rim_fluid import rim_fluid

SHAPE = (40, 60, 60)
SPACING = (1.5, 1.5, 1.5)


def scene(claim_hu: float, liver_hu: float = 110.0, left_out: bool = True):
    """Lesions, liver, stage 1's liver and HU: one claim at the rim, or one that stage 1 did not leave out."""
    liver = np.zeros(SHAPE, dtype=bool)
    liver[5:35, 10:50, 10:50] = True
    lesions = np.zeros(SHAPE, dtype=bool)
    lesions[12:24, 14:26, 10:24] = True
    rough = liver & ~lesions if left_out else liver
    hu = np.where(liver, liver_hu, -90.0) + np.random.default_rng(2).normal(0, 12, SHAPE)
    hu[lesions] += claim_hu - liver_hu
    return lesions, liver, rough, hu.astype(np.float32)


def test_bile_beside_stage_1s_liver_is_taken_off_as_a_whole():
    lesions, liver, rough, hu = scene(12)
    assert np.array_equal(rim_fluid(lesions, liver, rough, hu, SPACING), lesions)


@pytest.mark.parametrize(
    ("claim_hu", "liver_hu", "left_out"),
    [
        (60, 110, True),
        (12, 110, False),
        (12, 40, True),
    ],
    ids=["a tumor at the rim", "a cyst within the liver", "a tumor in a fatty liver"],
)
def test_what_may_be_a_lesion_stays(claim_hu, liver_hu, left_out):
    assert not rim_fluid(*scene(claim_hu, liver_hu, left_out), SPACING).any()


def test_each_claim_is_judged_by_itself_and_the_rough_liver_may_lie_on_a_coarser_grid():
    lesions, liver, rough, hu = scene(12)
    lesions[26:30, 34:40, 34:40] = True
    hu[26:30, 34:40, 34:40] = 15
    coarse = rough[1::2, 1::2, 1::2]
    fluid = rim_fluid(lesions, liver, coarse, hu, SPACING)
    assert fluid[12:24, 14:26, 10:24].all()
    assert not fluid[26:30, 34:40, 34:40].any()


def test_a_lesion_that_touches_the_gallbladder_stays():
    lesions, liver, rough, hu = scene(12)
    beside = np.zeros(SHAPE, dtype=bool)
    beside[12:24, 26:36, 12:24] = True
    hu[beside] = np.random.default_rng(3).normal(60, 12, np.count_nonzero(beside))
    fluid = rim_fluid(lesions | beside, liver, rough, hu, SPACING)
    assert fluid[lesions].all()
    assert fluid[beside].mean() < 0.5


def test_without_lesions_or_without_other_tissue_nothing_is_taken_off():
    lesions, liver, rough, hu = scene(12)
    assert not rim_fluid(np.zeros(SHAPE, dtype=bool), liver, rough, hu, SPACING).any()
    assert not rim_fluid(lesions, lesions, rough, hu, SPACING).any()
