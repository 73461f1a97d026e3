"""Lesions are matched as components, at any overlap and by shape, and counted by size."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.evaluation.lesion_matching import (
    SIZE_CLASSES,
    Detection,
    MatchedLesion,
    detection,
    match_lesions,
    sphere_diameter_mm,
)

VOXEL_ML = 0.001  # 1 mm cubes


def boxes(*corners):
    """Boxes of voxels, each (low corner, high corner), in a volume of 60 x 60 x 60."""
    mask = np.zeros((60, 60, 60), dtype=bool)
    for low, high in corners:
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_a_lesion_hit_by_one_voxel_is_found_but_not_by_shape():
    truth = boxes(((10, 10, 10), (20, 20, 20)))
    claim = boxes(((19, 19, 19), (29, 29, 29)))
    matches = match_lesions(truth, claim, VOXEL_ML)
    assert matches.truth[0].is_matched()
    assert not matches.truth[0].is_matched(by_shape=True)
    assert matches.truth[0].best_iou == pytest.approx(1 / 1999)
    assert matches.false_claims == ()


def test_shape_needs_an_iou_above_one_half():
    truth = boxes(((10, 10, 10), (20, 20, 20)))
    # 10 x 10 x 5 of 1000 voxels is exactly one half; one more voxel is above.
    half = boxes(((10, 10, 10), (15, 20, 20)))
    assert not match_lesions(truth, half, VOXEL_ML).truth[0].is_matched(by_shape=True)
    half[15, 10, 10] = True
    assert match_lesions(truth, half, VOXEL_ML).truth[0].is_matched(by_shape=True)


def test_corners_connect_and_gaps_separate():
    by_corner = boxes(((5, 5, 5), (8, 8, 8)), ((8, 8, 8), (11, 11, 11)))
    apart = boxes(((5, 5, 5), (8, 8, 8)), ((9, 9, 9), (12, 12, 12)))
    nothing = np.zeros_like(apart)
    assert len(match_lesions(by_corner, nothing, VOXEL_ML).truth) == 1
    assert len(match_lesions(apart, nothing, VOXEL_ML).truth) == 2


def test_known_lesions_give_known_counts():
    truth = boxes(((2, 2, 2), (6, 6, 6)), ((10, 10, 10), (24, 24, 24)), ((30, 30, 30), (55, 55, 55)))
    claim = boxes(
        ((10, 10, 10), (24, 24, 22)),  # the middle one, well drawn
        ((30, 30, 30), (36, 55, 55)),  # a part of the large one
        ((40, 30, 30), (44, 55, 55)),  # another part of it
        ((2, 40, 2), (5, 43, 5)),  # nothing
    )
    matches = match_lesions(truth, claim, VOXEL_ML)
    assert [lesion.size_class for lesion in matches.truth] == list(reversed(SIZE_CLASSES))
    assert len(matches.truth[0].partners) == 2
    assert len(matches.false_claims) == 1
    overlap = detection(matches.truth, matches.claims)
    assert (overlap.lesions, overlap.found, overlap.claims, overlap.right) == (3, 2, 4, 3)
    assert overlap.recall == pytest.approx(2 / 3)
    assert overlap.precision == pytest.approx(3 / 4)
    assert overlap.f1 == pytest.approx(2 * (2 / 3) * (3 / 4) / (2 / 3 + 3 / 4))
    shape = detection(matches.truth, matches.claims, by_shape=True)
    assert (shape.found, shape.right) == (1, 1)


def test_ids_fall_with_volume_and_label_the_arrays():
    truth = boxes(((2, 2, 2), (6, 6, 6)), ((10, 10, 10), (24, 24, 24)))
    matches = match_lesions(truth, truth, VOXEL_ML)
    assert matches.truth_labels[12, 12, 12] == 1
    assert matches.truth_labels[3, 3, 3] == 2
    assert [lesion.volume_ml for lesion in matches.truth] == pytest.approx([14**3 / 1000, 64 / 1000])
    assert all(lesion.best_dice == lesion.best_iou == 1 for lesion in matches.truth)


@pytest.mark.parametrize(("diameter", "expected"), [(9.99, 0), (10.0, 1), (20.0, 1), (20.01, 2)])
def test_exactly_10_and_20_mm_belong_to_the_middle_class(diameter, expected):
    assert MatchedLesion(1, 1.0, diameter, (), 0.0, 0.0).size_class == SIZE_CLASSES[expected]


def test_a_sphere_has_the_diameter_of_its_volume():
    assert sphere_diameter_mm(np.pi * 20**3 / 6 / 1000) == pytest.approx(20)
    assert sphere_diameter_mm(0.0) == 0


def test_rates_without_lesions_or_claims_are_unknown_and_not_zero_or_one():
    nothing = Detection()
    assert nothing.recall is nothing.precision is nothing.f1 is None
    only_missed = Detection(lesions=3)
    assert (only_missed.recall, only_missed.precision, only_missed.f1) == (0.0, None, 0.0)
    only_false = Detection(claims=2)
    assert (only_false.recall, only_false.precision, only_false.f1) == (None, 0.0, 0.0)


def test_counts_add_up_over_cases():
    assert Detection(3, 2, 4, 3) + Detection(1, 0, 2, 0) == Detection(4, 2, 6, 3)


def test_empty_masks_have_no_lesions():
    nothing = np.zeros((4, 4, 4), dtype=bool)
    matches = match_lesions(nothing, nothing, VOXEL_ML)
    assert matches.truth == matches.claims == ()
