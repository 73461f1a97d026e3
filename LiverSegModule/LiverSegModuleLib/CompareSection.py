"""Section "Compare": two results of one person, by the same ``liverseg compare`` as in the shell."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.ComparisonFolder import (
    RESULT,
    ComparedLesion,
    ComparedResult,
    read_comparison,
    write_result,
)
from LiverSegModuleLib.EngineCommand import build_compare_arguments, child_environment
from LiverSegModuleLib.EngineMessages import Message, PlainText, Progress, RunOutcome, RunState, Warned
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.EngineWords import inUsersLanguage
from LiverSegModuleLib.InstallLogic import ensurePackages
from LiverSegModuleLib.Messages import enable, telling
from LiverSegModuleLib.RunFolder import RunFolder
from LiverSegModuleLib.Session import Session

FOLDER = "folder"


def columnTitles() -> list[str]:
    """The titles of the table's columns."""
    return [
        _("What"),
        _("Lesion"),
        _("Segment"),
        _("Long mm"),
        _("Change"),
        _("ml"),
        _("Change"),
    ]


def statusName(status: str) -> str:
    """What became of a lesion, as people read it."""
    return {
        "matched": _("matched"),
        "split": _("split"),
        "merged": _("merged"),
        "regrouped": _("regrouped"),
        "gone": _("gone"),
        "new": _("new"),
        "not_covered": _("outside of the other scan"),
        "not_compared": _("not compared"),
    }.get(status, status)


