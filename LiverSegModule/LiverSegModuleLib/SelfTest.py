"""The module's self test: what a user does, with assertions. Runs inside Slicer and in the tests' Qt host.

Each scenario gets the test case (for its assertions) and starts on an empty scene.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk

from LiverSegModuleLib.EngineCommand import EngineOptions
from LiverSegModuleLib.EngineMessages import PlainText, Progress, RunOutcome, RunState
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.InstallLogic import missingPackages
from LiverSegModuleLib.Parameter import Device, Quality, Tile, engineOptions
from LiverSegModuleLib.RunLogic import MODULE_FOLDER

Scenario = Callable[[Any], None]
# A made-up patient small enough for a run of seconds: size and spacing (k, j, i).
SMALL = {"seed": 2003, "shape_kji": (52, 78, 84), "spacing_kji": (5.0, 4.4, 4.2)}


def scenarios() -> dict[str, Scenario]:
    """All scenarios by name, in the order of this file."""
    return {name: each for name, each in globals().items() if name.startswith("scenario_")}


# --- what the scenarios share


def skip(test: Any, reason: str) -> None:
    """Skip the scenario and say why; a failure on a CI machine, which must have everything."""
    logging.info("LiverSeg: not tested: %s", reason)
    if os.environ.get("CI"):
        test.fail(f"on a CI machine nothing may be left out: {reason}")
    test.skipTest(reason)


def requirePackages(test: Any) -> None:
    """Skip the scenario where the engine's packages are not installed."""
    missing = missingPackages(str(MODULE_FOLDER / "Resources" / "requirements.txt"))
    if missing:
        skip(test, f"Python packages of LiverSeg are not installed: {', '.join(missing)}")


def openPanel(test: Any) -> Any:
    """The module's widget, on screen; skips the scenario without a main window or packages."""
    requirePackages(test)
    if slicer.util.mainWindow() is None:
        skip(test, "there is no main window")
    slicer.util.selectModule("LiverSegModule")
    return slicer.modules.LiverSegModuleWidget


def showPatient(widget: Any) -> tuple[Any, Any]:
    """A made-up patient with its true masks as the result on screen; returns the nodes and the case."""
    from liverseg.case import CouinaudMethod, Provenance
    from liverseg.measure import measure
    from liverseg.phantom import make_phantom
    from liverseg_mrml.to_scene import add_case_to_scene
    from liverseg_mrml.volume_node import add_volume

    phantom = make_phantom(**SMALL)
    volume = add_volume(slicer.mrmlScene, phantom.ct, "Made-up patient")
    case = measure(
        phantom.ct, phantom.masks, method=CouinaudMethod("made up"), provenance=Provenance("made up")
    )
    widget._parameterNode.inputVolume = volume
    nodes = add_case_to_scene(slicer.mrmlScene, case, volume)
    widget.panel.session.show(nodes)
    return nodes, case


def showSequence(widget: Any) -> None:
    """A made-up patient in two phases, one volume that shows either, as the input."""
    from liverseg.phantom import make_phantom
    from liverseg_mrml.volume_node import add_volume

    scene, ct = slicer.mrmlScene, make_phantom(**SMALL).ct
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "phases")
    for n in range(2):
        frame = add_volume(scene, ct, f"phase {n}")
        sequence.SetDataNodeAtValue(frame, str(n))
        scene.RemoveNode(frame)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "phases")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.util.getModuleLogic("Sequences").UpdateProxyNodesFromSequences(browser)
    widget._parameterNode.inputVolume = browser.GetProxyNode(sequence)


def nodeIDs() -> list[str]:
    """All nodes of the scene by id."""
    scene = slicer.mrmlScene
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


def column(widget: Any, number: int) -> list[str]:
    """The texts of a column of the lesion table, in the order on screen."""
    table = widget.ui.lesionTable
    return [table.item(row, number).text() for row in range(table.rowCount)]


def waitUntil(test: Any, condition: Callable[[], object], limit_s: float) -> None:
    """Let the event loop run until something holds; a failure after the limit."""
    began = time.monotonic()
    while not condition():
        test.assertLess(time.monotonic() - began, limit_s, "waited too long")
        slicer.app.processEvents()
        time.sleep(0.02)


