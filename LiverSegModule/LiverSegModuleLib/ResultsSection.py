"""Section "Results": liver, segments, and the table of lesions with their review."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Messages import enable, noResultYet, telling
from LiverSegModuleLib.ReviewKeys import ReviewKeys
from LiverSegModuleLib.SegmentsSection import methodText
from LiverSegModuleLib.Session import Session

# A scene does not tell when it is saved: it knows the time of the review to within this.
KEEP_TIME_MS = 5000

ID, SEGMENT, LONG, SHORT, VOLUME, HU, STATE, COMMENT = range(8)


def columnTitles() -> list[str]:
    """The titles of the table's columns; in two lines where that saves width."""
    return [
        _("Id"),
        _("Segment"),
        _("Long\nmm"),
        _("Short\nmm"),
        _("ml"),
        _("HU"),
        _("Review"),
        _("Comment"),
    ]


def stateName(state: str) -> str:
    """A review state as people read it."""
    return {"accepted": _("accepted"), "rejected": _("rejected")}.get(state, "")


class ResultsSection:
    """The numbers of the result on screen. A click on a lesion brings all views to it."""

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self._filling = False
        table = ui.lesionTable
        table.setColumnCount(len(columnTitles()))
        table.setHorizontalHeaderLabels(columnTitles())
        table.verticalHeader().hide()
        # Bold titles above a selection would take width from the columns.
        table.horizontalHeader().setHighlightSections(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSortingEnabled(True)
        # By falling volume at first, as the ids are.
        table.sortByColumn(VOLUME, qt.Qt.DescendingOrder)
        table.itemSelectionChanged.connect(self.onSelectionChanged)
        ui.versionComboBox.currentIndexChanged.connect(self.onVersionChosen)
        ui.removeVersionButton.clicked.connect(self.onRemoveVersion)
        ui.copyTableButton.clicked.connect(self.onCopy)
        ui.nextLesionButton.clicked.connect(lambda *_args: self.step(1))
        ui.previousLesionButton.clicked.connect(lambda *_args: self.step(-1))
        ui.acceptButton.clicked.connect(lambda *_args: self.review("accepted"))
        ui.rejectButton.clicked.connect(lambda *_args: self.review("rejected"))
        ui.resetReviewButton.clicked.connect(lambda *_args: self.review("unreviewed"))
        ui.commentLineEdit.editingFinished.connect(self.onCommentEdited)
        self.keys = ReviewKeys(self)
        self._timer = qt.QTimer()
        self._timer.setInterval(KEEP_TIME_MS)
        self._timer.timeout.connect(self.onTimer)
        session.caseChanged.connect(self.onCaseChanged)
        session.othersChanged.connect(self.listVersions)
        session.readoutChanged.connect(self.onReadoutChanged)
        session.lesionSelected.connect(self.onLesionSelected)

    def enter(self) -> None:
        """The module comes on screen: keys work, and the time of the review is kept."""
        self.keys.install()
        self._timer.start()

    def leave(self) -> None:
        """The keys are given back."""
        self.keys.uninstall()
        self._timer.stop()

    def onTimer(self) -> None:
        """Keep the time of the review in the scene."""
        self.session.keepReviewTime()

    # --- which result

    def listVersions(self) -> None:
        """List the results of the scene and choose the one on screen."""
        from liverseg_mrml.case_nodes import find_case_nodes
        from liverseg_mrml.versions import version_name

        box = self.ui.versionComboBox
        self._filling = True
        box.clear()
        shown = self.session.nodes
        if shown is not None:
            for n, nodes in enumerate(find_case_nodes(self.session.scene)):
                name = f"{version_name(self.session.scene, nodes)}, {nodes.volume.GetName()}"
                box.addItem(name, nodes.segmentation.GetID())
                if nodes.segmentation is shown.segmentation:
                    box.currentIndex = n
        self._filling = False

    def onCaseChanged(self) -> None:
        """Another result is on screen, or none: nothing can be pressed then."""
        shown = self.session.nodes
        self.listVersions()
        self.ui.resultFrame.enabled = shown is not None
        for widget in (
            *(self.ui.versionComboBox, self.ui.removeVersionButton, self.ui.copyTableButton),
            *(self.ui.previousLesionButton, self.ui.nextLesionButton, self.ui.correctCollapsibleButton),
        ):
            enable(widget, noResultYet(shown))

    def onVersionChosen(self, *_args: object) -> None:
        """Work on another result of the scene."""
        from liverseg_mrml.case_nodes import find_case_nodes

        chosen = self.ui.versionComboBox.currentData
        if self._filling or not chosen:
            return
        for nodes in find_case_nodes(self.session.scene):
            if (
                nodes.segmentation.GetID() == chosen
                and nodes.segmentation is not self.session.nodes.segmentation
            ):
                self.session.show(nodes)
                return

    def onRemoveVersion(self, *_args: object) -> None:
        """Undo a whole run: take its result out of the scene, after asking."""
        question = _("Remove this result with its corrections and reviews? The CT and other results stay.")
        if self.session.nodes and slicer.util.confirmOkCancelDisplay(question, windowTitle=_("LiverSeg")):
            self.session.removeShown()

    # --- the numbers

    def onReadoutChanged(self) -> None:
        """Show the numbers of the result."""
        lesions = self.session.lesions
        self.ui.liverLabel.text = self._liverText()
        selected = self.session.lesionID
        table = self.ui.lesionTable
        self._filling = True
        # Rows would move under the loop while the table sorts.
        table.setSortingEnabled(False)
        table.clearContents()
        table.setRowCount(len(lesions))
        for row, lesion in enumerate(lesions):
            for column, value in enumerate(_cells(lesion)):
                item = _item(value, lesion.id)
                # The column of comments may lie outside of a narrow panel.
                item.setToolTip(lesion.review.comment or "")
                table.setItem(row, column, item)
        table.setSortingEnabled(True)
        table.resizeColumnsToContents()
        self._filling = False
        self.onLesionSelected(selected if selected in {lesion.id for lesion in lesions} else None)

    def _liverText(self) -> str:
        from liverseg_mrml.case_nodes import READOUT
        from liverseg_mrml.planning import segment_readouts
        from liverseg_mrml.readout_json import stored_readout

        if self.session.nodes is None:
            self.ui.liverLabel.toolTip = ""
            return escape(_("No result yet."))
        stored = stored_readout(self.session.nodes.segmentation.GetAttribute(READOUT))
        fields, liver = stored.fields, stored.fields["liver"]
        burden = liver["tumor_burden_percent"]
        first = _("Liver {volume} ml, tumor burden {burden}").format(
            volume=round(liver["volume_ml"]), burden="-" if burden is None else f"{burden:.1f} %"
        )
        segments = segment_readouts(self.session.nodes)
        numerals = "".join(f"<td align='right'>&nbsp;{escape(each.name)}</td>" for each in segments)
        volumes = "".join(f"<td align='right'>&nbsp;{each.volume_ml:.0f}</td>" for each in segments)
        notes = [methodText(stored.method)]
        if not liver["complete"]:
            notes.append(_("The scan cuts the liver off: its volume is a lower limit."))
        self.ui.liverLabel.toolTip = "\n".join(fields["hints"])
        return (
            f"<b>{escape(first)}</b><table cellspacing='2'><tr>{numerals}</tr><tr>{volumes}</tr></table>"
            + "<br>".join(escape(note) for note in notes)
        )

    # --- lesions

    def selectedIDs(self) -> list[int]:
        """Ids of the lesions whose rows are selected, in the order of the rows."""
        rows = sorted({index.row() for index in self.ui.lesionTable.selectionModel().selectedRows()})
        return [self._idOfRow(row) for row in rows]

    def onSelectionChanged(self) -> None:
        """Bring the views to the lesion of the current row."""
        ids = self.selectedIDs()
        if not self._filling and ids:
            current = self.ui.lesionTable.currentRow()
            lesionID = self._idOfRow(current) if current >= 0 else ids[0]
            self.session.selectLesion(lesionID if lesionID in ids else ids[0])

    def onLesionSelected(self, lesionID: int | None) -> None:
        """Show which lesion the review buttons speak of."""
        lesion = self.session.lesion(lesionID)
        first = "" if lesion else noResultYet(self.session.nodes) or _("Choose a lesion in the table first.")
        for widget in (
            *(self.ui.acceptButton, self.ui.rejectButton, self.ui.resetReviewButton),
            self.ui.commentLineEdit,
        ):
            enable(widget, first)
        self.ui.commentLineEdit.text = (lesion.review.comment or "") if lesion else ""
        self._filling = True
        if lesion is None:
            self.ui.lesionTable.clearSelection()
        elif lesionID not in self.selectedIDs():
            self.ui.lesionTable.selectRow(self._rowOfID(lesionID))
        self._filling = False

    def step(self, by: int) -> None:
        """Go to the next lesion of the table (or the previous one), around its ends."""
        rows = self.ui.lesionTable.rowCount
        if rows == 0:
            return
        row = self._rowOfID(self.session.lesionID)
        row = (row + by) % rows if row >= 0 else (0 if by > 0 else rows - 1)
        self.ui.lesionTable.selectRow(row)
        self.session.selectLesion(self._idOfRow(row))

    def review(self, state: str) -> None:
        """Keep what the reader says of the selected lesions."""
        comment = self.ui.commentLineEdit.text
        ids = self.selectedIDs() or [self.session.lesionID]
        with telling(_("The review could not be kept.")):
            for lesionID in ids:
                lesion = self.session.lesion(lesionID)
                if lesion is not None:
                    said = comment if len(ids) == 1 else (lesion.review.comment or "")
                    self.session.review(lesion.id, state, said, _reader(), _now())

    def onCommentEdited(self) -> None:
        """Keep a comment with the state as it is."""
        lesion = self.session.lesion(self.session.lesionID)
        comment = self.ui.commentLineEdit.text
        if lesion is not None and comment != (lesion.review.comment or ""):
            with telling(_("The comment could not be kept.")):
                self.session.review(lesion.id, lesion.review.state, comment, _reader(), _now())

    def onCopy(self, *_args: object) -> None:
        """Put the table on the clipboard, tab separated, in the order on screen."""
        table = self.ui.lesionTable
        rows = ["\t".join(" ".join(title.split()) for title in columnTitles())]
        for row in range(table.rowCount):
            rows.append("\t".join(table.item(row, column).text() for column in range(table.columnCount)))
        slicer.app.clipboard().setText("\n".join(rows))

    def _idOfRow(self, row: int) -> int:
        return int(self.ui.lesionTable.item(row, ID).data(qt.Qt.UserRole))

    def _rowOfID(self, lesionID: int | None) -> int:
        rows = range(self.ui.lesionTable.rowCount)
        return next((row for row in rows if self._idOfRow(row) == lesionID), -1)


def _cells(lesion: Any) -> list[object]:
    hu = math.nan if lesion.mean_hu is None else float(round(lesion.mean_hu))
    return [
        lesion.id,
        lesion.primary_segment or "-",
        round(lesion.long_axis_mm, 1),
        round(lesion.short_axis_mm, 1),
        round(lesion.volume_ml, 2),
        hu,
        stateName(lesion.review.state),
        lesion.review.comment or "",
    ]


def _item(value: object, lesionID: int) -> Any:
    item = qt.QTableWidgetItem()
    # Numbers as numbers, so that they sort as such.
    item.setData(qt.Qt.DisplayRole, "-" if isinstance(value, float) and math.isnan(value) else value)
    item.setData(qt.Qt.UserRole, lesionID)
    if not isinstance(value, str):
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    return item


def _reader() -> str | None:
    """The name that the user gave in Slicer's settings, or None."""
    information = slicer.app.applicationLogic().GetUserInformation()
    return (information.GetName() or None) if information else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
