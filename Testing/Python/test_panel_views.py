"""Section "3D" of the panel: what the nodes of layouts, surfaces and renderings hold after each choice."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from panel_host import bare, click


def choose(box, data: str) -> None:
    index = box.findData(data)
    assert index >= 0, data
    box.currentIndex = index


# --- layouts


@pytest.fixture
def layouts(host):
    """Slicer's own layout logic, which makes and shows the views that a layout names."""
    import slicer

    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(host.scene)
    node = logic.GetLayoutNode()
    yield logic
    logic.SetMRMLScene(None)
    # A singleton, which outlives a scene that is cleared.
    host.scene.RemoveNode(node)


def views(logic) -> dict[str, str]:
    """The views on screen: their layout names, and their orientation or class."""
    nodes = logic.GetViewNodes()
    found = {}
    for n in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(n)
        is_slice = node.IsA("vtkMRMLSliceNode")
        found[node.GetLayoutName()] = node.GetOrientation() if is_slice else node.GetClassName()
    return found


def test_each_layout_shows_the_views_that_its_name_promises(host, patient, layouts) -> None:
    import slicer

    box, node = host.widget.ui.layoutComboBox, layouts.GetLayoutNode()
    slices = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
    numbers = {
        "conventional": slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView,
        "four-up": slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
    }
    for name in ("conventional", "four-up", "review", "conventional"):
        choose(box, name)
        assert views(layouts) == slices | {"1": "vtkMRMLViewNode"}, name
        if name in numbers:
            assert node.GetViewArrangement() == numbers[name]
    choose(box, "review")
    own = node.GetViewArrangement()
    assert own > slicer.vtkMRMLLayoutNode.SlicerLayoutUserView
    # "Keep" leaves what a person arranged.
    node.SetViewArrangement(numbers["four-up"])
    choose(box, "")
    assert node.GetViewArrangement() == numbers["four-up"]


def test_a_scene_that_was_saved_in_the_review_layout_has_its_views_where_the_panel_was_never_opened(
    host, layouts, monkeypatch
) -> None:
    import LiverSegModule
    from LiverSegModuleLib.ReviewLayout import REVIEW_LAYOUT
    from sample_data import SampleData

    monkeypatch.setitem(sys.modules, "SampleData", SampleData())
    node = layouts.GetLayoutNode()
    assert not node.IsLayoutDescription(REVIEW_LAYOUT)
    LiverSegModule.onStartupCompleted()
    # All that a scene file says of its layout.
    node.SetViewArrangement(REVIEW_LAYOUT)
    assert set(views(layouts)) == {"Red", "Green", "Yellow", "1"}


def test_the_review_layout_gives_most_room_to_the_axial_slice(host, patient, layouts) -> None:
    choose(host.widget.ui.layoutComboBox, "review")
    root = layouts.GetLayoutNode().GetLayoutRootElement()
    assert (root.GetName(), root.GetAttribute("type"), root.GetAttribute("split")) == (
        *("layout", "horizontal"),
        "true",
    )
    left, right = root.GetNestedElement(0), root.GetNestedElement(1)
    assert left.GetNestedElement(0).GetAttribute("singletontag") == "Red"
    assert int(left.GetAttribute("splitSize")) > int(right.GetAttribute("splitSize"))
    assert right.GetNestedElement(0).GetNumberOfNestedElements() == 3


# --- surfaces


def opacities(nodes) -> dict[str, float]:
    """The 3D opacity of each segment that is visible in 3D."""
    display, segmentation = nodes.segmentation.GetDisplayNode(), nodes.segmentation.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {
        each: round(display.GetSegmentOpacity3D(each), 3)
        for each in ids
        if display.GetSegmentVisibility3D(each)
    }


def test_the_opacity_presets_show_what_they_are_called_after(host, patient) -> None:
    nodes, case = patient
    box, display = host.widget.ui.opacityComboBox, nodes.segmentation.GetDisplayNode()
    lesions = {f"lesion_{lesion.id}": 1.0 for lesion in case.lesions}
    segments = [f"couinaud_{n}" for n in range(1, 9)]
    vessels = {"portal_vein": 1.0, "hepatic_veins": 1.0}
    everything = {"liver": 0.15, **dict.fromkeys(segments, 0.25), **lesions, **vessels}
    assert box.currentData == "overview" and opacities(nodes) == everything
    outlines = [display.GetSegmentVisibility2DOutline(each) for each in everything]
    for preset, expected in {
        "segments": {**dict.fromkeys(segments, 1.0), **lesions, **vessels},
        "glass liver": {"liver": 0.2, **lesions},
        "vessels": {"liver": 0.1, **lesions, **vessels},
        "overview": everything,
    }.items():
        choose(box, preset)
        assert opacities(nodes) == expected, preset
        assert [display.GetSegmentVisibility2DOutline(each) for each in everything] == outlines