def coarseModel(folder: Path) -> str:
    """The bundled weights on a coarse grid of stage 2: the same road in a fraction of the time."""
    from liverseg.bundle import find_bundle

    target = folder / "coarse"
    shutil.copytree(find_bundle().folder, target)
    card = json.loads((target / "card.json").read_text(encoding="utf-8"))
    card["networks"]["stage2"]["spacing_mm"] = 5.0
    (target / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return str(target)


# --- scenarios


def scenario_parameters_reach_the_engine(test: Any) -> None:
    from LiverSegModule import LiverSegModuleLogic

    parameters = LiverSegModuleLogic().getParameterNode()
    test.assertEqual(engineOptions(parameters), EngineOptions())
    parameters.device, parameters.quality, parameters.splitSegment4 = Device.CPU, Quality.FAST, True
    parameters.tile = Tile.HALF
    again = engineOptions(LiverSegModuleLogic().getParameterNode())
    test.assertEqual(again, EngineOptions(device="cpu", quality="fast", split_segment_4=True, tile="half"))


def scenario_apply_needs_a_ct_that_passes_the_pre_flight(test: Any) -> None:
    widget = openPanel(test)
    test.assertFalse(widget.ui.applyButton.enabled)
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    widget._parameterNode.inputVolume = empty
    test.assertFalse(widget.ui.applyButton.enabled)
    test.assertIn("no voxels", widget.ui.preflightLabel.text)
    widget.ui.makePatientButton.click()
    test.assertTrue(widget.ui.applyButton.enabled)
    test.assertIn("HU", widget.ui.preflightLabel.text)
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


def scenario_the_table_shows_the_lesions_and_a_click_goes_there(test: Any) -> None:
    widget = openPanel(test)
    nodes, case = showPatient(widget)
    test.assertEqual(widget.ui.lesionTable.rowCount, len(case.lesions))
    sizes = [float(text) for text in column(widget, 4)]
    test.assertEqual(sizes, sorted(sizes, reverse=True))
    widget.ui.lesionTable.selectRow(1)
    chosen = widget.panel.session.lesionID
    test.assertEqual(str(chosen), column(widget, 0)[1])
    shown = [n for n, lines in nodes.axes.items() if lines.long.GetDisplayNode().GetVisibility()]
    test.assertEqual(shown, [chosen])
    widget.ui.nextLesionButton.click()
    test.assertEqual(str(widget.panel.session.lesionID), column(widget, 0)[2])
    widget.ui.previousLesionButton.click()
    test.assertEqual(widget.panel.session.lesionID, chosen)


def scenario_a_review_is_kept_with_its_comment(test: Any) -> None:
    widget = openPanel(test)
    nodes, _case = showPatient(widget)
    widget.ui.lesionTable.selectRow(0)
    lesionID = widget.panel.session.lesionID
    widget.ui.commentLineEdit.text = "a cyst"
    widget.ui.rejectButton.click()
    lesion = widget.panel.session.lesion(lesionID)
    test.assertEqual((lesion.review.state, lesion.review.comment), ("rejected", "a cyst"))
    test.assertEqual(column(widget, 6)[0], "rejected")
    test.assertFalse(widget.panel.session.isStale)
    widget.ui.copyTableButton.click()
    test.assertIn("a cyst", slicer.app.clipboard().text())


def scenario_an_edit_marks_the_numbers_stale_and_update_brings_them_back(test: Any) -> None:
    widget = openPanel(test)
    nodes, case = showPatient(widget)
    test.assertFalse(widget.ui.updateButton.enabled)
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_2")
    test.assertTrue(widget.panel.session.isStale)
    test.assertTrue(widget.ui.updateButton.enabled)
    test.assertEqual(widget.ui.lesionTable.rowCount, len(case.lesions))
    widget.ui.updateButton.click()
    test.assertFalse(widget.panel.session.isStale)
    test.assertEqual(widget.ui.lesionTable.rowCount, len(case.lesions) - 1)
    test.assertNotIn("2", column(widget, 0))


def scenario_edits_that_nobody_watched_are_found(test: Any) -> None:
    widget = openPanel(test)
    from liverseg_mrml.to_scene import add_case_to_scene

    session = widget.panel.session
    first, case = showPatient(widget)
    test.assertFalse(session.isStale)
    second = add_case_to_scene(slicer.mrmlScene, case, first.volume, "LiverSeg (2)")
    second.segmentation.GetSegmentation().RemoveSegment("lesion_2")
    session.show(second)
    test.assertTrue(session.isStale)
    test.assertTrue(widget.ui.updateButton.enabled)
    session.show(first)
    test.assertFalse(session.isStale)
    # As if a scene were opened and edited before the module is: the watch was not there yet.
    session.forget()
    first.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    session.show(first)
    test.assertTrue(session.isStale)
    widget.ui.updateButton.click()
    test.assertFalse(session.isStale)
    test.assertEqual(len(session.lesions), len(case.lesions) - 1)


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


def scenario_the_remnant_follows_ticks_and_size(test: Any) -> None:
    widget = openPanel(test)
    _nodes, case = showPatient(widget)
    for numeral in ("V", "VI", "VII", "VIII"):
        widget.panel.remnant.boxes[numeral].click()
    kept = sum(s.volume_ml - s.lesion_ml for s in case.segments if s.name in ("I", "II", "III", "IV"))
    test.assertIn(f"{round(kept)} ml", widget.ui.remnantLabel.text)
    widget.ui.heightSpinBox.value = 170
    widget.ui.weightSpinBox.value = 70
    test.assertIn("standardized", widget.ui.remnantLabel.text)
    remnant = widget.panel.session.currentCase().remnant
    test.assertEqual(remnant.resected, ("V", "VI", "VII", "VIII"))


def scenario_every_writer_of_the_engine_can_be_chosen(test: Any) -> None:
    from liverseg.writers import OUTPUTS

    widget = openPanel(test)
    showPatient(widget)
    test.assertEqual(widget.ui.exportList.count, len(OUTPUTS))
    with tempfile.TemporaryDirectory() as folder:
        for row in range(widget.ui.exportList.count):
            item = widget.ui.exportList.item(row)
            wanted = item.data(qt.Qt.UserRole) in ("report", "lesions_table", "liver")
            item.setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)
        widget.ui.exportFolder.currentPath = folder
        widget.ui.exportButton.click()
        written = sorted(path.name for path in Path(folder).iterdir())
    test.assertEqual(written, ["lesions.csv", "liver.nii.gz", "report.json"])


