"""Corrections by hand in the panel: what they change, and what they leave alone."""

from __future__ import annotations

from PySide6.QtCore import QPoint

from panel_host import bare, click


def test_numbers_follow_by_themselves_when_ticked(host, patient):
    nodes, case = patient
    host.widget.ui.correctCollapsibleButton.collapsed = False
    host.settle()
    box = bare(host.widget.ui.autoUpdateCheckBox)
    click(box, pos=QPoint(8, box.height() // 2))
    assert host.widget._parameterNode.autoUpdate
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    assert host.widget.panel.session.isStale
    host.settle(2500)
    assert not host.widget.panel.session.isStale
    assert bare(host.widget.ui.lesionTable).rowCount() == len(case.lesions) - 1


def test_nothing_is_removed_or_overwritten_without_asking(host, patient, tmp_path):
    host.answer = False
    click(host.widget.ui.removeVersionButton)
    assert host.dialogs and host.widget.panel.session.nodes is not None
    (tmp_path / "report.json").write_text("mine")
    host.dialogs.clear()
    bare(host.widget.ui.exportFolder).currentPath = str(tmp_path)
    click(host.widget.ui.exportButton)
    assert "Replace" in host.dialogs[0]
    assert (tmp_path / "report.json").read_text() == "mine"


def test_a_mistake_is_one_sentence_in_a_dialog_and_changes_nothing(host, patient):
    case = patient[1]
    host.widget.panel.session.selectLesion(1)
    click(host.widget.ui.splitButton)
    assert "one connected piece" in host.dialogs[0]
    assert "Traceback" not in host.dialogs[0]
    click(host.widget.ui.mergeButton)
    assert "at least two" in host.dialogs[1]
    assert not host.widget.panel.session.isStale
    assert len(host.widget.panel.session.lesions) == len(case.lesions)


def planes(host):
    return host.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsPlaneNode")


def test_a_plane_waits_for_its_second_press_while_another_module_is_on_screen(host, patient):
    panel, ui = host.widget.panel, host.widget.ui
    panel.session.selectLesion(1)
    click(ui.planeButton)
    host.widget.exit()
    host.widget.enter()
    assert planes(host) == 1 and ui.planeButton.text == "Cut along the plane"
    before = patient[0].segmentation.GetSegmentation().GetNumberOfSegments()
    click(ui.planeButton)
    assert patient[0].segmentation.GetSegmentation().GetNumberOfSegments() == before + 1
    assert planes(host) == 0 and ui.planeButton.text == "Split by plane" and not host.dialogs


def test_a_plane_that_is_gone_is_forgotten_with_its_scene_or_by_itself(host, patient):
    panel, ui = host.widget.panel, host.widget.ui
    panel.session.selectLesion(1)
    click(ui.planeButton)
    host.scene.RemoveNode(host.scene.GetFirstNodeByClass("vtkMRMLMarkupsPlaneNode"))
    click(ui.planeButton)
    assert planes(host) == 1 and ui.planeButton.text == "Cut along the plane"
    # At the end of the application, or for a reload.
    panel.correct.abandon()
    assert planes(host) == 0 and ui.planeButton.text == "Split by plane"
    click(ui.planeButton)
    host.scene.Clear()
    assert ui.planeButton.text == "Split by plane"


def test_the_piece_under_the_crosshair_becomes_a_lesion_by_a_click(host, patient):
    import numpy as np

    from liverseg_mrml.segment_voxels import SegmentVoxels

    nodes, case = patient
    session, ui = host.widget.panel.session, host.widget.ui
    ui.correctCollapsibleButton.collapsed = False
    host.settle()
    voxels = SegmentVoxels(nodes)
    mask = voxels.mask("lesion_1")
    free = case.masks.liver & (case.masks.lesions == 0)
    places = np.argwhere(free)
    place = places[np.abs(places - np.argwhere(mask).mean(0)).sum(1).argmax()]
    mask[tuple(place)] = True
    voxels.set_mask("lesion_1", mask)
    session.update()
    before = {lesion.id for lesion in session.lesions}
    crosshair = host.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS([0.0, 0.0, 9999.0])
    click(ui.islandButton)
    assert "outside of the CT" in host.dialogs.pop()
    crosshair.SetCrosshairRAS(voxels.grid.to_ras(place))
    click(ui.islandButton)
    assert not host.dialogs
    assert session.isStale and "became lesion" in ui.correctLabel.text
    after = session.update()
    new = {lesion.id for lesion in session.lesions} - before
    assert len(new) == 1
    assert np.argwhere(after.masks.lesions == new.pop()).tolist() == [place.tolist()]


def paint(host, ras, radius_mm):
    """A stroke of the Segment Editor with the modes that the panel set, by Slicer's own editor logic."""
    import numpy as np
    import slicer

    from liverseg_mrml.grids import labelmap
    from liverseg_mrml.volume_node import node_geometry

    session, editor = host.widget.panel.session, host.widget.panel.correct.editor
    grid = node_geometry(session.nodes.volume)
    points = grid.to_ras(np.indices(grid.shape).reshape(3, -1).T)
    ball = (np.linalg.norm(points - np.asarray(ras), axis=1) <= radius_mm).reshape(grid.shape)
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(host.scene)
    logic.SetSegmentEditorNode(editor.parameters)
    editor.parameters.SetAndObserveSegmentationNode(session.nodes.segmentation)
    editor.parameters.SetAndObserveSourceVolumeNode(session.nodes.volume)
    image = labelmap(ball.astype(np.uint8), grid.ijk_to_ras, tuple(slice(0, n) for n in ball.shape))
    logic.ModifySegmentByLabelmap(
        session.nodes.segmentation,
        editor.parameters.GetSelectedSegmentID(),
        image,
        logic.ModificationModeAdd,
        False,
        False,
    )
    return ball


def test_a_stroke_across_a_border_moves_it_and_touches_nothing_else(host, patient):
    import numpy as np

    case = patient[1]
    grid, masks = case.ct.geometry, case.masks
    host.widget.ui.borderFromComboBox.currentIndex = 4
    host.widget.ui.borderToComboBox.currentIndex = 7
    click(host.widget.ui.borderButton)
    five, eight = masks.couinaud == 5, masks.couinaud == 8
    touching = np.argwhere(five & (np.roll(eight, 1, 0) | np.roll(eight, -1, 0)))
    ball = paint(host, grid.to_ras(touching[len(touching) // 2]), 14)
    assert host.widget.panel.session.isStale
    after = host.widget.panel.session.update()
    assert np.array_equal(after.masks.couinaud == 8, eight | (five & ball))
    others = ~(five | eight)
    assert np.array_equal(after.masks.couinaud[others], masks.couinaud[others])
    assert np.array_equal(after.masks.lesions, masks.lesions)
    assert np.array_equal(after.masks.liver, masks.liver)


def test_a_stroke_on_a_lesion_stays_inside_of_the_liver(host, patient):
    import numpy as np

    case = patient[1]
    host.widget.panel.session.selectLesion(1)
    click(host.widget.ui.editLesionButton)
    places = np.argwhere(case.masks.liver & (case.masks.lesions == 0))
    ball = paint(host, case.ct.geometry.to_ras(places[0]), 25)
    assert (ball & ~case.masks.liver).any()
    after = host.widget.panel.session.update()
    wanted = (case.masks.lesions == 1) | (ball & case.masks.liver & (case.masks.lesions == 0))
    assert np.array_equal(
        (after.masks.lesions == 1) & (case.masks.lesions == 0), wanted & (case.masks.lesions == 0)
    )
    assert np.array_equal(after.masks.liver, case.masks.liver)
