"""Splitting a liver into its segments."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.bundle import find_bundle
from liverseg.couinaud import doubts, split_liver, split_mask, split_segment_iv
from liverseg.geometry import Geometry
from liverseg.phantom import make_phantom
from liverseg.volume import Volume


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=501, shape_kji=(80, 110, 130), spacing_kji=(3.0, 3.0, 3.0), noise_hu=0)


def test_every_liver_voxel_gets_one_of_eight_segments(phantom):
    liver = phantom.masks.liver
    split = split_liver(liver, phantom.ct.geometry, find_bundle())
    assert np.array_equal(split.labels > 0, liver)
    assert set(np.unique(split.labels)) == set(range(9))
    assert 0.3 < split.method.confidence <= 1
    assert not split.method.approximate


def test_segments_lie_where_anatomy_has_them(phantom):
    split = split_liver(phantom.masks.liver, phantom.ct.geometry, find_bundle())
    center = {s: phantom.ct.geometry.to_ras(np.argwhere(split.labels == s).mean(axis=0)) for s in range(1, 9)}
    right = {s: c[0] for s, c in center.items()}
    up = {s: c[2] for s, c in center.items()}
    assert min(right[s] for s in (5, 6, 7, 8)) > right[4] > max(right[2], right[3])
    assert up[2] > up[3] and up[8] > up[5] and up[7] > up[6]
    assert center[6][1] < center[5][1] and center[7][1] < center[8][1], "VI and VII lie posterior"


def test_the_split_does_not_depend_on_the_order_of_the_axes(phantom):
    liver, geometry = phantom.masks.liver, phantom.ct.geometry
    plain = split_liver(liver, geometry, find_bundle()).labels
    matrix = geometry.ijk_to_ras @ np.array(
        [[0, 0, -1, liver.shape[2] - 1], [1, 0, 0, 0], [0, -1, 0, liver.shape[0] - 1], [0, 0, 0, 1]], float
    )
    # New indices (i, j, k) = old (j, k from the far end, i from the far end).
    moved = liver[::-1, :, ::-1].transpose(2, 0, 1)
    assert np.allclose(
        Geometry(moved.shape, matrix).to_ras((3, 5, 7)),
        geometry.to_ras((liver.shape[0] - 1 - 5, 7, liver.shape[2] - 1 - 3)),
    )
    turned = split_liver(moved, Geometry(moved.shape, matrix), find_bundle()).labels
    assert np.array_equal(turned.transpose(1, 2, 0)[::-1, :, ::-1], plain)


def test_an_empty_liver_has_no_segments():
    geometry = Geometry((5, 5, 5), np.eye(4))
    split = split_liver(np.zeros((5, 5, 5), bool), geometry, find_bundle())
    assert not split.labels.any()


def test_segment_iv_splits_at_the_level_between_upper_and_lower_segments():
    segments = np.zeros((20, 4, 8), dtype=np.uint8)
    segments[:8, :, :2], segments[8:, :, :2] = 5, 8
    segments[:12, :, 6:], segments[12:, :, 6:] = 3, 2
    segments[:, :, 2:6] = 4
    split = split_segment_iv(segments)
    assert (split[10:, :, 2:6] == 4).all(), "IVa above the mean level 10"
    assert (split[:10, :, 2:6] == 9).all(), "IVb below it"


def test_a_missing_segment_makes_the_split_doubtful():
    segments = np.repeat(np.arange(1, 8, dtype=np.uint8), 100).reshape(7, 10, 10)
    assert any("VIII is missing" in text for text in doubts(segments))


def test_a_liver_of_a_few_voxels_is_split_too():
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[10:20, 10:20, 10:20] = True
    split = split_liver(mask, Geometry(mask.shape, np.diag([4.0, 4.0, 4.0, 1.0])), find_bundle())
    assert np.array_equal(split.labels > 0, mask)


def test_a_tilted_scan_is_split_as_an_upright_one(phantom):
    liver, geometry = phantom.masks.liver, phantom.ct.geometry
    upright = split_liver(liver, geometry, find_bundle()).labels
    matrix = geometry.ijk_to_ras.copy()
    matrix[1, 2] += np.tan(np.deg2rad(12)) * geometry.spacing_kji[0]
    tilted = Geometry(geometry.shape, matrix)
    # The same world content, sampled on the tilted grid.
    where = np.rint(geometry.to_kji(tilted.to_ras(np.moveaxis(np.indices(liver.shape), 0, -1)))).astype(int)
    inside = ((where >= 0) & (where < np.array(liver.shape))).all(axis=-1)
    where = np.where(inside[..., None], where, 0)
    moved = liver[tuple(np.moveaxis(where, -1, 0))] & inside
    split = split_mask(moved, Volume(moved.astype(np.uint8), tilted), find_bundle())
    assert np.array_equal(split.labels > 0, moved)
    expected = upright[tuple(np.moveaxis(where, -1, 0))]
    assert (split.labels == expected)[moved].mean() > 0.9
