"""The panel's section Segments by clicks: choose a method, move landmarks, split again, keep edits."""

# ruff: noqa: N803, N815

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from panel_host import bare, click, program, wait_until


@pytest.fixture
def ui(host, patient):
    """The panel with a result, the section open."""
    ui = host.widget.ui
    ui.segmentsCollapsibleButton.collapsed = False
    host.settle()
    return ui


@pytest.fixture
def here(monkeypatch):
    """The engine in this process, which costs no start; the arguments and files are those of its own one."""
    from liverseg.cli import main  # noqa: PLC0415
    from LiverSegModuleLib import SplitRun  # noqa: PLC0415
    from LiverSegModuleLib.EngineMessages import Failed, outcome_of  # noqa: PLC0415

    class Here:
        isRunning = False

        def __init__(self, onMessage, onFinished) -> None:
            self._finished = onFinished

        def start(self, program, arguments, environment) -> None:
            assert arguments[:2] == ["-m", "liverseg"]
            code = main(arguments[2:])
            said = [Failed(f"exit code {code}", code)] if code else []
            self._finished(outcome_of(code, False, False, said))

        def cancel(self) -> None: ...
        def abandon(self) -> None: ...

    monkeypatch.setattr(SplitRun, "EngineProcess", Here)


def temporary_folders() -> list[Path]:
    import slicer  # noqa: PLC0415

    return list(Path(slicer.app.temporaryPath).glob("LiverSeg-*"))


def choose(ui, method: str) -> None:
    ui.methodComboBox.currentIndex = ui.methodComboBox.findData(method)


def test_landmarks_are_shown_moved_and_split_by(host, patient, ui, here):
    nodes, case = patient
    session = host.widget.panel.session
    assert ui.methodLabel.text == "Segments: made up"
    click(ui.landmarksButton)
    assert not host.dialogs
    assert ui.landmarksButton.text == "Hide" and ui.methodComboBox.currentData == "landmarks"
    assert ui.landmarkComboBox.count == 9
    points = nodes.landmarks
    number = ui.landmarkComboBox.findText("portal bifurcation") - 1
    ui.landmarkComboBox.currentIndex = number + 1
    assert "portal vein divides" in ui.segmentsLabel.text
    click(ui.splitAgainButton)
    first = session.currentCase()
    assert not host.dialogs and "No landmark was placed for cava" in ui.segmentsLabel.text
    place = np.array(points.GetNthControlPointPositionWorld(number))
    points.SetNthControlPointPositionWorld(number, (place + (0, 0, 20)).tolist())
    click(ui.splitAgainButton)
    second = session.currentCase()
    upper = [np.isin(each.masks.couinaud, (7, 8)).sum() for each in (first, second)]
    assert upper[1] < 0.9 * upper[0]
    said = f"Segments: planes from landmarks, confidence {100 * second.method.confidence:.0f} %"
    assert ui.methodLabel.text.startswith(said) and said in ui.liverLabel.text
    assert not session.isStale
    click(ui.landmarksButton)
    assert ui.landmarksButton.text == "Show" and not points.GetDisplayNode().GetVisibility()


def test_iva_and_ivb_reach_the_tables_and_the_remnants_boxes(host, patient, ui, here):
    choose(ui, "landmarks")
    box = bare(ui.divideCheckBox)
    box.click()
    click(ui.splitAgainButton)
    assert not host.dialogs
    panel = host.widget.panel
    assert {"IVa", "IVb"} <= panel.remnant.boxes.keys()
    assert ui.borderFromComboBox.findText("IVb") >= 0
    assert "IVb" in ui.liverLabel.text
    box.click()
    click(ui.splitAgainButton)
    assert "IV" in panel.remnant.boxes and "IVa" not in panel.remnant.boxes


