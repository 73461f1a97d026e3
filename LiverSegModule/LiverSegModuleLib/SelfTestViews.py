"""Scenarios of the self test: surfaces and volume renderings."""

from __future__ import annotations

from typing import Any

import slicer

from LiverSegModuleLib.SelfTestTools import nodeIDs, openPanel, showPatient


def scenario_surfaces_and_volumes_are_shown_as_chosen(test: Any) -> None:
    widget = openPanel(test)
    nodes, _case = showPatient(widget)
    display = nodes.segmentation.GetDisplayNode()
    widget.ui.opacityComboBox.currentIndex = 2
    test.assertFalse(display.GetSegmentVisibility3D("couinaud_8"))
    test.assertTrue(display.GetSegmentVisibility3D("lesion_1"))
    for index, projected in ((1, False), (2, True), (3, False), (0, False)):
        widget.ui.renderingComboBox.currentIndex = index
        count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
        shown = [
            node
            for node in (
                slicer.mrmlScene.GetNthNodeByClass(n, "vtkMRMLVolumeRenderingDisplayNode")
                for n in range(count)
            )
            if node.GetVisibility()
        ]
        test.assertEqual(len(shown), 1 if index else 0)
        view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
        if view is not None:
            maximum = view.GetRaycastTechnique() == slicer.vtkMRMLViewNode.MaximumIntensityProjection
            test.assertEqual(maximum, projected)


def scenario_vessels_can_be_chosen_where_there_are_some(test: Any) -> None:
    widget = openPanel(test)
    from dataclasses import replace

    from liverseg.measure import measure
    from liverseg_mrml.to_scene import add_case_to_scene

    session, presets = widget.panel.session, widget.ui.opacityComboBox
    nodes, case = showPatient(widget)
    presets.currentIndex = presets.findData("vessels")
    test.assertEqual(presets.count, 4)
    masks = replace(case.masks, vessels=None)
    fewer = measure(case.ct, masks, method=case.method, provenance=case.provenance)
    session.show(add_case_to_scene(slicer.mrmlScene, fewer, nodes.volume, "LiverSeg (2)"))
    test.assertEqual(presets.findData("vessels"), -1)
    test.assertEqual(presets.currentData, "overview")
    session.show(nodes)
    test.assertEqual(presets.count, 4)


def scenario_another_result_hides_the_renderings_of_the_one_before(test: Any) -> None:
    widget = openPanel(test)
    from liverseg_mrml.renderings import shown_rendering
    from liverseg_mrml.to_scene import add_case_to_scene

    box, session = widget.ui.renderingComboBox, widget.panel.session
    first, case = showPatient(widget)
    before = nodeIDs()
    second = add_case_to_scene(slicer.mrmlScene, case, first.volume, "LiverSeg (2)")
    session.show(second)
    box.currentIndex = box.findData("liver")
    test.assertEqual(shown_rendering(second), "liver")
    session.show(first)
    test.assertIsNone(shown_rendering(second))
    test.assertEqual(box.currentData, "none")
    session.show(second)
    session.removeShown()
    test.assertEqual(nodeIDs(), before)
