"""Cleaning of raw masks."""

from __future__ import annotations

import numpy as np

from liverseg.postprocess import drop_small_claims, fill_holes, keep_main_parts, merge_crumbs


def test_small_separate_parts_go_and_large_ones_stay():
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[2:10, 2:10, 2:10] = True
    mask[14:18, 14:18, 14:18] = True
    mask[0, 19, 19] = True
    kept = keep_main_parts(mask, 0.1)
    assert kept[5, 5, 5] and kept[15, 15, 15]
    assert not kept[0, 19, 19]


def test_only_small_enclosed_holes_are_filled():
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[1:19, 1:19, 1:19] = True
    mask[5, 5, 5] = False
    mask[10:15, 10:15, 10:15] = False
    mask[8, 8, :5] = False
    filled = fill_holes(mask, 10)
    assert filled[5, 5, 5]
    assert not filled[12, 12, 12], "a large hole is anatomy"
    assert not filled[8, 8, 3], "a notch that opens outwards is no hole"


def test_claims_go_when_small_or_never_sure():
    lesions = np.zeros((10, 10, 30), dtype=bool)
    lesions[2:6, 2:6, 2:6] = True
    lesions[2:6, 2:6, 10:14] = True
    lesions[2, 2, 20] = True
    score = np.where(lesions, np.float32(0.55), np.float32(0))
    score[3, 3, 3] = 0.9
    score[2, 2, 20] = 0.99
    kept = drop_small_claims(lesions, score, smallest_voxels=5, smallest_peak=0.6)
    assert kept[2:6, 2:6, 2:6].all()
    assert not kept[:, :, 8:].any()


def test_crumbs_take_the_label_they_touch_most():
    segments = np.zeros((8, 8, 20), dtype=np.uint8)
    segments[:, :, :10] = 2
    segments[:, :, 10:] = 3
    segments[3:5, 3:5, 2:4] = 3
    merged = merge_crumbs(segments)
    assert (merged[:, :, :10] == 2).all()
    assert (merged[:, :, 10:] == 3).all()


def test_an_island_of_the_liver_keeps_its_segment():
    segments = np.zeros((8, 8, 20), dtype=np.uint8)
    segments[:, :, :8] = 2
    segments[2:4, 2:4, 15:17] = 2
    assert np.array_equal(merge_crumbs(segments), segments)
