"""Before a run and after it: pre-flight of a volume node, jumps, plans, surfaces and renderings."""

from __future__ import annotations

import time

import numpy as np
import pytest

from liverseg.errors import UsageError
from made_cases import make_case, rotation_about

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
vtk = pytest.importorskip("vtk")

from liverseg.phantom import make_phantom  # noqa: E402
from liverseg_mrml.from_scene import case_from_nodes, stored_case  # noqa: E402
from liverseg_mrml.grids import image_array, to_vtk_matrix  # noqa: E402
from liverseg_mrml.input_volume import (  # noqa: E402
    COPY_FRAME,
    FORCE,
    HARDEN,
    copy_current_frame,
    harden_transform,
    preflight,
)
from liverseg_mrml.navigation import (  # noqa: E402
    axes_middle,
    bring_into_view,
    jump_to_lesion,
    show_axes_of,
)
from liverseg_mrml.planning import plan_resection  # noqa: E402
from liverseg_mrml.scene import make_scene  # noqa: E402
from liverseg_mrml.to_scene import add_case_to_scene, refresh  # noqa: E402
from liverseg_mrml.views3d import (  # noqa: E402
    OPACITY_PRESETS,
    apply_opacity_preset,
    rendering_volume,
    set_surface_smoothing,
    style_rendering,
)
from liverseg_mrml.volume_node import add_volume  # noqa: E402


@pytest.fixture(scope="module")
def ct():
    return make_phantom(seed=5, shape_kji=(40, 60, 64), spacing_kji=(6.0, 5.5, 5.2)).ct


@pytest.fixture
def made():
    return make_scene()


@pytest.fixture
def volume(made, ct):
    return add_volume(made.scene, ct, "CT")


@pytest.fixture
def shown(made):
    case = make_case(vessels=True, rotation=rotation_about((1, 0, 0), 10))
    return case, add_case_to_scene(made.scene, case)


def fixes(report):
    return [finding.fix for finding in report.findings if finding.fix]


def test_a_ct_passes_and_its_facts_are_told(made, volume, ct):
    report = preflight(made.scene, volume)
    assert report.passed and report.voxels == ct.array.size
    text = " ".join(finding.text for finding in report.findings)
    assert "64 x 60 x 40 voxels" in text and "HU; the modality is not known" in text
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(made.scene)
    item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    assert "CT with -" in " ".join(finding.text for finding in preflight(made.scene, volume).findings)


def test_another_modality_is_refused_by_its_name(made, volume):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(made.scene)
    item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    report = preflight(made.scene, volume)
    assert not report.passed
    assert "MR" in report.findings[-1].text


def test_gray_values_that_are_no_hu_can_be_forced(made, volume):
    image_array(volume.GetImageData())[:] = np.clip(image_array(volume.GetImageData()), 0, 200)
    volume.GetImageData().Modified()
    report = preflight(made.scene, volume)
    assert not report.passed and fixes(report) == [FORCE]
    assert "--force" not in report.findings[-1].text
    assert preflight(made.scene, volume, force=True).passed


def test_a_moved_volume_passes_and_hardening_moves_its_grid(made, volume):
    transform = made.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_about((0, 0, 1), 20)
    matrix[:3, 3] = (5, 6, 7)
    transform.SetMatrixTransformToParent(to_vtk_matrix(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    report = preflight(made.scene, volume)
    assert report.passed and fixes(report) == [HARDEN]
    harden_transform(volume)
    assert volume.GetParentTransformNode() is None
    assert preflight(made.scene, volume).passed


def test_an_acquisition_transform_is_refused_and_hardening_makes_an_even_grid(made, volume):
    grid = made.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "CT acquisition transform")
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, 2)
    image.SetOrigin(-500, -500, -500)
    image.SetSpacing(1000, 1000, 1000)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    image.GetPointData().GetScalars().Fill(3.0)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    grid.SetAndObserveTransformFromParent(transform)
    volume.SetAndObserveTransformNodeID(grid.GetID())
    report = preflight(made.scene, volume)
    assert not report.passed and fixes(report) == [HARDEN]
    assert "acquisition transform" in report.findings[0].text
    harden_transform(volume)
    assert preflight(made.scene, volume).passed


