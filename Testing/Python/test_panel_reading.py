"""Reading lesion after lesion in the panel, by real clicks and keys."""

from __future__ import annotations

import re

import pytest
from PySide6.QtCore import QPoint

from panel_host import Qt, QTest, bare


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
    QTest.keyClick(window, Qt.Key_N, Qt.ShiftModifier)
    first = panel.session.lesionID
    QTest.keyClick(window, Qt.Key_A, Qt.ShiftModifier)
    QTest.keyClick(window, Qt.Key_N, Qt.ShiftModifier)
    second = panel.session.lesionID
    QTest.keyClick(window, Qt.Key_R, Qt.ShiftModifier)
    QTest.keyClick(window, Qt.Key_P, Qt.ShiftModifier)
    assert panel.session.lesionID == first != second
    states = {lesion.id: lesion.review.state for lesion in panel.session.lesions}
    assert (states[first], states[second]) == ("accepted", "rejected")


def test_a_letter_alone_is_slicers_and_neither_goes_on_nor_reviews(host, patient):
    window, session = bare(host.window), host.widget.panel.session
    session.selectLesion(1)
    for key in (Qt.Key_N, Qt.Key_P, Qt.Key_A, Qt.Key_R):
        QTest.keyClick(window, key)
    assert session.lesionID == 1
    assert {lesion.review.state for lesion in session.lesions} == {"unreviewed"}


def test_letters_typed_into_the_comment_are_no_keys(host, patient):
    session = host.widget.panel.session
    session.selectLesion(1)
    edit = bare(host.widget.ui.commentLineEdit)
    edit.setFocus()
    QTest.keyClicks(edit, "near a vein, RAPN")
    QTest.keyClick(edit, Qt.Key_Return)
    lesion = session.lesion(1)
    assert (lesion.review.comment, lesion.review.state) == ("near a vein, RAPN", "unreviewed")
    assert session.lesionID == 1


def test_the_keys_are_given_back_when_the_module_is_left(host, patient):
    host.widget.exit()
    QTest.keyClick(bare(host.window), Qt.Key_N, Qt.ShiftModifier)
    assert host.widget.panel.session.lesionID is None
    editor = bare(host.widget.panel.correct.editor.widget)
    assert not editor.observing
    # A run that ends while another module is on screen takes no views and keys from it.
    host.widget.panel.session.show(patient[0])
    assert not editor.observing
    host.widget.enter()
    assert editor.observing
    QTest.keyClick(bare(host.window), Qt.Key_N, Qt.ShiftModifier)
    assert host.widget.panel.session.lesionID is not None


def test_the_time_of_a_review_comes_into_the_provenance(host, patient):
    session = host.widget.panel.session
    session.clock._last -= 30
    session.selectLesion(1)
    case = session.currentCase()
    assert case.provenance.seconds["review"] == pytest.approx(30, abs=5)


def saved_review_seconds(host, folder):
    host.scene.Commit(str(folder / "scene.mrml"))
    found = re.findall(r"review[^,:}]{0,12}: ?([0-9.]+)", (folder / "scene.mrml").read_text(encoding="utf-8"))
    return float(found[0]) if found else 0.0


def test_a_scene_that_is_saved_holds_the_time_of_the_review_so_far(host, patient, tmp_path):
    panel = host.widget.panel
    timer = bare(panel.results._timer)
    assert timer.isActive() and timer.interval() == 5000
    panel.session.clock._last -= 30
    timer.setInterval(10)
    host.settle(60)
    timer.setInterval(5000)
    assert saved_review_seconds(host, tmp_path) == pytest.approx(30, abs=5)
    # Nobody reads while another module is on screen.
    host.widget.exit()
    assert not timer.isActive() and not panel.session.clock.isCounting
    host.widget.enter()


def test_the_time_of_a_review_in_a_closed_scene_is_not_the_next_persons(host, patient):
    from LiverSegModuleLib.SelfTestTools import showPatient

    session = host.widget.panel.session
    session.clock._last -= 30
    host.scene.Clear()
    showPatient(host.widget)
    assert session.currentCase().provenance.seconds.get("review", 0) < 10


