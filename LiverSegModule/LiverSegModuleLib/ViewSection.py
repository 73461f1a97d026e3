"""Section "3D": layouts, surfaces and volume renderings."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Messages import busy, enable, noResultYet, telling
from LiverSegModuleLib.ReviewLayout import REVIEW_LAYOUT, registerReviewLayout
from LiverSegModuleLib.Session import Session

NO_RENDERING, LIVER, CONTRAST, SURFACE = "none", "liver", "contrast", "surface"


class ViewSection:
    """How the result looks in 3D, and how views are laid out."""

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self._filling = True
        for text, kind in (
            (_("None"), NO_RENDERING),
            (_("CT inside the liver"), LIVER),
            (_("Maximum projection of contrast"), CONTRAST),
            (_("Iso-surface of the CT"), SURFACE),
        ):
            ui.renderingComboBox.addItem(text, kind)
        for text, name in (
            (_("Keep"), ""),
            (_("Lesion review"), "review"),
            (_("Conventional"), "conventional"),
            (_("Four-up"), "four-up"),
        ):
            ui.layoutComboBox.addItem(text, name)
        self._filling = False
        ui.opacityComboBox.currentIndexChanged.connect(self.onOpacity)
        ui.renderingComboBox.currentIndexChanged.connect(self.onRendering)
        ui.layoutComboBox.currentIndexChanged.connect(self.onLayout)
        ui.smoothingSlider.valueChanged.connect(self.onSmoothing)
        ui.thresholdSlider.valueChanged.connect(self.onThreshold)
        session.caseChanged.connect(self.refresh)
        session.staleChanged.connect(self.onStaleChanged)

    def refresh(self) -> None:
        """Nothing can be shown without a result; the widgets say how the one on screen looks."""
        from liverseg_mrml.renderings import shown_rendering
        from liverseg_mrml.views3d import surface_smoothing

        nodes = self.session.nodes
        enable(self.ui.viewsFrame, noResultYet(nodes))
        kind = (shown_rendering(nodes) if nodes is not None else None) or NO_RENDERING
        self._listPresets()
        box = self.ui.renderingComboBox
        before = box.currentData
        self._filling = True
        box.currentIndex = box.findData(kind)
        if nodes is not None:
            self.ui.smoothingSlider.value = surface_smoothing(nodes)
        self._filling = False
        if before != kind and CONTRAST in (before, kind):
            self._setProjection(kind == CONTRAST)
        self._enableThreshold()

    def _listPresets(self) -> None:
        """List the presets of opacity that fit the result, and choose the one that it has."""
        from liverseg_mrml.views3d import offered_presets, shown_preset

        titles = {
            "overview": _("Overview"),
            "segments": _("Segments"),
            "glass liver": _("Lesions in glass liver"),
            "vessels": _("Vessels"),
        }
        box, nodes = self.ui.opacityComboBox, self.session.nodes
        self._filling = True
        box.clear()
        for name in offered_presets(nodes) if nodes is not None else titles:
            box.addItem(titles[name], name)
        if nodes is not None:
            box.currentIndex = max(0, box.findData(shown_preset(nodes)))
        self._filling = False

    def onStaleChanged(self) -> None:
        """Say that a rendering is older than the masks; with the numbers, it is brought up to date."""
        from liverseg_mrml.renderings import shown_rendering_is_stale

        nodes = self.session.nodes
        old = nodes is not None and shown_rendering_is_stale(nodes)
        if old and not self.session.isStale:
            with telling(_("The volume could not be rendered.")):
                self._render(self.ui.renderingComboBox.currentData)
            old = shown_rendering_is_stale(nodes)
        self.ui.staleViewsLabel.visible = old

    def onLayout(self, *_args: object) -> None:
        """Lay the views out."""
        node = registerReviewLayout(self.session.scene)
        name = self.ui.layoutComboBox.currentData
        if node is None or not name:
            return
        numbers = {
            "review": REVIEW_LAYOUT,
            "conventional": slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView,
            "four-up": slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
        }
        node.SetViewArrangement(numbers[name])

    def onOpacity(self, *_args: object) -> None:
        """Show the surfaces as the chosen preset says."""
        from liverseg_mrml.views3d import apply_opacity_preset

        preset = self.ui.opacityComboBox.currentData
        if self.session.nodes is not None and preset and not self._filling:
            with telling(_("The surfaces could not be shown.")):
                apply_opacity_preset(self.session.nodes, preset)

    def onSmoothing(self, *_args: object) -> None:
        """Make the surfaces anew with the slider's smoothing."""
        from liverseg_mrml.views3d import set_surface_smoothing

        if self.session.nodes is not None and not self._filling:
            with telling(_("The surfaces could not be made.")), busy():
                set_surface_smoothing(self.session.nodes, self.ui.smoothingSlider.value)

    def onRendering(self, *_args: object) -> None:
        """Show the chosen volume rendering, and no other of ours."""
        kind = self.ui.renderingComboBox.currentData
        self._enableThreshold()
        if self.session.nodes is None or self._filling:
            return
        with telling(_("The volume could not be rendered.")):
            self._hideRenderings()
            self._setProjection(kind == CONTRAST)
            if kind != NO_RENDERING:
                self._render(kind)
        self.onStaleChanged()

    def onThreshold(self, *_args: object) -> None:
        """Move the iso-surface."""
        if self.session.nodes is not None and self.ui.renderingComboBox.currentData == SURFACE:
            with telling(_("The volume could not be rendered.")):
                self._render(SURFACE)

    def _enableThreshold(self) -> None:
        surface = self.ui.renderingComboBox.currentData == SURFACE
        enable(self.ui.thresholdSlider, "" if surface else _("Choose the iso-surface as the volume first."))

    def _render(self, kind: str) -> None:
        from liverseg_mrml.renderings import rendering_display
        from liverseg_mrml.views3d import rendering_volume, style_rendering

        nodes = self.session.nodes
        volume = nodes.volume if kind == SURFACE else rendering_volume(self.session.scene, nodes, kind)
        logic = slicer.util.getModuleLogic("VolumeRendering")
        display = rendering_display(logic, volume)
        # Otherwise window and level of the slices would change the colors.
        display.SetFollowVolumeDisplayNode(False)
        style_rendering(display, kind, self.ui.thresholdSlider.value if kind == SURFACE else None)
        display.SetVisibility(True)

    def _hideRenderings(self) -> None:
        from liverseg_mrml.case_nodes import find_case_nodes
        from liverseg_mrml.renderings import hide_renderings

        for nodes in find_case_nodes(self.session.scene):
            hide_renderings(nodes)

    def _setProjection(self, maximum: bool) -> None:
        technique = (
            slicer.vtkMRMLViewNode.MaximumIntensityProjection if maximum else slicer.vtkMRMLViewNode.Composite
        )
        for n in range(self.session.scene.GetNumberOfNodesByClass("vtkMRMLViewNode")):
            self.session.scene.GetNthNodeByClass(n, "vtkMRMLViewNode").SetRaycastTechnique(technique)
