"""Runs the Slicer module in a window of its own: Qt and MRML are real, the application is not.

Nothing here is part of the product. ``Testing/README.md`` lists what this host cannot show.
"""

# ruff: noqa: N802, N803

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from borrowed import Borrowed
from parameter_node import WithinRange, parameterNodeWrapper
from pythonqt_habits import Habit, QtModule, bare, dressed
from slicer_packaging import Packaging
from slicer_widgets import IN_UI_FILES, qMRMLSegmentEditorWidget

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "LiverSegModule"
LOGICS = {
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
}


class Loader(QtUiTools.QUiLoader):
    """Knows the stand-ins for qMRML and ctk."""

    def __init__(self) -> None:
        super().__init__()
        for each in IN_UI_FILES:
            self.registerCustomWidget(each)


class Application:
    """What the module asks ``slicer.app`` for."""

    applicationName = "Slicer"  # noqa: N815

    def __init__(self, temporary: Path, logic: Any) -> None:
        self.testing = False
        self.temporaryPath = str(temporary)
        self._logic = logic
        self.startupCompleted = SimpleNamespace(connect=lambda slot: None)

    def testingEnabled(self) -> bool:
        return self.testing

    def applicationLogic(self) -> Any:
        return self._logic

    def clipboard(self) -> Any:
        return dressed(QtGui.QGuiApplication.clipboard())

    def layoutManager(self) -> None:
        return None

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()


class Module:
    """``slicer.ScriptedLoadableModule`` for one module: the base classes and their bookkeeping."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def classes(self) -> ModuleType:
        host = self.host

        class ScriptedLoadableModule:
            def __init__(self, parent: Any) -> None:
                self.parent = parent

        class ScriptedLoadableModuleWidget:
            def __init__(self, parent: Any = None) -> None:
                self.parent = parent
                self.layout = dressed(bare(parent).layout())

            def resourcePath(self, name: str) -> str:
                return str(MODULE / "Resources" / name)

            def setup(self) -> None: ...

        class ScriptedLoadableModuleLogic:
            def __init__(self, parent: Any = None) -> None: ...

            def getParameterNode(self) -> Any:
                node = host.scene.GetSingletonNode("LiverSegModule", "vtkMRMLScriptedModuleNode")
                if node is None:
                    node = slicer.vtkMRMLScriptedModuleNode()
                    node.SetSingletonTag("LiverSegModule")
                    node.SetName("LiverSegModule")
                    node = host.scene.AddNode(node)
                return node

        class ScriptedLoadableModuleTest:
            def delayDisplay(self, text: str, msec: int = 0) -> None: ...

        module = ModuleType("slicer.ScriptedLoadableModule")
        for each in (
            *(ScriptedLoadableModule, ScriptedLoadableModuleWidget),
            *(ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest),
        ):
            setattr(module, each.__name__, each)
        return module


class Host:
    """A window with the module's panel in it.

    Attributes:
        scene: the MRML scene, made as for ``liverseg_mrml``.
        dialogs, details: what dialogs said; questions are answered by ``answer``.
        widget: the module's widget after :meth:`open`.
        window: the window.
    """

    def __init__(self, temporary: Path) -> None:
        self.qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host"])
        # Imported late: it registers what MRML needs before the first segmentation.
        from liverseg_mrml.scene import make_scene  # noqa: PLC0415

        self.made = make_scene()
        self.scene = self.made.scene
        self.scene.RegisterNodeClass(slicer.vtkMRMLScriptedModuleNode())
        self.scene.RegisterNodeClass(slicer.vtkMRMLSegmentEditorNode())
        self.cache = slicer.vtkCacheManager()
        self.cache.SetRemoteCacheDirectory(str(temporary))
        self.scene.SetCacheManager(self.cache)
        # Settings of the host are its own, and new each time.
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(temporary))
        self.qt.setOrganizationName("LiverSegHost")
        self.dialogs: list[str] = []
        self.details: list[str] = []
        self.answer = True
        self.widget: Any = None
        self.window: Any = None
        self._borrowed = Borrowed()
        self._logics = dict(self.made.logics)
        for module, name in LOGICS.items():
            self._logics[module] = getattr(slicer, name)()
            self._logics[module].SetMRMLScene(self.scene)
        self._install(temporary)

    def _install(self, temporary: Path) -> None:
        module = QtModule("qt")
        module.QUiLoader = lambda: dressed(Loader())  # type: ignore[attr-defined]
        i18n = ModuleType("slicer.i18n")
        i18n.tr = lambda text: text  # type: ignore[attr-defined]
        i18n.translate = lambda context, text: text  # type: ignore[attr-defined]
        wrapper = ModuleType("slicer.parameterNodeWrapper")
        wrapper.parameterNodeWrapper = parameterNodeWrapper  # type: ignore[attr-defined]
        wrapper.WithinRange = WithinRange  # type: ignore[attr-defined]
        packaging = Packaging()
        for each in (module, ModuleType("ctk"), i18n, wrapper, packaging, Module(self).classes()):
            self._borrowed.put_module(each)
        for name, value in {
            "packaging": packaging,
            "app": Application(temporary, self.made.application),
            "mrmlScene": self.scene,
            "modules": SimpleNamespace(),
            "qMRMLSegmentEditorWidget": lambda: dressed(qMRMLSegmentEditorWidget()),
        }.items():
            self._borrowed.put(slicer, name, value)
        for name, value in {
            "mainWindow": lambda: self.window,
            "getModuleLogic": lambda name: self._logics[name],
            "errorDisplay": lambda text, **_: self.dialogs.append(text),
            "confirmOkCancelDisplay": self._ask,
            "selectModule": lambda name: None,
        }.items():
            self._borrowed.put(slicer.util, name, value)

    def _ask(self, text: str, *_args: Any, **options: Any) -> bool:
        self.dialogs.append(text)
        self.details.append(str(options.get("detailedText", "")))
        return self.answer

    def open(self) -> Any:
        """Load the module and enter it, as a click on its name does."""
        for folder in (str(MODULE), str(ROOT / "LiverSegExtension")):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        import LiverSegModule  # noqa: PLC0415

        window = QtWidgets.QMainWindow()
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        inner = _Parent()
        QtWidgets.QVBoxLayout(inner)
        area.setWidget(inner)
        window.setCentralWidget(area)
        window.resize(500, 1000)
        self.window = Habit(window)
        self.widget = LiverSegModule.LiverSegModuleWidget(Habit(inner))
        slicer.modules.LiverSegModuleWidget = self.widget
        self.widget.setup()
        window.show()
        window.activateWindow()
        inner.entered = True
        self.widget.enter()
        self.settle()
        return self.widget

    def close(self) -> None:
        """Close the window as the application does at its end; the process is as it was before."""
        if self.widget is not None:
            self.widget.exit()
            self.widget.cleanup()
            bare(self.window).close()
            self.settle()
        self._borrowed.give_back()

    def settle(self, milliseconds: int = 0) -> None:
        """Let Qt handle what waits."""
        end = QtCore.QDeadlineTimer(milliseconds)
        self.qt.processEvents()
        while not end.hasExpired():
            self.qt.processEvents(QtCore.QEventLoop.AllEvents, 20)

    def picture(self, path: Path) -> Path:
        """The whole panel as a picture."""
        inner = bare(self.window).centralWidget().widget()
        self.settle()
        inner.grab().save(str(path))
        return path


class _Parent(QtWidgets.QWidget):
    """The module's place in Slicer's panel."""

    entered = False

    def _is_entered(self) -> bool:
        return self.entered

    isEntered = QtCore.Property(bool, _is_entered)  # noqa: N815
