"""Section "Segments": how the liver was split, landmarks to be moved, and a new split by a chosen method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineCommand import CouinaudFiles
from LiverSegModuleLib.EngineMessages import RunOutcome, RunState
from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.Session import Session
from LiverSegModuleLib.SplitFiles import read_guess, read_split
from LiverSegModuleLib.SplitRun import SplitRun


def methodName(name: str) -> str:
    """What people read of a method of the engine."""
    known = {
        "learned from shape": _("learned from shape"),
        "guided by vessels": _("guided by vessels"),
        "planes from landmarks": _("planes from landmarks"),
    }
    return known.get(name, name)


def methodText(method: Any) -> str:
    """A sentence about how a liver was split.

    Args:
        method: ``liverseg.case.CouinaudMethod``.
    """
    if method.confidence is None:
        text = _("Segments: {method}").format(method=methodName(method.name))
    else:
        text = _("Segments: {method}, confidence {percent} %").format(
            method=methodName(method.name), percent=round(100 * method.confidence)
        )
    return text + _(" (approximate)") if method.approximate else text


class SegmentsSection:
    """Splits the result on screen anew; what the reader painted stays while that is ticked."""

    def __init__(self, ui: Any, session: Session, editor: Any, run: SplitRun) -> None:
        self.ui, self.session, self.editor, self.run = ui, session, editor, run
        self._filling = True
        for text, method in (
            (_("Shape of the liver"), "shape"),
            (_("Vessels"), "vessels"),
            (_("Landmarks"), "landmarks"),
        ):
            ui.methodComboBox.addItem(text, method)
        self._filling = False
        ui.landmarksButton.clicked.connect(self.onLandmarks)
        ui.landmarkComboBox.currentIndexChanged.connect(self.onGoTo)
        ui.splitAgainButton.clicked.connect(self.onSplitAgain)
        session.caseChanged.connect(self.onCaseChanged)
        session.readoutChanged.connect(self.onReadoutChanged)

    def onCaseChanged(self) -> None:
        """Another result: its own method and parts are chosen."""
        from liverseg_mrml.planning import segment_readouts

        nodes = self.session.nodes
        self.ui.segmentsCollapsibleButton.enabled = nodes is not None
        self.ui.segmentsLabel.text = ""
        if nodes is not None:
            names = [segment.name for segment in segment_readouts(nodes)]
            self.ui.divideCheckBox.checked = "IVb" in names
            used = self._stored().provenance.parameters.get("couinaud_method")
            index = self.ui.methodComboBox.findData(used)
            self.ui.methodComboBox.currentIndex = max(0, index)
        self._listLandmarks()

    def onReadoutChanged(self) -> None:
        """Say how the segments came about."""
        shown = self.session.nodes is not None
        self.ui.methodLabel.text = methodText(self._stored().method) if shown else _("No result yet.")

    def onLandmarks(self, *_args: object) -> None:
        """Show the landmarks, those that nobody moved where they are guessed now; or hide them."""
        nodes = self.session.nodes
        if nodes is None:
            return
        display = nodes.landmarks.GetDisplayNode() if nodes.landmarks is not None else None
        if display is not None and display.GetVisibility():
            display.SetVisibility(False)
            self._listLandmarks()
            return
        with telling(_("The landmarks could not be shown.")):
            self._start("landmarks", self._onGuessed)

    def _onGuessed(self, files: CouinaudFiles, _given: Any, _wish: Any) -> None:
        from liverseg_mrml.landmark_points import show_landmarks

        show_landmarks(self.session.scene, self.session.nodes, read_guess(files))
        self._listLandmarks()
        self._choose("landmarks")
        self.ui.segmentsLabel.text = _(
            "Drag the points to where they belong, then press Split again. Borders pass by all points; "
            "those that you did not move count as guessed."
        )

    def onGoTo(self, *_args: object) -> None:
        """Bring the views to the chosen landmark."""
        from liverseg_mrml.navigation import jump_to_point

        number = self.ui.landmarkComboBox.currentData
        nodes = self.session.nodes
        if self._filling or number is None or nodes is None or nodes.landmarks is None:
            return
        with telling(_("The landmark cannot be shown.")):
            point = nodes.landmarks.GetNthControlPointPositionWorld(int(number))
            jump_to_point(self.session.scene, tuple(point))
            self.ui.segmentsLabel.text = nodes.landmarks.GetNthControlPointDescription(int(number))

    def onSplitAgain(self, *_args: object) -> None:
        """Split the liver as it is drawn now, or cancel the split that goes on."""
        if self.run.isRunning:
            self.run.cancel()
        elif self.session.nodes is not None:
            with telling(_("The liver could not be split again.")):
                self._start(self.ui.methodComboBox.currentData, self._onSplit)

    def _onSplit(self, files: CouinaudFiles, given: Any, wish: Any) -> None:
        from liverseg.errors import UsageError

        split, weights = read_split(files, given)

        def asSplit(now: Any, _wish: Any) -> Any:
            if not bool((now.liver == given.liver).all()):
                raise UsageError(_("the liver was edited meanwhile; press Split again once more"))
            return split

        self.session.splitAgain(wish, asSplit, weights)
        self.editor.forgetUndo()
        self._choose(wish.method)
        self.ui.segmentsLabel.text = "\n".join(self._said())

    def closeScene(self) -> None:
        """The scene is about to close: a split of its liver is of no use."""
        self.run.cancel()

    # --- inside

    def _start(self, method: str, then: Callable[[CouinaudFiles, Any, Any], None]) -> None:
        from liverseg_mrml.resplitting import SplitWish, split_input

        wish = SplitWish(
            method=method,
            split_segment_4=bool(self.ui.divideCheckBox.checked),
            keep_edits=bool(self.ui.keepEditsCheckBox.checked),
        )
        segmentation = self.session.nodes.segmentation
        given = split_input(self.session.nodes)
        parameters = self.session.parameters

        def finished(outcome: RunOutcome, files: CouinaudFiles) -> None:
            self._showRunning(False)
            shown = self.session.nodes
            if outcome.state == RunState.CANCELLED or shown is None or shown.segmentation is not segmentation:
                self.ui.segmentsLabel.text = _("Cancelled")
            elif outcome.state != RunState.DONE:
                self.ui.segmentsLabel.text = _("Failed: {reason}").format(reason=outcome.words)
                slicer.util.errorDisplay(outcome.words, windowTitle=_("LiverSeg"))
            else:
                with telling(_("The liver could not be split again.")):
                    then(files, given, wish)

        self.run.start(given, wish, parameters.model if parameters else "", finished)
        if self.run.isRunning:
            self._showRunning(True)
            self.ui.segmentsLabel.text = _("The engine splits the liver")

    def _showRunning(self, running: bool) -> None:
        self.ui.splitAgainButton.text = _("Cancel") if running else _("Split again")
        self.ui.landmarksButton.enabled = not running

    def _said(self) -> list[str]:
        from liverseg.couinaud.said import is_of_a_split

        return [text for text in self._stored().warnings if is_of_a_split(text)]

    def _stored(self) -> Any:
        from liverseg_mrml.case_nodes import READOUT
        from liverseg_mrml.readout_json import stored_readout

        return stored_readout(self.session.nodes.segmentation.GetAttribute(READOUT))

    def _choose(self, method: str) -> None:
        self.ui.methodComboBox.currentIndex = self.ui.methodComboBox.findData(method)

    def _listLandmarks(self) -> None:
        nodes = self.session.nodes
        node = nodes.landmarks if nodes is not None else None
        visible = node is not None and bool(node.GetDisplayNode().GetVisibility())
        box = self.ui.landmarkComboBox
        self._filling = True
        box.clear()
        box.addItem(_("Go to ..."), None)
        for n in range(node.GetNumberOfControlPoints() if visible else 0):
            box.addItem(node.GetNthControlPointLabel(n), n)
        self._filling = False
        box.enabled = visible
        self.ui.landmarksButton.text = _("Hide") if visible else _("Show")
