"""Edits of the segmentation node, as Segment Editor makes them, become a new case in the same nodes."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.errors import InputRefused
from made_cases import make_case, rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
vtk = pytest.importorskip("vtk")

from liverseg_mrml.case_nodes import find_case_nodes  # noqa: E402
from liverseg_mrml.closed_surfaces import closed_surface_name  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes, current_case, stored_case  # noqa: E402
from liverseg_mrml.grids import labelmap, parent_matrix, to_vtk_matrix  # noqa: E402
from liverseg_mrml.scene import make_scene  # noqa: E402
from liverseg_mrml.segmentation_node import get_tag  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402

NEOPLASM = (
    "General~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)
TISSUE = "General~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^"


@pytest.fixture
def case():
    return make_case(flips=(True, False, True), rotation=rotation_about((1, 1, 0), 12))


@pytest.fixture
def shown(case):
    made = make_scene()
    return made, add_case_to_scene(made.scene, case)


def draw(nodes, segment_id, mask, case, mode="MODE_REPLACE"):
    """Set a segment's voxels as Segment Editor does, with a labelmap cropped to what is drawn."""
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))
    to_local = np.linalg.inv(parent_matrix(nodes.segmentation)) @ case.ct.geometry.ijk_to_ras
    image = labelmap(mask.astype(np.uint8), to_local, box)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.SetBinaryLabelmapToSegment(image, nodes.segmentation, segment_id, getattr(logic, mode))


def ball(case, kji, radius_mm):
    """A ball around a voxel."""
    points = case.ct.geometry.to_ras(np.indices(case.ct.geometry.shape).reshape(3, -1).T)
    distance = np.linalg.norm(points - case.ct.geometry.to_ras(kji), axis=1)
    return (distance <= radius_mm).reshape(case.ct.geometry.shape)


def middle(mask):
    return np.argwhere(mask).mean(axis=0).round().astype(int)


def node_ids(nodes):
    return nodes.volume.GetID(), nodes.segmentation.GetID(), nodes.table.GetID()


def column(nodes, name):
    array = nodes.table.GetTable().GetColumnByName(name)
    return [array.GetValue(n) for n in range(array.GetNumberOfValues())]


def test_without_edits_the_case_is_the_same(shown, case):
    again = case_from_nodes(shown[1])
    for name in ("liver", "couinaud", "lesions"):
        assert np.array_equal(getattr(again.masks, name), getattr(case.masks, name))
    for name in ("liver", "segments", "lesions", "method", "summary", "warnings"):
        assert getattr(again, name) == getattr(case, name)
    assert again.provenance.parameters["measured_from"] == "segmentation node"
    assert again.provenance.version == case.provenance.version


def test_a_grown_lesion_changes_table_axes_and_surface_in_the_same_nodes(shown, case):
    made, nodes = shown
    ids = node_ids(nodes)
    line_ids = {n: (lines.long.GetID(), lines.short.GetID()) for n, lines in nodes.axes.items()}
    grown = (case.masks.lesions == 1) | (ball(case, middle(case.masks.lesions == 1), 13) & case.masks.liver)
    draw(nodes, "lesion_1", grown, case)

    new = case_from_nodes(nodes)
    after = refresh(made.scene, nodes, new)
    assert new.lesions[0].volume_ml == pytest.approx(grown.sum() * case.ct.geometry.voxel_volume_ml)
    assert new.lesions[0].long_axis_mm > case.lesions[0].long_axis_mm + 4
    assert new.lesions[0].tracking_uid == case.lesions[0].tracking_uid
    assert new.lesions[0].review == case.lesions[0].review
    assert node_ids(after) == ids
    assert {n: (lines.long.GetID(), lines.short.GetID()) for n, lines in after.axes.items()} == line_ids
    assert column(after, "volume_ml") == [lesion.volume_ml for lesion in new.lesions]
    length = after.axes[1].long.GetMeasurement("length").GetValue()
    assert length == pytest.approx(new.lesions[0].long_axis_mm)
    low, high = np.reshape(
        after.segmentation.GetClosedSurfaceInternalRepresentation("lesion_1").GetBounds(), (3, 2)
    ).T
    assert np.linalg.norm(high - low) > 30
    assert stored_case(after).lesions == new.lesions


