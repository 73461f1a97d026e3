"""Play the module's self test in the host with Slicer's own Python files in place of the stand-ins for them.

with_slicer_sources.py SLICER FOLDER    a checkout of Slicer's sources (branch 5.12); temporary folder

``slicer.parameterNodeWrapper`` with its connectors, ``slicer.ScriptedLoadableModule``, ``slicer.packaging``,
``slicer.i18n`` and the module SampleData come from the checkout; Qt, qMRML and ctk stay as in the host.
Prints a line a scenario, and whether our CTLiver is Slicer's own; the exit code tells whether all passed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
import unittest
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LiverSegExtension"), str(ROOT / "LiverSegModule")]

import slicer  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402

import pythonqt_habits  # noqa: E402
import slicer_widgets  # noqa: E402
from host import Host  # noqa: E402

QMRML = ("qMRMLNodeComboBox", "qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox")
PATH = ROOT / "LiverSegModule" / "LiverSegModule.py"


class Ctk(ModuleType):
    """The module ``ctk``: the stand-ins, and an empty class for each widget that the panel has not."""

    def __getattr__(self, name: str) -> type:
        setattr(self, name, getattr(slicer_widgets, name, type(name, (), {})))
        return vars(self)[name]


class BareQt(ModuleType):
    """The module ``qt`` with PySide6's own classes, whose types can be compared."""

    def __getattr__(self, name: str) -> Any:
        for source in (QtWidgets, QtCore, QtGui):
            if hasattr(source, name):
                return getattr(source, name)
        raise AttributeError(name)


class Signal(pythonqt_habits._Signal):
    """A signal that can be disconnected; a slot gets as many arguments as it takes, as in PythonQt."""

    connected: dict[tuple[str, Any], Any] = {}

    def connect(self, slot: Any) -> None:
        code = getattr(slot, "__code__", None)
        count = None
        if code is not None and not code.co_flags & 0x04:
            count = code.co_argcount - (1 if hasattr(slot, "__self__") else 0)

        def call(*arguments: Any) -> None:
            slot(*[pythonqt_habits.dressed(each) for each in arguments][:count])

        self._signal.connect(call)
        self.connected[repr(self._signal), slot] = call

    def disconnect(self, slot: Any) -> None:
        self._signal.disconnect(self.connected.pop((repr(self._signal), slot)))


def load(name: str, path: Path) -> ModuleType:
    """A Python file under a name of its own choosing; a package where it is an ``__init__``."""
    folders = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(slicer, name.rsplit(".", maxsplit=1)[-1], module)
    return module


def main(sources: Path, temporary: Path) -> int:
    """The number of scenarios that failed."""
    python = sources / "Base" / "Python" / "slicer"
    programs = temporary / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "PythonSlicer").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (programs / "PythonSlicer").chmod(0o755)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    pythonqt_habits._Signal = Signal  # type: ignore[misc]
    host = Host(temporary)
    sys.modules["ctk"] = Ctk("ctk")
    for name in QMRML:
        setattr(slicer, name, getattr(slicer_widgets, name, type(name, (), {})))
    manager = SimpleNamespace(connect=lambda *_: None, disconnect=lambda *_: None)
    slicer.app.moduleManager = lambda: manager
    slicer.app.translate = lambda context, text: text
    slicer.util.modulePath = lambda name: str(PATH)
    slicer.util.delayDisplay = lambda *_args, **_options: None
    load("slicer.i18n", python / "i18n.py")
    load("slicer.ScriptedLoadableModule", python / "ScriptedLoadableModule.py")
    load("slicer.packaging", python / "packaging.py")
    habits = sys.modules["qt"]
    sys.modules["qt"] = BareQt("qt")
    load("slicer.parameterNodeWrapper", python / "parameterNodeWrapper" / "__init__.py")
    connectors = sys.modules["slicer.parameterNodeWrapper.guiConnectors"]
    connectors.type = lambda each: type(pythonqt_habits.bare(each))  # type: ignore[attr-defined]
    load("SampleData", sources / "Modules" / "Scripted" / "SampleData" / "SampleData.py")
    sys.modules["qt"] = habits
    host.open()
    return play(host) + compare_samples()


def compare_samples() -> int:
    """0 where our CTLiver is downloaded from where Slicer's is, and checked in the same way."""
    import LiverSegModule  # noqa: PLC0415

    LiverSegModule.onStartupCompleted()
    sys.modules["SampleData"].SampleDataLogic()
    found = {
        (tuple(source.uris), tuple(source.checksums), tuple(source.fileNames), tuple(source.nodeNames))
        for sources in slicer.modules.sampleDataSources.values()
        for source in sources
        if source.sampleName == "CTLiver"
    }
    categories = list(slicer.modules.sampleDataSources)
    print(f"samples in {', '.join(categories)}; CTLiver is Slicer's own: {len(found) == 1}")
    return 0 if len(found) == 1 and len(categories) > 1 else 1


def play(host: Host) -> int:
    """Every scenario on an empty scene; the number of those that failed."""
    import LiverSegModule  # noqa: PLC0415
    from LiverSegModuleLib.SelfTest import scenarios  # noqa: PLC0415

    module = SimpleNamespace(path=str(PATH), icon=None)
    LiverSegModule.LiverSegModule(module)
    print("loaded", module.title, module.categories, LiverSegModule.LiverSegModuleLogic().moduleName)
    failed = 0
    for name, scenario in scenarios().items():
        host.scene.Clear()
        host.dialogs.clear()
        host.settle()
        try:
            scenario(unittest.TestCase())
            print("passed", name)
        except Exception:
            failed += 1
            print("FAILED", name)
            traceback.print_exc()
    print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1]), Path(sys.argv[2])) else 0)
