"""An edit marks the numbers stale at once, and measuring again touches only what changed."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg import measure as measure_module
from liverseg.case import Review
from liverseg.errors import UsageError
from made_cases import make_case, rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")

from liverseg_mrml.border_edits import move_segment_border  # noqa: E402
from liverseg_mrml.case_nodes import find_case_nodes  # noqa: E402
from liverseg_mrml.edited_parts import edited_parts  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes, stored_case  # noqa: E402
from liverseg_mrml.lesion_edits import split_lesion_by_plane  # noqa: E402
from liverseg_mrml.renderings import rendering_display, shown_rendering  # noqa: E402
from liverseg_mrml.reviewing import add_review_seconds, lesion_readouts, review_lesion  # noqa: E402
from liverseg_mrml.scene import make_scene, read_scene  # noqa: E402
from liverseg_mrml.scene_writer import save_scene  # noqa: E402
from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: E402
from liverseg_mrml.staleness import EditWatch, is_stale  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402
from liverseg_mrml.versions import (  # noqa: E402
    cases_of_volume,
    next_version_name,
    remove_case,
    show_case,
    version_name,
)
from liverseg_mrml.views3d import rendering_volume  # noqa: E402
from liverseg_mrml.volume_node import add_volume  # noqa: E402


@pytest.fixture(params=[(False, False, False), (True, False, False)], ids=["right-handed", "left-handed"])
def case(request):
    return make_case(flips=request.param, rotation=rotation_about((1, 1, 0), 12))


@pytest.fixture
def shown(case):
    made = make_scene()
    return made, add_case_to_scene(made.scene, case)


def shrink(nodes, lesion_id):
    """Take the lowest half of a lesion away, as an eraser does."""
    voxels = SegmentVoxels(nodes)
    mask = voxels.mask(f"lesion_{lesion_id}")
    places = np.argwhere(mask)
    mask[tuple(places[: len(places) // 2].T)] = False
    voxels.set_mask(f"lesion_{lesion_id}", mask)


@pytest.fixture
def counted(monkeypatch):
    """How many lesions had their axes measured."""
    measured = []
    true = measure_module.recist_axes
    monkeypatch.setattr(measure_module, "recist_axes", lambda *args: measured.append(1) or true(*args))
    return measured


def test_a_fresh_result_is_not_stale_and_an_edit_makes_it_so_at_once(shown):
    nodes = shown[1]
    assert not is_stale(nodes)
    edits = []
    watch = EditWatch(nodes, lambda: edits.append(1))
    shrink(nodes, 2)
    assert edits
    assert is_stale(nodes)
    assert nodes.table.GetAttribute("LiverSeg.Stale") == "1"
    assert nodes.axes[1].long.GetDisplayNode().GetOpacity() < 0.5
    watch.stop()


def test_a_deleted_segment_and_a_new_one_are_edits_and_a_new_name_is_none(shown):
    made, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    watch = EditWatch(nodes)
    segmentation.GetSegment("lesion_1").SetName("Metastasis")
    assert not is_stale(nodes)
    segmentation.RemoveSegment("lesion_2")
    assert is_stale(nodes)
    with watch.paused():
        nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert not is_stale(nodes)
    segmentation.AddEmptySegment("", "Segment_1")
    assert is_stale(nodes)


def test_a_watch_that_was_stopped_or_paused_marks_nothing(shown):
    nodes = shown[1]
    watch = EditWatch(nodes)
    with watch.paused():
        shrink(nodes, 1)
    watch.stop()
    shrink(nodes, 2)
    assert not is_stale(nodes)
    assert edited_parts(nodes).lesions == (1, 2)


def test_measuring_again_takes_the_marks_away(shown):
    made, nodes = shown
    watch = EditWatch(nodes)
    shrink(nodes, 2)
    with watch.paused():
        nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert not is_stale(nodes)
    assert nodes.axes[1].long.GetDisplayNode().GetOpacity() == 1.0
    assert not edited_parts(nodes)


def test_only_the_edited_lesion_is_measured_again_and_the_rest_is_the_same(shown, counted):
    nodes = shown[1]
    shrink(nodes, 2)
    parts = edited_parts(nodes)
    assert (parts.liver, parts.couinaud, parts.lesions) == (False, False, (2,))
    again = case_from_nodes(nodes)
    assert len(counted) == 1
    # The same from nothing but the masks.
    nodes.segmentation.SetAttribute("LiverSeg.Fingerprints", None)
    counted.clear()
    anew = case_from_nodes(nodes)
    assert len(counted) == 2
    assert again.lesions == anew.lesions
    assert again.liver == anew.liver


def test_a_liver_that_changed_gives_every_lesion_its_new_distance(shown, case):
    nodes = shown[1]
    voxels = SegmentVoxels(nodes)
    liver = voxels.mask("liver")
    for axis in range(3):
        liver &= np.roll(case.masks.liver, 1, axis) & np.roll(case.masks.liver, -1, axis)
    voxels.set_mask("liver", liver | (case.masks.lesions > 0))
    assert edited_parts(nodes).liver
    again = case_from_nodes(nodes)
    nodes.segmentation.SetAttribute("LiverSeg.Fingerprints", None)
    anew = case_from_nodes(nodes)
    for one, other in zip(again.lesions, anew.lesions, strict=True):
        assert one.distance_to_surface_mm == pytest.approx(other.distance_to_surface_mm)
        assert one.contrast_to_liver_hu == pytest.approx(other.contrast_to_liver_hu)
    assert [x.distance_to_surface_mm for x in again.lesions] != [
        x.distance_to_surface_mm for x in case.lesions
    ]


def test_a_moved_border_gives_the_lesion_on_it_its_new_segment(shown, case):
    nodes = shown[1]
    lesion = case.lesions[0]
    home = lesion.primary_segment
    other = "VI" if home != "VI" else "V"
    move_segment_border(nodes, home, other, [lesion.centroid_ras_mm], 60)
    parts = edited_parts(nodes)
    assert parts.couinaud and not parts.liver and 1 in parts.lesions
    assert case_from_nodes(nodes).lesions[0].primary_segment == other


def test_the_mark_and_the_comparison_survive_saving_and_opening(shown, tmp_path):
    made, nodes = shown
    save_scene(made.scene, tmp_path / "fresh.mrb")
    fresh = read_scene(tmp_path / "fresh.mrb")
    again = find_case_nodes(fresh.scene)[0]
    assert not is_stale(again)
    assert not edited_parts(again)
    watch = EditWatch(nodes)
    split_lesion_by_plane(nodes, 1, lesion_readouts(nodes)[0].centroid_ras_mm, (0, 0, 1))
    watch.stop()
    save_scene(made.scene, tmp_path / "stale.mrb")
    stale = read_scene(tmp_path / "stale.mrb")
    again = find_case_nodes(stale.scene)[0]
    assert is_stale(again)
    assert edited_parts(again).lesions == (1, 3)


def test_a_review_changes_table_tags_and_hints_without_measuring(shown, counted):
    nodes = shown[1]
    before = stored_case(nodes)
    review = Review("rejected", "A | B", "2026-01-02T03:04:05+00:00", "a cyst, 100 %")
    review_lesion(nodes, 1, review)
    assert not is_stale(nodes)
    assert lesion_readouts(nodes)[0].review == review
    table = nodes.table.GetTable()
    assert table.GetColumnByName("state").GetValue(0) == "rejected"
    assert table.GetColumnByName("comment").GetValue(0) == "a cyst, 100 %"
    after = stored_case(nodes)
    assert after.hints != before.hints
    assert "rejected" in after.summary[0]
    assert case_from_nodes(nodes).lesions[0].review == review
    assert not counted
    with pytest.raises(UsageError, match="cannot be"):
        review_lesion(nodes, 1, Review("maybe"))
    with pytest.raises(UsageError, match="no lesion 8"):
        review_lesion(nodes, 8, review)


def test_reviews_and_the_time_they_took_survive_edits_saving_and_opening(shown, tmp_path):
    made, nodes = shown
    review = Review("accepted", "Reader", None, "seen")
    review_lesion(nodes, 2, review)
    assert add_review_seconds(nodes, 12.5) == 12.5
    shrink(nodes, 2)
    nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert add_review_seconds(nodes, 7.5) == 20.0
    save_scene(made.scene, tmp_path / "reviewed.mrb")
    opened = read_scene(tmp_path / "reviewed.mrb")
    again = case_from_nodes(find_case_nodes(opened.scene)[0])
    assert again.lesions[1].review == review
    assert again.provenance.seconds["review"] == 20.0
    assert again.provenance.seconds["all"] == 0.5


def test_a_second_run_is_a_version_beside_the_first_and_can_be_taken_back(case):
    made = make_scene()
    ct = add_volume(made.scene, case.ct, "CT")
    assert next_version_name(made.scene) == "LiverSeg"
    first = add_case_to_scene(made.scene, case, ct, next_version_name(made.scene))
    second = add_case_to_scene(made.scene, case, ct, next_version_name(made.scene))
    assert [version_name(made.scene, nodes) for nodes in cases_of_volume(made.scene, ct)] == [
        "LiverSeg",
        "LiverSeg (2)",
    ]
    show_case(first, False)
    assert not first.segmentation.GetDisplayNode().GetVisibility()
    assert not first.axes[1].long.GetDisplayNode().GetVisibility()
    remove_case(made.scene, second)
    left = cases_of_volume(made.scene, ct)
    assert [nodes.segmentation.GetID() for nodes in left] == [first.segmentation.GetID()]
    assert made.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode") == 2 * len(case.lesions)
    assert made.scene.GetNodeByID(ct.GetID()) is ct
    assert next_version_name(made.scene) == "LiverSeg (2)"


def all_nodes(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def test_a_removed_result_leaves_nothing_that_was_made_to_show_it(case):
    made = make_scene()
    logic = slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(made.scene)
    made.application.SetModuleLogic("VolumeRendering", logic)
    ct = add_volume(made.scene, case.ct, "CT")
    bare = all_nodes(made.scene)
    first = add_case_to_scene(made.scene, case, ct, "LiverSeg")
    rendering_display(logic, ct).SetVisibility(True)
    before = all_nodes(made.scene)
    second = add_case_to_scene(made.scene, case, ct, "LiverSeg (2)")
    for kind in ("liver", "contrast"):
        rendering_display(logic, rendering_volume(made.scene, second, kind)).SetVisibility(True)
    assert shown_rendering(second) == "liver"
    show_case(second, False)
    # The surface is of the CT, not of one of its results.
    assert shown_rendering(second) == shown_rendering(first) == "surface"
    remove_case(made.scene, second)
    assert all_nodes(made.scene) == before
    remove_case(made.scene, first)
    assert all_nodes(made.scene) == bare


def test_a_rendering_of_the_ct_that_the_user_made_stays(case):
    made = make_scene()
    logic = slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(made.scene)
    ct = add_volume(made.scene, case.ct, "CT")
    logic.CreateDefaultVolumeRenderingNodes(ct)
    before = all_nodes(made.scene)
    nodes = add_case_to_scene(made.scene, case, ct)
    rendering_display(logic, ct)
    remove_case(made.scene, nodes)
    assert all_nodes(made.scene) == before
