"""Planted lesions: where they lie, how large and how visible they are, and what they leave alone."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from liverseg.training.synth.confounders import add_confounders
from liverseg.training.synth.planted import plant, plant_lesions
from liverseg.training.synth.recipe import CONFOUNDERS, KINDS, LesionRecipe
from synth_patches import LIVER_HU, NOISE_HU, SPACING, made_patch, with_lesion

QUIET = LesionRecipe(confounder_share=0.0)
ALONE = replace(QUIET, more_lesions=0.0, mass_effect_share=0.0)


def only(kind: str, **changes: object) -> LesionRecipe:
    return replace(ALONE, kind_shares={kind: 1.0}, **changes)


def test_the_same_generator_gives_the_same_patch():
    hu, label = made_patch()
    recipe = LesionRecipe(confounder_share=1.0)
    for seed in range(3):
        one = plant_lesions(hu, label, SPACING, np.random.default_rng(seed), recipe)
        two = plant_lesions(hu, label, SPACING, np.random.default_rng(seed), recipe)
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        other = plant_lesions(hu, label, SPACING, np.random.default_rng(seed + 50), recipe)
        assert not np.array_equal(one[0], other[0])


def test_the_patch_that_is_passed_in_stays_as_it_is():
    hu, label = made_patch()
    copies = hu.copy(), label.copy()
    planted = plant(hu, label, SPACING, np.random.default_rng(3), LesionRecipe(confounder_share=1.0))
    assert planted.lesions
    assert np.array_equal(hu, copies[0]) and np.array_equal(label, copies[1])
    assert planted.hu.dtype == np.float32 and planted.label.dtype == np.uint8


def test_lesions_lie_inside_the_liver_and_nothing_changes_far_from_them():
    hu, label = made_patch()
    for seed in range(12):
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), ALONE)
        lesion = planted.label == 2
        assert planted.lesions and lesion.any()
        assert (label[lesion] == 1).all()
        assert np.array_equal(planted.label > 0, label > 0)
        index = np.indices(label.shape) * 1.5
        far = np.ones(label.shape, dtype=bool)
        for each in planted.lesions:
            away = np.sqrt(sum((index[a] - each.center[a] * 1.5) ** 2 for a in range(3)))
            far &= away > 2.0 * each.radius_mm + 6
        assert np.allclose(planted.hu[far], hu[far], atol=1e-3)


@pytest.mark.parametrize("radius", [4.0, 8.0, 15.0])
def test_the_added_volume_is_that_of_the_radius(radius):
    hu, label = made_patch()
    recipe = replace(ALONE, radius_mm=(radius, radius), least_inside=0.98)
    ratios = []
    for seed in range(25):
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), recipe)
        for lesion in planted.lesions:
            if abs(lesion.radius_mm - radius) < 1e-6:
                ratios.append(lesion.voxels * 1.5**3 / (4 / 3 * np.pi * radius**3))
                assert lesion.voxels == np.count_nonzero(planted.label == 2)
    assert len(ratios) >= 10
    assert 0.85 < float(np.median(ratios)) < 1.45
    assert max(ratios) < 3


def test_radii_are_log_uniform_with_many_small_ones():
    hu, label = made_patch()
    radii = [
        lesion.radius_mm
        for seed in range(150)
        for lesion in plant(hu, label, SPACING, np.random.default_rng(seed), QUIET).lesions
    ]
    assert min(radii) >= 2.0 and max(radii) <= 35.0
    assert np.mean(np.array(radii) < 5) > 0.4
    assert np.mean(np.array(radii) > 10) > 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_as_visible_as_the_recipe_asks(kind):
    # Without noise in the patch the difference is the contrast itself.
    smooth, label = made_patch(noise=0.0)
    seen = 0
    for seed in range(14):
        noisy = smooth + np.random.default_rng(seed + 900).normal(0, NOISE_HU, smooth.shape).astype(
            np.float32
        )
        recipe = only(kind, radius_mm=(3.0, 20.0), least_cnr=2.0, least_cnr_small=3.0)
        planted = plant(noisy, label, SPACING, np.random.default_rng(seed), recipe)
        for lesion in planted.lesions:
            seen += 1
            assert lesion.kind == kind
            assert abs(lesion.noise_hu - NOISE_HU) < 2
            assert lesion.contrast_hu >= 2.0 * lesion.noise_hu * 0.999
            changed = (planted.hu - noisy)[planted.label == 2]
            assert np.sqrt(np.mean(changed**2)) >= 1.85 * NOISE_HU
            if kind in ("hypo", "cyst", "hyper"):
                assert abs(float(changed.mean())) >= 1.85 * NOISE_HU
    assert seen >= 8


def test_small_lesions_need_more_contrast_than_large_ones():
    hu, label = made_patch()
    recipe = replace(ALONE, radius_mm=(2.0, 2.5), least_cnr=1.0, least_cnr_small=3.0, least_contrast_hu=0.0)
    ratios = [
        lesion.contrast_hu / lesion.noise_hu
        for seed in range(30)
        for lesion in plant(hu, label, SPACING, np.random.default_rng(seed), recipe).lesions
    ]
    assert len(ratios) >= 10 and min(ratios) > 2.8


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("hypo", 5.0, 95.0), ("cyst", -10.0, 35.0), ("hyper", 120.0, 200.0), ("ring", 5.0, 130.0)],
)
def test_kinds_have_the_gray_values_of_their_name(kind, low, high):
    hu, label = made_patch()
    means = []
    for seed in range(10):
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), only(kind, radius_mm=(8.0, 14.0)))
        if planted.lesions:
            means.append(float(np.median(planted.hu[planted.label == 2])))
    assert len(means) >= 5
    assert low < min(means) and max(means) < high


def test_a_fatty_liver_gets_no_lesion_darker_than_it_can_hold():
    hu, label = made_patch(liver_hu=20.0)
    kinds = {
        lesion.kind
        for seed in range(25)
        for lesion in plant(hu, label, SPACING, np.random.default_rng(seed), QUIET).lesions
    }
    assert kinds and kinds <= {"hyper", "iso"}


def test_the_noise_stays_on_top_of_the_lesion():
    hu, label = made_patch()
    recipe = only("cyst", radius_mm=(12.0, 14.0), least_inside=0.95)
    seen = 0
    for seed in range(6):
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), recipe)
        lesion = planted.label == 2
        if not planted.lesions or planted.lesions[0].radius_mm < 12:
            continue
        seen += 1
        middle = np.argwhere(lesion).mean(0).astype(int)
        part = tuple(slice(m - 4, m + 5) for m in middle)
        assert 0.7 * NOISE_HU < float(planted.hu[part].std()) < 1.3 * NOISE_HU
    assert seen >= 3


def test_lesions_that_are_there_stay_untouched():
    hu, label = made_patch()
    hu, label = with_lesion(hu, label, (32, 40, 50), (10, 12, 12), -50)
    for seed in range(15):
        recipe = LesionRecipe(confounder_share=1.0, more_lesions=3.0, mass_effect_share=1.0)
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), recipe)
        old = label == 2
        assert (planted.label[old] == 2).all()
        assert np.abs(planted.hu[old] - hu[old]).mean() < 4


def test_lesions_come_at_the_rim_too_and_mass_effect_bulges_it():
    hu, label = made_patch()
    at_rim, bulged = 0, 0
    recipe = replace(QUIET, radius_mm=(10.0, 18.0), mass_effect_share=1.0, more_lesions=0.0)
    for seed in range(20):
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), recipe)
        grown = np.count_nonzero(planted.label > 0) - np.count_nonzero(label > 0)
        assert grown >= -20
        bulged += grown > 50
        lesion = planted.label == 2
        shifted = np.zeros_like(lesion)
        shifted[:, 1:] |= lesion[:, :-1]
        shifted[:, :-1] |= lesion[:, 1:]
        shifted[:, :, 1:] |= lesion[:, :, :-1]
        shifted[:, :, :-1] |= lesion[:, :, 1:]
        at_rim += bool((shifted & (planted.label == 0)).any())
    assert at_rim >= 4 and bulged >= 4


def test_confounders_are_never_labeled_lesion_and_change_the_picture():
    hu, label = made_patch()
    seen = set()
    for seed in range(40):
        image, marks = hu.copy(), label.copy()
        names = add_confounders(image, marks, SPACING, np.random.default_rng(seed), 3)
        seen |= set(names)
        assert not (marks == 2).any()
        assert (marks[label == 0] == 0).all()
        if names:
            assert np.abs(image - hu).max() > 10
    assert seen == set(CONFOUNDERS)


def test_labels_that_tell_vessels_apart_keep_their_codes_outside_of_lesions():
    hu, label = made_patch()
    label[20:44, 40:44, 30:70] = 3
    label[20:44, 60:64, 30:70] = 4
    vessel = label > 2
    covered = 0
    for seed in range(15):
        recipe = LesionRecipe(confounder_share=1.0, mass_effect_share=0.0)
        planted = plant(hu, label, SPACING, np.random.default_rng(seed), recipe)
        assert not any("vessel" in name for name in planted.confounders)
        same = planted.label == label
        assert np.isin(planted.label[vessel & ~same], (0, 2)).all()
        covered += np.count_nonzero(vessel & (planted.label == 2))
    assert covered > 0


def test_a_patch_with_too_little_liver_stays_as_it_is():
    hu, label = made_patch()
    label[:] = 0
    planted = plant(hu, label, SPACING, np.random.default_rng(0))
    assert planted.lesions == () and planted.confounders == ()
    assert np.array_equal(planted.hu, hu)


def test_wrong_input_is_refused():
    hu, label = made_patch()
    with pytest.raises(ValueError, match="one size"):
        plant(hu, label[1:], SPACING, np.random.default_rng(0))
    with pytest.raises(ValueError, match="kind_shares"):
        LesionRecipe(kind_shares={"hipo": 1.0})
    with pytest.raises(ValueError, match="radius_mm"):
        LesionRecipe(radius_mm=(5.0, 2.0))


def test_planting_keeps_pace_with_training():
    hu, label = made_patch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for seed in range(25):
            began = time.thread_time()
            plant(hu, label, SPACING, np.random.default_rng(seed))
            seconds.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert float(np.median(seconds)) < 0.06


def test_the_phantom_is_the_liver_that_the_tests_think_it_is():
    hu, label = made_patch()
    assert abs(float(hu[label == 1].mean()) - LIVER_HU) < 3
    assert 0.3 < (label == 1).mean() < 0.8
