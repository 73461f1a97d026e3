"""In the scene the liver is split anew by another method or moved landmarks, and a person's edits stay."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from liverseg.case import Masks, Provenance
from liverseg.couinaud import SplitOptions, split_liver
from liverseg.errors import InputRefused, UsageError
from liverseg.measure import measure
from liverseg.phantom import make_phantom
from made_cases import rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")

import vtk  # noqa: E402

from liverseg_mrml.border_edits import move_segment_border  # noqa: E402
from liverseg_mrml.case_nodes import READOUT, find_case_nodes  # noqa: E402
from liverseg_mrml.drawn_split import drawn_split  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes, stored_case  # noqa: E402
from liverseg_mrml.landmark_points import landmarks_of  # noqa: E402
from liverseg_mrml.planning import plan_resection, stored_plan  # noqa: E402
from liverseg_mrml.readout_json import stored_readout  # noqa: E402
from liverseg_mrml.resplitting import SplitWish, fresh_split, guess_landmarks, split_again, split_by  # noqa: E402
from liverseg_mrml.scene import make_scene, read_scene  # noqa: E402
from liverseg_mrml.scene_writer import save_scene  # noqa: E402
from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402
from liverseg_mrml.versions import remove_case, show_case  # noqa: E402

LANDMARKS = SplitWish("landmarks")
# Without a model: no test here loads PyTorch, but the vessels' fallback.
HERE = split_by(None)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=503, shape_kji=(60, 80, 96), spacing_kji=(4.0, 4.0, 4.0), noise_hu=0)


@pytest.fixture(scope="module")
def case(phantom):
    """The phantom's liver without its lowest tenth, split by planes from its shape, on an oblique grid."""
    turn = np.eye(4)
    turn[:3, :3] = rotation_about((1, 0.3, 0.2), 9)
    grid = replace(phantom.ct.geometry, ijk_to_ras=turn @ phantom.ct.geometry.ijk_to_ras)
    liver = phantom.masks.liver.copy()
    levels = np.flatnonzero(liver.any(axis=(1, 2)))
    liver[: levels[0] + len(levels) // 10] = False
    split = split_liver(liver, grid, None, SplitOptions("landmarks"))
    lesions = np.where(liver, phantom.masks.lesions, np.uint16(0))
    return measure(
        replace(phantom.ct, geometry=grid),
        Masks(liver, split.labels, lesions, phantom.masks.vessels),
        method=split.method,
        provenance=Provenance("1.2.3", parameters={"couinaud_method": "landmarks", "split_segment_4": False}),
        warnings=("The CT is made up.", *split.warnings),
    )


@pytest.fixture
def shown(case):
    made = make_scene()
    return made, add_case_to_scene(made.scene, case)


def point(node, name):
    return next(n for n in range(node.GetNumberOfControlPoints()) if node.GetNthControlPointLabel(n) == name)


def move(node, name, by):
    n = point(node, name)
    before = np.array(node.GetNthControlPointPositionWorld(n))
    node.SetNthControlPointPositionWorld(n, (before + by).tolist())


def stroke(nodes, case):
    """A person gives a ball of V to VIII; where the ball is, as a mask."""
    voxels = SegmentVoxels(nodes)
    five, eight = (voxels.mask(voxels.couinaud_segment(name)) for name in ("V", "VIII"))
    touching = np.argwhere(five & (np.roll(eight, 1, axis=0) | np.roll(eight, -1, axis=0)))
    center = tuple(case.ct.geometry.to_ras(touching[len(touching) // 2]))
    assert move_segment_border(nodes, "V", "VIII", [center], 14.0) > 1
    return five & ~voxels.mask(voxels.couinaud_segment("V"))


def test_the_first_guess_is_shown_as_eight_named_points_that_can_be_moved(shown, case):
    made, nodes = shown
    node = guess_landmarks(made.scene, nodes, None)
    labels = [node.GetNthControlPointLabel(n) for n in range(node.GetNumberOfControlPoints())]
    assert labels[:2] == ["cava", "gallbladder fossa"] and len(labels) == 8
    assert all(node.GetNthControlPointDescription(n) for n in range(8))
    assert not node.GetLocked() and node.GetDisplayNode().GetVisibility()
    shown_points = landmarks_of(nodes)
    assert not shown_points.placed and len(shown_points.guessed) == 8
    move(node, "cava", (12.0, 0.0, 0.0))
    assert set(landmarks_of(nodes).placed) == {"cava"}
    moved = landmarks_of(nodes).placed["cava"]
    guess_landmarks(made.scene, nodes, None)
    assert landmarks_of(nodes).placed["cava"] == pytest.approx(moved), "a new guess leaves it where it is"
    assert node is nodes.landmarks and node.GetNumberOfControlPoints() == 8


def test_landmarks_go_with_their_result(shown):
    made, nodes = shown
    before = made.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")
    node = guess_landmarks(made.scene, nodes, None)
    show_case(nodes, False)
    assert not node.GetDisplayNode().GetVisibility()
    shift = made.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    shift.SetMatrixTransformToParent(matrix)
    was = landmarks_of(nodes).guessed["cava"]
    for each in (nodes.volume, nodes.segmentation, node):
        each.SetAndObserveTransformNodeID(shift.GetID())
    now = landmarks_of(nodes)
    assert now.guessed["cava"] == pytest.approx((was[0] + 40, was[1], was[2])), "with the CT, not by hand"
    remove_case(made.scene, nodes)
    assert made.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == before


def test_a_moved_landmark_moves_its_border_and_the_case_tells_method_and_confidence(shown, case):
    made, nodes = shown
    node = guess_landmarks(made.scene, nodes, None)
    same, nodes = split_again(made.scene, nodes, LANDMARKS, HERE)
    assert (same.masks.couinaud == case.masks.couinaud)[case.masks.liver].mean() > 0.97
    move(node, "portal bifurcation", (0.0, 0.0, 20.0))
    after, nodes = split_again(made.scene, nodes, LANDMARKS, HERE)
    upper = [np.isin(each.masks.couinaud, (7, 8)).sum() for each in (same, after)]
    assert upper[1] < 0.9 * upper[0]
    assert after.method.name == "planes from landmarks"
    assert after.method.confidence > same.method.confidence
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    assert stored.method == after.method
    assert stored.provenance.parameters["couinaud_method"] == "landmarks"
    assert not any("portal bifurcation" in text for text in after.warnings)
    assert sum("No landmark was placed" in text for text in after.warnings) == 1, "older words are gone"
    assert "The CT is made up." in after.warnings
    again = case_from_nodes(nodes)
    assert again.method == after.method and np.array_equal(again.masks.couinaud, after.masks.couinaud)
    assert set(after.warnings) - set(again.warnings) == set()


def test_border_and_liver_edits_stay_when_another_method_splits(shown, case, phantom):
    made, nodes = shown
    ball = stroke(nodes, case)
    voxels = SegmentVoxels(nodes)
    voxels.set_mask("liver", phantom.masks.liver)
    after, nodes = split_again(made.scene, nodes, SplitWish("vessels"), HERE)
    assert after.method.name == "guided by vessels"
    assert np.array_equal(after.masks.liver, phantom.masks.liver)
    assert np.array_equal(after.masks.couinaud > 0, after.masks.liver)
    assert np.all(after.masks.couinaud[ball] == 8)
    kept = f"{np.count_nonzero(ball) * case.ct.geometry.voxel_volume_ml:.1f} ml of the segments were drawn"
    assert any(text.startswith(kept) for text in after.warnings)
    liver, grid = phantom.masks.liver, case.ct.geometry
    alone = split_liver(liver, grid, None, SplitOptions("vessels"), phantom.masks.vessels).labels
    assert (after.masks.couinaud == alone)[liver & ~ball].mean() > 0.97
    # The stroke is still known as the person's when a third split follows.
    third, nodes = split_again(made.scene, nodes, LANDMARKS, HERE)
    assert np.all(third.masks.couinaud[ball] == 8)
    dropped, _ = split_again(made.scene, nodes, SplitWish("landmarks", keep_edits=False), HERE)
    assert np.mean(dropped.masks.couinaud[ball] == 8) < 0.6


def test_what_measuring_filled_in_is_no_edit(shown, case, phantom):
    made, nodes = shown
    SegmentVoxels(nodes).set_mask("liver", phantom.masks.liver)
    nodes = refresh(made.scene, nodes, case_from_nodes(nodes))
    after, _ = split_again(made.scene, nodes, SplitWish("vessels"), HERE)
    assert any(text.startswith("No edit of the segments") for text in after.warnings)


def test_update_splits_added_liver_anew_by_the_cases_method(case, phantom):
    made = make_scene()
    columns = np.flatnonzero(case.masks.liver.any(axis=(0, 2)))
    kept = case.masks.liver.copy()
    kept[:, columns[-1] - len(columns) // 3 :] = False
    cut = measure(
        case.ct,
        Masks(kept, np.where(kept, case.masks.couinaud, np.uint8(0)), np.zeros_like(case.masks.lesions)),
        method=case.method,
        provenance=case.provenance,
    )
    nodes = add_case_to_scene(made.scene, cut)
    SegmentVoxels(nodes).set_mask("liver", case.masks.liver)
    nearest = case_from_nodes(nodes).masks.couinaud
    updated = case_from_nodes(nodes, fresh_split(nodes, None))
    assert np.array_equal(updated.masks.couinaud[kept], cut.masks.couinaud[kept])
    added = case.masks.liver & ~kept
    right = [(found == case.masks.couinaud)[added].mean() for found in (updated.masks.couinaud, nearest)]
    assert right[0] > right[1]
    assert any("guessed from the liver's shape" in text for text in updated.warnings)


def test_iva_and_ivb_come_and_go(shown, case):
    made, nodes = shown
    divided, nodes = split_again(made.scene, nodes, SplitWish("landmarks", split_segment_4=True), HERE)
    assert {"IVa", "IVb"} <= {segment.name for segment in divided.segments}
    ids = {nodes.segmentation.GetSegmentation().GetNthSegmentID(n) for n in range(30)}
    assert SegmentVoxels(nodes).couinaud_segment("IVb") in ids
    whole, nodes = split_again(made.scene, nodes, LANDMARKS, HERE)
    assert [segment.name for segment in whole.segments] == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"]
    with pytest.raises(UsageError, match="no segment IVb"):
        SegmentVoxels(nodes).couinaud_segment("IVb")
    assert np.array_equal(whole.masks.couinaud > 0, case.masks.liver)


def test_a_planned_resection_is_measured_again_and_its_loss_is_told(shown):
    made, nodes = shown
    planned = plan_resection(nodes, ["IV"], 180.0, 80.0)
    divided, nodes = split_again(made.scene, nodes, SplitWish("vessels", split_segment_4=True), HERE)
    again = stored_plan(nodes)
    assert again == divided.remnant and again.resected == ("IVa", "IVb")
    gone = [segment.volume_ml for segment in divided.segments if segment.name in ("IVa", "IVb")]
    assert again.resected_ml == pytest.approx(sum(gone)) and again.resected_ml != planned.resected_ml
    assert again.standardized_liver_ml == planned.standardized_liver_ml
    plan_resection(nodes, ["IVa"])
    whole, nodes = split_again(made.scene, nodes, LANDMARKS, HERE)
    assert whole.remnant is None and stored_plan(nodes) is None
    assert any(text.startswith("The planned resection of IVa was left out") for text in whole.warnings)


def test_edits_nobody_knows_are_not_guessed_and_nothing_changes(case):
    made = make_scene()
    given = replace(case.provenance, parameters={"masks": "given"})
    nodes = add_case_to_scene(made.scene, replace(case, provenance=given))
    before = nodes.segmentation.GetAttribute(READOUT)
    with pytest.raises(InputRefused, match="split without keeping edits"):
        split_again(made.scene, nodes, LANDMARKS, HERE)
    assert nodes.segmentation.GetAttribute(READOUT) == before
    again, _ = split_again(made.scene, nodes, SplitWish("landmarks", keep_edits=False), HERE)
    assert np.array_equal(again.masks.couinaud > 0, case.masks.liver)
    with pytest.raises(UsageError, match="not known"):
        split_again(made.scene, nodes, SplitWish("magic"), HERE)


def test_wrong_names_of_landmarks_are_one_clear_line(shown):
    made, nodes = shown
    node = guess_landmarks(made.scene, nodes, None)
    node.SetNthControlPointLabel(0, "F-1")
    with pytest.raises(UsageError, match=r"'F-1' is not known; name it one of cava"):
        split_again(made.scene, nodes, LANDMARKS, HERE)
    node.SetNthControlPointLabel(0, "Portal bifurcation")
    with pytest.raises(UsageError, match="two landmarks"):
        landmarks_of(nodes)
    node.SetNthControlPointLabel(0, "IVC")
    assert "cava" in landmarks_of(nodes).guessed
    node.UnsetNthControlPointPosition(0)
    assert "cava" not in landmarks_of(nodes).guessed


def test_points_and_edits_are_known_after_the_scene_was_saved_and_opened(shown, case, tmp_path):
    made, nodes = shown
    node = guess_landmarks(made.scene, nodes, None)
    move(node, "umbilical fissure", (5.0, 0.0, 0.0))
    ball = stroke(nodes, case)
    edited = case_from_nodes(nodes)
    nodes = refresh(made.scene, nodes, edited)
    save_scene(made.scene, tmp_path / "case.mrb")
    opened = read_scene(tmp_path / "case.mrb")
    (found,) = find_case_nodes(opened.scene)
    assert set(landmarks_of(found).placed) == {"umbilical fissure".replace(" ", "_")}
    assert np.array_equal(drawn_split(found.segmentation, edited.ct.geometry), case.masks.couinaud)
    size = len(found.segmentation.GetAttribute("LiverSeg.DrawnSplit"))
    assert size < 0.05 * case.masks.liver.size
    assert json.loads(found.landmarks.GetAttribute("LiverSeg.Guess"))
    after, found = split_again(opened.scene, found, LANDMARKS, HERE)
    assert np.all(stored_case(found).masks.couinaud[ball] == 8)
    assert after.lesions[0].tracking_uid == case.lesions[0].tracking_uid
