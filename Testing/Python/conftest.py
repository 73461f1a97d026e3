"""What several test files share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real CTs."""
    folder = os.environ.get("LIVERSEG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LIVERSEG_DATA does not point at the folder of real CTs")
    return Path(folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: tiny networks only wait for a second one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One window for all tests of a file: the application's scene lives as long as Slicer does."""
    from panel_host import Host, program

    programs = tmp_path_factory.mktemp("bin")
    # A link would lose the virtual environment.
    program(programs, f'exec "{sys.executable}" "$@"')
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}{os.pathsep}{path}"
    host = Host(tmp_path_factory.mktemp("host"))
    host.open()
    yield host
    host.close()
    os.environ["PATH"] = path


@pytest.fixture
def host(shared: Any) -> Any:
    """The window over an empty scene."""
    shared.scene.Clear()
    shared.dialogs.clear()
    shared.details.clear()
    shared.answer = True
    shared.settle()
    return shared


@pytest.fixture
def patient(host: Any) -> tuple[Any, Any]:
    """A made-up patient's result on screen: its nodes and its case."""
    from LiverSegModuleLib.SelfTestTools import showPatient

    nodes, case = showPatient(host.widget)
    host.settle()
    return nodes, case
