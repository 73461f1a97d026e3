"""The recipe for a computer that is never online: its commands are run as they stand in the page.

Wheels are made up and indexes lie in folders: only the addresses to fetch from are others.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from made_wheels import make_index, make_wheel

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "LiverSegModule" / "Resources"


def commands() -> list[str]:
    """The lines of the page's shell blocks."""
    text = (ROOT / "docs" / "offline.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def required(*names: str) -> list[Requirement]:
    lines = [line for name in names for line in (RESOURCES / name).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def version_for(requirement: Requirement) -> str:
    return next(v for v in ("99.1", "0.99") if requirement.specifier.contains(v))


@pytest.fixture(scope="module")
def computers(tmp_path_factory) -> dict[str, Path]:
    """The repository and what PythonSlicer stands for on both computers, after the recipe was followed."""
    folder = tmp_path_factory.mktemp("recipe")
    needed = required("requirements.txt", "requirements-export.txt")
    for each in needed:
        needs = ["torch>=2"] if each.name == "monai" else []
        make_wheel(folder / "pypi", each.name, version_for(each), needs)
    make_wheel(folder / "pytorch", "torch", "2.13.0+cpu")
    # The newest of all is not of that build.
    make_wheel(folder / "pypi", "torch", "99.0")
    indexes = {name: make_index(folder / name) for name in ("pypi", "pytorch")}
    repository = folder / "repository"
    repository.mkdir()
    for part in ("LiverSegModule", "scripts"):
        (repository / part).symlink_to(ROOT / part)
    program = folder / "bin" / "PythonSlicer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    # Nothing of what pip is told on this computer.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": indexes["pypi"],
    }
    for line in commands():
        if "collect_wheels.py" in line:
            run(f"{line} --torch-index {indexes['pytorch']}", repository, environment)
        else:
            # The offline computer has neither an index nor any package.
            offline = environment | {"PIP_INDEX_URL": "file:///nowhere", "PIP_TARGET": str(folder / "site")}
            run(line, repository, offline)
    return {"wheels": repository / "wheels", "site": folder / "site"}


def run(line: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        shlex.split(line), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


def test_the_page_has_one_command_online_and_two_offline() -> None:
    assert [line.split()[0] for line in commands()] == ["PythonSlicer"] * 3
    assert [("--no-index" in line) for line in commands()] == [False, True, True]


def test_the_folder_of_wheels_has_everything_and_one_pytorch_of_the_build_asked_for(computers) -> None:
    wheels = [path.name for path in computers["wheels"].glob("*.whl")]
    assert [name for name in wheels if name.startswith("torch-")] == ["torch-2.13.0+cpu-py3-none-any.whl"]
    assert len(wheels) == 1 + len(required("requirements.txt", "requirements-export.txt"))


def test_liverseg_finds_every_package_afterwards_and_asks_for_nothing(computers) -> None:
    found = importlib.metadata.distributions(path=[str(computers["site"])])
    versions = {each.name: each.version for each in found}
    for requirement in required("requirements.txt", "requirements-export.txt"):
        assert versions[requirement.name] in requirement.specifier
    assert versions["torch"] == "2.13.0+cpu"


def test_the_pytorch_of_the_recipe_is_the_one_that_the_panel_asks_for() -> None:
    panel = (ROOT / "LiverSegModule/LiverSegModuleLib/InstallLogic.py").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "collect_wheels.py").read_text(encoding="utf-8")
    (asked,) = re.findall(r'^TORCH = "(.+)"$', panel, re.MULTILINE)
    assert re.findall(r'^TORCH = "(.+)"$', script, re.MULTILINE) == [asked]
    assert any(shlex.quote(asked) == shlex.quote(word) for line in commands() for word in shlex.split(line))
