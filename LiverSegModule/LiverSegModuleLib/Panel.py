"""The panel: its sections, and what happens to all of them when the scene or the module comes and goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from LiverSegModuleLib.AdvancedSection import AdvancedSection
from LiverSegModuleLib.BatchSection import BatchSection
from LiverSegModuleLib.CompareSection import CompareSection
from LiverSegModuleLib.CorrectSection import CorrectSection
from LiverSegModuleLib.ExportSection import ExportSection
from LiverSegModuleLib.InputSection import InputSection
from LiverSegModuleLib.ModelList import ModelList
from LiverSegModuleLib.RemnantSection import RemnantSection
from LiverSegModuleLib.ResultsSection import ResultsSection
from LiverSegModuleLib.RunLogic import enginePackages
from LiverSegModuleLib.RunSection import RunSection
from LiverSegModuleLib.SegmentsSection import SegmentsSection
from LiverSegModuleLib.Session import Session
from LiverSegModuleLib.SplitRun import SplitRun
from LiverSegModuleLib.ViewSection import ViewSection


class Panel:
    """Makes the sections on the widgets of the ``.ui`` file.

    Args:
        ui: the widgets by name (``slicer.util.childWidgetVariables``).
        logic: the module's logic.
        scene: the application's scene.
        requirements: path of ``requirements.txt``.
    """

    def __init__(self, ui: Any, logic: Any, scene: Any, requirements: str | Path) -> None:
        self.ui = ui
        self.session = Session(logic, scene)
        self.advanced = AdvancedSection(ui)
        log = self.advanced.log
        self.input = InputSection(ui, self.session)
        self.models = ModelList(ui, self.session)
        self.run = RunSection(ui, self.session, lambda: self.input.passed, str(requirements), log)
        self.results = ResultsSection(ui, self.session)
        self.correct = CorrectSection(ui, self.session, self.results.selectedIDs)
        splitting = SplitRun(enginePackages(), str(requirements), log)
        self.segments = SegmentsSection(ui, self.session, self.correct.editor, splitting)
        self.remnant = RemnantSection(ui, self.session)
        self.views = ViewSection(ui, self.session)
        exporting = Path(requirements).with_name("requirements-export.txt")
        self.export = ExportSection(ui, self.session, str(exporting))
        self.compare = CompareSection(ui, self.session, enginePackages(), str(requirements), log)
        self.batch = BatchSection(ui, self.session, enginePackages(), str(requirements), log)
        self.input.changed.connect(self.run.refresh)
        self.batch.refresh()
        self.session.forget()
        self.session.readoutChanged.emit()
        self.session.staleChanged.emit()

    def setParameters(self, parameters: Any) -> None:
        """The scene's parameters, None while there is no scene."""
        self.session.parameters = parameters
        if parameters:
            self.models.show()
        self.onParametersChanged()

    def onParametersChanged(self) -> None:
        """A parameter changed: the input, an option."""
        self.input.refresh()
        self.run.refresh()
        self.correct.onStaleChanged()

    def enter(self) -> None:
        """The module comes on screen: keys work, a result of the scene is taken up."""
        self.results.enter()
        self.run.devices.lookOnce()
        self.correct.editor.onScreen = True
        if self.session.nodes is None:
            self.session.showNewest()
        else:
            self.correct.editor.show()
            self.session.clock.touch()

    def leave(self) -> None:
        """Another module comes on screen: keys and views are given back. A run goes on."""
        self.results.leave()
        self.session.pauseReview()
        self.correct.editor.onScreen = False
        self.correct.release()

    def closeScene(self) -> None:
        """The scene is about to close: end the run and let go of all of its nodes."""
        self.session.logic.cancel()
        self.compare.closeScene()
        self.segments.closeScene()
        self.correct.closeScene()
        self.session.forget()
        self.session.readoutChanged.emit()
        self.session.staleChanged.emit()

    def sceneClosed(self) -> None:
        """The scene has closed: lists that were filled while its nodes were still there are filled again."""
        self.compare.onCaseChanged()

    def cleanup(self) -> None:
        """The application closes, or the module is reloaded."""
        self.results.leave()
        self.batch.abandon()
        self.compare.abandon()
        self.segments.run.abandon()
        self.run.devices.abandon()
        self.session.logic.abandon()
        self.correct.abandon()
        self.session.forget()
