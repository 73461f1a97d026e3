"""Portal and hepatic veins guide the split."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.couinaud import SplitOptions, split_liver
from liverseg.couinaud.bending import subtree_labels
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.first_guess import installed_regression
from liverseg.couinaud.vessel_graph import VesselVoxels, carried, grow_tree
from liverseg.couinaud.vessel_kinds import tell_kinds
from liverseg.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=504, shape_kji=(110, 150, 170), spacing_kji=(2.0, 2.0, 2.0), noise_hu=0)


def split(phantom, vessels: np.ndarray | None, **options):
    return split_liver(
        phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("vessels", **options), vessels
    )


def test_the_liver_is_filled_by_eight_segments_and_the_method_named(phantom):
    found = split(phantom, phantom.masks.vessels)
    assert found.method.name == "guided by vessels"
    assert 0.5 < found.method.confidence < 1
    assert np.array_equal(found.labels > 0, phantom.masks.liver)
    assert set(np.unique(found.labels)) == set(range(9))
    assert found.warnings == ()


def test_vessels_put_the_right_level_nearer_to_the_portal_vein_than_the_shape_does(phantom):
    truth = phantom.masks.couinaud

    def agreement(found: np.ndarray) -> float:
        right = np.isin(truth, (5, 6, 7, 8)) & np.isin(found, (5, 6, 7, 8))
        return float((np.isin(truth, (7, 8)) == np.isin(found, (7, 8)))[right].mean())

    guessed = split_liver(phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("landmarks")).labels
    assert agreement(split(phantom, phantom.masks.vessels).labels) >= agreement(guessed) - 0.005


def test_a_portal_vein_that_lies_higher_takes_the_level_with_it(phantom):
    up = 7
    vessels = phantom.masks.vessels
    portal = np.roll(vessels == 1, up, axis=0)
    raised = np.where(portal, np.uint8(1), np.where(vessels == 2, np.uint8(2), np.uint8(0)))
    plain, moved = (split(phantom, v).labels for v in (vessels, raised))
    upper = [np.count_nonzero(np.isin(found, (7, 8))) for found in (plain, moved)]
    assert upper[1] < 0.95 * upper[0]


def test_vessels_of_a_kind_not_told_are_told_with_a_warning(phantom):
    mixed = np.where(phantom.masks.vessels > 0, np.uint8(3), np.uint8(0))
    found = split(phantom, mixed)
    assert any("which is portal and which is hepatic" in warning for warning in found.warnings)
    assert found.method.name == "guided by vessels"
    assert np.array_equal(found.labels > 0, phantom.masks.liver)


def test_most_of_the_phantoms_vessels_are_told_right(phantom):
    crop = LiverCrop.of(phantom.masks.liver, phantom.ct.geometry, phantom.masks.vessels, 25.0)
    truth = crop.vessels[crop.vessels > 0]
    voxels = VesselVoxels.of(crop.vessels > 0, crop.spacing, np.zeros(3))
    borders = installed_regression().guess(crop.mask, crop.spacing).borders
    found = tell_kinds(voxels, borders)
    assert set(np.unique(found)) == {1, 2}
    assert (found == truth).mean() > 0.75


def test_too_few_vessels_fall_back_and_say_so(phantom):
    speck = np.zeros(phantom.masks.vessels.shape, np.uint8)
    speck[tuple(np.argwhere(phantom.masks.liver)[1000])] = 1
    found = split(phantom, speck)
    assert "ml of vessels lie in the liver" in found.warnings[0]
    assert found.method.name == "planes from landmarks"


@pytest.mark.parametrize(("kind", "lost"), [(1, "No hepatic veins"), (2, "No portal vein")])
def test_one_kind_alone_is_used_and_the_other_missed_in_words(phantom, kind, lost):
    alone = np.where(phantom.masks.vessels == kind, np.uint8(kind), np.uint8(0))
    found = split(phantom, alone)
    assert any(lost in warning for warning in found.warnings)
    assert np.array_equal(found.labels > 0, phantom.masks.liver)


def test_segment_iv_is_divided_on_request(phantom):
    found = split(phantom, phantom.masks.vessels, split_segment_4=True)
    assert set(np.unique(found.labels)) == set(range(10))


def a_fork() -> VesselVoxels:
    """A trunk along x that forks into an upper and a lower branch."""
    mask = np.zeros((61, 9, 80), dtype=bool)
    mask[29:32, 3:6, :40] = True
    for step in range(40):
        mask[30 + step * 3 // 4 : 32 + step * 3 // 4, 3:6, 39 + step] = True
        mask[29 - step * 3 // 4 : 31 - step * 3 // 4, 3:6, 39 + step] = True
    return VesselVoxels.of(mask, (1.0, 1.0, 1.0), np.zeros(3))


def test_a_tree_knows_its_parents_and_its_branchings():
    tree = grow_tree(a_fork(), np.array([30.0, 4.0, 0.0]))
    roots = np.flatnonzero(tree.parent < 0)
    assert list(roots) == [0] and tree.places[0, 2] < 6
    assert all(before < node for node, before in enumerate(tree.parent))
    assert set(tree.order[tree.places[:, 2] < 30]) == {0}
    assert set(tree.order[tree.places[:, 2] > 60]) == {1}
    assert carried(tree.parent, tree.weight)[0] == tree.weight.sum()


def test_sub_trees_take_the_side_most_of_them_lies_on_and_the_trunk_none():
    tree = grow_tree(a_fork(), np.array([30.0, 4.0, 0.0]))
    labels = subtree_labels(tree, tree.places[:, 0] - 30.0)
    far = tree.places[:, 2] > 60
    assert np.array_equal(labels[far] > 0, tree.places[far, 0] > 30)
    assert not labels[tree.places[:, 2] < 30].any()