def test_the_current_frame_of_a_sequence_becomes_a_volume_of_its_own(made, volume, ct):
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(made.scene)
    sequence = made.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "phases")
    frames = []
    for n in range(3):
        frame = add_volume(made.scene, ct, f"phase {n}")
        image_array(frame.GetImageData())[0, 0, 0] = n
        sequence.SetDataNodeAtValue(frame, str(n))
        frames.append(frame)
    browser = made.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "phases browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    report = preflight(made.scene, proxy)
    assert report.passed and fixes(report) == [COPY_FRAME]
    assert "Frame 2 of 3" in report.findings[0].text
    copy = copy_current_frame(made.scene, proxy)
    browser.SetSelectedItemNumber(2)
    logic.UpdateProxyNodesFromSequences(browser)
    assert image_array(copy.GetImageData())[0, 0, 0] == 1
    assert fixes(preflight(made.scene, copy)) == []


def test_a_jump_centers_slices_and_cameras_and_shows_one_lesions_axes(made, shown):
    case, nodes = shown
    slice_node = slicer.vtkMRMLSliceNode()
    slice_node.SetLayoutName("Red")
    slice_node = made.scene.AddNode(slice_node)
    slice_node.SetOrientationToAxial()
    camera = made.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    before = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    jump_to_lesion(made.scene, nodes, case.lesions[1])
    target = axes_middle(case.lesions[1])
    assert slice_node.GetSliceOffset() == pytest.approx(target[2])
    assert camera.GetFocalPoint() == pytest.approx(target)
    assert np.subtract(camera.GetPosition(), target) == pytest.approx(before)
    seen = {n: lines.long.GetDisplayNode().GetVisibility() for n, lines in nodes.axes.items()}
    assert seen == {1: 0, 2: 1}
    show_axes_of(nodes, None)
    assert nodes.axes[1].short.GetDisplayNode().GetVisibility()


def test_a_liver_far_from_the_camera_comes_into_view_whole_from_the_side_it_looked_from(made, shown):
    _case, nodes = shown
    moving = made.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, -1400.0)
    moving.SetMatrixTransformToParent(matrix)
    nodes.segmentation.SetAndObserveTransformNodeID(moving.GetID())
    camera = made.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0, 500, 0)
    bring_into_view(made.scene, nodes)
    position, focal = np.asarray(camera.GetPosition()), np.asarray(camera.GetFocalPoint())
    assert (position - focal) / np.linalg.norm(position - focal) == pytest.approx((0, 1, 0))
    bounds = [0.0] * 6
    nodes.segmentation.GetRASBounds(bounds)
    assert bounds[5] < -1000
    corners = np.stack(np.meshgrid(bounds[:2], bounds[2:4], bounds[4:]), axis=-1).reshape(-1, 3)
    away = corners - position
    angles = np.degrees(np.arccos(away @ (0, -1, 0) / np.linalg.norm(away, axis=1)))
    # Inside of the picture, and filling a good part of it.
    assert 0.4 * camera.GetViewAngle() / 2 < angles.max() <= camera.GetViewAngle() / 2 + 1e-6
    # Without a liver nothing can be looked at.
    nodes.segmentation.GetSegmentation().RemoveAllSegments()
    bring_into_view(made.scene, nodes)
    assert camera.GetFocalPoint() == pytest.approx(focal)


def test_a_plan_is_kept_with_the_case_and_dropped_without_segments(made, shown):
    case, nodes = shown
    remnant = plan_resection(nodes, ["V", "VIII"], 170, 70)
    assert stored_case(nodes).remnant == remnant
    kept = sum(s.volume_ml - s.lesion_ml for s in case.segments if s.name not in ("V", "VIII"))
    assert remnant.remnant_ml == pytest.approx(kept)
    assert plan_resection(nodes, []) is None
    assert stored_case(nodes).remnant is None
    with pytest.raises(UsageError):
        plan_resection(nodes, ["IX"])


