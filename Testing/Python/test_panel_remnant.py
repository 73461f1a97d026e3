"""A planned resection in the panel: kept with its result, its corrections, and the scene."""

from __future__ import annotations

import zipfile

import pytest

from panel_host import bare


def tick(host, *numerals: str) -> None:
    for numeral in numerals:
        host.widget.panel.remnant.boxes[numeral].click()


def test_a_plan_comes_back_with_the_scene_that_was_saved(host, patient, tmp_path) -> None:
    from liverseg_mrml.planning import stored_plan
    from liverseg_mrml.scene_writer import save_scene

    ui, panel = host.widget.ui, host.widget.panel
    tick(host, "V", "VIII")
    ui.heightSpinBox.value, ui.weightSpinBox.value = 172, 70
    planned, told = stored_plan(patient[0]), ui.remnantLabel.text
    assert planned.percent_of_standardized is not None
    save_scene(host.scene, tmp_path / "tomorrow.mrb")
    host.scene.Clear()
    host.settle()
    assert ui.heightSpinBox.value == 0 and panel.remnant.resected() == []
    with zipfile.ZipFile(tmp_path / "tomorrow.mrb") as bundle:
        bundle.extractall(tmp_path)
    host.scene.SetURL(str(next(tmp_path.glob("*/*.mrml"))))
    assert host.scene.Connect()
    host.settle()
    assert panel.remnant.resected() == ["V", "VIII"]
    assert (ui.heightSpinBox.value, ui.weightSpinBox.value) == (172, 70)
    assert stored_plan(panel.session.nodes) == planned and ui.remnantLabel.text == told
    # A range of the widget's own: 0 reads "not given".
    assert bare(ui.heightSpinBox).minimum() == 0 and bare(ui.heightSpinBox).maximum() == 250


def test_each_result_has_its_own_plan(host, patient) -> None:
    from LiverSegModuleLib.SelfTestTools import showPatient

    session, remnant = host.widget.panel.session, host.widget.panel.remnant
    tick(host, "V")
    # A new result is planned as the one before, until it has a plan of its own.
    newer, _case = showPatient(host.widget)
    assert remnant.resected() == ["V"]
    tick(host, "V", "II")
    session.show(patient[0])
    assert remnant.resected() == ["V"]
    session.show(newer)
    assert remnant.resected() == ["II"]
    tick(host, "II")
    assert session.currentCase().remnant is None


def test_a_correction_measures_the_plan_again_and_exports_it_at_once(host, patient) -> None:
    from liverseg_mrml.lesion_edits import merge_lesions

    nodes, case = patient
    session = host.widget.panel.session
    tick(host, "V", "VI", "VII", "VIII")
    host.widget.ui.heightSpinBox.value, host.widget.ui.weightSpinBox.value = 172, 70
    before = session.currentCase().remnant
    nodes.segmentation.GetSegmentation().RemoveSegment("lesion_1")
    session.edit(merge_lesions, [2, 3])
    assert session.isStale
    after = session.currentCase().remnant
    kept = [s for s in session.currentCase().segments if s.name in ("I", "II", "III", "IV")]
    assert after.remnant_ml == pytest.approx(sum(s.volume_ml - s.lesion_ml for s in kept))
    assert after.resected == before.resected
    assert after.standardized_liver_ml == before.standardized_liver_ml
    assert session.currentCase().remnant == after
    assert f"{round(after.remnant_ml)} ml" in host.widget.ui.remnantLabel.text
