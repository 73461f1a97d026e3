"""A checksum says quickly that nothing was edited; it may err on the side of looking, never on the other."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.case import Review
from made_cases import make_case, rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
vtk = pytest.importorskip("vtk")

from liverseg_mrml.case_nodes import find_case_nodes  # noqa: E402
from liverseg_mrml.drawn_checksum import drawn_checksum, is_as_measured  # noqa: E402
from liverseg_mrml.edited_parts import edited_parts  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes  # noqa: E402
from liverseg_mrml.grids import image_array  # noqa: E402
from liverseg_mrml.reviewing import add_review_seconds, review_lesion  # noqa: E402
from liverseg_mrml.scene import make_scene, read_scene  # noqa: E402
from liverseg_mrml.scene_writer import save_scene  # noqa: E402
from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402
from liverseg_mrml.versions import show_case  # noqa: E402
from liverseg_mrml.views3d import apply_opacity_preset, set_surface_smoothing  # noqa: E402


@pytest.fixture(params=[(False, False, False), (True, False, False)], ids=["right-handed", "left-handed"])
def shown(request):
    case = make_case(flips=request.param, rotation=rotation_about((1, 1, 0), 12), vessels=True)
    made = make_scene()
    return made, add_case_to_scene(made.scene, case)


def test_what_changes_no_number_changes_no_checksum(shown):
    made, nodes = shown
    assert is_as_measured(nodes)
    review_lesion(nodes, 1, Review("accepted", "Reader", "2026-01-02T03:04:05+00:00", "seen"))
    add_review_seconds(nodes, 30)
    apply_opacity_preset(nodes, "glass liver")
    set_surface_smoothing(nodes, 0.6)
    show_case(nodes, False)
    assert is_as_measured(nodes)


def test_it_is_the_same_after_saving_and_opening_the_scene(shown, tmp_path):
    made, nodes = shown
    save_scene(made.scene, tmp_path / "tomorrow.mrb")
    opened = read_scene(tmp_path / "tomorrow.mrb")
    (again,) = find_case_nodes(opened.scene)
    assert is_as_measured(again)
    assert not edited_parts(again)


def erase_one_voxel(nodes):
    voxels = SegmentVoxels(nodes)
    mask = voxels.mask("lesion_1")
    mask[tuple(np.argwhere(mask)[0])] = False
    voxels.set_mask("lesion_1", mask)


def change_one_gray_value(nodes):
    array = image_array(nodes.volume.GetImageData())
    array[tuple(n // 2 for n in array.shape)] += 1


def move(node):
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 2.0)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())


def bend(nodes):
    node = nodes.volume.GetScene().AddNewNodeByClass("vtkMRMLGridTransformNode", "bent")
    nodes.volume.SetAndObserveTransformNodeID(node.GetID())


@pytest.mark.parametrize(
    "edit",
    [
        erase_one_voxel,
        change_one_gray_value,
        lambda nodes: nodes.segmentation.GetSegmentation().RemoveSegment("lesion_2"),
        lambda nodes: nodes.segmentation.GetSegmentation().GetSegment("lesion_1").RemoveTag("LiverSeg.Key"),
        lambda nodes: nodes.segmentation.GetSegmentation().AddEmptySegment("new", "new"),
        lambda nodes: move(nodes.segmentation),
        lambda nodes: move(nodes.volume),
        bend,
        lambda nodes: nodes.segmentation.RemoveAttribute("LiverSeg.Drawn"),
    ],
)
def test_every_edit_is_looked_at(shown, edit):
    nodes = shown[1]
    edit(nodes)
    assert not is_as_measured(nodes)


def test_measuring_again_keeps_the_new_checksum(shown):
    made, nodes = shown
    before = drawn_checksum(nodes)
    erase_one_voxel(nodes)
    again = refresh(made.scene, nodes, case_from_nodes(nodes))
    assert is_as_measured(again)
    assert drawn_checksum(again) != before
