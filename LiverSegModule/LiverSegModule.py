"""The LiverSeg module of 3D Slicer: choose a CT, press Apply, get the liver's read-out into the scene."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from LiverSegModuleLib.EngineCommand import EngineOptions, build_arguments, child_environment
from LiverSegModuleLib.EngineMessages import (
    Failed,
    Message,
    PlainText,
    Progress,
    RunOutcome,
    RunState,
    Warned,
)
from LiverSegModuleLib.EnginePath import add_engine_to_path, packages_folder
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.InstallLogic import ensurePackages, missingPackages
from LiverSegModuleLib.Parameter import Device, LiverSegParameterNode, Quality, engineOptions
from LiverSegModuleLib.RunFolder import RunFolder, read_case, write_ct

MODULE_FOLDER = Path(__file__).resolve().parent
add_engine_to_path(MODULE_FOLDER, sys.path)


class LiverSegModule(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LiverSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The LiverSeg contributors"]
        self.parent.helpText = _(
            "Reads out the liver in an abdominal CT: the liver, every lesion, the eight Couinaud segments "
            "and a lesion table. Everything is computed on this computer. For research; not a medical device."
        )
        self.parent.acknowledgementText = _("LiverSeg builds on 3D Slicer, MONAI and PyTorch.")


class LiverSegModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: input and options, Apply and Cancel, progress, lesion table, log."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self) -> None:
        """Called when the user opens the module the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LiverSegModule.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = LiverSegModuleLogic()
        self.logic.onMessage = self.onMessage
        self.logic.onFinished = self.onFinished

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.clicked.connect(self.onApplyButton)
        self.ui.cancelButton.clicked.connect(self.onCancelButton)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        if self.logic:
            self.logic.abandon()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Called each time the user opens a different module. A run goes on."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Reload the Lib package with the module."""
        for name in [name for name in sys.modules if name.split(".")[0] == "LiverSegModuleLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """The input goes away with the scene: end the run."""
        self.logic.cancel()
        self.ui.lesionTableView.setMRMLTableNode(None)
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        """A new parameter node at once when the panel is on screen."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Observe the scene's parameter node; the first volume is the input until one is chosen."""
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            firstVolumeNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if firstVolumeNode:
                self._parameterNode.inputVolume = firstVolumeNode

    def setParameterNode(self, parameterNode: LiverSegParameterNode | None) -> None:
        """Connect a parameter node to the panel, and the one before no more."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if self._parameterNode:
            # Widgets name their parameter in the .ui file (dynamic property SlicerParameterName).
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButtons)
            self.updateButtons()

    def updateButtons(self, caller=None, event=None) -> None:
        """Apply needs an input and no run; Cancel needs a run."""
        running = self.logic.isRunning
        hasInput = bool(self._parameterNode and self._parameterNode.inputVolume)
        self.ui.applyButton.enabled = hasInput and not running
        self.ui.applyButton.toolTip = _("Read out the liver") if hasInput else _("Choose a CT first")
        self.ui.cancelButton.enabled = running
        self.ui.inputsCollapsibleButton.enabled = not running

    def onApplyButton(self, *_args) -> None:
        """Install what is missing, then start the engine."""
        self.ui.logTextEdit.clear()
        self.ui.progressBar.value = 0
        try:
            with slicer.util.tryWithErrorDisplay(_("LiverSeg could not start."), waitCursor=True):
                ensurePackages(self.resourcePath("requirements.txt"))
                self.logic.start(self._parameterNode.inputVolume, engineOptions(self._parameterNode))
                self.ui.statusLabel.text = _("Starting the engine")
        finally:
            self.updateButtons()

    def onCancelButton(self, *_args) -> None:
        """End the run."""
        self.logic.cancel()

    def onMessage(self, message: Message) -> None:
        """Show what the engine says."""
        if isinstance(message, Progress):
            self.ui.progressBar.value = round(100 * message.fraction)
            self.ui.statusLabel.text = message.message
        elif isinstance(message, Warned):
            self.ui.logTextEdit.appendPlainText(_("Warning: {text}").format(text=message.message))
        elif isinstance(message, Failed):
            self.ui.logTextEdit.appendPlainText(_("Error: {text}").format(text=message.message))
        elif isinstance(message, PlainText):
            self.ui.logTextEdit.appendPlainText(message.text)

    def onFinished(self, outcome: RunOutcome) -> None:
        """Show the results, or why there are none."""
        try:
            if outcome.has_results:
                self.ui.statusLabel.text = _("Loading the results")
                with slicer.util.tryWithErrorDisplay(_("The results could not be loaded."), waitCursor=True):
                    self.showResults(outcome)
            elif outcome.state == RunState.CANCELLED:
                self.ui.progressBar.value = 0
                self.ui.statusLabel.text = _("Cancelled")
            else:
                self.ui.statusLabel.text = _("Failed: {reason}").format(reason=outcome.reason)
                slicer.util.errorDisplay(outcome.reason, windowTitle=_("LiverSeg"))
        finally:
            self.logic.forgetRun()
            self.updateButtons()

    def showResults(self, outcome: RunOutcome) -> None:
        """Put the results into the scene and their table into the panel."""
        case, nodes = self.logic.loadResults()
        self.ui.lesionTableView.setMRMLTableNode(nodes.table)
        self.ui.progressBar.value = 100
        if outcome.state == RunState.NO_LIVER:
            self.ui.statusLabel.text = outcome.reason
        else:
            self.ui.statusLabel.text = _("Liver {volume} ml, lesions: {count}").format(
                volume=round(case.liver.volume_ml), count=len(case.lesions)
            )
        for sentence in case.summary:
            self.ui.logTextEdit.appendPlainText(sentence)


class LiverSegModuleLogic(ScriptedLoadableModuleLogic):
    """Runs the engine on a volume node and brings its results into the scene. Needs no panel.

    ``onMessage`` and ``onFinished`` are called from the event loop while a run goes on. After
    ``onFinished``, :meth:`loadResults` puts the results into the scene, and :meth:`forgetRun` removes the
    files of the run.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.onMessage: Callable[[Message], None] = lambda message: None
        self.onFinished: Callable[[RunOutcome], None] = lambda outcome: None
        # Kept after its end until the next start: a QProcess must outlive its own signal.
        self._process: EngineProcess | None = None
        self._run: RunFolder | None = None
        self._inputID: str | None = None
        self._terminologyLoaded = False

    def getParameterNode(self) -> LiverSegParameterNode:
        """The parameters of the module in the scene."""
        return LiverSegParameterNode(super().getParameterNode())

    @property
    def isRunning(self) -> bool:
        """Whether the engine is at work."""
        return self._process is not None and self._process.isRunning

    def start(self, volumeNode: vtkMRMLScalarVolumeNode, options: EngineOptions) -> None:
        """Start the engine on a volume; returns at once.

        Args:
            volumeNode: the CT. Linear parent transforms count: the engine gets it as it lies in the world.
            options: how it is read out.

        Raises:
            RuntimeError: a run goes on already, or PythonSlicer was not found.
            ValueError: an option the engine does not know.
            liverseg.errors.InputRefused: the node has no voxels or a transform that cannot be followed.
        """
        from liverseg_mrml.volume_node import volume_of

        if self.isRunning:
            raise RuntimeError(_("LiverSeg is at work already"))
        self.forgetRun()
        program = pythonSlicerPath()
        self._run = RunFolder.create(Path(slicer.app.temporaryPath))
        try:
            arguments = build_arguments(self._run.ct, self._run.output, options)
            write_ct(self._run, volume_of(volumeNode))
            self._inputID = volumeNode.GetID()
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

    def loadResults(self):
        """Put the results of the finished run into the scene.

        Returns:
            The ``liverseg.case.Case`` and the nodes made (``liverseg_mrml.to_scene.CaseNodes``).

        Raises:
            RuntimeError: there is no finished run, or its input volume is not in the scene any more.
            liverseg.errors.InputRefused: the results cannot be read.
        """
        from liverseg_mrml.to_scene import add_case_to_scene

        if self._run is None or self.isRunning:
            raise RuntimeError(_("There is no finished run of LiverSeg"))
        volumeNode = slicer.mrmlScene.GetNodeByID(self._inputID)
        if volumeNode is None:
            raise RuntimeError(_("The volume was removed from the scene while LiverSeg was at work"))
        case = read_case(self._run)
        self.loadTerminology()
        return case, add_case_to_scene(slicer.mrmlScene, case, volumeNode)

    def loadTerminology(self) -> None:
        """Give Slicer's terminology selector the entries that the segments' tags name, once."""
        from liverseg.resources import resources_folder

        if not self._terminologyLoaded:
            file = resources_folder() / "Terminology" / "LiverSeg.term.json"
            slicer.util.getModuleLogic("Terminologies").LoadTerminologyFromFile(str(file))
            self._terminologyLoaded = True

    def forgetRun(self) -> None:
        """Remove the files of the last run, which hold image data."""
        if self._run is not None and not self.isRunning:
            self._run.remove()
            self._run = None

    def _forwardMessage(self, message: Message) -> None:
        self.onMessage(message)

    def _forwardFinished(self, outcome: RunOutcome) -> None:
        logging.info("LiverSeg: engine ended, %s", outcome.state.value)
        self.onFinished(outcome)


def enginePackages() -> Path:
    """The folder of the packages that the engine's process imports."""
    return packages_folder(MODULE_FOLDER)


class LiverSegModuleTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer (Reload and Test, or ctest)."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for test in (
            self.test_parameters_reach_the_engine,
            self.test_the_panel_needs_a_volume,
            self.test_the_childs_lines_become_messages,
            self.test_cancel_ends_the_child_within_two_seconds,
            self.test_a_made_up_patient_is_read_out,
        ):
            self.setUp()
            test()
        self.delayDisplay("Test passed")

    def test_parameters_reach_the_engine(self) -> None:
        parameterNode = LiverSegModuleLogic().getParameterNode()
        self.assertEqual(engineOptions(parameterNode), EngineOptions())
        parameterNode.device = Device.CPU
        parameterNode.quality = Quality.FAST
        parameterNode.splitSegment4 = True
        again = engineOptions(LiverSegModuleLogic().getParameterNode())
        self.assertEqual(again, EngineOptions(device="cpu", quality="fast", split_segment_4=True))

    def test_the_panel_needs_a_volume(self) -> None:
        if slicer.util.mainWindow() is None:
            logging.info("skipped: there is no main window")
            return
        slicer.util.selectModule("LiverSegModule")
        panel = slicer.modules.LiverSegModuleWidget
        self.assertFalse(panel.ui.applyButton.enabled)
        volumeNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        panel._parameterNode.inputVolume = volumeNode
        self.assertTrue(panel.ui.applyButton.enabled)
        self.assertFalse(panel.ui.cancelButton.enabled)
        self.assertEqual(panel.ui.inputSelector.currentNode(), volumeNode)

    def test_the_childs_lines_become_messages(self) -> None:
        said, ended = [], []
        process = EngineProcess(said.append, ended.append)
        code = (
            "import json, sys\n"
            "print(json.dumps({'event': 'progress', 'fraction': 0.5, 'message': 'half'}))\n"
            "print(json.dumps({'event': 'error', 'message': 'not a CT', 'exit_code': 3}))\n"
            "sys.exit(3)"
        )
        process.start(pythonSlicerPath(), ["-c", code], {})
        self.waitUntil(lambda: ended, 60)
        self.assertIn(Progress(0.5, "half"), said)
        self.assertEqual(ended, [RunOutcome(RunState.FAILED, "not a CT")])

    def test_cancel_ends_the_child_within_two_seconds(self) -> None:
        if missingPackages(str(MODULE_FOLDER / "Resources" / "requirements.txt")):
            logging.info("skipped: Python packages of LiverSeg are not installed")
            return
        said, ended = [], []
        process = EngineProcess(said.append, ended.append)
        process.start(pythonSlicerPath(), ["-u", "-c", "import time; print('up'); time.sleep(600)"], {})
        self.waitUntil(lambda: PlainText("up") in said, 60)
        began = time.monotonic()
        process.cancel()
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(ended, [RunOutcome(RunState.CANCELLED)])

    def test_a_made_up_patient_is_read_out(self) -> None:
        if missingPackages(str(MODULE_FOLDER / "Resources" / "requirements.txt")):
            logging.info("skipped: Python packages of LiverSeg are not installed")
            return
        from liverseg.phantom import make_phantom
        from liverseg_mrml.volume_node import add_volume

        phantom = make_phantom(seed=0)
        volumeNode = add_volume(slicer.mrmlScene, phantom.ct, "Made-up patient")
        logic = LiverSegModuleLogic()
        ended = []
        logic.onFinished = ended.append
        logic.start(volumeNode, EngineOptions(device="cpu", quality="fast"))
        self.waitUntil(lambda: ended, 600)
        self.assertEqual(ended, [RunOutcome(RunState.DONE)])
        case, nodes = logic.loadResults()
        logic.forgetRun()
        planned = phantom.masks.liver.sum() * phantom.ct.geometry.voxel_volume_ml
        self.assertLess(abs(case.liver.volume_ml - planned), 0.15 * planned)
        self.assertEqual(nodes.table.GetNumberOfRows(), len(case.lesions))

    def waitUntil(self, condition: Callable[[], object], limit_s: float) -> None:
        """Let the event loop run until something holds; a failure after the limit."""
        began = time.monotonic()
        while not condition():
            self.assertLess(time.monotonic() - began, limit_s, "waited too long")
            slicer.app.processEvents()
            time.sleep(0.02)
