"""Pasted lesions: whose they are, where they go, and that they stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.training.synth.pasted import PasteRecipe, build_library, lesions_of, paste_lesions
from synth_patches import SPACING, made_patch, with_lesion

CONTRAST = -45.0


def scan(seed: int, radius: tuple[float, float, float] = (7, 8, 9)) -> tuple[np.ndarray, np.ndarray]:
    return with_lesion(*made_patch(seed), (32, 44, 52), radius, CONTRAST)


CASES = {"lits_004": scan(1), "ircad_03": scan(2, (6, 6, 6)), "lits_000": scan(3), "lits_001": scan(4)}


def test_a_lesion_is_kept_as_its_contrast_to_the_liver_around():
    hu, label = CASES["lits_004"]
    (lesion,) = lesions_of("lits_004", hu, label, SPACING, PasteRecipe())
    assert abs(lesion.mean_contrast_hu - CONTRAST) < 4
    truth_mm3 = np.count_nonzero(label == 2) * 1.5**3
    assert 4 / 3 * np.pi * lesion.radius_mm**3 == pytest.approx(truth_mm3, rel=0.01)
    assert np.count_nonzero(lesion.distance < 0) == np.count_nonzero(label == 2)


def test_shapes_come_only_from_the_training_persons_whatever_their_scans_are_called():
    library = build_library(CASES, SPACING, {"lits_004", "ircad_003"})
    assert set(library.lesions) == {"lits_004", "ircad_003"}
    # lits_001 is another scan of the person of lits_000.
    library = build_library(CASES, SPACING, {"lits_000"})
    assert {lesion.person for own in library.lesions.values() for lesion in own} == {"lits_000"}
    assert len(library.lesions["lits_000"]) == 2


def test_a_library_without_any_lesion_is_refused():
    with pytest.raises(ValueError, match="training persons"):
        build_library(CASES, SPACING, {"lits_099"})
    with pytest.raises(ValueError, match="training persons"):
        build_library({"lits_099": made_patch()}, SPACING, {"lits_099"})


def test_lesions_cut_off_by_the_scan_are_left_out():
    hu, label = with_lesion(*made_patch(5), (2, 44, 52), (7, 8, 9), CONTRAST)
    assert (label == 2).any()
    assert lesions_of("x", hu, label, SPACING, PasteRecipe()) == []


def test_pasted_lesions_have_the_volume_and_the_contrast_they_had():
    library = build_library(CASES, SPACING, {"lits_004"})
    recipe = PasteRecipe(scale=(1.0, 1.0), most_lesions=1, least_inside=0.99)
    hu, label = made_patch(7)
    own = np.count_nonzero(CASES["lits_004"][1] == 2)
    seen = 0
    for seed in range(12):
        pasted = paste_lesions(hu, label, SPACING, np.random.default_rng(seed), library, recipe)
        new = pasted.label == 2
        if not pasted.lesions:
            continue
        seen += 1
        assert new.sum() == pytest.approx(own, rel=0.06)
        assert (label[new] == 1).all()
        assert float((pasted.hu - hu)[new].mean()) == pytest.approx(CONTRAST, abs=7)
    assert seen >= 6


def test_the_contrast_goes_with_the_liver_not_with_the_gray_value():
    library = build_library(CASES, SPACING, {"lits_004"})
    recipe = PasteRecipe(scale=(1.0, 1.0), most_lesions=1)
    for liver_hu in (75.0, 150.0):
        hu, label = made_patch(8, liver_hu=liver_hu)
        pasted = paste_lesions(hu, label, SPACING, np.random.default_rng(3), library, recipe)
        assert pasted.lesions
        inside = float(pasted.hu[pasted.label == 2].mean())
        assert inside == pytest.approx(liver_hu + CONTRAST, abs=9)


def test_the_noise_in_a_pasted_lesion_is_that_of_its_new_place():
    library = build_library(CASES, SPACING, {"lits_004"})
    recipe = PasteRecipe(scale=(1.2, 1.3), most_lesions=1, least_inside=0.95)
    for noise in (5.0, 11.0, 20.0):
        hu, label = made_patch(9, noise=noise)
        sds = []
        for seed in range(8):
            pasted = paste_lesions(hu, label, SPACING, np.random.default_rng(seed), library, recipe)
            if pasted.lesions:
                middle = np.array(pasted.lesions[0].center)
                part = tuple(slice(m - 3, m + 4) for m in middle)
                sds.append(float(pasted.hu[part].std()))
        assert len(sds) >= 3
        assert 0.65 * noise < float(np.median(sds)) < 1.4 * noise + 2


def test_pasting_is_deterministic_and_leaves_old_lesions_alone():
    library = build_library(CASES, SPACING, {"lits_004", "ircad_003"})
    hu, label = with_lesion(*made_patch(6), (32, 30, 60), (8, 8, 8), -60)
    for seed in range(6):
        one = paste_lesions(hu, label, SPACING, np.random.default_rng(seed), library)
        two = paste_lesions(hu, label, SPACING, np.random.default_rng(seed), library)
        assert np.array_equal(one.hu, two.hu) and np.array_equal(one.label, two.label)
        assert (one.label[label == 2] == 2).all()
        assert np.abs(one.hu - hu)[label == 2].max() < 25