def test_a_deleted_lesion_loses_its_row_and_lines_and_the_other_keeps_its_id(shown, case):
    made, nodes = shown
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    after = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert column(after, "id") == [2]
    assert list(after.axes) == [2]
    assert made.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode") == 2
    assert case_from_nodes(after).lesions[0].tracking_uid == case.lesions[1].tracking_uid


def test_an_erased_lesion_is_gone_as_a_deleted_one(shown):
    made, nodes = shown
    nodes.segmentation.GetSegmentation().ClearSegment("lesion_2")
    after = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert column(after, "id") == [1]
    assert nodes.segmentation.GetSegmentation().GetSegment("lesion_2") is None


def test_a_new_lesion_gets_the_next_id_and_a_deleted_ones_id_is_never_given_again(shown, case):
    made, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    segmentation.RemoveSegment("lesion_2")
    nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    new_id = segmentation.AddEmptySegment("", "Segment_1")
    segmentation.GetSegment(new_id).SetTerminology(NEOPLASM)
    place = ball(case, middle(case.masks.couinaud == 7), 7) & case.masks.liver
    draw(nodes, new_id, place, case)
    new = case_from_nodes(nodes)
    after = refresh(made.scene, nodes, new)
    assert [lesion.id for lesion in new.lesions] == [1, 3]
    assert list(after.axes) == [1, 3]
    assert new.lesions[1].primary_segment == "VII"
    assert get_tag(segmentation.GetSegment(new_id), "LiverSeg.LesionId") == "3"
    assert get_tag(segmentation.GetSegment(new_id), "LiverSeg.TrackingUID") == new.lesions[1].tracking_uid
    assert new.lesions[1].tracking_uid not in {lesion.tracking_uid for lesion in case.lesions}


def test_a_copy_of_a_lesion_becomes_a_lesion_of_its_own(shown, case):
    made, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment("lesion_1"))
    assert segmentation.AddSegment(copy, "copy")
    draw(nodes, "copy", ball(case, middle(case.masks.couinaud == 6), 6) & case.masks.liver, case)
    new = case_from_nodes(nodes)
    assert [lesion.id for lesion in new.lesions] == [1, 2, 3]
    assert new.lesions[0].review.state == "accepted"
    assert new.lesions[2].review.state == "unreviewed"
    assert len({lesion.tracking_uid for lesion in new.lesions}) == 3
    refresh(made.scene, nodes, new)
    assert segmentation.GetNumberOfSegments() == 12


def test_tags_decide_and_not_names(shown, case):
    segmentation = shown[1].segmentation.GetSegmentation()
    segmentation.GetSegment("couinaud_2").SetName("Lesion 7")
    segmentation.GetSegment("lesion_1").SetName("Segment II")
    segmentation.GetSegment("liver").SetName("foie")
    again = case_from_nodes(shown[1])
    assert again.lesions == case.lesions
    assert again.segments == case.segments
    after = refresh(shown[0].scene, shown[1], again)
    assert after.segmentation.GetSegmentation().GetSegment("liver").GetName() == "foie"


def test_slicers_new_segment_1_is_not_taken_for_couinauds_first(shown, case):
    _, nodes = shown
    new_id = nodes.segmentation.GetSegmentation().AddEmptySegment("", "Segment_1")
    nodes.segmentation.GetSegmentation().GetSegment(new_id).SetTerminology(TISSUE)
    draw(nodes, new_id, ball(case, middle(case.masks.liver), 10), case)
    again = case_from_nodes(nodes)
    assert again.segments == case.segments
    assert any('"Segment_1" is nothing LiverSeg knows' in warning for warning in again.warnings)


def test_other_segments_of_the_user_stay_as_they_are(shown, case):
    made, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    other = segmentation.AddEmptySegment("", "Stent", (0.1, 0.2, 0.3))
    drawn = ball(case, (3, 3, 3), 5)
    draw(nodes, other, drawn, case)
    refresh(made.scene, nodes, case_from_nodes(nodes))
    image = slicer.vtkOrientedImageData()
    assert nodes.segmentation.GetBinaryLabelmapRepresentation(other, image)
    assert vtk_count(image) == drawn.sum()


