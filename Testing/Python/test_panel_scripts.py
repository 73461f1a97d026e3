"""The logic as scripts and Slicer's console use it: waiting for the result, or not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from panel_host import ROOT, program, wait_until


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """In place of the engine, whose whole road another test takes: hands out the true masks."""
    from liverseg.case import CouinaudMethod, Provenance
    from liverseg.measure import measure
    from liverseg.phantom import make_phantom, write_nifti
    from liverseg.writers import write_case
    from LiverSegModuleLib.SelfTestTools import SMALL

    phantom = make_phantom(**SMALL)
    write_nifti(phantom, tmp_path)
    method, provenance = CouinaudMethod("made up"), Provenance("made up")
    case = measure(phantom.ct, phantom.masks, method=method, provenance=provenance)
    write_case(case, tmp_path / "true", names=("liver", "couinaud", "lesions", "report"))
    words = f'echo "$@" > "{tmp_path}/arguments"\ncp -r "{tmp_path}/true" "$6"'
    path = program(tmp_path / "bin", words)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return case, path


@pytest.fixture
def volume(host, engine, tmp_path):
    from liverseg.reading import read_volume
    from liverseg_mrml.volume_node import add_volume

    return add_volume(host.scene, read_volume(tmp_path / "ct.nii.gz"), "ct")


@pytest.fixture
def logic(host):
    from LiverSegModule import LiverSegModuleLogic

    return LiverSegModuleLogic()


def test_the_example_for_slicers_console_in_the_readme_runs(host, engine, tmp_path, monkeypatch, capsys):
    import slicer

    from liverseg.reading import read_volume
    from liverseg_mrml.volume_node import add_volume

    case, _program = engine
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "LiverSegModuleLogic" in block)
    monkeypatch.chdir(tmp_path)
    saved = []
    # Reading and writing files is the application's.
    monkeypatch.setattr(
        slicer.util, "loadVolume", lambda name: add_volume(host.scene, read_volume(Path(name)), name)
    )
    monkeypatch.setattr(slicer.util, "saveNode", lambda node, name: saved.append((node.GetClassName(), name)))
    exec(compile(example, "README.md", "exec"), {"slicer": slicer})  # noqa: S102
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"liver {case.liver.volume_ml:.0f} ml"
    assert [line.split()[0] for line in told[1:]] == [str(lesion.id) for lesion in case.lesions]
    assert "--quality fast" in (tmp_path / "arguments").read_text()
    assert saved == [("vtkMRMLSegmentationNode", "liver.seg.nrrd")]


def test_a_run_that_is_not_waited_for_gives_the_same_result_later(host, engine, volume, logic):
    waited, _nodes = logic.run(volume)
    told = []
    assert logic.run(volume, wait=False, then=lambda *end: told.append(end)) is None
    assert logic.isRunning and not told
    wait_until(host, lambda: told)
    ((result, reason),) = told
    case, nodes = result
    assert reason == "" and case.lesions == waited.lesions and case.liver == waited.liver
    assert nodes.volume is volume and not logic.isRunning
    # The next run is heard of by whom it should be.
    heard = []
    logic.onFinished = heard.append
    logic.run(volume, wait=False)
    wait_until(host, lambda: not logic.isRunning)
    assert not heard and logic.onFinished == heard.append


def test_why_a_run_that_is_not_waited_for_has_no_result_is_told(host, engine, volume, logic):
    _case, path = engine
    told = []
    line = '{"event": "error", "message": "no CT at all", "exit_code": 3}'
    program(path.parent, f"echo '{line}'\nexit 3")
    logic.run(volume, wait=False, then=lambda *end: told.append(end))
    wait_until(host, lambda: told)
    program(path.parent, "sleep 60")
    logic.run(volume, wait=False, then=lambda *end: told.append(end))
    logic.cancel()
    # An engine that ends well, and leaves nothing.
    program(path.parent, "exit 0")
    logic.run(volume, wait=False, then=lambda *end: told.append(end))
    wait_until(host, lambda: len(told) == 3)
    assert [result for result, _reason in told] == [None] * 3
    assert told[0][1] == "no CT at all" and told[1][1] == "cancelled" and told[2][1]


def test_a_result_does_not_come_onto_a_volume_that_got_the_id_of_its_own(host, engine, volume, logic):
    from liverseg_mrml.case_nodes import find_case_nodes
    from liverseg_mrml.volume_node import add_volume

    case, _path = engine
    told = []
    logic.run(volume, wait=False, then=lambda *end: told.append(end))
    host.scene.Clear()
    other = add_volume(host.scene, case.ct, "another person")
    assert other.GetID() == volume.GetID()
    wait_until(host, lambda: told)
    ((result, reason),) = told
    assert result is None and "volume was removed" in reason
    assert not find_case_nodes(host.scene)


def test_a_volume_that_got_the_id_of_a_sequences_frame_stays_in_its_scene(host, engine, logic):
    from LiverSegModuleLib.SelfTestTools import showSequence

    case, path = engine
    program(path.parent, "exit 1")
    showSequence(host.widget)
    told = []
    logic.run(host.widget._parameterNode.inputVolume, wait=False, then=lambda *end: told.append(end))
    frame = logic._frame.GetID()
    host.scene.Clear()
    others = [host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine") for _ in range(4)]
    assert frame in [each.GetID() for each in others]
    wait_until(host, lambda: told)
    assert all(host.scene.IsNodePresent(each) for each in others)
    assert told[0][0] is None and logic._frame is None


def test_a_run_that_cannot_start_is_told_of_at_once(host, volume, logic):
    from LiverSegModuleLib.EngineCommand import EngineOptions

    heard = []
    logic.onFinished = heard.append
    with pytest.raises(ValueError, match="quality"):
        logic.run(volume, EngineOptions(quality="best"), wait=False)
    assert not logic.isRunning and not heard and logic.onFinished == heard.append
