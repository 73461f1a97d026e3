"""Runs from the panel: crashes, batches, comparisons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from panel_host import ROOT, bare, click, wait_until

# For a process that must not need a network.
OFFLINE = """
import socket

def refuse(*_args, **_options):
    raise OSError("this test has no network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def test_a_crash_shows_the_reason_and_keeps_the_log(host, patient):
    from LiverSegModuleLib.EngineMessages import PlainText, RunOutcome, RunState

    run = host.widget.panel.run
    run.onMessage(PlainText("the last words"))
    run.onFinished(RunOutcome(RunState.FAILED, "the engine ended unexpectedly"))
    assert "ended unexpectedly" in host.dialogs[0]
    assert "the last words" in bare(host.widget.ui.logTextEdit).toPlainText()
    assert host.widget.panel.session.nodes is not None


def test_a_child_that_is_killed_leaves_its_last_words_and_no_frame(host, tmp_path, monkeypatch):
    from LiverSegModuleLib.EngineLog import NAME
    from LiverSegModuleLib.SelfTestTools import nodeIDs, showSequence

    program = tmp_path / "PythonSlicer"
    program.write_text('#!/bin/sh\necho "stage 2 of 2" >&2\nkill -9 $$\n')
    program.chmod(0o755)
    showSequence(host.widget)
    before = nodeIDs()
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    ui, panel = host.widget.ui, host.widget.panel
    host.settle()
    click(ui.applyButton)
    for _ in range(200):
        host.settle(20)
        if not panel.session.logic.isRunning:
            break
    reason = "\n".join(host.dialogs)
    assert "SIGKILL" in reason and "runs out of memory" in reason and "stage 2 of 2" in reason
    assert nodeIDs() == before
    # A reload of the module begins with an empty panel.
    assert "stage 2 of 2" in (Path(sys.modules["slicer"].app.temporaryPath) / NAME).read_text()
    log = bare(ui.logTextEdit)
    log.clear()
    panel.advanced.showKept()
    assert "stage 2 of 2" in log.toPlainText() and "SIGKILL" in log.toPlainText()


def test_the_batch_says_that_some_cases_failed(host, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "PythonSlicer"
    program.parent.mkdir()
    line = '{"event": "progress", "fraction": 0.5, "message": "b (1 of 2): liver"}'
    program.write_text(f"#!/bin/sh\necho '{line}'\necho \"$@\" > {tmp_path}/arguments\nsleep 1\nexit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    ui = host.widget.ui
    click(ui.batchButton)
    assert "choose the CTs" in host.dialogs.pop()
    ui.batchCollapsibleButton.collapsed = False
    ui.batchInput.currentPath, ui.batchOutput.currentPath = str(tmp_path), str(tmp_path / "out")
    host.settle()
    click(ui.batchButton)
    assert ui.batchButton.text == "Cancel batch"
    for _ in range(600):
        host.settle(50)
        if not host.widget.panel.batch.isRunning:
            break
    assert ui.batchButton.text == "Run batch"
    assert "Some cases failed" in ui.batchLabel.text
    assert (tmp_path / "arguments").read_text().startswith(f"-m liverseg batch {tmp_path} -o {tmp_path}/out")
    assert not host.dialogs


def test_a_list_of_cts_is_chosen_by_its_own_button(host, monkeypatch):
    from types import SimpleNamespace

    asked = []

    def choose(parent, title, folder, kinds):
        asked.append(kinds)
        return "/cts/list.csv" if len(asked) == 1 else ""

    # As PythonQt has it: the path alone.
    qt = sys.modules["qt"]
    monkeypatch.setattr(qt, "QFileDialog", SimpleNamespace(getOpenFileName=choose), raising=False)
    ui = host.widget.ui
    ui.batchCollapsibleButton.collapsed = False
    host.settle()
    click(ui.batchListButton)
    assert ui.batchInput.currentPath == "/cts/list.csv" and "*.csv" in asked[0]
    # Closed without a choice: what was there stays.
    click(ui.batchListButton)
    assert ui.batchInput.currentPath == "/cts/list.csv"


def test_a_batch_from_the_panel_with_the_real_engine_and_without_a_network(host, tmp_path, monkeypatch):
    import csv

    import numpy as np

    from liverseg.masks_reading import read_masks
    from liverseg.phantom import write_nifti
    from liverseg.reading import read_volume
    from LiverSegModuleLib.Parameter import Device, Quality
    from LiverSegModuleLib.SelfTestTools import chooseSmallPatient, coarseModel

    # Every process of Python that is started from now on refuses to go online.
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(OFFLINE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'offline'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    widget, ui = host.widget, host.widget.ui
    phantom = chooseSmallPatient(widget)
    cts, out = tmp_path / "cts", tmp_path / "out"
    (cts / "one").mkdir(parents=True)
    write_nifti(phantom, cts / "one")
    (cts / "broken.nii.gz").write_text("no image")
    parameters = widget._parameterNode
    parameters.device, parameters.quality = Device.CPU, Quality.FAST
    parameters.model = coarseModel(tmp_path)
    ui.batchCollapsibleButton.collapsed = False
    ui.batchInput.currentPath, ui.batchOutput.currentPath = str(cts), str(out)
    host.settle()
    click(ui.batchButton)
    assert widget.panel.batch.isRunning, host.dialogs
    wait_until(host, lambda: not widget.panel.batch.isRunning, 300)
    assert "Some cases failed" in ui.batchLabel.text and bare(ui.batchProgressBar).value() == 100
    rows = {row["case"]: row for row in csv.DictReader((out / "summary.csv").open(encoding="utf-8"))}
    assert {name: row["status"] for name, row in rows.items()} == {"broken": "failed", "one": "done"}
    written = read_masks(out / "one", read_volume(cts / "one" / "ct.nii.gz")).masks
    voxel_ml = phantom.ct.geometry.voxel_volume_ml
    assert float(rows["one"]["liver_ml"]) == pytest.approx(written.liver.sum() * voxel_ml, abs=1e-3)
    assert written.liver.sum() == pytest.approx(phantom.masks.liver.sum(), rel=0.25)
    assert int(rows["one"]["lesions"]) == len(set(np.unique(written.lesions)) - {0})
    assert not host.dialogs


def test_results_of_a_closed_scene_cannot_be_compared_any_more(host, patient):
    ui = host.widget.ui
    boxes = [bare(box) for box in (ui.compareBeforeComboBox, ui.compareAfterComboBox)]
    assert [box.itemText(0) for box in boxes] == ["LiverSeg, Made-up patient"] * 2
    for entered in (True, False):
        if not entered:
            host.widget.exit()
        host.scene.Clear()
        listed = [[box.itemText(n) for n in range(box.count())] for box in boxes]
        assert listed == [["A result folder:"]] * 2
    host.widget.enter()


def test_a_comparison_of_one_result_with_itself_or_with_no_folder_is_refused(host, patient):
    ui = host.widget.ui
    ui.compareCollapsibleButton.collapsed = False
    host.settle()
    click(ui.compareButton)
    assert "the same result" in host.dialogs[0]
    ui.compareAfterComboBox.currentIndex = 1
    assert ui.compareAfterFolder.visible and not ui.compareBeforeFolder.visible
    click(ui.compareButton)
    assert "choose a result folder" in host.dialogs[1]
    assert not host.widget.panel.compare.isRunning


def test_the_panel_opens_and_checks_a_ct_before_any_package_is_installed(tmp_path):
    lines = (ROOT / "LiverSegModule/Resources/requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line.split(">")[0] for line in lines if line and not line.startswith("#")]
    # Slicer brings these two; the others are imported by other names than they are installed by.
    brought, names = {"scipy", "pydicom"}, {"connected-components-3d": "cc3d", "pillow": "PIL"}
    missing = ["torch", *(names.get(name, name) for name in required if name not in brought)]
    command = [sys.executable, str(ROOT / "Testing/QtHost/fresh_slicer.py"), str(tmp_path), *missing]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "DIALOGS []" in answer.stdout
    assert "APPLY True" in answer.stdout
    assert "DEVICES Known once" in answer.stdout
    assert "HU" in answer.stdout