def scenario_devices_are_found_and_pytorch_stays_in_the_engines_process(test: Any) -> None:
    widget = openPanel(test)
    before = "torch" in sys.modules
    devices = widget.panel.run.devices
    waitUntil(test, lambda: devices.found is not None, 120)
    test.assertIn("cpu", devices.found)
    test.assertIn("Found:", widget.ui.devicesLabel.text)
    test.assertEqual("torch" in sys.modules, before)
    absent = next((each for each in (Device.CUDA, Device.MPS) if each.value not in devices.found), None)
    if absent is not None:
        widget._parameterNode.device = absent
        test.assertIn("not among them", widget.ui.devicesLabel.text)
    widget._parameterNode.device = Device.AUTO
    test.assertNotIn("not among them", widget.ui.devicesLabel.text)


def scenario_a_model_in_a_folder_elsewhere_is_chosen_by_name(test: Any) -> None:
    widget = openPanel(test)
    box, folderEdit = widget.ui.modelComboBox, widget.ui.modelFolder
    before, count = folderEdit.currentPath, box.count
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = coarseModel(Path(folder))
            folderEdit.currentPath = folder
            test.assertIn("Models found", widget.ui.modelFolderLabel.text)
            box.currentIndex = box.findData(path)
            test.assertEqual(engineOptions(widget._parameterNode).model, path)
            folderEdit.currentPath = str(Path(folder) / "coarse" / "nothing")
            test.assertIn("No model", widget.ui.modelFolderLabel.text)
            # A scene that names a model which is not there does not fall back to another one in silence.
            test.assertIn("not found", box.currentText)
            box.currentIndex = 0
            test.assertEqual(engineOptions(widget._parameterNode).model, "")
        finally:
            folderEdit.currentPath = before
    test.assertEqual(box.count, count)


