"""Imports point one way: LiverSegModule -> liverseg_mrml -> liverseg; and light doors stay light."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "LiverSegExtension"
MODULE = ROOT / "LiverSegModule"

APPLICATION = {
    "slicer",
    "qt",
    "ctk",
    "PythonQt",
    "PySide6",
    "PyQt5",
    "PyQt6",
    "trame",
    "trame_slicer",
    "mrml",
}
ABOVE_MRML = {"LiverSegModule", "LiverSegModuleLib", "liverseg_web", "scripts"}
ABOVE_ENGINE = ABOVE_MRML | {"liverseg_mrml"}
# What Slicer brings and may be named at file scope in the module.
IN_SLICER = {"slicer", "qt", "ctk", "vtk", "numpy", "SimpleITK", "LiverSegModuleLib"}
# The only modules that may load PyTorch when imported; every other one is a light door or used by one.
NETWORK_MODULES = {
    "liverseg.aorta",
    "liverseg.couinaud.learned",
    "liverseg.couinaud.straight",
    "liverseg.device",
    "liverseg.evaluation.end_to_end",
    "liverseg.inference",
    "liverseg.networks",
    "liverseg.pipeline",
    "liverseg.resample",
    "liverseg.shape_input",
    "liverseg.slicewise",
    "liverseg.stages",
    "liverseg.training",
    "liverseg.views",
}
HEAVY = ("torch", "monai", "vtk", "slicer", "qt", "trame")


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, file_scope_only: bool = False) -> Iterator[tuple[int, str]]:
    """Line and dotted name of what a file imports; relative imports stay inside their package."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        inside_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not (file_scope_only and (inside_function or type_checking)):
            pending.extend(ast.iter_child_nodes(node))


def offenders(folder: Path, forbidden: set[str], file_scope_only: bool = False) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files(folder)
        for line, name in imports(path, file_scope_only)
        if name.split(".")[0] in forbidden
    ]


def test_the_checker_sees_what_it_must(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(
        "import os\ntry:\n    import qt\nexcept ImportError:\n    pass\ndef f():\n    import vtk.util\n"
    )
    assert sorted(name for _, name in imports(file)) == ["os", "qt", "vtk.util"]
    assert sorted(name for _, name in imports(file, file_scope_only=True)) == ["os", "qt"]


def test_the_engine_knows_no_slicer_and_no_qt() -> None:
    assert not offenders(PACKAGES / "liverseg", APPLICATION)


def test_the_engine_loads_vtk_only_where_it_draws() -> None:
    assert not offenders(PACKAGES / "liverseg", {"vtk", "vtkmodules"}, file_scope_only=True)


def test_no_modules_of_the_engine_import_each_other_in_a_circle_not_even_inside_of_functions() -> None:
    names = {module_name(path) for path in python_files(PACKAGES / "liverseg")}
    needs = {}
    for path in python_files(PACKAGES / "liverseg"):
        own = module_name(path)
        # A part of a package that imports another part names the package, too.
        needs[own] = {n for _, n in imports(path) if n in names and n != own and not own.startswith(f"{n}.")}
    graphlib.TopologicalSorter(needs).prepare()


def test_the_engine_names_none_of_its_users() -> None:
    assert not offenders(PACKAGES / "liverseg", ABOVE_ENGINE)


def test_liverseg_mrml_names_none_of_its_users() -> None:
    assert not offenders(PACKAGES / "liverseg_mrml", ABOVE_MRML)


def test_liverseg_mrml_reaches_for_no_application() -> None:
    # slicer-core has MRML but neither an application nor a global scene: these are passed in.
    assert not offenders(PACKAGES / "liverseg_mrml", APPLICATION - {"slicer", "mrml"})
    reached = [
        f"{path.relative_to(ROOT)}:{node.lineno} uses slicer.{node.attr}"
        for path in python_files(PACKAGES / "liverseg_mrml")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "slicer"
        and node.attr in ("app", "mrmlScene", "modules")
    ]
    assert not reached


def test_the_module_needs_nothing_that_is_not_in_slicer_to_be_opened() -> None:
    allowed = IN_SLICER | sys.stdlib_module_names
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files(MODULE)
        for line, name in imports(path, file_scope_only=True)
        if name.split(".")[0] not in allowed
    ]
    assert not found, "import it in the function that needs it, after the packages were installed"


def is_network_module(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in NETWORK_MODULES)


def run_python(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(PACKAGES), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_every_module_outside_of_the_networks_loads_without_pytorch_and_vtk() -> None:
    names = [module_name(path) for path in python_files(PACKAGES / "liverseg")]
    light = [name for name in names if not is_network_module(name)]
    assert {"liverseg.case", "liverseg.errors", "liverseg.geometry"} <= set(light)
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [each for each in {HEAVY!r} if each in sys.modules]\n"
        "    if heavy:\n"
        "        print(name, 'loads', *heavy)\n"
        "        break\n"
    )
    assert run_python(code) == ""


def test_the_list_of_network_modules_names_modules_that_are_there() -> None:
    names = {module_name(path) for path in python_files(PACKAGES / "liverseg")}
    assert names >= NETWORK_MODULES


@pytest.mark.parametrize(
    "arguments", [["--help"], ["segment", "--help"], ["measure", "--help"], ["evaluate", "--help"]]
)
def test_help_is_instant(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from liverseg.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        f"print('LOADED', *[each for each in {HEAVY!r} if each in sys.modules])\n"
    )
    assert run_python(code).strip().splitlines()[-1] == "LOADED"


@pytest.mark.parametrize(
    "name",
    [
        *("EngineCommand", "EngineMessages", "EnginePath", "ProcessTree", "RunFolder", "__init__"),
        *("EngineWords", "ReviewLayout", "Session", "Signal", "TimeLeft"),
    ],
)
def test_the_modules_pure_parts_name_neither_slicer_nor_qt(name: str) -> None:
    found = [each for _, each in imports(MODULE / "LiverSegModuleLib" / f"{name}.py")]
    assert not [each for each in found if each.split(".")[0] in APPLICATION]
