"""Runs the engine on a volume node and brings its results into the scene. Needs no panel."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineCommand import EngineOptions, build_arguments, child_environment
from LiverSegModuleLib.EngineMessages import Message, RunOutcome
from LiverSegModuleLib.EnginePath import packages_folder
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.RunFolder import RunFolder, read_case, write_ct

MODULE_FOLDER = Path(__file__).resolve().parents[1]


class RunLogic:
    """One run at a time.

    ``onMessage`` and ``onFinished`` are called from the event loop while a run goes on. After ``onFinished``,
    :meth:`loadResults` puts the results into the scene, and :meth:`forgetRun` removes the files of the run.
    """

    def __init__(self) -> None:
        self.onMessage: Callable[[Message], None] = lambda message: None
        self.onFinished: Callable[[RunOutcome], None] = lambda outcome: None
        # Kept after its end until the next start: a QProcess must outlive its own signal.
        self._process: EngineProcess | None = None
        self._run: RunFolder | None = None
        # The nodes themselves: a scene that was closed gives their IDs to others.
        self._input: Any = None
        # The frame of a sequence, as a volume that this run put into the scene.
        self._frame: Any = None
        self._terminologyLoaded = False

    @property
    def isRunning(self) -> bool:
        """Whether the engine is at work."""
        return self._process is not None and self._process.isRunning

    def run(
        self,
        volumeNode: Any,
        options: EngineOptions | None = None,
        wait: bool = True,
        then: Callable[[Any, str], None] = lambda result, reason: None,
    ) -> Any:
        """Read out a CT and put the result into the scene: what a press of Apply does, for scripts.

        Args:
            volumeNode: the CT.
            options: how it is read out.
            wait: until the result is there; the window stands still meanwhile. Otherwise this returns at
                once, and the application's event loop does the rest.
            then: called at the end of a run that is not waited for, with what is returned to those who wait
                and an empty text, or with None and why there is no result.

        Returns:
            The ``liverseg.case.Case`` and its nodes (``liverseg_mrml.case_nodes.CaseNodes``); None where the
            run is not waited for. Without a liver the case is empty.

        Raises:
            RuntimeError: the run that was waited for failed; the text says why.
            RuntimeError, ValueError, liverseg.errors.InputRefused: see :meth:`start`.
        """
        if not wait:
            self._runOn(volumeNode, options or EngineOptions(), then)
            return None
        ended: list[RunOutcome] = []
        told, self.onFinished = self.onFinished, ended.append
        try:
            self.start(volumeNode, options or EngineOptions())
            self._process.wait()
            if not ended or not ended[0].has_results:
                raise RuntimeError(ended[0].words if ended else _("the engine hangs"))
            return self.loadResults()
        finally:
            self.onFinished = told
            self.forgetRun()

    def _runOn(self, volumeNode: Any, options: EngineOptions, then: Callable[[Any, str], None]) -> None:
        told = self.onFinished

        def finished(outcome: RunOutcome) -> None:
            self.onFinished = told
            result, reason = None, outcome.words
            try:
                if outcome.has_results:
                    result, reason = self.loadResults(), ""
            except Exception as error:
                # Nobody else would tell the script.
                logging.exception("LiverSeg: the results could not be loaded")
                reason = str(error)
            finally:
                self.forgetRun()
            then(result, reason)

        self.onFinished = finished
        try:
            self.start(volumeNode, options)
        except Exception:
            self.onFinished = told
            raise

    def start(self, volumeNode: Any, options: EngineOptions) -> None:
        """Start the engine on a volume; returns at once.

        Args:
            volumeNode: the CT. Linear parent transforms count: the engine gets it as it lies in the world. Of
                a sequence the current frame is taken, as a volume of its own, which goes away again
                without a result.
            options: how it is read out.

        Raises:
            RuntimeError: a run goes on already, or PythonSlicer was not found.
            ValueError: an option the engine does not know.
            liverseg.errors.InputRefused: the node has no voxels or a transform that cannot be followed.
        """
        from liverseg_mrml.input_volume import copy_current_frame, sequence_frame
        from liverseg_mrml.volume_node import volume_of

        if self.isRunning:
            raise RuntimeError(_("LiverSeg is at work already"))
        self.forgetRun()
        program = pythonSlicerPath()
        ct = volume_of(volumeNode)
        self._run = RunFolder.create(Path(slicer.app.temporaryPath))
        try:
            if sequence_frame(slicer.mrmlScene, volumeNode) is not None:
                # The browser will go on to other frames; the result must stay with the one it was made of.
                volumeNode = copy_current_frame(slicer.mrmlScene, volumeNode)
                self._frame = volumeNode
            arguments = build_arguments(self._run.ct, self._run.output, options)
            write_ct(self._run, ct)
            self._input = volumeNode
            self._process = EngineProcess(self._forwardMessage, self._forwardFinished)
            self._process.start(program, arguments, child_environment(enginePackages(), os.environ))
        except Exception:
            self.forgetRun()
            raise
        logging.info("LiverSeg: engine started")

    def cancel(self) -> None:
        """End a run with all of its processes; ``onFinished`` hears of it."""
        if self.isRunning:
            self._process.cancel()

    def abandon(self) -> None:
        """End a run without a word, and remove its files: for when the application closes."""
        if self._process:
            self._process.abandon()
        self.forgetRun()

    def loadResults(self) -> Any:
        """Put the results of the finished run into the scene, beside older ones of the same CT.

        Returns:
            The ``liverseg.case.Case`` and the nodes made (``liverseg_mrml.case_nodes.CaseNodes``).

        Raises:
            RuntimeError: there is no finished run, or its input volume is not in the scene any more.
            liverseg.errors.InputRefused: the results cannot be read.
        """
        from liverseg_mrml.to_scene import add_case_to_scene
        from liverseg_mrml.versions import next_version_name

        if self._run is None or self.isRunning:
            raise RuntimeError(_("There is no finished run of LiverSeg"))
        scene = slicer.mrmlScene
        if self._input is None or not scene.IsNodePresent(self._input):
            raise RuntimeError(_("The volume was removed from the scene while LiverSeg was at work"))
        case = read_case(self._run)
        self.loadTerminology()
        nodes = add_case_to_scene(scene, case, self._input, next_version_name(scene))
        self._frame = None
        return case, nodes

    def loadTerminology(self) -> None:
        """Give Slicer's terminology selector the entries that the segments' tags name, once."""
        from liverseg.resources import resources_folder

        if not self._terminologyLoaded:
            file = resources_folder() / "Terminology" / "LiverSeg.term.json"
            slicer.util.getModuleLogic("Terminologies").LoadTerminologyFromFile(str(file))
            self._terminologyLoaded = True

    def forgetRun(self) -> None:
        """Remove the files of the last run, which hold image data, and a frame that has no result."""
        if self._run is not None and not self.isRunning:
            self._run.remove()
            self._run = self._input = None
            self._removeFrame()

    def _removeFrame(self) -> None:
        from liverseg_mrml.node_removal import remove_node

        frame, self._frame = self._frame, None
        if frame is not None and slicer.mrmlScene.IsNodePresent(frame):
            remove_node(slicer.mrmlScene, frame)

    def _forwardMessage(self, message: Message) -> None:
        self.onMessage(message)

    def _forwardFinished(self, outcome: RunOutcome) -> None:
        logging.info("LiverSeg: engine ended, %s", outcome.state.value)
        self.onFinished(outcome)


def enginePackages() -> Path:
    """The folder of the packages that the engine's process imports."""
    return packages_folder(MODULE_FOLDER)