def test_nothing_of_a_person_stays_on_screen_when_the_scene_closes(host, patient):
    from LiverSegModuleLib.EngineMessages import RunOutcome, RunState

    nodes, case = patient
    panel, ui = host.widget.panel, host.widget.ui
    panel.session.logic.loadResults = lambda: (case, nodes)
    panel.run.onFinished(RunOutcome(RunState.DONE))
    del panel.session.logic.loadResults
    panel.results.step(1)
    panel.correct.onPlane()
    ui.liverLabel.toolTip, ui.exportLabel.text = "a hint", "2 files written to a folder"
    ui.segmentsLabel.text = "a warning"
    ui.compareProgressBar.value = 100
    assert "Liver" in ui.statusLabel.text and ui.progressBar.value == 100 and ui.correctLabel.text
    host.scene.Clear()
    host.settle()
    labels = (ui.statusLabel, ui.correctLabel, ui.exportLabel, ui.segmentsLabel, ui.commentLineEdit)
    assert [each.text for each in labels] == [""] * len(labels)
    assert (ui.liverLabel.text, ui.liverLabel.toolTip) == ("No result yet.", "")
    assert (ui.progressBar.value, ui.compareProgressBar.value) == (0, 0)
    assert ui.planeButton.text == "Split by plane"
    assert bare(ui.lesionTable).rowCount() == 0


@pytest.mark.parametrize("way", ["opened in place of the scene", "added to it"])
def test_a_saved_scene_is_taken_up_where_it_was_left(host, patient, tmp_path, way):
    from liverseg_mrml.case_nodes import find_case_nodes
    from liverseg_mrml.scene_writer import save_scene

    session = host.widget.panel.session
    session.selectLesion(2)
    session.review(2, "accepted", "seen", "Reader", "2026-01-02T03:04:05+00:00")
    save_scene(host.scene, tmp_path / "tomorrow.mrb")
    host.scene.Clear()
    assert session.nodes is None
    import zipfile

    with zipfile.ZipFile(tmp_path / "tomorrow.mrb") as bundle:
        bundle.extractall(tmp_path)
    host.scene.SetURL(str(next(tmp_path.glob("*/*.mrml"))))
    # As vtkMRMLScene::ReadFromMRB does, which the application calls.
    assert host.scene.Connect() if way.startswith("opened") else host.scene.Import()
    host.settle()
    assert session.lesion(2).review.comment == "seen"
    assert not session.isStale
    (nodes,) = find_case_nodes(host.scene)
    assert session.nodes.folder == nodes.folder
    assert host.widget.ui.versionComboBox.currentText == "LiverSeg, Made-up patient"
    assert bare(host.widget.ui.lesionTable).rowCount() == len(patient[1].lesions)


def test_the_picture_of_the_panel_has_something_on_it(host, patient, tmp_path):
    host.widget.panel.session.selectLesion(1)
    picture = bare(host.window).grab().toImage()
    colors = {
        picture.pixel(x, y) for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)
    }
    assert len(colors) > 50


def test_a_button_that_cannot_be_pressed_says_why(host):
    from LiverSegModuleLib.SelfTestTools import showPatient

    ui = host.widget.ui
    first = "There is no result yet: read out a CT first."
    waiting = (
        *(ui.removeVersionButton, ui.nextLesionButton, ui.acceptButton, ui.commentLineEdit),
        *(ui.correctCollapsibleButton, ui.viewsFrame, ui.exportButton),
    )
    assert [(each.enabled, each.toolTip) for each in waiting[2:]] == [(False, first)] * 5
    assert [each.toolTip for each in waiting[:2]] == [first] * 2
    assert ui.applyButton.toolTip == "Choose a CT first"
    empty = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    host.widget._parameterNode.inputVolume = empty
    assert not ui.applyButton.enabled and "section Input says why" in ui.applyButton.toolTip
    showPatient(host.widget)
    assert ui.applyButton.enabled and ui.applyButton.toolTip == "Read out the liver"
    assert all(each.enabled for each in (ui.exportButton, ui.removeVersionButton, ui.viewsFrame))
    assert ui.exportButton.toolTip.startswith("Write the ticked files")
    assert not ui.acceptButton.enabled and ui.acceptButton.toolTip == "Choose a lesion in the table first."
    assert not ui.updateButton.enabled and "Nothing was edited" in ui.updateButton.toolTip
    host.widget.panel.session.selectLesion(1)
    assert (
        ui.acceptButton.enabled and ui.acceptButton.toolTip == "The selected lesions are lesions (Shift+A)."
    )


def test_a_comment_outside_of_a_narrow_panel_is_read_over_any_cell_of_its_row(host, patient):
    session, table = host.widget.panel.session, bare(host.widget.ui.lesionTable)
    session.review(2, "accepted", "near a vein", None, "2026-01-02T03:04:05+00:00")
    row = next(n for n in range(table.rowCount()) if table.item(n, 0).text() == "2")
    assert {table.item(row, column).toolTip() for column in range(table.columnCount())} == {"near a vein"}
    assert table.item(1 - min(row, 1), 0).toolTip() == ""