def surface_ml(nodes, segment: str) -> float:
    import vtk

    surface = vtk.vtkPolyData()
    assert nodes.segmentation.GetClosedSurfaceRepresentation(segment, surface)
    triangles, mass = vtk.vtkTriangleFilter(), vtk.vtkMassProperties()
    triangles.SetInputData(surface)
    mass.SetInputConnection(triangles.GetOutputPort())
    return mass.GetVolume() / 1000


def test_the_smoothing_slider_makes_the_surfaces_anew(host, patient) -> None:
    nodes, case = patient
    slider, segmentation = host.widget.ui.smoothingSlider, nodes.segmentation.GetSegmentation()
    assert slider.value == pytest.approx(0.3)
    smallest = min(case.lesions, key=lambda lesion: lesion.volume_ml)
    volumes = []
    for factor in (0.0, 0.3, 1.0):
        slider.value = factor
        assert float(segmentation.GetConversionParameter("Smoothing factor")) == pytest.approx(factor)
        volumes.append(surface_ml(nodes, f"lesion_{smallest.id}"))
    # Not smoothed, a surface has what the voxels have; smoothed away, a small lesion loses much of it.
    assert volumes[0] == pytest.approx(smallest.volume_ml, rel=0.1)
    assert volumes[0] > volumes[1] > volumes[2]
    assert not host.widget.panel.session.isStale and not host.dialogs


def test_another_result_brings_its_own_looks_back_into_the_widgets(host, patient) -> None:
    from liverseg_mrml.to_scene import add_case_to_scene

    nodes, case = patient
    ui, session = host.widget.ui, host.widget.panel.session
    choose(ui.opacityComboBox, "glass liver")
    ui.smoothingSlider.value = 0.7
    other = add_case_to_scene(host.scene, case, nodes.volume, "LiverSeg (2)")
    made = other.segmentation.GetClosedSurfaceInternalRepresentation("liver").GetMTime()
    session.show(other)
    assert (ui.opacityComboBox.currentData, round(ui.smoothingSlider.value, 3)) == ("overview", 0.3)
    session.show(nodes)
    assert (ui.opacityComboBox.currentData, round(ui.smoothingSlider.value, 3)) == ("glass liver", 0.7)
    assert opacities(other)["couinaud_8"] == 0.25
    # Showing a result does not make its surfaces anew.
    assert other.segmentation.GetClosedSurfaceInternalRepresentation("liver").GetMTime() == made


# --- renderings


def shown_display(host):
    scene = host.scene
    count = scene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    nodes = [scene.GetNthNodeByClass(n, "vtkMRMLVolumeRenderingDisplayNode") for n in range(count)]
    (shown,) = [node for node in nodes if node.GetVisibility()]
    return shown


def opacity_at(display, value: float) -> float:
    return display.GetVolumePropertyNode().GetVolumeProperty().GetScalarOpacity().GetValue(value)


def test_the_iso_value_slider_moves_the_surface_and_bone_has_its_own_color(host, patient) -> None:
    nodes, ui = patient[0], host.widget.ui
    assert not ui.thresholdSlider.enabled
    choose(ui.renderingComboBox, "surface")
    assert ui.thresholdSlider.enabled
    display = shown_display(host)
    assert display.GetVolumeNode() is nodes.volume
    colors = []
    for threshold in (150.0, 400.0, -100.0):
        ui.thresholdSlider.value = threshold
        assert shown_display(host) is display
        assert (opacity_at(display, threshold - 11), opacity_at(display, threshold + 11)) == (0.0, 1.0)
        assert opacity_at(display, threshold) == pytest.approx(0.5)
        color = display.GetVolumePropertyNode().GetVolumeProperty().GetRGBTransferFunction()
        colors.append(tuple(round(each, 3) for each in color.GetColor(threshold)))
    assert colors[0] == colors[2] != colors[1]
    choose(ui.renderingComboBox, "none")
    assert not ui.thresholdSlider.enabled and not display.GetVisibility()


