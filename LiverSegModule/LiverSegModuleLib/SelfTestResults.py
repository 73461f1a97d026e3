"""Scenarios of the self test: results on screen: table, review, stale marks, remnant, export."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import qt
import slicer

from LiverSegModuleLib.SelfTestTools import column, openPanel, showPatient


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
    # A result of an earlier version, or one that was renamed, has no checksum that fits: compared whole.
    first.segmentation.RemoveAttribute("LiverSeg.Drawn")
    session.show(first)
    test.assertFalse(session.isStale)
    test.assertTrue(first.segmentation.GetAttribute("LiverSeg.Drawn"))
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
