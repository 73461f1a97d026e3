"""Masses grown at the liver's surface: what they are labeled as, where they lie and where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label as parts_of

from liverseg.training.synth.bulging import BulgeRecipe, Survey, grow_at_surface
from synth_patches import FAT_HU, LIVER_HU

SPACING = (4.0, 4.0, 4.0)
MUSCLE_HU = 50.0


def made_body(seed: int = 0, around_hu: float = FAT_HU) -> tuple[np.ndarray, np.ndarray]:
    """HU and label of a trunk at 4 mm in air: a wall of muscle, fat, an ellipsoid of liver."""
    rng = np.random.default_rng(seed)
    z, y, x = (n * 4.0 for n in np.indices((50, 64, 80)))
    trunk = np.hypot((y - 128) / 120, (x - 160) / 150)
    liver = ((z - 100) / 60) ** 2 + ((y - 120) / 60) ** 2 + ((x - 120) / 70) ** 2 < 1
    hu = np.where(trunk < 1, MUSCLE_HU, -1000.0)
    hu[trunk < 0.92] = around_hu
    hu[liver] = LIVER_HU
    hu += rng.normal(0, 5, hu.shape) * (trunk < 1)
    return hu.astype(np.float32), liver.astype(np.uint8)


def grown(recipe: BulgeRecipe, seeds: range = range(8)):
    hu, label = made_body()
    scan = Survey.of(hu, label, SPACING)
    for seed in seeds:
        result = grow_at_surface(scan, np.random.default_rng(seed), recipe)
        if result.lesions:
            yield hu, label, result


def test_a_bulging_tumor_is_lesion_inside_and_outside_of_what_was_the_liver():
    seen = 0
    for _, label, result in grown(BulgeRecipe(beside_share=0, push_share=0, beyond=(0.0, 0.4))):
        tumor = result.label == 2
        beyond = np.count_nonzero(tumor & (label == 0)) / np.count_nonzero(tumor)
        assert result.lesions[0].kind == "bulging"
        assert 0.2 < beyond < 0.98
        seen += 1
    assert seen >= 5


def test_a_tumor_as_gray_as_the_liver_takes_the_place_of_the_fat():
    recipe = BulgeRecipe(beside_share=0, alike_share=1, alike_hu=0, push_share=0)
    for hu, label, result in grown(recipe):
        outside = (result.label == 2) & (label == 0)
        assert hu[outside].mean() < FAT_HU + 10
        assert abs(np.median(result.hu[outside]) - LIVER_HU) < 45


def test_a_hanging_tumor_is_joined_to_the_liver_by_a_stalk():
    recipe = BulgeRecipe(beside_share=0, beyond=(1.3, 1.3), stalk_mm=(9.0, 12.0), radius_mm=(20, 30))
    seen = 0
    for _, _, result in grown(recipe):
        _, parts = parts_of(result.label > 0, np.ones((3, 3, 3)))
        assert parts == 1
        seen += 1
    assert seen >= 4


def test_a_mass_beside_the_liver_is_background_with_fat_between():
    recipe = BulgeRecipe(beside_share=1, push_share=0, gap_mm=(8.0, 10.0))
    seen = 0
    for hu, label, result in grown(recipe):
        assert result.lesions[0].kind == "beside"
        assert not (result.label == 2).any()
        mass = (np.abs(result.hu - hu) > 60) & (label == 0)
        assert mass.any()
        assert not (result.label[mass] > 0).any()
        seen += 1
    assert seen >= 4


def test_nothing_grows_into_the_wall_of_the_body_or_out_of_it():
    for hu, _, result in grown(BulgeRecipe(), range(12)):
        assert not ((result.label > 0) & (hu < -500)).any()


def test_lung_and_bone_leave_no_room():
    recipe = BulgeRecipe(beside_share=0, beyond=(0.3, 0.9))
    for around in (-800.0, 400.0):
        hu, label = made_body(around_hu=around)
        scan = Survey.of(hu, label, SPACING)
        for seed in range(2):
            result = grow_at_surface(scan, np.random.default_rng(seed), recipe)
            assert result.lesions == ()
            assert (result.label == label).all()


def test_the_same_generator_gives_the_same_and_what_was_given_stays():
    hu, label = made_body()
    before = hu.copy(), label.copy()
    scan = Survey.of(hu, label, SPACING)
    one = grow_at_surface(scan, np.random.default_rng(4))
    two = grow_at_surface(scan, np.random.default_rng(4))
    assert (one.hu == two.hu).all() and (one.label == two.label).all()
    assert (hu == before[0]).all() and (label == before[1]).all()


def test_a_scan_without_a_liver_stays_as_it_is():
    hu, label = made_body()
    result = grow_at_surface(Survey.of(hu, np.zeros_like(label), SPACING), np.random.default_rng(0))
    assert result.lesions == () and (result.hu == hu).all()


def test_arrays_of_two_sizes_are_refused():
    hu, label = made_body()
    with pytest.raises(ValueError, match="one size"):
        Survey.of(hu, label[1:], SPACING)
