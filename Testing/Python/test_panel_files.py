"""What the panel writes, and what it removes from the disk."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from panel_host import Qt, bare, click


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
    import liverseg.writers

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
    import slicer

    ui, export = host.widget.ui, host.widget.panel.export
    assert export.settings() == {"pdf": {"paper": "a4"}}
    ui.paperComboBox.currentIndex = ui.paperComboBox.findData("letter")
    assert export.settings() == {"pdf": {"paper": "letter"}}
    assert slicer.util.settingsValue("LiverSeg/Paper", "") == "letter"
    ui.paperComboBox.currentIndex = 0


def test_dicom_objects_of_a_ct_from_the_dicom_database_belong_to_its_study(host, patient, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom", reason="highdicom is not installed (pip install 'liverseg[dicom]')")
    import slicer

    from liverseg.phantom_dicom import write_dicom_series

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
