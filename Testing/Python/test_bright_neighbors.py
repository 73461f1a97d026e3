"""What is far brighter than the liver and beside it is taken off; what lies in the liver stays."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.bright_neighbors import commonest_hu, without_bright_neighbors

SPACING = (4.0, 4.0, 4.0)


@pytest.fixture
def scan():
    """A liver of 100 HU with noise, and the mask of stage 1 over it."""
    rng = np.random.default_rng(1)
    hu = rng.normal(-80, 10, (40, 50, 50)).astype(np.float32)
    mask = np.zeros(hu.shape, dtype=bool)
    mask[8:32, 8:40, 8:34] = True
    hu[mask] = rng.normal(100, 10, np.count_nonzero(mask))
    return hu, mask


def test_bowel_with_contrast_beside_the_liver_goes(scan):
    hu, mask = scan
    bowel = np.zeros_like(mask)
    bowel[14:26, 14:30, 34:44] = True
    hu[bowel] = 200
    rough = mask | bowel
    cleaned = without_bright_neighbors(rough, hu, SPACING)
    assert cleaned[bowel].mean() < 0.1
    assert cleaned[mask].mean() > 0.98
    assert not (cleaned & ~rough).any()


def test_the_wall_of_bowel_with_contrast_goes_with_it(scan):
    hu, mask = scan
    bowel, lumen = np.zeros_like(mask), np.zeros_like(mask)
    bowel[12:28, 12:32, 34:48] = True
    lumen[13:27, 13:31, 35:47] = True
    hu[bowel] = 110
    hu[lumen] = 220
    cleaned = without_bright_neighbors(mask | bowel, hu, SPACING)
    assert cleaned[bowel].mean() < 0.1
    assert cleaned[mask].mean() > 0.97


def test_bright_lesions_and_vessels_inside_the_liver_stay(scan):
    hu, mask = scan
    hu[16:24, 18:26, 16:24] = 190
    hu[10:30, 30:33, 20:23] = 170
    assert (without_bright_neighbors(mask, hu, SPACING) == mask).all()


def test_a_lesion_full_of_lipiodol_at_the_livers_rim_stays(scan):
    hu, mask = scan
    hu[16:24, 18:26, 27:33] = 1500
    assert without_bright_neighbors(mask, hu, SPACING)[18:22, 20:24, 28:31].all()


def test_a_very_bright_liver_is_a_liver(scan):
    hu, mask = scan
    assert (without_bright_neighbors(mask, hu + 120, SPACING) == mask).all()


def test_a_small_bright_thing_is_left_alone(scan):
    hu, mask = scan
    rough = mask.copy()
    rough[18:20, 20:22, 34:36] = True
    hu[18:20, 20:22, 34:36] = 300
    assert (without_bright_neighbors(rough, hu, SPACING) == rough).all()


def test_an_empty_mask_stays_empty(scan):
    hu, mask = scan
    assert not without_bright_neighbors(mask & False, hu, SPACING).any()


def test_the_commonest_value_is_the_livers_and_not_that_of_a_large_neighbor(scan):
    hu, mask = scan
    rough = mask.copy()
    rough[8:32, 8:40, 34:44] = True
    hu[rough & ~mask] = 230
    assert commonest_hu(hu, rough) == pytest.approx(100, abs=8)
