"""Nodes that are deleted elsewhere in the application: the panel shows no result that is not in the scene."""

from __future__ import annotations

import pytest

from panel_host import Qt, QTest, bare


@pytest.mark.parametrize("part", ["segmentation", "table", "volume"])
def test_a_result_that_was_deleted_elsewhere_leaves_the_panel(host, patient, part):
    from LiverSegModuleLib.SelfTestTools import showPatient

    older, _case = patient
    newer, _case = showPatient(host.widget)
    session, ui = host.widget.panel.session, host.widget.ui
    assert ui.versionComboBox.count == 2
    session.selectLesion(1)
    host.scene.RemoveNode(getattr(newer, part))
    assert session.nodes.segmentation is older.segmentation and session.lesionID is None
    assert ui.versionComboBox.count == 1 and ui.compareBeforeComboBox.count == 2
    host.scene.RemoveNode(getattr(older, part))
    assert session.nodes is None and bare(ui.lesionTable).rowCount() == 0
    assert not ui.exportButton.enabled and not ui.acceptButton.enabled
    assert "No result yet" in ui.liverLabel.text
    QTest.keyClick(bare(host.window), Qt.Key_N, Qt.ShiftModifier)
    assert not host.dialogs


def test_an_older_result_that_was_deleted_leaves_the_lists_and_nothing_else(host, patient):
    from LiverSegModuleLib.SelfTestTools import showPatient

    older, _case = patient
    newer, _case = showPatient(host.widget)
    session, ui = host.widget.panel.session, host.widget.ui
    session.selectLesion(1)
    ui.editLesionButton.click()
    effect = host.widget.panel.correct.editor.widget.activeEffect()
    host.scene.RemoveNode(older.segmentation)
    assert ui.versionComboBox.count == 1
    assert session.nodes.segmentation is newer.segmentation and session.lesionID == 1
    assert effect is not None and host.widget.panel.correct.editor.widget.activeEffect() == effect
