"""Borders of a split that move, and the learned split as the first guess of the other methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from liverseg.bundle import find_bundle
from liverseg.couinaud import SplitOptions, split_liver
from liverseg.couinaud.bending import Strengths
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.field_grid import FIELD_MM, FieldGrid
from liverseg.couinaud.first_guess import installed_regression
from liverseg.couinaud.guessing import first_guess
from liverseg.couinaud.moving import moved, relabeled, sides_of_split
from liverseg.couinaud.said import is_of_a_split, is_of_the_segments
from liverseg.couinaud.vessels import GuidedByVessels
from liverseg.phantom import make_phantom
from liverseg.resample import resize_labels


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=504, shape_kji=(80, 110, 130), spacing_kji=(3.0, 2.7, 2.7), noise_hu=0)


@pytest.fixture(scope="module")
def liver(phantom) -> LiverCrop:
    crop = LiverCrop.of(phantom.masks.liver, phantom.ct.geometry)
    assert crop is not None
    return crop


@pytest.fixture(scope="module")
def truth(phantom, liver) -> np.ndarray:
    return liver.taken(phantom.masks.couinaud)


def split(phantom, method: object, vessels: np.ndarray | None = None) -> np.ndarray:
    found = split_liver(
        phantom.masks.liver, phantom.ct.geometry, find_bundle(), SplitOptions(method), vessels
    )
    return found.labels


def test_a_split_whose_borders_do_not_move_keeps_every_label(liver, truth):
    sides = sides_of_split(truth, liver.spacing)
    assert np.array_equal(relabeled(truth, sides, sides), truth)


def test_a_border_that_moves_takes_the_voxels_that_it_passes_and_no_others(liver, truth):
    sides = sides_of_split(truth, liver.spacing)
    higher = relabeled(truth, sides, moved(sides, {"right_upper": -7.0}))
    changed = higher != truth
    assert set(np.unique(truth[changed])) == {7, 8}
    assert set(np.unique(higher[changed])) <= {5, 6}
    upper = np.isin(truth, (7, 8))
    assert np.array_equal(changed, upper & (sides.right_upper <= 7.0))


def test_a_border_that_moves_leaves_no_slivers_where_the_grid_of_the_fields_is_coarser(liver, truth):
    fine = truth.repeat(3, 0).repeat(3, 1).repeat(3, 2)[1:, 1:, 1:]
    size = [n * mm / 3 for n, mm in zip(fine.shape, liver.spacing, strict=True)]
    coarse = tuple(round(mm / FIELD_MM) for mm in size)
    spacing = tuple(mm / n for mm, n in zip(size, coarse, strict=True))
    before = sides_of_split(resize_labels(fine, coarse), spacing)
    after = relabeled(fine, before, moved(before, {"left": np.float32(6.0), "posterior": np.float32(-5.0)}))
    assert 0.02 < (after != fine)[fine > 0].mean() < 0.3
    assert thin(after) <= 1.5 * thin(fine)


def thin(segments: np.ndarray) -> int:
    """How many voxels inside a liver share their label with at most a third of the 27 around and in them."""
    alike = np.zeros(segments.shape, dtype=np.float32)
    for label in range(1, 9):
        own = segments == label
        alike[own] = ndimage.uniform_filter(own.astype(np.float32), 3, mode="constant")[own]
    inside = ndimage.minimum_filter(segments > 0, 3, mode="constant")
    return int(np.count_nonzero(alike[inside] < 9.5 / 27))


def test_segment_i_that_shrinks_leaves_its_voxels_to_its_neighbors(liver, truth):
    sides = sides_of_split(truth, liver.spacing)
    smaller = relabeled(truth, sides, moved(sides, {"caudate": -5.0}))
    assert 0 < np.count_nonzero(smaller == 1) < np.count_nonzero(truth == 1)
    assert np.array_equal(smaller > 0, truth > 0)
    assert not np.any((smaller == 1) & (truth != 1))


def test_vessels_that_say_next_to_nothing_leave_the_learned_split_as_it_is(phantom):
    deaf = GuidedByVessels(strengths=Strengths(sheets=0.0, branches=0.0, untold_learned=1e6))
    untold = np.where(phantom.masks.vessels > 0, np.uint8(3), np.uint8(0))
    assert np.array_equal(split(phantom, deaf, untold), split(phantom, "shape"))


def test_vessels_move_the_borders_of_the_learned_split(phantom):
    learned, guided = split(phantom, "shape"), split(phantom, "vessels", phantom.masks.vessels)
    inside = phantom.masks.liver
    same = (learned == guided)[inside].mean()
    assert 0.7 < same < 1.0


def test_vessels_that_disagree_with_the_shape_over_a_tenth_of_the_liver_are_doubted(phantom):
    portal = np.roll(phantom.masks.vessels == 1, 8, axis=0)
    raised = np.where(portal, np.uint8(1), np.where(phantom.masks.vessels == 2, np.uint8(2), np.uint8(0)))
    mask, grid = phantom.masks.liver, phantom.ct.geometry
    found = split_liver(mask, grid, find_bundle(), SplitOptions("vessels"), raised)
    assert found.method.approximate
    (doubt,) = [text for text in found.warnings if "disagree" in text]
    share = (found.labels != split(phantom, "shape"))[mask].mean()
    assert f"over {share:.0%} of the liver" in doubt
    assert is_of_a_split(doubt) and not is_of_the_segments(doubt)
    without = split_liver(mask, grid, None, SplitOptions("vessels"), raised)
    assert not any("disagree" in text for text in without.warnings), "planes guessed are no measure"


def test_the_first_guess_of_planes_follows_the_learned_split(phantom):
    learned = split(phantom, "shape")
    agreement = {}
    for name, bundle in (("with", find_bundle()), ("without", None)):
        planes = split_liver(
            phantom.masks.liver, phantom.ct.geometry, bundle, SplitOptions("landmarks")
        ).labels
        agreement[name] = (planes == learned)[phantom.masks.liver].mean()
    assert agreement["with"] > max(0.85, agreement["without"])


def test_where_the_learned_split_lacks_a_border_the_shape_is_asked(liver):
    sliver = replace(liver, mask=liver.mask & (np.arange(liver.mask.shape[2]) < 12))
    tight, _ = sliver.without_margin()
    first = first_guess(tight, find_bundle(), installed_regression())
    assert first.coarse is None and first.scores is None
    assert np.isfinite(first.guess.borders.values).all()


def test_the_coarse_grid_covers_the_crops_box(liver):
    grid = FieldGrid.of(liver)
    first, last = grid.index_of(np.array([[0.0, 0.0, 0.0]])), np.array(liver.mask.shape) - 1
    assert [int(n[0]) for n in first] == [0, 0, 0]
    end = grid.index_of((last * np.array(liver.spacing))[None])
    assert [int(n[0]) + 1 for n in end] == list(grid.shape)
