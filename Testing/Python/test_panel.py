"""The panel driven as a user does, in a Qt window without Slicer; the module's self test among it."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6 does not load (pip install 'liverseg[dev]', and its system libraries)",
    exc_type=ImportError,
)

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "QtHost"), str(ROOT / "LiverSegModule")]

from PySide6.QtCore import QPoint, Qt  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402

from host import Host  # noqa: E402
from pythonqt_habits import bare  # noqa: E402


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One window for all tests: the application's scene lives as long as Slicer does."""
    temporary = tmp_path_factory.mktemp("host")
    programs = tmp_path_factory.mktemp("bin")
    # A link would lose the virtual environment.
    (programs / "PythonSlicer").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "PythonSlicer").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}{os.pathsep}{path}"
    host = Host(temporary)
    host.open()
    yield host
    host.close()
    os.environ["PATH"] = path


@pytest.fixture
def host(shared):
    """The window over an empty scene."""
    shared.scene.Clear()
    shared.dialogs.clear()
    shared.details.clear()
    shared.answer = True
    shared.settle()
    return shared


@pytest.fixture
def patient(host):
    """A made-up patient's result on screen."""
    from LiverSegModuleLib.SelfTest import showPatient  # noqa: PLC0415

    nodes, case = showPatient(host.widget)
    host.settle()
    return nodes, case


def names() -> list[str]:
    """The scenarios of the self test, read without loading it (it needs the host)."""
    text = (ROOT / "LiverSegModule/LiverSegModuleLib/SelfTest.py").read_text(encoding="utf-8")
    return [line[4:].split("(")[0] for line in text.splitlines() if line.startswith("def scenario_")]


@pytest.mark.parametrize("name", names())
def test_the_modules_self_test_passes(host, name):
    from LiverSegModuleLib.SelfTest import scenarios  # noqa: PLC0415

    scenarios()[name](unittest.TestCase())
    assert not host.dialogs, "no error was shown"


def test_a_scenario_that_cannot_be_played_is_skipped_and_fails_on_a_ci_machine(host, monkeypatch):
    import LiverSegModule  # noqa: PLC0415
    from LiverSegModuleLib import SelfTest  # noqa: PLC0415

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(SelfTest, "missingPackages", lambda path: ["torch>=2.8"])
    names = ("scenario_painting_stays_where_it_belongs", "scenario_parameters_reach_the_engine")
    played = {name: SelfTest.scenarios()[name] for name in names}
    monkeypatch.setattr(SelfTest, "scenarios", lambda: played)

    class Test(LiverSegModule.LiverSegModuleTest, unittest.TestCase):
        pass

    with pytest.raises(unittest.SkipTest, match=r"1 of 2 scenarios were not played: .*torch>=2\.8"):
        Test("runTest").runTest()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="nothing may be left out"):
        Test("runTest").runTest()


def click(widget, **where) -> None:
    QTest.mouseClick(bare(widget), Qt.LeftButton, Qt.NoModifier, **where)


def test_a_click_on_a_row_selects_the_lesion_and_a_click_on_a_title_sorts(host, patient):
    table = bare(host.widget.ui.lesionTable)
    row = table.visualItemRect(table.item(2, 1)).center()
    QTest.mouseClick(table.viewport(), Qt.LeftButton, Qt.NoModifier, row)
    assert host.widget.panel.session.lesionID == int(table.item(2, 0).text())
    header = table.horizontalHeader()
    x = header.sectionViewportPosition(2) + 5
    QTest.mouseClick(header.viewport(), Qt.LeftButton, Qt.NoModifier, QPoint(x, 5))
    QTest.mouseClick(header.viewport(), Qt.LeftButton, Qt.NoModifier, QPoint(x, 5))
    lengths = [float(table.item(n, 2).text()) for n in range(table.rowCount())]
    assert lengths == sorted(lengths) or lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 1


def test_the_keys_read_lesion_after_lesion(host, patient):
    window, panel = bare(host.window), host.widget.panel
    QTest.keyClick(window, Qt.Key_N)
    first = panel.session.lesionID
    QTest.keyClick(window, Qt.Key_A)
    QTest.keyClick(window, Qt.Key_N)
    second = panel.session.lesionID
    QTest.keyClick(window, Qt.Key_R)
    QTest.keyClick(window, Qt.Key_P)
    assert panel.session.lesionID == first != second
    states = {lesion.id: lesion.review.state for lesion in panel.session.lesions}
    assert (states[first], states[second]) == ("accepted", "rejected")


def test_letters_typed_into_the_comment_are_no_keys(host, patient):
    session = host.widget.panel.session
    session.selectLesion(1)
    edit = bare(host.widget.ui.commentLineEdit)
    edit.setFocus()
    QTest.keyClicks(edit, "near a vein")
    QTest.keyClick(edit, Qt.Key_Return)
    lesion = session.lesion(1)
    assert (lesion.review.comment, lesion.review.state) == ("near a vein", "unreviewed")
    assert session.lesionID == 1


