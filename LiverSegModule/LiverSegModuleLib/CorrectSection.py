"""Section "Correct": the Segment Editor on the result, edits of whole lesions, stale marks and Update."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from LiverSegModuleLib.EditorPanel import EditorPanel
from LiverSegModuleLib.Messages import busy, enable, telling
from LiverSegModuleLib.Session import Session

# Update waits until the hand rests this long.
AUTO_UPDATE_MS = 1500


class CorrectSection:
    """Edits of the masks. The numbers are marked stale at once and follow on Update."""

    def __init__(self, ui: Any, session: Session, selectedIDs: Any) -> None:
        self.ui, self.session, self._selectedIDs = ui, session, selectedIDs
        self.editor = EditorPanel(ui.editorFrame, session)
        # The node itself: a scene that was closed gives its ID to others.
        self._plane: Any = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(AUTO_UPDATE_MS)
        self._timer.timeout.connect(self.onAutoUpdate)
        ui.updateButton.clicked.connect(lambda *_args: self.update())
        ui.splitButton.clicked.connect(self.onSplit)
        ui.planeButton.clicked.connect(self.onPlane)
        ui.mergeButton.clicked.connect(self.onMerge)
        ui.islandButton.clicked.connect(self.onIsland)
        ui.editLesionButton.clicked.connect(self.onEditLesion)
        ui.newLesionButton.clicked.connect(self.onNewLesion)
        ui.borderButton.clicked.connect(self.onBorder)
        session.caseChanged.connect(self.onCaseChanged)
        session.staleChanged.connect(self.onStaleChanged)

    # --- stale marks

    def onCaseChanged(self) -> None:
        """Another result: the editor works on it, and the borders are between its segments."""
        from liverseg_mrml.planning import segment_readouts

        self._forgetPlane()
        self._say("")
        nodes = self.session.nodes
        names = [segment.name for segment in segment_readouts(nodes)] if nodes else []
        for box in (self.ui.borderFromComboBox, self.ui.borderToComboBox):
            box.clear()
            for name in names:
                box.addItem(name, name)
        if len(names) > 1:
            self.ui.borderToComboBox.currentIndex = 1
        self.editor.show()

    def onStaleChanged(self) -> None:
        """Say whether the numbers belong to the masks."""
        stale = self.session.isStale
        self.ui.staleLabel.visible = stale
        self.ui.staleResultsLabel.visible = stale
        enable(self.ui.updateButton, "" if stale else _("Nothing was edited since it was measured."))
        automatic = bool(self.session.parameters and self.session.parameters.autoUpdate)
        if stale and automatic:
            self._timer.start()
        elif not stale:
            self._timer.stop()

    def onAutoUpdate(self) -> None:
        """Bring the numbers up to date when the hand rests."""
        if self.session.isStale and self.session.parameters.autoUpdate:
            self.update()

    def update(self) -> None:
        """Measure what was edited."""
        if self.session.nodes is None:
            return
        with telling(_("The numbers could not be brought up to date.")), busy():
            before = {lesion.id for lesion in self.session.lesions}
            case = self.session.update()
            new = [str(lesion.id) for lesion in case.lesions if lesion.id not in before]
            text = _("Up to date. New lesions: {ids}").format(ids=", ".join(new)) if new else _("Up to date.")
            self.ui.correctLabel.text = text

    # --- whole lesions

    def onSplit(self, *_args: object) -> None:
        """Make every connected part of the selected lesion a lesion."""
        from liverseg_mrml.lesion_edits import split_lesion_into_parts

        with telling(_("The lesion could not be split.")):
            ids = self._edit(split_lesion_into_parts, self._oneLesion())
            self._say(_("Lesion {id} became {ids}").format(id=ids[0], ids=_list(ids)))

    def onPlane(self, *_args: object) -> None:
        """First press: a plane across the selected lesion, to be moved. Second press: cut along it."""
        from liverseg_mrml.lesion_edits import split_lesion_by_plane

        with telling(_("The lesion could not be split.")):
            plane = self._plane
            if not self._hasPlane():
                self._placePlane(self._oneLesion())
                return
            lesionID = int(plane.GetAttribute("LiverSeg.LesionId"))
            origin, normal = plane.GetOriginWorld(), plane.GetNormalWorld()
            ids = self._edit(split_lesion_by_plane, lesionID, tuple(origin), tuple(normal))
            self._forgetPlane()
            self._say(_("Lesion {id} became {ids}").format(id=ids[0], ids=_list(ids)))

    def onMerge(self, *_args: object) -> None:
        """Make one lesion of the selected ones."""
        from liverseg_mrml.lesion_edits import merge_lesions

        with telling(_("The lesions could not be merged.")):
            ids = self._selectedIDs()
            kept = self._edit(merge_lesions, ids)
            self._say(_("Lesions {ids} became lesion {id}").format(ids=_list(ids), id=kept))

    def onIsland(self, *_args: object) -> None:
        """Make a lesion of the piece under the crosshair."""
        from liverseg_mrml.lesion_edits import add_lesion_from_island

        with telling(_("No lesion could be made of the island.")):
            point = self._crosshair()
            lesionID = self._edit(add_lesion_from_island, point)
            self._say(_("The island became lesion {id}").format(id=lesionID))

    def onEditLesion(self, *_args: object) -> None:
        """Paint on the selected lesion, inside of the liver."""
        with telling(_("The lesion cannot be painted on.")):
            self.editor.editLesion(self._oneLesion())

    def onNewLesion(self, *_args: object) -> None:
        """An empty lesion to be painted, inside of the liver."""
        with telling(_("No lesion could be added.")):
            self._say(_("Paint lesion {id}").format(id=self.editor.addLesion()))

    def onBorder(self, *_args: object) -> None:
        """Paint from one Couinaud segment into another; nothing else is touched."""
        with telling(_("The border cannot be moved.")):
            giver, taker = self.ui.borderFromComboBox.currentData, self.ui.borderToComboBox.currentData
            self.editor.moveBorder(giver, taker)
            self._say(
                _("Paint over segment {one} to give it to segment {other}").format(one=giver, other=taker)
            )

    def release(self) -> None:
        """Let go of views and keys: the module is left. A plane waits for its second press."""
        self._timer.stop()
        self.editor.release()

    def closeScene(self) -> None:
        """The scene is about to close, and a plane goes with it."""
        self.release()
        self._plane = None
        self._forgetPlane()

    def abandon(self) -> None:
        """The application closes, or the module is reloaded: nobody would remove a plane later."""
        self.release()
        self._forgetPlane()

    # --- inside

    def _edit(self, change: Any, *arguments: Any) -> Any:
        self.editor.saveStateForUndo()
        return self.session.edit(change, *arguments)

    def _say(self, text: str) -> None:
        self.ui.correctLabel.text = text

    def _oneLesion(self) -> int:
        from liverseg.errors import UsageError

        if self.session.lesionID is None:
            raise UsageError(_("choose a lesion in the table first"))
        return self.session.lesionID

    def _crosshair(self) -> tuple[float, float, float]:
        from liverseg.errors import UsageError

        node = self.session.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if node is None:
            raise UsageError(_("there is no crosshair; hold Shift and move the mouse over the island"))
        x, y, z = node.GetCrosshairRAS()
        return x, y, z

    def _placePlane(self, lesionID: int) -> None:
        lesion = self.session.lesion(lesionID)
        one, other = lesion.long_axis_points_ras_mm
        size = 1.5 * max(lesion.max_diameter_3d_mm, 10.0)
        plane = self.session.scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode", _("Cut through the lesion"))
        plane.SetAttribute("LiverSeg.LesionId", str(lesionID))
        plane.CreateDefaultDisplayNodes()
        plane.SetSize(size, size)
        plane.SetOriginWorld(lesion.centroid_ras_mm)
        plane.SetNormalWorld([a - b for a, b in zip(other, one, strict=True)])
        plane.GetDisplayNode().SetHandlesInteractive(True)
        self._plane = plane
        self.ui.planeButton.text = _("Cut along the plane")
        self._say(_("Move the plane, then press Cut"))

    def _hasPlane(self) -> bool:
        return self._plane is not None and bool(self.session.scene.IsNodePresent(self._plane))

    def _forgetPlane(self) -> None:
        if self._hasPlane():
            self.session.scene.RemoveNode(self._plane)
        self._plane = None
        self.ui.planeButton.text = _("Split by plane")


def _list(ids: Any) -> str:
    return ", ".join(str(n) for n in ids)