class CompareSection:
    """Each side is a result of the scene or a result folder. Numbers for information, never a verdict."""

    def __init__(
        self, ui: Any, session: Session, packages: Path, requirements: str, log: Callable[[str], None]
    ) -> None:
        self.ui, self.session = ui, session
        self._packages, self._requirements, self._log = packages, requirements, log
        self._process: EngineProcess | None = None
        # Holds results of the scene for the engine, and the comparison unless a folder for it was chosen.
        self._run: RunFolder | None = None
        self._output: Path | None = None
        self._laterID: str | None = None
        self._lesions: tuple[ComparedLesion, ...] = ()
        self._sides = (
            (ui.compareBeforeComboBox, ui.compareBeforeFolder),
            (ui.compareAfterComboBox, ui.compareAfterFolder),
        )
        self._filling = False
        # Sides that a person chose; the others follow the results in the scene.
        self._touched: set[int] = set()
        for side, (box, _folder) in enumerate(self._sides):
            box.currentIndexChanged.connect(lambda *_args, side=side: self.onSideChosen(side))
        ui.compareTable.setColumnCount(len(columnTitles()))
        ui.compareTable.setHorizontalHeaderLabels(columnTitles())
        ui.compareTable.verticalHeader().hide()
        ui.compareTable.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        ui.compareTable.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        ui.compareTable.itemSelectionChanged.connect(self.onRow)
        ui.compareButton.clicked.connect(self.onRunOrCancel)
        ui.copyComparisonButton.clicked.connect(self.onCopy)
        session.caseChanged.connect(self.onCaseChanged)
        session.othersChanged.connect(self.onCaseChanged)
        self.onCaseChanged()

    @property
    def isRunning(self) -> bool:
        """Whether a comparison goes on."""
        return self._process is not None and self._process.isRunning

    def onCaseChanged(self) -> None:
        """List the results of the scene, the oldest as the earlier one, the newest as the later one."""
        from liverseg_mrml.case_nodes import find_case_nodes
        from liverseg_mrml.versions import version_name

        scene = self.session.scene
        results = [
            (f"{version_name(scene, nodes)}, {nodes.volume.GetName()}", nodes.segmentation.GetID())
            for nodes in find_case_nodes(scene)
        ]
        self._filling = True
        for side, (box, _folder) in enumerate(self._sides):
            chosen = box.currentData if side in self._touched else None
            box.clear()
            for text, segmentation in results:
                box.addItem(text, segmentation)
            box.addItem(_("A result folder:"), FOLDER)
            kept = box.findData(chosen) if chosen else -1
            first = 0 if side == 0 or not results else len(results) - 1
            box.currentIndex = kept if kept >= 0 else first
        self._filling = False
        self.refresh()

    def onSideChosen(self, side: int) -> None:
        """Keep what a person chose for a side, whatever comes into the scene later."""
        if not self._filling:
            self._touched.add(side)
            self.refresh()

    def refresh(self) -> None:
        """Bring the widgets in line with what is chosen and with the run."""
        for box, folder in self._sides:
            folder.visible = box.currentData == FOLDER
        self.ui.compareButton.text = _("Cancel") if self.isRunning else _("Compare")
        enable(self.ui.copyComparisonButton, "" if self._lesions else _("Compare two results first."))

    def onRunOrCancel(self, *_args: object) -> None:
        """Start, or end the comparison that goes on."""
        if self.isRunning:
            self._process.cancel()
            return
        with telling(_("The results could not be compared.")):
            try:
                self._start()
            except Exception:
                self._forgetRun()
                raise
        self.refresh()

    def _start(self) -> None:
        from liverseg.compare.output import check_folder

        program = pythonSlicerPath()
        chosen = [self._chosen(side) for side in range(2)]
        self._refuseSame(chosen)
        ensurePackages(self._requirements)
        text = str(self.ui.compareOutput.currentPath or "").strip()
        overwrite = bool(text) and (Path(text) / RESULT).exists()
        question = _("{folder} holds a comparison already. Replace it?").format(folder=text)
        if overwrite and not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("LiverSeg")):
            return
        if text:
            check_folder(Path(text), overwrite)
        self._show(None)
        self._forgetRun()
        self._run = RunFolder.create(Path(slicer.app.temporaryPath))
        self._output = Path(text) if text else self._run.output
        self.ui.compareLabel.text = _("Reading the results")
        folders = [
            self._asFolder(each, self._run.path / name) for each, name in zip(chosen, "ba", strict=True)
        ]
        self._laterID = None if isinstance(chosen[1], Path) else chosen[1].segmentation.GetID()
        self._process = EngineProcess(self.onMessage, self.onFinished)
        arguments = build_compare_arguments(folders[0], folders[1], self._output, overwrite)
        self.ui.compareProgressBar.value = 0
        self.ui.compareLabel.text = _("Starting the engine")
        self._process.start(program, arguments, child_environment(self._packages, os.environ))

    def _chosen(self, side: int) -> Any:
        """A result's nodes, or a result folder."""
        from liverseg.errors import UsageError
        from liverseg_mrml.case_nodes import find_case_nodes

        box, folder = self._sides[side]
        if box.currentData == FOLDER:
            text = str(folder.currentPath or "").strip()
            if not text:
                raise UsageError(_("choose a result folder for each side that is to be one"))
            return Path(text)
        for nodes in find_case_nodes(self.session.scene):
            if nodes.segmentation.GetID() == box.currentData:
                return nodes
        raise UsageError(_("the chosen result is not in the scene any more; choose another"))

    def _refuseSame(self, chosen: list[Any]) -> None:
        from liverseg.errors import UsageError

        one, other = (each if isinstance(each, Path) else each.segmentation for each in chosen)
        same = (
            one.resolve() == other.resolve()
            if isinstance(one, Path) and isinstance(other, Path)
            else one is other
        )
        if same:
            raise UsageError(_("both sides are the same result; choose an earlier and a later one"))

    def _asFolder(self, chosen: Any, folder: Path) -> Path:
        """A result folder as it is; a result of the scene as it is drawn now, written for the engine."""
        from liverseg_mrml.from_scene import current_case

        return chosen if isinstance(chosen, Path) else write_result(current_case(chosen), folder)

    def onMessage(self, message: Message) -> None:
        """Show what the engine says."""
        if isinstance(message, Progress):
            self.ui.compareProgressBar.value = round(100 * message.fraction)
            self.ui.compareLabel.text = escape(inUsersLanguage(message.message))
        elif isinstance(message, Warned | PlainText):
            self._log(message.message if isinstance(message, Warned) else message.text)

    def onFinished(self, outcome: RunOutcome) -> None:
        """Show the table, or why there is none."""
        if outcome.state == RunState.DONE:
            with telling(_("The comparison could not be read.")):
                self._show(read_comparison(self._output))
                self.ui.compareProgressBar.value = 100
        elif outcome.state == RunState.CANCELLED:
            self.ui.compareProgressBar.value = 0
            self.ui.compareLabel.text = _("Cancelled")
        else:
            self.ui.compareLabel.text = escape(_("Failed: {reason}").format(reason=outcome.reason))
            slicer.util.errorDisplay(outcome.reason, windowTitle=_("LiverSeg"))
        self._forgetRun()
        self.refresh()

    def onRow(self) -> None:
        """Bring the views to the lesion of the later result, where that is in the scene."""
        from liverseg_mrml.case_nodes import find_case_nodes

        row = self.ui.compareTable.currentRow()
        if not 0 <= row < len(self._lesions) or not self._lesions[row].after_ids or self._laterID is None:
            return
        for nodes in find_case_nodes(self.session.scene):
            if nodes.segmentation.GetID() == self._laterID:
                if self.session.nodes is None or self.session.nodes.segmentation is not nodes.segmentation:
                    self.session.show(nodes)
                self.session.selectLesion(self._lesions[row].after_ids[0])
                return

    def onCopy(self, *_args: object) -> None:
        """Put the table on the clipboard, tab separated."""
        rows = [columnTitles(), *(_cells(lesion) for lesion in self._lesions)]
        slicer.app.clipboard().setText("\n".join("\t".join(row) for row in rows))

    def closeScene(self) -> None:
        """The scene is about to close: what was compared goes with it."""
        if self.isRunning:
            self._process.cancel()
        self._touched.clear()
        self.ui.compareProgressBar.value = 0
        self._show(None)

    def abandon(self) -> None:
        """End a comparison without a word: for when the application closes."""
        if self._process is not None:
            self._process.abandon()
        self._forgetRun()

    # --- inside

    def _show(self, result: ComparedResult | None) -> None:
        table = self.ui.compareTable
        self._lesions = result.lesions if result else ()
        if result is None:
            self._laterID = None
        table.clearContents()
        table.setRowCount(len(self._lesions))
        for row, lesion in enumerate(self._lesions):
            for column, text in enumerate(_cells(lesion)):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        lines = [escape(sentence) for sentence in result.sentences] if result else []
        if result:
            lines += [
                f'<span style="color:#c77700"><b>!</b></span> {escape(text)}' for text in result.warnings
            ]
        self.ui.compareLabel.text = "<br>".join(lines)

    def _forgetRun(self) -> None:
        if self._run is not None:
            self._run.remove()
            self._run = None


def _cells(lesion: ComparedLesion) -> list[str]:
    return [
        statusName(lesion.status),
        f"{lesion.before or '-'} → {lesion.after or '-'}",
        lesion.segment or "-",
        _both(lesion.long_before_mm, lesion.long_after_mm),
        _percent(lesion.long_percent),
        _both(lesion.volume_before_ml, lesion.volume_after_ml),
        _percent(lesion.volume_percent),
    ]


def _both(before: float | None, after: float | None) -> str:
    return " → ".join(_short(value) for value in (before, after))


def _short(value: float | None) -> str:
    """Three digits at most where there is a point."""
    return "?" if value is None else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"  # noqa: PLR2004


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{round(value):+d} %"
