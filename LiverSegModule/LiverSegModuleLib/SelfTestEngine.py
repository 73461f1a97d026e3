"""Scenarios of the self test: the engine in its own process."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import slicer

from LiverSegModuleLib.EngineMessages import PlainText, Progress, RunOutcome, RunState
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.Parameter import Device, Quality, engineOptions
from LiverSegModuleLib.SelfTestTools import (
    chooseSmallPatient,
    coarseModel,
    openPanel,
    requirePackages,
    sameReadout,
    showPatient,
    waitUntil,
)


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


def scenario_the_liver_is_split_again_by_landmarks_that_were_moved(test: Any) -> None:
    widget = openPanel(test)
    nodes, case = showPatient(widget)
    ui, session, run = widget.ui, widget.panel.session, widget.panel.segments.run
    before = "torch" in sys.modules
    ui.landmarksButton.click()
    test.assertFalse(ui.landmarksButton.enabled)
    waitUntil(test, lambda: not run.isRunning, 120)
    points = nodes.landmarks
    test.assertEqual(points.GetNumberOfControlPoints(), 8)
    number = ui.landmarkComboBox.findText("portal bifurcation")
    ui.landmarkComboBox.currentIndex = number
    x, y, z = points.GetNthControlPointPositionWorld(number - 1)
    points.SetNthControlPointPositionWorld(number - 1, (x, y, z + 15.0))
    ui.splitAgainButton.click()
    waitUntil(test, lambda: not run.isRunning, 120)
    after = session.currentCase()
    test.assertEqual(after.method.name, "planes from landmarks")
    test.assertEqual(list(after.provenance.weights_sha256), ["couinaud"])
    test.assertAlmostEqual(after.liver.volume_ml, case.liver.volume_ml)
    test.assertIn(f"{100 * after.method.confidence:.0f} %", ui.methodLabel.text)
    test.assertEqual("torch" in sys.modules, before)


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
    phantom = chooseSmallPatient(widget)
    volume = widget._parameterNode.inputVolume
    session = widget.panel.session
    with tempfile.TemporaryDirectory() as folder:
        parameters = widget._parameterNode
        parameters.device, parameters.quality = Device.CPU, Quality.FAST
        parameters.model = coarseModel(Path(folder))
        widget.ui.applyButton.click()
        test.assertTrue(session.logic.isRunning)
        test.assertEqual(widget.ui.applyButton.text, "Cancel")
        waitUntil(test, lambda: not session.logic.isRunning, 600)
        test.assertEqual(widget.ui.applyButton.text, "Apply")
        first = session.nodes
        test.assertIsNotNone(first, widget.ui.statusLabel.text)
        case, second = session.logic.run(volume, engineOptions(parameters))
        # Waiting for it or not makes no difference.
        sameReadout(test, first, second)
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