@pytest.mark.parametrize("preset", OPACITY_PRESETS)
def test_a_preset_shows_what_it_names(shown, preset):
    nodes = shown[1]
    apply_opacity_preset(nodes, preset)
    display = nodes.segmentation.GetDisplayNode()
    for segment, layer in (
        ("liver", "liver"),
        ("couinaud_5", "couinaud"),
        ("lesion_1", "lesions"),
        ("portal_vein", "vessels"),
    ):
        wanted = OPACITY_PRESETS[preset].get(layer)
        assert display.GetSegmentVisibility3D(segment) == (wanted is not None)
        if wanted is not None:
            assert display.GetSegmentOpacity3D(segment) == pytest.approx(wanted)


def test_smoothing_makes_the_surfaces_anew(shown):
    nodes = shown[1]

    def area(factor):
        set_surface_smoothing(nodes, factor)
        properties = vtk.vtkMassProperties()
        triangles = vtk.vtkTriangleFilter()
        triangles.SetInputData(nodes.segmentation.GetClosedSurfaceInternalRepresentation("liver"))
        properties.SetInputConnection(triangles.GetOutputPort())
        return properties.GetSurfaceArea()

    assert area(0.0) > 1.02 * area(0.8)
    with pytest.raises(UsageError, match="from 0 to 1"):
        set_surface_smoothing(nodes, 2)


def test_the_volume_inside_of_the_liver_is_zero_in_the_rim_and_outside(made, shown):
    case, nodes = shown
    node = rendering_volume(made.scene, nodes, "liver")
    values = image_array(node.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    places = np.argwhere(values != 0)
    world = [matrix.MultiplyPoint([*map(float, place[::-1]), 1.0])[:3] for place in places]
    index = np.rint(case.ct.geometry.to_kji(world)).astype(int)
    assert case.masks.liver[tuple(index.T)].all()
    assert len(places) < 0.9 * case.masks.liver.sum()
    lesion = case.masks.lesions[tuple(index.T)] > 0
    assert values[tuple(places[lesion].T)].mean() < -20
    assert abs(values[tuple(places[~lesion].T)].mean()) < 8
    assert rendering_volume(made.scene, nodes, "liver") is node


def test_lesions_shine_in_the_contrast_volume(made, shown):
    case, nodes = shown
    node = rendering_volume(made.scene, nodes, "contrast")
    values = image_array(node.GetImageData())
    mask = case.masks
    box = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(values))
    assert values[box].max() > 20
    bright = np.argwhere(values == values.max())[0]
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ras = matrix.MultiplyPoint([*map(float, bright[::-1]), 1.0])[:3]
    at = tuple(np.rint(case.ct.geometry.to_kji(ras)).astype(int))
    distance = np.abs(np.argwhere(mask.lesions > 0) - np.array(at)).max(axis=1).min()
    assert distance <= 2


def test_renderings_have_their_transfer_functions(made, shown):
    _, nodes = shown
    logic = slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(made.scene)
    display = logic.CreateDefaultVolumeRenderingNodes(nodes.volume)
    style_rendering(display, "surface", 200.0)
    opacity = display.GetVolumePropertyNode().GetScalarOpacity()
    assert (opacity.GetValue(150), opacity.GetValue(250)) == (0, 1)
    style_rendering(display, "contrast")
    assert display.GetVolumePropertyNode().GetScalarOpacity().GetValue(0) == 0


def test_an_update_of_one_lesion_is_quick(shown, made):
    _, nodes = shown
    began = time.monotonic()
    refresh(made.scene, nodes, case_from_nodes(nodes))
    assert time.monotonic() - began < 5
