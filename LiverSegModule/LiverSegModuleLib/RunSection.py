"""Section "Run": how, where, Apply and Cancel, progress and time left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.DeviceList import DeviceList
from LiverSegModuleLib.EngineMessages import (
    Failed,
    Message,
    PlainText,
    Progress,
    RunOutcome,
    RunState,
    Warned,
)
from LiverSegModuleLib.EngineWords import inUsersLanguage
from LiverSegModuleLib.InstallLogic import ensurePackages
from LiverSegModuleLib.Messages import busy, telling
from LiverSegModuleLib.Parameter import engineOptions
from LiverSegModuleLib.RunLogic import enginePackages
from LiverSegModuleLib.Session import Session
from LiverSegModuleLib.TimeLeft import TimeLeft, in_words


class RunSection:
    """Apply starts the engine and turns into Cancel; the result comes into the scene at the end.

    Args:
        requirements: path of ``requirements.txt``.
        log: gets every line that the engine says.
    """

    def __init__(
        self,
        ui: Any,
        session: Session,
        inputPassed: Callable[[], bool],
        requirements: str,
        log: Callable[[str], None],
    ) -> None:
        self.ui, self.session = ui, session
        self._inputPassed, self._requirements, self._log = inputPassed, requirements, log
        self._timeLeft: TimeLeft | None = None
        self.devices = DeviceList(ui, session, enginePackages(), requirements)
        session.logic.onMessage = self.onMessage
        session.logic.onFinished = self.onFinished
        ui.applyButton.clicked.connect(self.onApplyOrCancel)
        session.caseChanged.connect(self.onCaseChanged)

    def onCaseChanged(self) -> None:
        """Nothing is told of a result that is gone. A run that goes on speaks for itself."""
        if self.session.nodes is None and not self.session.logic.isRunning:
            self.ui.progressBar.value = 0
            self.ui.statusLabel.text = ""

    def refresh(self) -> None:
        """Bring the button in line with the input and the run."""
        running = self.session.logic.isRunning
        ready = bool(self.session.parameters and self.session.parameters.inputVolume) and self._inputPassed()
        self.ui.applyButton.text = _("Cancel") if running else _("Apply")
        self.ui.applyButton.enabled = running or ready
        if running:
            self.ui.applyButton.toolTip = _("End the run; the scene stays as it was")
        else:
            self.ui.applyButton.toolTip = _("Read out the liver") if ready else self._whyNotReady()
        self.ui.optionsFrame.enabled = not running
        self.devices.refresh()
        self.ui.inputsCollapsibleButton.enabled = not running

    def _whyNotReady(self) -> str:
        if self.session.parameters and self.session.parameters.inputVolume:
            return _("This volume cannot be read out; the section Input says why")
        return _("Choose a CT first")

    def onApplyOrCancel(self, *_args: object) -> None:
        """Start, or end the run that goes on."""
        if self.session.logic.isRunning:
            self.session.logic.cancel()
            return
        self.ui.progressBar.value = 0
        with telling(_("LiverSeg could not start.")):
            ensurePackages(self._requirements)
            self.devices.lookOnce()
            parameters = self.session.parameters
            self.session.logic.start(parameters.inputVolume, engineOptions(parameters))
            self._timeLeft = TimeLeft()
            self.ui.statusLabel.text = _("Starting the engine")
        self.refresh()

    def onMessage(self, message: Message) -> None:
        """Show what the engine says."""
        if isinstance(message, Progress):
            self.ui.progressBar.value = round(100 * message.fraction)
            stage = inUsersLanguage(message.message)
            left = in_words(self._timeLeft.seconds(message.fraction)) if self._timeLeft else ""
            words = _("{stage}, about {time} left").format(stage=stage, time=left)
            self.ui.statusLabel.text = words if left else stage
        elif isinstance(message, Warned):
            self._log(_("Warning: {text}").format(text=message.message))
        elif isinstance(message, Failed):
            self._log(_("Error: {text}").format(text=message.message))
        elif isinstance(message, PlainText):
            self._log(message.text)

    def onFinished(self, outcome: RunOutcome) -> None:
        """Show the result, or why there is none."""
        try:
            if outcome.has_results:
                self.ui.statusLabel.text = _("Loading the results")
                with telling(_("The results could not be loaded.")), busy():
                    self._showResult(outcome)
            elif outcome.state == RunState.CANCELLED:
                self.ui.progressBar.value = 0
                self.ui.statusLabel.text = _("Cancelled")
            else:
                self.ui.statusLabel.text = _("Failed: {reason}").format(reason=outcome.reason)
                self._log(_("Error: {text}").format(text=outcome.reason))
                slicer.util.errorDisplay(
                    _("{reason}\n\nThe log in the section Advanced has what the engine said.").format(
                        reason=outcome.reason
                    ),
                    windowTitle=_("LiverSeg"),
                )
        finally:
            self.session.logic.forgetRun()
            self.refresh()

    def _showResult(self, outcome: RunOutcome) -> None:
        case, nodes = self.session.logic.loadResults()
        self.session.show(nodes, fresh=True)
        self.ui.progressBar.value = 100
        if outcome.state == RunState.NO_LIVER:
            self.ui.statusLabel.text = outcome.reason
        else:
            self.ui.statusLabel.text = _("Liver {volume} ml, lesions: {count} (computed on {device})").format(
                volume=round(case.liver.volume_ml),
                count=len(case.lesions),
                device=case.provenance.device or "?",
            )
        for sentence in (*case.summary, *case.warnings):
            self._log(sentence)
