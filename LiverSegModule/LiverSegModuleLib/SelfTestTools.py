"""What the scenarios of the self test share: the panel, patients, waiting."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from LiverSegModuleLib.InstallLogic import missingPackages
from LiverSegModuleLib.RunLogic import MODULE_FOLDER

# A made-up patient small enough for a run of seconds: size and spacing (k, j, i).
SMALL = {"seed": 2003, "shape_kji": (52, 78, 84), "spacing_kji": (5.0, 4.4, 4.2)}


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


def chooseSmallPatient(widget: Any) -> Any:
    """A made-up patient as the input; returns the ``liverseg.phantom.Phantom``."""
    from liverseg.phantom import make_phantom
    from liverseg_mrml.volume_node import add_volume

    phantom = make_phantom(**SMALL)
    widget._parameterNode.inputVolume = add_volume(slicer.mrmlScene, phantom.ct, "Made-up patient")
    return phantom


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


def sameReadout(test: Any, one: Any, other: Any) -> None:
    """Two results of one CT: the same masks, numbers and table, voxel for voxel and digit for digit."""
    from dataclasses import replace

    from liverseg_mrml.from_scene import stored_case

    a, b = stored_case(one), stored_case(other)
    for name in ("liver", "couinaud", "lesions", "vessels"):
        x, y = getattr(a.masks, name), getattr(b.masks, name)
        test.assertTrue((x is None and y is None) or bool((x == y).all()), name)
    test.assertEqual((a.liver, a.segments, a.summary), (b.liver, b.segments, b.summary))
    # Each run gives its lesions ids of their own for DICOM.
    test.assertEqual(*([replace(lesion, tracking_uid="") for lesion in each.lesions] for each in (a, b)))
    test.assertEqual(cells(one.table), cells(other.table))


def cells(table: Any) -> list[list[str]]:
    """The texts of a table node."""
    rows, columns = range(table.GetNumberOfRows()), range(table.GetNumberOfColumns())
    return [[table.GetCellText(row, n) for n in columns] for row in rows]


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
