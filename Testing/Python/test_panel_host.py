"""The tests' own window leaves no trace in the process, so that test files run in any order."""

from __future__ import annotations

import sys

from panel_host import Host


def state() -> dict[str, object]:
    import slicer
    import slicer.util

    ours = ("LiverSegModule", "qt", "ctk", "slicer")
    modules = {name: module for name, module in sys.modules.items() if name.startswith(ours)}
    attributes = {name: getattr(slicer, name, None) for name in ("app", "mrmlScene", "modules", "packaging")}
    functions = {name: vars(slicer.util).get(name) for name in ("mainWindow", "errorDisplay", "selectModule")}
    return {"modules": modules, "attributes": attributes, "functions": functions}


def test_a_window_that_was_closed_leaves_everything_as_it_was(tmp_path) -> None:
    from LiverSegModuleLib import EngineMessages

    before = state()
    host = Host(tmp_path)
    host.open()
    assert state() != before
    assert sys.modules["LiverSegModuleLib.EngineMessages"] is not EngineMessages
    host.close()
    assert state() == before
    assert sys.modules["LiverSegModuleLib.EngineMessages"] is EngineMessages