def test_the_keys_are_given_back_when_the_module_is_left(host, patient):
    host.widget.exit()
    QTest.keyClick(bare(host.window), Qt.Key_N)
    assert host.widget.panel.session.lesionID is None
    editor = bare(host.widget.panel.correct.editor.widget)
    assert not editor.observing
    # A run that ends while another module is on screen takes no views and keys from it.
    host.widget.panel.session.show(patient[0])
    assert not editor.observing
    host.widget.enter()
    assert editor.observing
    QTest.keyClick(bare(host.window), Qt.Key_N)
    assert host.widget.panel.session.lesionID is not None


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


def test_the_piece_under_the_crosshair_becomes_a_lesion_by_a_click(host, patient):
    import numpy as np  # noqa: PLC0415

    from liverseg_mrml.segment_voxels import SegmentVoxels  # noqa: PLC0415

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


def test_the_time_of_a_review_comes_into_the_provenance(host, patient):
    session = host.widget.panel.session
    session.clock._last -= 30
    session.selectLesion(1)
    case = session.currentCase()
    assert case.provenance.seconds["review"] == pytest.approx(30, abs=5)


def test_a_crash_shows_the_reason_and_keeps_the_log(host, patient):
    from LiverSegModuleLib.EngineMessages import PlainText, RunOutcome, RunState  # noqa: PLC0415

    run = host.widget.panel.run
    run.onMessage(PlainText("the last words"))
    run.onFinished(RunOutcome(RunState.FAILED, "the engine ended unexpectedly"))
    assert "ended unexpectedly" in host.dialogs[0]
    assert "the last words" in bare(host.widget.ui.logTextEdit).toPlainText()
    assert host.widget.panel.session.nodes is not None


def test_a_child_that_is_killed_leaves_its_last_words_and_no_frame(host, tmp_path, monkeypatch):
    from LiverSegModuleLib.EngineLog import NAME  # noqa: PLC0415
    from LiverSegModuleLib.SelfTest import nodeIDs, showSequence  # noqa: PLC0415

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


def test_a_saved_scene_is_taken_up_where_it_was_left(host, patient, tmp_path):
    from liverseg_mrml.scene_writer import save_scene  # noqa: PLC0415

    session = host.widget.panel.session
    session.selectLesion(2)
    session.review(2, "accepted", "seen", "Reader", "2026-01-02T03:04:05+00:00")
    save_scene(host.scene, tmp_path / "tomorrow.mrb")
    host.scene.Clear()
    assert session.nodes is None
    import zipfile  # noqa: PLC0415

    with zipfile.ZipFile(tmp_path / "tomorrow.mrb") as bundle:
        bundle.extractall(tmp_path)
    host.scene.SetURL(str(next(tmp_path.glob("*/*.mrml"))))
    assert host.scene.Import()
    host.settle()
    assert session.lesion(2).review.comment == "seen"
    assert not session.isStale
    assert bare(host.widget.ui.lesionTable).rowCount() == len(patient[1].lesions)


def test_the_picture_of_the_panel_has_something_on_it(host, patient, tmp_path):
    host.widget.panel.session.selectLesion(1)
    picture = bare(host.window).grab().toImage()
    colors = {
        picture.pixel(x, y) for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)
    }
    assert len(colors) > 50


def paint(host, ras, radius_mm):
    """A stroke of the Segment Editor with the modes that the panel set, by Slicer's own editor logic."""
    import numpy as np  # noqa: PLC0415
    import slicer  # noqa: PLC0415

    from liverseg_mrml.grids import labelmap  # noqa: PLC0415
    from liverseg_mrml.volume_node import node_geometry  # noqa: PLC0415

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
    import numpy as np  # noqa: PLC0415

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
    import numpy as np  # noqa: PLC0415

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


def test_files_are_removed_after_they_were_shown_with_their_size(host):
    temporary = Path(sys.modules["slicer"].app.temporaryPath)
    broken_off, download = temporary / "LiverSeg-gone", temporary / "CTLiver.nrrd"
    broken_off.mkdir()
    (broken_off / "ct.nrrd").write_bytes(bytes(2_500_000))
    download.write_bytes(bytes(1_500_000))
    host.widget.panel.advanced.log("what the engine said")
    log = temporary / "LiverSeg-log.txt"
    ui = host.widget.ui
    ui.advancedCollapsibleButton.collapsed = False
    host.settle()
    host.answer = False
    click(ui.removeFilesButton)
    assert "3 files or folders, 4.0 MB" in host.dialogs[0] and "LiverSeg-gone (2.5 MB)" in host.details[0]
    assert "LiverSeg-log.txt (" in host.details[0]
    assert broken_off.exists() and download.exists()
    host.answer = True
    click(ui.removeFilesButton)
    assert not broken_off.exists() and not download.exists() and not log.exists()
    assert "3 removed" in ui.removeFilesLabel.text
    click(ui.removeFilesButton)
    assert "nothing to remove" in ui.removeFilesLabel.text