def scenario_two_results_are_compared_in_a_process_of_its_own(test: Any) -> None:
    widget = openPanel(test)
    from dataclasses import replace

    from liverseg.measure import measure
    from liverseg_mrml.to_scene import add_case_to_scene

    earlier, case = showPatient(widget)
    masks = replace(case.masks, lesions=case.masks.lesions * (case.masks.lesions != 2))
    fewer = measure(case.ct, masks, method=case.method, provenance=case.provenance)
    later = add_case_to_scene(slicer.mrmlScene, fewer, earlier.volume, "LiverSeg (2)")
    session, ui = widget.panel.session, widget.ui
    session.show(later)
    test.assertEqual(ui.compareBeforeComboBox.currentData, earlier.segmentation.GetID())
    test.assertEqual(ui.compareAfterComboBox.currentData, later.segmentation.GetID())
    session.show(earlier)
    ui.compareButton.click()
    test.assertEqual(ui.compareButton.text, "Cancel")
    waitUntil(test, lambda: not widget.panel.compare.isRunning, 300)
    table = ui.compareTable
    told = [[table.item(row, n).text() for n in range(2)] for row in range(table.rowCount)]
    test.assertEqual(len(told), len(case.lesions), ui.compareLabel.text)
    test.assertEqual([row for row in told if row[0] == "gone"], [["gone", "2 → -"]])
    test.assertEqual([row[0] for row in told].count("matched"), len(case.lesions) - 1)
    test.assertIn("um of diameters", ui.compareLabel.text)
    row = next(n for n, each in enumerate(told) if each[0] == "matched")
    table.selectRow(row)
    test.assertIs(session.nodes.segmentation, later.segmentation)
    test.assertEqual(str(session.lesionID), told[row][1].split()[-1])
    ui.copyComparisonButton.click()
    test.assertIn("gone", slicer.app.clipboard().text())


def scenario_surfaces_and_volumes_are_shown_as_chosen(test: Any) -> None:
    widget = openPanel(test)
    nodes, _case = showPatient(widget)
    display = nodes.segmentation.GetDisplayNode()
    widget.ui.opacityComboBox.currentIndex = 2
    test.assertFalse(display.GetSegmentVisibility3D("couinaud_8"))
    test.assertTrue(display.GetSegmentVisibility3D("lesion_1"))
    for index, projected in ((1, False), (2, True), (3, False), (0, False)):
        widget.ui.renderingComboBox.currentIndex = index
        count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
        shown = [
            node
            for node in (
                slicer.mrmlScene.GetNthNodeByClass(n, "vtkMRMLVolumeRenderingDisplayNode")
                for n in range(count)
            )
            if node.GetVisibility()
        ]
        test.assertEqual(len(shown), 1 if index else 0)
        view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
        if view is not None:
            maximum = view.GetRaycastTechnique() == slicer.vtkMRMLViewNode.MaximumIntensityProjection
            test.assertEqual(maximum, projected)


def scenario_vessels_can_be_chosen_where_there_are_some(test: Any) -> None:
    widget = openPanel(test)
    from dataclasses import replace

    from liverseg.measure import measure
    from liverseg_mrml.to_scene import add_case_to_scene

    session, presets = widget.panel.session, widget.ui.opacityComboBox
    nodes, case = showPatient(widget)
    presets.currentIndex = presets.findData("vessels")
    test.assertEqual(presets.count, 4)
    masks = replace(case.masks, vessels=None)
    fewer = measure(case.ct, masks, method=case.method, provenance=case.provenance)
    session.show(add_case_to_scene(slicer.mrmlScene, fewer, nodes.volume, "LiverSeg (2)"))
    test.assertEqual(presets.findData("vessels"), -1)
    test.assertEqual(presets.currentData, "overview")
    session.show(nodes)
    test.assertEqual(presets.count, 4)


