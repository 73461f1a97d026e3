"""The LiverSeg module of 3D Slicer: choose a CT, press Apply, read, correct and export the liver's read-out.

What the classes do is in ``LiverSegModuleLib``; Slicer looks for the four of them here.
"""

import sys
import unittest
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from LiverSegModuleLib.EnginePath import add_engine_to_path
from LiverSegModuleLib.Parameter import LiverSegParameterNode
from LiverSegModuleLib.RunLogic import RunLogic

MODULE_FOLDER = Path(__file__).resolve().parent
add_engine_to_path(MODULE_FOLDER, sys.path)


class LiverSegModule(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LiverSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = [
            "Segmentations",
            "Markups",
            "VolumeRendering",
            "Terminologies",
            "SampleData",
        ]
        self.parent.contributors = ["The LiverSeg contributors"]
        self.parent.helpText = _(
            "Reads out the liver in an abdominal CT: the liver, every lesion, the eight Couinaud segments "
            "and a lesion table. Everything is computed on this computer. For research; not a medical device."
        )
        self.parent.acknowledgementText = _("LiverSeg builds on 3D Slicer, MONAI and PyTorch.")
        # The Sample Data module and the layouts may not be there yet.
        slicer.app.startupCompleted.connect(onStartupCompleted)


def onStartupCompleted(*_args) -> None:
    """List our samples in Slicer's Sample Data module, and make our layout known to scenes that name it."""
    from LiverSegModuleLib.ReviewLayout import registerReviewLayout
    from LiverSegModuleLib.SampleData import registerSampleData

    registerReviewLayout(slicer.mrmlScene)
    registerSampleData(MODULE_FOLDER / "Resources" / "Icons")


class LiverSegModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel as Slicer sees it: set up once, entered and left, with a scene that opens and closes."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._imported = False

    def setup(self) -> None:
        """Called when the user opens the module the first time."""
        from LiverSegModuleLib.Panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LiverSegModule.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = LiverSegModuleLogic()
        self.panel = Panel(self.ui, self.logic, slicer.mrmlScene, self.resourcePath("requirements.txt"))

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onSceneEndBatchProcess)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        self.setParameterNode(None)
        if self.panel:
            self.panel.cleanup()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the user opens a different module. A run goes on."""
        self.panel.leave()
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Reload the Lib package with the module."""
        for name in [name for name in sys.modules if name.split(".")[0] == "LiverSegModuleLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """Let go of the scene before its nodes go away."""
        self.panel.closeScene()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        """A new parameter node at once when the panel is on screen."""
        self.panel.sceneClosed()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event) -> None:
        """A saved scene was opened or added: take up the result in it."""
        self._imported = True
        if not slicer.mrmlScene.IsBatchProcessing():
            self.takeUpImported()

    def onSceneEndBatchProcess(self, caller, event) -> None:
        """A scene that takes the place of another is imported as a batch, and is whole at its end."""
        if self._imported:
            self.takeUpImported()

    def onNodeRemoved(self, caller, event) -> None:
        """It may have been a result, or a part of one."""
        self.panel.session.forgetRemoved()

    def takeUpImported(self) -> None:
        """Show the result of an imported scene, when the panel is on screen."""
        self._imported = False
        # Folders are read with the scene, and in place only after this.
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(slicer.mrmlScene)
        if self.parent.isEntered:
            self.initializeParameterNode()
            self.panel.session.showNewest()

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
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if self._parameterNode:
            # Widgets name their parameter in the .ui file (dynamic property SlicerParameterName).
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        if self.panel:
            self.panel.setParameters(self._parameterNode)

    def onParametersChanged(self, caller=None, event=None) -> None:
        """The input or an option changed."""
        self.panel.onParametersChanged()


class LiverSegModuleLogic(RunLogic, ScriptedLoadableModuleLogic):
    """Runs the engine and brings its results into the scene; ``run`` for scripts, ``start`` for the panel."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        RunLogic.__init__(self)

    def getParameterNode(self) -> LiverSegParameterNode:
        """The parameters of the module in the scene."""
        return LiverSegParameterNode(ScriptedLoadableModuleLogic.getParameterNode(self))


class LiverSegModuleTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer (Reload and Test, or ctest): the scenarios of ``LiverSegModuleLib.SelfTest``."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Every scenario on an empty scene; skipped with the reasons if any could not be played."""
        from LiverSegModuleLib.SelfTest import scenarios

        skipped: dict[str, str] = {}
        for name, scenario in scenarios().items():
            self.setUp()
            self.delayDisplay(name)
            try:
                scenario(self)
            except unittest.SkipTest as reason:
                skipped[name] = str(reason)
        if skipped:
            reasons = "; ".join(sorted(set(skipped.values())))
            words = _("{count} of {all} scenarios were not played: {reasons}")
            self.skipTest(words.format(count=len(skipped), all=len(scenarios()), reasons=reasons))
        self.delayDisplay(_("Test passed"))