def test_outputs_whose_packages_are_missing_are_shown_and_cannot_be_ticked(host, patient, monkeypatch):
    import liverseg.writers  # noqa: PLC0415

    export, items = host.widget.panel.export, bare(host.widget.ui.exportList)
    find = liverseg.writers.find_spec
    monkeypatch.setattr(liverseg.writers, "find_spec", lambda n: None if n == "highdicom" else find(n))
    export.fill()
    rows = {items.item(n).text().split(" (")[0]: items.item(n) for n in range(items.count())}
    assert not rows["seg.dcm"].flags() & Qt.ItemIsUserCheckable
    assert "highdicom" in rows["seg.dcm"].toolTip()
    assert rows["report.json"].flags() & Qt.ItemIsUserCheckable
    assert not bare(host.widget.ui.exportInstallButton).isHidden()
    monkeypatch.undo()
    export.fill()
    assert items.count() == len(liverseg.writers.OUTPUTS)


def test_the_paper_of_the_pdf_is_chosen_and_kept_for_the_next_time(host):
    import slicer  # noqa: PLC0415

    ui, export = host.widget.ui, host.widget.panel.export
    assert export.settings() == {"pdf": {"paper": "a4"}}
    ui.paperComboBox.currentIndex = ui.paperComboBox.findData("letter")
    assert export.settings() == {"pdf": {"paper": "letter"}}
    assert slicer.util.settingsValue("LiverSeg/Paper", "") == "letter"
    ui.paperComboBox.currentIndex = 0


def test_dicom_objects_of_a_ct_from_the_dicom_database_belong_to_its_study(host, patient, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom", reason="highdicom is not installed (pip install 'liverseg[dicom]')")
    import slicer  # noqa: PLC0415

    from liverseg.phantom_dicom import write_dicom_series  # noqa: PLC0415

    nodes, case = patient
    files = write_dicom_series(case.ct, tmp_path / "series")
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    by_uid = {str(header.SOPInstanceUID): str(path) for header, path in zip(headers, files, strict=True)}
    nodes.volume.SetAttribute("DICOM.instanceUIDs", " ".join(by_uid))
    items, ui = bare(host.widget.ui.exportList), host.widget.ui
    for n in range(items.count()):
        wanted = items.item(n).text().startswith("seg.dcm")
        items.item(n).setCheckState(Qt.Checked if wanted else Qt.Unchecked)
    slicer.dicomDatabase = SimpleNamespace(fileForInstance=lambda uid: by_uid[uid])
    try:
        for folder, moved_mm in (("own", 0.0), ("moved", 5.0)):
            x, y, z = nodes.volume.GetOrigin()
            nodes.volume.SetOrigin(x + moved_mm, y, z)
            ui.exportFolder.currentPath = str(tmp_path / folder)
            ui.exportButton.click()
            study = pydicom.dcmread(tmp_path / folder / "seg.dcm", stop_before_pixels=True).StudyInstanceUID
            assert (study == headers[0].StudyInstanceUID) == (folder == "own")
            assert ("generated ids" in ui.exportLabel.text) == (folder == "moved")
    finally:
        del slicer.dicomDatabase
    assert not host.dialogs


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


def test_the_example_for_slicers_console_in_the_readme_runs(host, tmp_path, monkeypatch, capsys):
    import re  # noqa: PLC0415

    import slicer  # noqa: PLC0415

    from liverseg.case import CouinaudMethod, Provenance  # noqa: PLC0415
    from liverseg.measure import measure  # noqa: PLC0415
    from liverseg.phantom import make_phantom, write_nifti  # noqa: PLC0415
    from liverseg.reading import read_volume  # noqa: PLC0415
    from liverseg.writers import write_case  # noqa: PLC0415
    from liverseg_mrml.volume_node import add_volume  # noqa: PLC0415
    from LiverSegModuleLib.SelfTest import SMALL  # noqa: PLC0415

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "LiverSegModuleLogic" in block)
    phantom = make_phantom(**SMALL)
    write_nifti(phantom, tmp_path)
    method, provenance = CouinaudMethod("made up"), Provenance("made up")
    case = measure(phantom.ct, phantom.masks, method=method, provenance=provenance)
    write_case(case, tmp_path / "true", names=("liver", "couinaud", "lesions", "report"))
    # In place of the engine, whose whole road another test takes: hands out the true masks.
    program = tmp_path / "bin" / "PythonSlicer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/arguments"\ncp -r "{tmp_path}/true" "$6"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
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