def vtk_count(image):
    histogram = vtk.vtkImageAccumulate()
    histogram.SetInputData(image)
    histogram.IgnoreZeroOn()
    histogram.Update()
    return histogram.GetVoxelCount()


def test_all_segments_in_one_layer_or_each_in_its_own_give_the_same_case(shown, case):
    segmentation = shown[1].segmentation.GetSegmentation()
    segmentation.CollapseBinaryLabelmaps(False)
    merged = case_from_nodes(shown[1])
    for n in range(segmentation.GetNumberOfSegments()):
        segmentation.SeparateSegmentLabelmap(segmentation.GetNthSegmentID(n))
    assert segmentation.GetNumberOfLayers() == segmentation.GetNumberOfSegments()
    split = case_from_nodes(shown[1])
    assert merged.lesions == split.lesions == case.lesions
    assert merged.segments == split.segments == case.segments
    refresh(shown[0].scene, shown[1], split)
    assert segmentation.GetNumberOfLayers() == 3


def test_liver_painted_on_takes_the_nearest_segment_and_the_node_shows_it(shown, case):
    made, nodes = shown
    seven = case.masks.couinaud == 7
    edge = np.argwhere(seven)[np.argmin(np.linalg.norm(np.argwhere(seven) - np.array([0, 0, 0]), axis=1))]
    liver = case.masks.liver | ball(case, edge, 8)
    draw(nodes, "liver", liver, case)
    new = case_from_nodes(nodes)
    assert new.liver.volume_ml == pytest.approx(liver.sum() * case.ct.geometry.voxel_volume_ml)
    assert any("had no Couinaud segment" in warning for warning in new.warnings)
    after = refresh(made.scene, nodes, new)
    assert np.array_equal(case_from_nodes(after).masks.couinaud > 0, liver)
    assert not any("had no Couinaud segment" in warning for warning in case_from_nodes(after).warnings)


def test_a_labelmap_on_a_finer_grid_is_brought_onto_the_cts(shown, case):
    _, nodes = shown
    fine = case.ct.geometry.ijk_to_ras.copy()
    fine[:3, :3] /= 2
    # Corners of voxels stay where they are: the first fine center lies a quarter voxel before the coarse one.
    fine[:3, 3] -= fine[:3, :3] @ (0.5, 0.5, 0.5)
    double = np.repeat(np.repeat(np.repeat(case.masks.lesions == 2, 2, 0), 2, 1), 2, 2)
    image = labelmap(double.astype(np.uint8), fine, tuple(slice(0, n) for n in double.shape))
    segmentation = nodes.segmentation.GetSegmentation()
    segmentation.SeparateSegmentLabelmap("lesion_2")
    segment = segmentation.GetSegment("lesion_2")
    segment.SetLabelValue(1)
    segment.AddRepresentation("Binary labelmap", image)
    again = case_from_nodes(nodes)
    difference = np.count_nonzero((again.masks.lesions == 2) != (case.masks.lesions == 2))
    assert difference <= 0.15 * np.count_nonzero(case.masks.lesions == 2)
    assert again.lesions[1].volume_ml == pytest.approx(case.lesions[1].volume_ml, rel=0.1)
    assert np.allclose(again.lesions[1].centroid_ras_mm, case.lesions[1].centroid_ras_mm, atol=1.0)


def test_under_a_linear_transform_the_case_is_measured_where_the_patient_is(shown, case):
    made, nodes = shown
    transform = made.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
    move = np.eye(4)
    move[:3, :3] = rotation_about((0, 1, 0), 15)
    move[:3, 3] = (10, 20, 30)
    transform.SetMatrixTransformToParent(to_vtk_matrix(move))
    nodes.volume.SetAndObserveTransformNodeID(transform.GetID())
    nodes.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    moved = case_from_nodes(nodes)
    assert [s.volume_ml for s in moved.segments] == pytest.approx([s.volume_ml for s in case.segments])
    for new, old in zip(moved.lesions, case.lesions, strict=True):
        expected = move[:3, :3] @ old.centroid_ras_mm + move[:3, 3]
        assert np.allclose(new.centroid_ras_mm, expected, atol=1e-6)
    after = refresh(made.scene, nodes, moved)
    start = after.axes[1].long.GetLineStartPositionWorld()
    assert np.allclose(start, moved.lesions[0].long_axis_points_ras_mm[0], atol=1e-6)
    assert np.array_equal(case_from_nodes(after).masks.couinaud, case.masks.couinaud)


