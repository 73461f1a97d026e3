"""Section "Batch": many CTs, by the same ``liverseg batch`` as in the shell."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineCommand import build_batch_arguments, child_environment
from LiverSegModuleLib.EngineMessages import Message, PlainText, Progress, RunOutcome, RunState, Warned
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.EngineWords import inUsersLanguage
from LiverSegModuleLib.InstallLogic import ensurePackages
from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.Parameter import engineOptions
from LiverSegModuleLib.Session import Session
from LiverSegModuleLib.TimeLeft import TimeLeft, in_words


class BatchSection:
    """Runs beside everything else; the scene is not touched. Started again, it goes on where it was."""

    def __init__(
        self, ui: Any, session: Session, packages: Path, requirements: str, log: Callable[[str], None]
    ) -> None:
        self.ui, self.session = ui, session
        self._packages, self._requirements, self._log = packages, requirements, log
        self._process: EngineProcess | None = None
        self._timeLeft: TimeLeft | None = None
        ui.batchButton.clicked.connect(self.onRunOrCancel)
        ui.batchListButton.clicked.connect(self.onChooseList)

    @property
    def isRunning(self) -> bool:
        """Whether a batch goes on."""
        return self._process is not None and self._process.isRunning

    def refresh(self) -> None:
        """Bring the button in line with the run."""
        self.ui.batchButton.text = _("Cancel batch") if self.isRunning else _("Run batch")

    def onChooseList(self, *_args: object) -> None:
        """A list or a table as the input; the button of the path chooses folders."""
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Choose a list of CTs"), "", _("Lists and tables (*.txt *.csv)")
        )
        if path:
            self.ui.batchInput.currentPath = path

    def onRunOrCancel(self, *_args: object) -> None:
        """Start, or end the batch that goes on."""
        from liverseg.errors import UsageError

        if self.isRunning:
            self._process.cancel()
            return
        with telling(_("The batch could not start.")):
            source, folder = (
                str(self.ui.batchInput.currentPath or ""),
                str(self.ui.batchOutput.currentPath or ""),
            )
            if not source or not folder:
                raise UsageError(
                    _("choose the CTs (a folder, a .txt or a .csv) and a folder for the results")
                )
            ensurePackages(self._requirements)
            arguments = build_batch_arguments(
                Path(source), Path(folder), engineOptions(self.session.parameters)
            )
            self._process = EngineProcess(self.onMessage, self.onFinished)
            self._timeLeft = TimeLeft()
            self.ui.batchProgressBar.value = 0
            self.ui.batchLabel.text = _("Starting the engine")
            self._process.start(pythonSlicerPath(), arguments, child_environment(self._packages, os.environ))
        self.refresh()

    def onMessage(self, message: Message) -> None:
        """Show what the engine says."""
        if isinstance(message, Progress):
            self.ui.batchProgressBar.value = round(100 * message.fraction)
            stage = inUsersLanguage(message.message)
            left = in_words(self._timeLeft.seconds(message.fraction)) if self._timeLeft else ""
            words = _("{stage}, about {time} left").format(stage=stage, time=left)
            self.ui.batchLabel.text = words if left else stage
        elif isinstance(message, Warned | PlainText):
            self._log(message.message if isinstance(message, Warned) else message.text)

    def onFinished(self, outcome: RunOutcome) -> None:
        """Say how it ended."""
        folder = self.ui.batchOutput.currentPath
        if outcome.state == RunState.DONE:
            self.ui.batchProgressBar.value = 100
            self.ui.batchLabel.text = _("Done: see summary.csv in {folder}").format(folder=folder)
        elif outcome.state == RunState.SOME_FAILED:
            self.ui.batchProgressBar.value = 100
            text = _("Some cases failed: summary.csv in {folder} says why").format(folder=folder)
            self.ui.batchLabel.text = text
        elif outcome.state == RunState.CANCELLED:
            self.ui.batchLabel.text = _("Cancelled; what is done stays, and the next run goes on there")
        else:
            self.ui.batchLabel.text = _("Failed: {reason}").format(reason=outcome.reason)
            slicer.util.errorDisplay(outcome.reason, windowTitle=_("LiverSeg"))
        self.refresh()

    def abandon(self) -> None:
        """End a batch without a word: for when the application closes."""
        if self._process is not None:
            self._process.abandon()
