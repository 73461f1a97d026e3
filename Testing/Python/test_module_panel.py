"""The panel and the process behind it, as far as they can be judged without Slicer."""

from __future__ import annotations

import ast
import importlib
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fake_qt import QProcess, fake_qt

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "LiverSegModule"
sys.path.insert(0, str(MODULE))

from LiverSegModuleLib.EngineMessages import (  # noqa: E402
    Message,
    PlainText,
    Progress,
    RunOutcome,
    RunState,
)

HALF = b'{"event": "progress", "fraction": 0.5, "message": "half"}\n'
REFUSED = b'{"event": "error", "message": "not a CT", "exit_code": 3}\n'


# --- one run ------------------------------------------------------------------------------------------


class Run:
    """An EngineProcess over the stand-in for QProcess, and what it told."""

    def __init__(self, module: ModuleType) -> None:
        self.said: list[Message] = []
        self.ended: list[RunOutcome] = []
        self.engine = module.EngineProcess(self.said.append, self.ended.append)
        self.process = QProcess.made
        self.engine.start("PythonSlicer", ["-m", "liverseg"], {"PYTHONPATH": "/engine"})


@pytest.fixture
def killed() -> list[int]:
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, killed: list[int]) -> Run:
    monkeypatch.setitem(sys.modules, "qt", fake_qt())
    monkeypatch.delitem(sys.modules, "LiverSegModuleLib.EngineProcess", raising=False)
    module = importlib.import_module("LiverSegModuleLib.EngineProcess")

    def kill(pid: int) -> None:
        killed.append(pid)
        QProcess.made.end(9, crashed=True)

    monkeypatch.setattr(module, "kill_process_tree", kill)
    return Run(module)


def test_the_child_gets_its_variables_beside_the_inherited_ones(run: Run) -> None:
    assert run.process.command == ["PythonSlicer", "-m", "liverseg"]
    assert run.process.environment is not None
    assert run.process.environment.values == {"INHERITED": "yes", "PYTHONPATH": "/engine"}
    assert run.engine.isRunning


def test_messages_come_while_the_engine_works_and_the_end_comes_once(run: Run) -> None:
    run.process.say(HALF[:20])
    assert run.said == []
    run.process.say(HALF[20:], errors=b"a library's words\n")
    assert run.said == [Progress(0.5, "half"), PlainText("a library's words")]
    run.process.end(0)
    assert run.ended == [RunOutcome(RunState.DONE)]
    assert not run.engine.isRunning
    run.process.end(0)
    assert len(run.ended) == 1


def test_words_that_are_still_in_the_pipe_at_the_end_are_heard(run: Run) -> None:
    run.process.say(REFUSED.rstrip(), tell=False)
    run.process.end(3)
    assert run.ended == [RunOutcome(RunState.FAILED, "not a CT")]


def test_cancel_kills_the_tree_and_is_no_failure(run: Run, killed: list[int]) -> None:
    run.engine.cancel()
    assert killed == [4711]
    assert run.ended == [RunOutcome(RunState.CANCELLED)]
    run.engine.cancel()
    assert killed == [4711]


def test_a_crash_is_a_failure(run: Run) -> None:
    run.process.end(11, crashed=True)
    assert [outcome.state for outcome in run.ended] == [RunState.FAILED]


def test_a_process_that_never_started_is_a_failure(run: Run) -> None:
    run.process.refuse()
    assert [outcome.state for outcome in run.ended] == [RunState.FAILED]
    assert not run.engine.isRunning


def test_an_abandoned_run_is_killed_and_tells_nobody(run: Run, killed: list[int]) -> None:
    run.engine.abandon()
    assert killed == [4711]
    assert run.ended == []
    assert not run.engine.isRunning


# --- the panel ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ui() -> ET.Element:
    return ET.parse(MODULE / "Resources/UI/LiverSegModule.ui").getroot()


@pytest.fixture(scope="module")
def source() -> ast.Module:
    return ast.parse((MODULE / "LiverSegModule.py").read_text(encoding="utf-8"))


def nodes_of_the_module() -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node of the module, with the name of its file."""
    for path in (MODULE / "LiverSegModule.py", *sorted((MODULE / "LiverSegModuleLib").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path.name, node


def test_every_widget_that_the_code_names_is_in_the_panel_and_the_other_way_round(ui: ET.Element) -> None:
    there = {str(widget.get("name")) for widget in ui.iter("widget")}
    named = {
        node.attr
        for _, node in nodes_of_the_module()
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("ui", "self.ui", "widget.ui")
    }
    assert named >= {"applyButton", "progressBar", "lesionTable"}
    assert named <= there
    # Buttons and boxes that nothing answers to would be lies; parameters are bound by their property.
    bound = {
        str(widget.get("name"))
        for widget in ui.iter("widget")
        if any(prop.get("name") == "SlicerParameterName" for prop in widget.findall("property"))
    }
    active = {str(w.get("name")) for w in ui.iter("widget") if w.get("class") in ("QPushButton", "QComboBox")}
    assert active - named - bound == set()


def test_every_parameter_of_the_panel_is_one_of_the_parameter_node(ui: ET.Element) -> None:
    tree = ast.parse((MODULE / "LiverSegModuleLib/Parameter.py").read_text(encoding="utf-8"))
    node = next(
        c for c in ast.walk(tree) if isinstance(c, ast.ClassDef) and c.name == "LiverSegParameterNode"
    )
    declared = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    bound = [
        prop.findtext("string") for prop in ui.iter("property") if prop.get("name") == "SlicerParameterName"
    ]
    # The models are listed when the panel opens, which no .ui file can say.
    assert sorted([*bound, "model"]) == sorted(declared)


def test_every_widget_class_that_is_not_qts_is_declared(ui: ET.Element) -> None:
    used = {widget.get("class") for widget in ui.iter("widget")}
    declared = {item.findtext("class") for item in ui.iter("customwidget")}
    assert {name for name in used if not str(name).startswith("Q")} == declared


def test_the_input_selector_follows_the_scene(ui: ET.Element) -> None:
    connections = {
        (c.findtext("sender"), c.findtext("receiver"), c.findtext("slot")) for c in ui.iter("connection")
    }
    assert (ui.findtext("class"), "inputSelector", "setMRMLScene(vtkMRMLScene*)") in connections


def test_the_module_has_the_four_classes_that_slicer_looks_for(source: ast.Module) -> None:
    classes = {node.name for node in source.body if isinstance(node, ast.ClassDef)}
    suffixes = ("", "Widget", "Logic", "Test")
    assert classes >= {f"LiverSegModule{suffix}" for suffix in suffixes}


def test_slots_are_connected_the_way_pythonqt_and_pyside_share() -> None:
    old_style = [
        f"{name}:{node.lineno}"
        for name, node in nodes_of_the_module()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in ("exec_", "exec")
            or (node.func.attr == "connect" and node.args and isinstance(node.args[0], ast.Constant))
        )
    ]
    assert not old_style
