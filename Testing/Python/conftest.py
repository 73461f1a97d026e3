"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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