def test_renderings_of_the_liver_hold_nothing_of_outside_and_let_lesions_be_seen(host, patient) -> None:
    from liverseg_mrml.grids import image_array

    nodes, ui = patient[0], host.widget.ui
    for kind, role in (("liver", "LiverSeg.MaskedVolume"), ("contrast", "LiverSeg.ContrastVolume")):
        choose(ui.renderingComboBox, kind)
        display = shown_display(host)
        assert display.GetVolumeNode() is nodes.segmentation.GetNodeReference(role)
        assert opacity_at(display, 0.0) == 0.0
        values = image_array(display.GetVolumeNode().GetImageData())
        # Dark lesions below the liver's mean; in the projection they shine.
        assert (values.min() < -20) == (kind == "liver")
        assert np.abs(values).max() > 20


def test_after_an_edit_remnant_and_rendering_are_marked_old_until_update(host, patient) -> None:
    nodes, _case = patient
    widget, ui = host.widget, host.widget.ui
    for section in (ui.remnantCollapsibleButton, ui.viewsCollapsibleButton, ui.correctCollapsibleButton):
        section.collapsed = False
    choose(ui.renderingComboBox, "liver")
    widget.panel.remnant.boxes["V"].click()
    host.settle()
    marks = [bare(ui.staleRemnantLabel), bare(ui.staleViewsLabel)]
    volume = nodes.segmentation.GetNodeReference("LiverSeg.MaskedVolume")
    assert not any(mark.isVisible() for mark in marks)
    remnant, made = ui.remnantLabel.text, volume.GetImageData()
    # Half of the liver goes: its segments follow when it is measured.
    from liverseg_mrml.segment_voxels import SegmentVoxels

    voxels = SegmentVoxels(nodes)
    liver = voxels.mask("liver")
    liver[: np.argwhere(liver)[:, 0].max() - 8] = False
    voxels.set_mask("liver", liver)
    assert all(mark.isVisible() for mark in marks)
    assert volume.GetAttribute("LiverSeg.Stale") == "1"
    assert (ui.remnantLabel.text, volume.GetImageData()) == (remnant, made)
    click(ui.updateButton)
    assert not host.dialogs
    assert not any(mark.isVisible() for mark in marks)
    assert ui.remnantLabel.text != remnant
    assert volume.GetAttribute("LiverSeg.Stale") is None and volume.GetImageData() is not made
    assert volume.GetImageData().GetNumberOfPoints() < made.GetNumberOfPoints()
    assert widget.panel.session.currentCase().remnant.resected == ("V",)


def test_a_rendering_that_is_not_shown_is_no_reason_for_a_mark(host, patient) -> None:
    nodes, ui = patient[0], host.widget.ui
    ui.viewsCollapsibleButton.collapsed = False
    choose(ui.renderingComboBox, "contrast")
    choose(ui.renderingComboBox, "surface")
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_2")
    host.settle()
    assert not bare(ui.staleViewsLabel).isVisible()
    # Chosen again, it is made of the masks as they are now.
    choose(ui.renderingComboBox, "contrast")
    assert not bare(ui.staleViewsLabel).isVisible()
    assert (
        nodes.segmentation.GetNodeReference("LiverSeg.ContrastVolume").GetAttribute("LiverSeg.Stale") is None
    )
    # The mark of the next edit comes although the numbers were old already.
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    assert bare(ui.staleViewsLabel).isVisible()


def test_a_fresh_result_comes_into_the_3d_view_and_an_older_one_leaves_it_alone(host, patient) -> None:
    nodes, case = patient
    camera = host.scene.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetFocalPoint(0, 0, 1500)
    session = host.widget.panel.session
    session.show(nodes)
    assert camera.GetFocalPoint() == (0, 0, 1500)
    session.show(nodes, fresh=True)
    bounds = [0.0] * 6
    nodes.segmentation.GetRASBounds(bounds)
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    assert camera.GetFocalPoint() == pytest.approx(middle)


def test_a_result_is_never_seen_on_another_ct(host, patient) -> None:
    from LiverSegModuleLib.SelfTestTools import showPatient

    layers = host.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    session, arterial = host.widget.panel.session, patient[0]
    session.show(arterial)
    assert layers.GetBackgroundVolumeID() == arterial.volume.GetID()
    venous, _case = showPatient(host.widget)
    assert layers.GetBackgroundVolumeID() == venous.volume.GetID()
    # Layers that the reader chose stay where they have the CT.
    layers.SetBackgroundVolumeID(venous.volume.GetID())
    layers.SetForegroundVolumeID(arterial.volume.GetID())
    session.show(arterial)
    assert layers.GetBackgroundVolumeID() == venous.volume.GetID()