def test_a_segmentation_without_couinaud_segments_is_refused(shown):
    segmentation = shown[1].segmentation.GetSegmentation()
    for n in range(1, 9):
        segmentation.RemoveSegment(f"couinaud_{n}")
    with pytest.raises(InputRefused, match="no Couinaud segments"):
        case_from_nodes(shown[1])


def test_refreshing_twice_changes_nothing_more(shown):
    made, nodes = shown
    once = refresh(made.scene, nodes, case_from_nodes(nodes))
    count = made.scene.GetNumberOfNodes()
    twice = refresh(made.scene, once, case_from_nodes(once))
    assert made.scene.GetNumberOfNodes() == count
    assert node_ids(once) == node_ids(twice)
    assert stored_case(once).warnings == stored_case(twice).warnings
    assert twice.segmentation.GetSegmentation().ContainsRepresentation(closed_surface_name())


def test_two_cases_in_one_scene_do_not_touch_each_other(shown, case):
    made, first = shown
    second = add_case_to_scene(made.scene, case, name="Second")
    second.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    refresh(made.scene, second, case_from_nodes(second))
    assert len(find_case_nodes(made.scene)) == 2
    assert column(first, "id") == [1, 2]
    assert stored_case(first).lesions == case.lesions


def move(made, node, millimeters):
    transform = made.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
    shift = np.eye(4)
    shift[:3, 3] = millimeters
    transform.SetMatrixTransformToParent(to_vtk_matrix(shift))
    node.SetAndObserveTransformNodeID(transform.GetID())


def shrunk(made, nodes, case):
    mask = case.masks.lesions == 1
    mask[: middle(mask)[0]] = False
    draw(nodes, "lesion_1", mask, case)


def moved_at_the_same_volume(made, nodes, case):
    draw(nodes, "lesion_1", np.roll(case.masks.lesions == 1, 2, axis=2) & case.masks.liver, case)


def a_new_one(made, nodes, case):
    new_id = nodes.segmentation.GetSegmentation().AddEmptySegment("", "Segment_1")
    nodes.segmentation.GetSegmentation().GetSegment(new_id).SetTerminology(NEOPLASM)
    draw(nodes, new_id, ball(case, middle(case.masks.couinaud == 7), 7) & case.masks.liver, case)


def segmentation_alone_moved(made, nodes, case):
    move(made, nodes.segmentation, (8.0, 0.0, 0.0))


@pytest.mark.parametrize("edit", [shrunk, moved_at_the_same_volume, a_new_one, segmentation_alone_moved])
def test_the_current_case_has_no_old_numbers_for_masks_edited_while_nobody_watched(shown, case, edit):
    made, nodes = shown
    edit(made, nodes, case)
    current, anew = current_case(nodes), case_from_nodes(nodes)
    assert np.array_equal(current.masks.lesions, anew.masks.lesions)
    assert current.lesions == anew.lesions and current.liver == anew.liver
    assert current.lesions != case.lesions


def test_the_current_case_of_a_result_that_nobody_edited_is_the_stored_one(shown, case):
    current = current_case(shown[1])
    assert current.lesions == case.lesions
    assert "measured_from" not in current.provenance.parameters


def test_a_segment_deleted_and_drawn_anew_under_its_name_is_the_segment(shown, case):
    made, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    five = case.masks.couinaud == 5
    segmentation.RemoveSegment("couinaud_5")
    anew = slicer.vtkSegment()
    anew.SetName("Segment V")
    anew.SetNameAutoGenerated(False)
    segmentation.AddSegment(anew, "mine")
    draw(nodes, "mine", five, case)
    nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert segmentation.GetNumberOfSegments() == count
    smaller = five & (np.indices(five.shape)[0] < middle(five)[0])
    eight = (case.masks.couinaud == 8) | (five & ~smaller)
    draw(nodes, "mine", smaller, case)
    draw(nodes, "couinaud_8", eight, case)
    again = case_from_nodes(nodes)
    assert np.array_equal(again.masks.couinaud == 5, smaller)
    assert not any("is a second Segment V" in warning for warning in again.warnings)