def test_what_the_reader_painted_stays_until_it_is_unticked(host, patient, ui, here):
    from liverseg_mrml.border_edits import move_segment_border  # noqa: PLC0415

    nodes, case = patient
    session = host.widget.panel.session
    five, eight = (case.masks.couinaud == label for label in (5, 8))
    touching = np.argwhere(five & (np.roll(eight, 1, axis=0) | np.roll(eight, -1, axis=0)))
    center = tuple(case.ct.geometry.to_ras(touching[len(touching) // 2]))
    session.edit(move_segment_border, "V", "VIII", [center], 12.0)
    assert session.isStale
    choose(ui, "vessels")
    click(ui.splitAgainButton)
    kept = session.currentCase()
    ball = five & (kept.masks.couinaud == 8)
    assert not host.dialogs and not session.isStale
    assert "drawn by hand and kept" in ui.segmentsLabel.text
    editor = bare(host.widget.panel.correct.editor.widget)
    assert editor.calls[-2:] == [("setSegmentationNode", None), ("setSegmentationNode", nodes.segmentation)]
    points = case.ct.geometry.to_ras(np.argwhere(five))
    stroke = np.zeros_like(five)
    stroke[tuple(np.argwhere(five)[np.linalg.norm(points - center, axis=1) <= 12.0].T)] = True
    assert np.all(ball[stroke])
    assert kept.method.name == "guided by vessels" and "guided by vessels" in ui.methodLabel.text
    bare(ui.keepEditsCheckBox).click()
    click(ui.splitAgainButton)
    assert "drawn by hand" not in ui.segmentsLabel.text


def test_a_split_by_shape_takes_the_network(host, patient, ui, here):
    choose(ui, "shape")
    click(ui.splitAgainButton)
    assert not host.dialogs
    case = host.widget.panel.session.currentCase()
    assert case.method.name == "learned from shape"
    assert case.provenance.weights_sha256.keys() == {"couinaud"}
    assert not temporary_folders()


def test_a_split_can_be_cancelled_and_fails_in_one_sentence(host, patient, ui, tmp_path, monkeypatch):
    nodes, case = patient
    run, before = host.widget.panel.segments.run, ui.liverLabel.text
    program(tmp_path, "sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    click(ui.splitAgainButton)
    assert run.isRunning and ui.splitAgainButton.text == "Cancel" and not ui.landmarksButton.enabled
    click(ui.splitAgainButton)
    assert ui.splitAgainButton.text == "Split again" and ui.landmarksButton.enabled
    assert not run.isRunning and ui.segmentsLabel.text == "Cancelled" and not host.dialogs
    line = '{"event": "error", "message": "there is no such model", "exit_code": 2}'
    program(tmp_path, f"echo '{line}'; exit 2")
    click(ui.splitAgainButton)
    wait_until(host, lambda: not run.isRunning)
    assert host.dialogs == ["there is no such model"]
    assert "no such model" in ui.segmentsLabel.text
    program(tmp_path, "exit 0")
    click(ui.splitAgainButton)
    wait_until(host, lambda: not run.isRunning)
    assert "left no split" in host.dialogs[-1]
    assert ui.liverLabel.text == before and not temporary_folders()


def test_an_edit_while_the_engine_splits_is_not_overwritten(host, patient, ui, here):
    from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: PLC0415
    from LiverSegModuleLib.SplitFiles import read_split  # noqa: PLC0415

    nodes, case = patient
    panel, smaller = host.widget.panel, case.masks.liver.copy()
    smaller[: np.flatnonzero(case.masks.liver.any(axis=(1, 2)))[0] + 3] = False

    def editing(files, given):
        SegmentVoxels(nodes).set_mask("liver", smaller)
        return read_split(files, given)

    section = type(panel.segments)
    original = section._onSplit.__globals__["read_split"]
    section._onSplit.__globals__["read_split"] = editing
    try:
        click(ui.splitAgainButton)
    finally:
        section._onSplit.__globals__["read_split"] = original
    assert "edited meanwhile" in host.dialogs[0]
    assert panel.session.isStale
    assert np.array_equal(panel.session.update().masks.liver, smaller)


def test_a_mistake_is_one_sentence_and_nothing_changes(host, patient, ui, here):
    click(ui.landmarksButton)
    patient[0].landmarks.SetNthControlPointLabel(0, "F-1")
    choose(ui, "landmarks")
    before = ui.liverLabel.text
    click(ui.splitAgainButton)
    assert "'F-1' is not known" in host.dialogs[0] and "Traceback" not in host.dialogs[0]
    assert ui.liverLabel.text == before


def test_liver_that_was_painted_on_is_split_by_the_cases_method_on_update(host, patient, ui, here):
    from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: PLC0415

    nodes, case = patient
    session = host.widget.panel.session
    columns = np.flatnonzero(case.masks.liver.any(axis=(0, 1)))
    kept = case.masks.liver.copy()
    kept[..., columns[-1] - len(columns) // 4 :] = False
    voxels = SegmentVoxels(nodes)
    voxels.set_mask("liver", kept)
    session.update()
    voxels.set_mask("liver", case.masks.liver)
    after = session.update()
    assert np.array_equal(after.masks.couinaud > 0, after.masks.liver)
    assert "learned from shape" not in after.method.name, "the method of the case stays"


def test_without_a_result_the_section_is_off(host):
    assert not host.widget.ui.segmentsCollapsibleButton.enabled
    assert host.widget.ui.methodLabel.text == "No result yet."