def scenario_another_result_hides_the_renderings_of_the_one_before(test: Any) -> None:
    widget = openPanel(test)
    from liverseg_mrml.renderings import shown_rendering
    from liverseg_mrml.to_scene import add_case_to_scene

    box, session = widget.ui.renderingComboBox, widget.panel.session
    first, case = showPatient(widget)
    before = nodeIDs()
    second = add_case_to_scene(slicer.mrmlScene, case, first.volume, "LiverSeg (2)")
    session.show(second)
    box.currentIndex = box.findData("liver")
    test.assertEqual(shown_rendering(second), "liver")
    session.show(first)
    test.assertIsNone(shown_rendering(second))
    test.assertEqual(box.currentData, "none")
    session.show(second)
    session.removeShown()
    test.assertEqual(nodeIDs(), before)


def scenario_the_childs_lines_become_messages(test: Any) -> None:
    said, ended = [], []
    process = EngineProcess(said.append, ended.append)
    code = (
        "import json, sys\n"
        "print(json.dumps({'event': 'progress', 'fraction': 0.5, 'message': 'half'}))\n"
        "print(json.dumps({'event': 'error', 'message': 'not a CT', 'exit_code': 3}))\n"
        "sys.exit(3)"
    )
    process.start(pythonSlicerPath(), ["-c", code], {})
    waitUntil(test, lambda: ended, 120)
    test.assertIn(Progress(0.5, "half"), said)
    test.assertEqual(ended, [RunOutcome(RunState.FAILED, "not a CT")])


def scenario_cancel_ends_the_child_within_two_seconds(test: Any) -> None:
    requirePackages(test)
    said, ended = [], []
    process = EngineProcess(said.append, ended.append)
    process.start(pythonSlicerPath(), ["-u", "-c", "import time; print('up'); time.sleep(600)"], {})
    waitUntil(test, lambda: PlainText("up") in said, 120)
    began = time.monotonic()
    process.cancel()
    test.assertLess(time.monotonic() - began, 2)
    test.assertEqual(ended, [RunOutcome(RunState.CANCELLED)])


def scenario_a_made_up_patient_is_read_out_twice_and_the_second_run_taken_back(test: Any) -> None:
    widget = openPanel(test)
    from liverseg.phantom import make_phantom
    from liverseg_mrml.volume_node import add_volume

    phantom = make_phantom(**SMALL)
    volume = add_volume(slicer.mrmlScene, phantom.ct, "Made-up patient")
    session = widget.panel.session
    with tempfile.TemporaryDirectory() as folder:
        parameters = widget._parameterNode
        parameters.inputVolume, parameters.device, parameters.quality = volume, Device.CPU, Quality.FAST
        parameters.model = coarseModel(Path(folder))
        widget.ui.applyButton.click()
        test.assertTrue(session.logic.isRunning)
        test.assertEqual(widget.ui.applyButton.text, "Cancel")
        waitUntil(test, lambda: not session.logic.isRunning, 600)
        test.assertEqual(widget.ui.applyButton.text, "Apply")
        first = session.nodes
        test.assertIsNotNone(first, widget.ui.statusLabel.text)
        case, second = session.logic.run(volume, engineOptions(parameters))
        session.show(second)
        test.assertEqual(widget.ui.versionComboBox.count, 2)
        test.assertFalse(first.segmentation.GetDisplayNode().GetVisibility())
        widget.ui.applyButton.click()
        before = slicer.mrmlScene.GetNumberOfNodes()
        widget.ui.applyButton.click()
        test.assertFalse(session.logic.isRunning)
        test.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
    planned = phantom.masks.liver.sum() * phantom.ct.geometry.voxel_volume_ml
    test.assertLess(abs(case.liver.volume_ml - planned), 0.25 * planned)
    session.removeShown()
    test.assertEqual(session.nodes.segmentation, first.segmentation)
    test.assertEqual(widget.ui.versionComboBox.count, 1)
