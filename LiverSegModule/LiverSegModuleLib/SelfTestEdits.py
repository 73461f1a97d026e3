"""Scenarios of the self test: corrections by hand."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from LiverSegModuleLib.SelfTestTools import openPanel, showPatient


def scenario_lesions_are_merged_and_split_from_the_panel(test: Any) -> None:
    widget = openPanel(test)
    _nodes, case = showPatient(widget)
    session = widget.panel.session
    widget.ui.lesionTable.setSelectionMode(qt.QAbstractItemView.MultiSelection)
    widget.ui.lesionTable.selectRow(0)
    widget.ui.lesionTable.selectRow(1)
    widget.ui.lesionTable.setSelectionMode(qt.QAbstractItemView.ExtendedSelection)
    widget.ui.mergeButton.click()
    widget.ui.updateButton.click()
    test.assertEqual([lesion.id for lesion in session.lesions], [1, *range(3, len(case.lesions) + 1)])
    session.selectLesion(1)
    widget.ui.splitButton.click()
    widget.ui.updateButton.click()
    test.assertEqual(len(session.lesions), len(case.lesions))
    test.assertEqual(max(lesion.id for lesion in session.lesions), len(case.lesions) + 1)
    session.selectLesion(1)
    widget.ui.planeButton.click()
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsPlaneNode"), 1)
    widget.ui.planeButton.click()
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsPlaneNode"), 0)
    widget.ui.updateButton.click()
    test.assertEqual(len(session.lesions), len(case.lesions) + 1)


def scenario_painting_stays_where_it_belongs(test: Any) -> None:
    widget = openPanel(test)
    nodes, _case = showPatient(widget)
    editor = widget.panel.correct.editor
    widget.panel.session.selectLesion(1)
    widget.ui.editLesionButton.click()
    parameters = editor.parameters
    test.assertEqual(parameters.GetSelectedSegmentID(), "lesion_1")
    # A value for Paint alone would hide the one that the check box "Sphere brush" changes.
    test.assertEqual(parameters.GetAttribute("BrushSphere"), "1")
    test.assertIsNone(parameters.GetAttribute("Paint.BrushSphere"))
    test.assertEqual(parameters.GetMaskSegmentID(), "liver")
    test.assertEqual(parameters.GetMaskMode(), slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    test.assertEqual(parameters.GetOverwriteMode(), slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    widget.ui.borderFromComboBox.currentIndex = 4
    widget.ui.borderToComboBox.currentIndex = 7
    widget.ui.borderButton.click()
    test.assertEqual(parameters.GetSelectedSegmentID(), "couinaud_8")
    test.assertEqual(parameters.GetMaskSegmentID(), "couinaud_5")
    test.assertEqual(parameters.GetOverwriteMode(), slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments)
    display = nodes.segmentation.GetDisplayNode()
    test.assertFalse(display.GetSegmentVisibility("liver"))
    test.assertTrue(display.GetSegmentVisibility("couinaud_8"))
    count = len(widget.panel.session.lesions)
    widget.ui.newLesionButton.click()
    test.assertTrue(display.GetSegmentVisibility("liver"))
    test.assertEqual(parameters.GetSelectedSegmentID(), f"lesion_{count + 1}")
    # Nothing was painted: an empty lesion is none.
    widget.ui.updateButton.click()
    test.assertEqual(len(widget.panel.session.lesions), count)


def scenario_the_scene_can_be_closed_while_someone_paints(test: Any) -> None:
    widget = openPanel(test)
    showPatient(widget)
    widget.panel.session.selectLesion(1)
    widget.ui.editLesionButton.click()
    slicer.mrmlScene.Clear()
    test.assertIsNone(widget.panel.session.nodes)
    test.assertIsNone(widget.panel.correct.editor.widget.activeEffect())
    test.assertEqual(widget.ui.lesionTable.rowCount, 0)
    showPatient(widget)
    test.assertGreater(widget.ui.lesionTable.rowCount, 0)
