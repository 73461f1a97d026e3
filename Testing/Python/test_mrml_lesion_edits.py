"""Lesions are split, merged and made of islands in the scene; ids, reviews and totals stay true."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.errors import UsageError
from made_cases import make_case, rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")

from liverseg_mrml.border_edits import move_segment_border  # noqa: E402
from liverseg_mrml.case_nodes import find_case_nodes  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes  # noqa: E402
from liverseg_mrml.lesion_edits import (  # noqa: E402
    add_lesion_from_island,
    merge_lesions,
    split_lesion_by_plane,
    split_lesion_into_parts,
)
from liverseg_mrml.scene import make_scene, read_scene  # noqa: E402
from liverseg_mrml.scene_writer import save_scene  # noqa: E402
from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402


@pytest.fixture
def case():
    return make_case(flips=(True, False, True), rotation=rotation_about((1, 1, 0), 12))


@pytest.fixture
def shown(case):
    made = make_scene()
    return made, add_case_to_scene(made.scene, case)


def measured(made, nodes):
    """The case after an edit, with the scene brought up to it."""
    case = case_from_nodes(nodes)
    return case, refresh(made.scene, nodes, case)


def by_id(case):
    return {lesion.id: lesion for lesion in case.lesions}


def ball(case, ras, radius_mm):
    """A ball around a point of the world."""
    points = case.ct.geometry.to_ras(np.indices(case.ct.geometry.shape).reshape(3, -1).T)
    inside = np.linalg.norm(points - np.asarray(ras), axis=1) <= radius_mm
    return inside.reshape(case.ct.geometry.shape) & case.masks.liver


def two_balls(nodes, case):
    """Lesion 1 drawn anew as two balls that do not touch; the second is smaller."""
    center = np.array(case.lesions[0].centroid_ras_mm)
    big, small = ball(case, center, 8), ball(case, center + (0, 0, -20), 5)
    assert small.sum() > 10
    voxels = SegmentVoxels(nodes)
    voxels.set_mask("lesion_1", big | small)
    return big, small


def test_a_lesion_of_two_pieces_becomes_two_lesions_and_the_larger_keeps_its_id(shown, case):
    made, nodes = shown
    big, small = two_balls(nodes, case)
    assert split_lesion_into_parts(nodes, 1) == (1, 3)
    after, _ = measured(made, nodes)
    assert np.array_equal(after.masks.lesions == 1, big)
    assert np.array_equal(after.masks.lesions == 3, small)
    assert by_id(after)[1].tracking_uid == case.lesions[0].tracking_uid
    assert by_id(after)[3].tracking_uid not in {lesion.tracking_uid for lesion in case.lesions}


def test_both_parts_keep_what_the_reader_said_and_only_one_the_confidence(shown, case):
    made, nodes = shown
    two_balls(nodes, case)
    split_lesion_into_parts(nodes, 1)
    after, _ = measured(made, nodes)
    assert by_id(after)[1].review == by_id(after)[3].review == case.lesions[0].review
    assert by_id(after)[1].review.state == "accepted"
    assert (by_id(after)[1].confidence, by_id(after)[3].confidence) == (0.9, None)


def test_a_lesion_of_one_piece_is_not_split_into_parts_and_nothing_changes(shown, case):
    with pytest.raises(UsageError, match="one connected piece"):
        split_lesion_into_parts(shown[1], 2)
    assert np.array_equal(case_from_nodes(shown[1]).masks.lesions, case.masks.lesions)


def test_a_plane_through_the_middle_cuts_a_lesion_in_halves(shown, case):
    made, nodes = shown
    lesion = case.lesions[0]
    assert split_lesion_by_plane(nodes, 1, lesion.centroid_ras_mm, (0, 0, 2)) == (1, 3)
    after, shown_after = measured(made, nodes)
    assert np.array_equal(np.isin(after.masks.lesions, (1, 3)), case.masks.lesions == 1)
    assert by_id(after)[3].volume_ml == pytest.approx(lesion.volume_ml / 2, rel=0.2)
    heights = [by_id(after)[n].centroid_ras_mm[2] for n in (1, 3)]
    assert max(heights) > lesion.centroid_ras_mm[2] > min(heights)
    assert sorted(shown_after.axes) == [1, 2, 3]


def test_a_plane_beside_a_lesion_is_refused(shown, case):
    far = (case.lesions[0].centroid_ras_mm[0] + 500, 0, 0)
    with pytest.raises(UsageError, match="does not cut lesion 1"):
        split_lesion_by_plane(shown[1], 1, far, (1, 0, 0))
    with pytest.raises(UsageError, match="no direction"):
        split_lesion_by_plane(shown[1], 1, far, (0, 0, 0))
    with pytest.raises(UsageError, match="no lesion 9"):
        split_lesion_by_plane(shown[1], 9, far, (1, 0, 0))


def test_merged_lesions_are_one_with_the_lowest_id_and_the_strongest_review(shown, case):
    made, nodes = shown
    assert merge_lesions(nodes, [2, 1]) == 1
    after, shown_after = measured(made, nodes)
    assert np.array_equal(after.masks.lesions == 1, case.masks.lesions > 0)
    assert [lesion.id for lesion in after.lesions] == [1]
    assert after.lesions[0].tracking_uid == case.lesions[0].tracking_uid
    assert after.lesions[0].review.state == "accepted"
    assert list(shown_after.axes) == [1]
    assert after.liver.tumor_burden_percent == pytest.approx(case.liver.tumor_burden_percent)


@pytest.mark.parametrize(
    ("ids", "why"), [([1], "at least two"), ([1, 1], "at least two"), ([1, 7], "no les")]
)
def test_a_merge_that_cannot_be_is_refused(shown, case, ids, why):
    with pytest.raises(UsageError, match=why):
        merge_lesions(shown[1], ids)
    assert np.array_equal(case_from_nodes(shown[1]).masks.lesions, case.masks.lesions)


def test_the_id_of_a_merged_lesion_is_never_given_again(shown, case):
    made, nodes = shown
    merge_lesions(nodes, [1, 2])
    _, nodes = measured(made, nodes)
    assert split_lesion_into_parts(nodes, 1) == (1, 3)
    after, _ = measured(made, nodes)
    assert [lesion.id for lesion in after.lesions] == [1, 3]
    assert np.array_equal(after.masks.lesions == 3, case.masks.lesions == 2)


def test_an_island_of_a_lesion_becomes_a_lesion_of_its_own(shown, case):
    made, nodes = shown
    big, small = two_balls(nodes, case)
    place = case.ct.geometry.to_ras(np.argwhere(small)[0])
    assert add_lesion_from_island(nodes, tuple(place)) == 3
    after, _ = measured(made, nodes)
    assert np.array_equal(after.masks.lesions == 3, small)
    assert np.array_equal(after.masks.lesions == 1, big)
    assert by_id(after)[3].review.state == "unreviewed"


def test_an_island_of_a_freshly_drawn_segment_becomes_a_lesion(shown, case):
    made, nodes = shown
    segment_id = nodes.segmentation.GetSegmentation().AddEmptySegment("", "Threshold")
    center = np.array(case.ct.geometry.to_ras(np.argwhere(case.masks.couinaud == 7).mean(axis=0)))
    one = ball(case, center, 5)
    other = ball(case, center + (0, 0, 18), 4)
    assert other.any() and one.any()
    SegmentVoxels(nodes).set_mask(segment_id, one | other)
    assert add_lesion_from_island(nodes, tuple(center)) == 3
    after, _ = measured(made, nodes)
    assert np.array_equal(after.masks.lesions == 3, one)
    rest = SegmentVoxels(nodes).mask(segment_id)
    assert np.array_equal(rest, other)


def test_a_click_beside_every_piece_is_refused(shown, case):
    nodes = shown[1]
    with pytest.raises(UsageError, match="of its own already"):
        add_lesion_from_island(nodes, case.lesions[1].centroid_ras_mm)
    liver_only = np.argwhere(case.masks.liver & (case.masks.lesions == 0))[0]
    with pytest.raises(UsageError, match="no piece"):
        add_lesion_from_island(nodes, tuple(case.ct.geometry.to_ras(liver_only)))
    with pytest.raises(UsageError, match="outside of the CT"):
        add_lesion_from_island(nodes, (9999.0, 0.0, 0.0))


def test_the_brush_gives_a_piece_of_one_segment_to_its_neighbor_and_touches_no_other(shown, case):
    made, nodes = shown
    grid = case.ct.geometry
    five, eight = case.masks.couinaud == 5, case.masks.couinaud == 8
    border = five & np.roll(eight, 1, axis=0) | five & np.roll(eight, -1, axis=0)
    point = tuple(grid.to_ras(np.argwhere(border)[len(np.argwhere(border)) // 2]))
    expected = five & ball(case, point, 9)
    moved = move_segment_border(nodes, "V", "VIII", [point], 9)
    assert moved == pytest.approx(expected.sum() * grid.voxel_volume_ml)
    after, _ = measured(made, nodes)
    assert np.array_equal(after.masks.couinaud == 8, eight | expected)
    others = ~(five | eight)
    assert np.array_equal(after.masks.couinaud[others], case.masks.couinaud[others])
    assert after.liver.volume_ml == pytest.approx(case.liver.volume_ml)
    assert not [warning for warning in after.warnings if " ml of the " in warning]


def test_a_brush_that_touches_nothing_moves_nothing(shown, case):
    assert move_segment_border(shown[1], "V", "VIII", [(900.0, 0.0, 0.0)], 5) == 0
    assert np.array_equal(case_from_nodes(shown[1]).masks.couinaud, case.masks.couinaud)
    for arguments in (("V", "v"), ("V", "XII")):
        with pytest.raises(UsageError):
            move_segment_border(shown[1], *arguments, [(0.0, 0.0, 0.0)], 5)


def test_edits_survive_saving_and_opening_the_scene(shown, case, tmp_path):
    made, nodes = shown
    two_balls(nodes, case)
    split_lesion_into_parts(nodes, 1)
    before, _ = measured(made, nodes)
    save_scene(made.scene, tmp_path / "edited.mrb")
    opened = read_scene(tmp_path / "edited.mrb")
    again = find_case_nodes(opened.scene)[0]
    after = case_from_nodes(again)
    assert [(x.id, x.tracking_uid, x.review) for x in after.lesions] == [
        (x.id, x.tracking_uid, x.review) for x in before.lesions
    ]
    assert split_lesion_by_plane(again, 1, by_id(after)[1].centroid_ras_mm, (0, 0, 1)) == (1, 4)
