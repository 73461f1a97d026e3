"""Scenarios of the self test: the input, its transforms and sequences."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from LiverSegModuleLib.EngineCommand import EngineOptions
from LiverSegModuleLib.Parameter import CouinaudMethod, Device, Quality, Tile, engineOptions
from LiverSegModuleLib.SelfTestTools import nodeIDs, openPanel, showPatient, showSequence


def scenario_parameters_reach_the_engine(test: Any) -> None:
    from LiverSegModule import LiverSegModuleLogic

    parameters = LiverSegModuleLogic().getParameterNode()
    test.assertEqual(engineOptions(parameters), EngineOptions())
    parameters.device, parameters.quality, parameters.splitSegment4 = Device.CPU, Quality.FAST, True
    parameters.tile, parameters.couinaudMethod = Tile.HALF, CouinaudMethod.VESSELS
    again = engineOptions(LiverSegModuleLogic().getParameterNode())
    wanted = EngineOptions("cpu", "fast", split_segment_4=True, tile="half", couinaud_method="vessels")
    test.assertEqual(again, wanted)


def scenario_apply_needs_a_ct_that_passes_the_pre_flight(test: Any) -> None:
    widget = openPanel(test)
    test.assertFalse(widget.ui.applyButton.enabled)
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    widget._parameterNode.inputVolume = empty
    test.assertFalse(widget.ui.applyButton.enabled)
    test.assertIn("no voxels", widget.ui.preflightLabel.text)
    widget.ui.makePatientButton.click()
    test.assertTrue(widget.ui.applyButton.enabled)
    test.assertIn("HU; the modality is not known", widget.ui.preflightLabel.text)
    texts = set()
    for device in (Device.AUTO, Device.CPU, Device.CUDA):
        widget._parameterNode.device = device
        texts.add(widget.ui.preflightLabel.text)
    test.assertEqual(len(texts), 3)
    test.assertEqual(widget.ui.inputSelector.currentNode(), widget._parameterNode.inputVolume)


def scenario_a_transform_is_named_and_can_be_hardened(test: Any) -> None:
    widget = openPanel(test)
    widget.ui.makePatientButton.click()
    volume = widget._parameterNode.inputVolume
    moving = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moving")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 12.0)
    moving.SetMatrixTransformToParent(matrix)
    before = volume.GetOrigin()[0]
    volume.SetAndObserveTransformNodeID(moving.GetID())
    test.assertTrue(widget.ui.applyButton.enabled)
    test.assertIn("moving", widget.ui.preflightLabel.text)
    widget.ui.hardenButton.click()
    test.assertIsNone(volume.GetParentTransformNode())
    test.assertAlmostEqual(volume.GetOrigin()[0], before + 12.0)
    bending = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "CT acquisition transform")
    volume.SetAndObserveTransformNodeID(bending.GetID())
    test.assertFalse(widget.ui.applyButton.enabled)
    test.assertIn("acquisition transform", widget.ui.preflightLabel.text)


def scenario_the_frame_of_a_sequence_becomes_a_volume_of_its_own(test: Any) -> None:
    widget = openPanel(test)
    showSequence(widget)
    browser = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    proxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    test.assertIn("Frame 1 of 2", widget.ui.preflightLabel.text)
    test.assertTrue(widget.ui.applyButton.enabled)
    widget.ui.copyFrameButton.click()
    copy = widget._parameterNode.inputVolume
    test.assertIsNot(copy, proxy)
    test.assertNotIn("Frame", widget.ui.preflightLabel.text)


def scenario_a_frame_without_a_result_goes_away_again(test: Any) -> None:
    widget = openPanel(test)
    showSequence(widget)
    logic, volume = widget.panel.session.logic, widget._parameterNode.inputVolume
    before = nodeIDs()
    widget.ui.applyButton.click()
    test.assertTrue(logic.isRunning)
    test.assertGreater(len(nodeIDs()), len(before))
    widget.ui.applyButton.click()
    test.assertFalse(logic.isRunning)
    test.assertEqual(nodeIDs(), before)
    # No such option: the engine is not started at all.
    with test.assertRaises(ValueError):
        logic.start(volume, EngineOptions(quality="best"))
    test.assertEqual(nodeIDs(), before)
    test.assertIs(widget._parameterNode.inputVolume, volume)


def scenario_two_volumes_of_one_study_keep_their_own_results(test: Any) -> None:
    widget = openPanel(test)
    from liverseg_mrml.subject_hierarchy import folder_name

    one, _case = showPatient(widget)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(one.volume), study)
    other, _case = showPatient(widget)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(other.volume), study)
    # A result hides older ones of its own CT alone.
    test.assertTrue(one.segmentation.GetDisplayNode().GetVisibility())
    session = widget.panel.session
    widget._parameterNode.inputVolume = one.volume
    session.showNewest()
    test.assertIs(session.nodes.segmentation, one.segmentation)
    session.removeShown()
    test.assertIs(session.nodes.segmentation, other.segmentation)
    test.assertIsNotNone(hierarchy.GetItemByDataNode(one.volume))
    test.assertEqual(folder_name(slicer.mrmlScene, other.folder), "LiverSeg")
