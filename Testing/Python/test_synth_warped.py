"""Warped scans: the liver takes the other shape, volumes follow, implausible pairs are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.training.synth.warped import Warped, WarpLimits, WarpRefused, warp_to_shape

SPACING = (4.0, 3.0, 3.0)
QUICK = WarpLimits(registration_mm=8.0, iterations=30, margin_mm=15.0, least_dice=0.9)
SHAPE = (46, 62, 62)


def made_scan(
    stretch: tuple[float, float, float] = (1, 1, 1), bend: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A liver of two joined ellipsoids in fat with one lesion, stretched by known factors."""
    z, y, x = ((np.indices(SHAPE)[a] - (SHAPE[a] - 1) / 2) * SPACING[a] / stretch[a] for a in range(3))
    y = y + bend * np.sin(x / 30)
    right = (z / 62) ** 2 + (y / 55) ** 2 + ((x + 10) / 50) ** 2 < 1
    left = ((z - 20) / 26) ** 2 + ((y + 14) / 28) ** 2 + ((x - 35) / 38) ** 2 < 1
    liver = right | left
    lesion = z**2 + (y - 8) ** 2 + (x + 12) ** 2 < 17**2
    hu = np.where(lesion, 50.0, np.where(liver, 110.0, -90.0)).astype(np.float32)
    return hu, (liver.astype(np.uint8) + lesion).astype(np.uint8)


def volume_ml(label: np.ndarray, value: int = 0) -> float:
    inside = label == value if value else label > 0
    return float(np.count_nonzero(inside)) * float(np.prod(SPACING)) / 1000


@pytest.fixture(scope="module")
def stretched() -> Warped:
    hu, label = made_scan()
    return warp_to_shape(hu, label, SPACING, made_scan((1.15, 0.9, 1.2))[1] > 0, SPACING, QUICK)


def test_a_known_stretch_is_recovered_in_the_liver_and_in_its_lesion(stretched):
    _, label = made_scan()
    wanted = made_scan((1.15, 0.9, 1.2))[1]
    assert stretched.dice > 0.96
    assert volume_ml(stretched.label) == pytest.approx(volume_ml(wanted), rel=0.03)
    # A stretch by these factors changes every volume by their product.
    factor = volume_ml(stretched.label, 2) / volume_ml(label, 2)
    assert factor == pytest.approx(1.15 * 0.9 * 1.2, rel=0.15)


def test_gray_values_and_labels_move_together(stretched):
    assert stretched.hu.shape == stretched.label.shape
    assert float(np.median(stretched.hu[stretched.label == 1])) == pytest.approx(110, abs=1)
    assert float(np.median(stretched.hu[stretched.label == 2])) == pytest.approx(50, abs=1)
    assert float(np.median(stretched.hu[stretched.label == 0])) == pytest.approx(-90, abs=1)
    assert set(np.unique(stretched.label)) == {0, 1, 2}


def test_the_same_pair_gives_the_same_scan(stretched):
    hu, label = made_scan()
    again = warp_to_shape(hu, label, SPACING, made_scan((1.15, 0.9, 1.2))[1] > 0, SPACING, QUICK)
    assert np.array_equal(again.label, stretched.label)
    assert np.allclose(again.hu, stretched.hu, atol=1e-3)


def test_a_bent_shape_and_another_spacing_are_reached():
    hu, label = made_scan()
    shape = made_scan(bend=8.0)[1] > 0
    finer = np.repeat(shape, 2, axis=0)
    warped = warp_to_shape(hu, label, SPACING, finer, (2.0, 3.0, 3.0), QUICK)
    assert warped.dice > 0.95
    assert volume_ml(warped.label) == pytest.approx(volume_ml(shape.astype(np.uint8)), rel=0.04)


def test_livers_of_too_different_sizes_are_refused():
    hu, label = made_scan()
    small = made_scan((0.6, 0.6, 0.6))[1] > 0
    with pytest.raises(WarpRefused, match="cannot plausibly become"):
        warp_to_shape(hu, label, SPACING, small, SPACING, QUICK)


def test_a_mask_without_liver_is_refused():
    hu, label = made_scan()
    with pytest.raises(WarpRefused, match="no liver"):
        warp_to_shape(hu, label, SPACING, np.zeros(SHAPE, dtype=bool), SPACING, QUICK)


def test_a_shape_that_is_not_reached_or_tissue_stretched_too_far_is_refused():
    hu, label = made_scan()
    other = made_scan((1.0, 1.1, 1.1))[1] > 0
    with pytest.raises(WarpRefused, match="Dice of"):
        warp_to_shape(hu, label, SPACING, other, SPACING, replace(QUICK, least_dice=0.999))
    with pytest.raises(WarpRefused, match="factors of"):
        warp_to_shape(hu, label, SPACING, other, SPACING, replace(QUICK, volume_factor=(0.99, 1.01)))
