"""What the tests of the panel share beside the fixtures ``host`` and ``patient`` of ``conftest.py``.

Importing this file skips a test file where slicer-core or Qt is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6 does not load (pip install 'liverseg[dev]', and its system libraries)",
    exc_type=ImportError,
)

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "QtHost"), str(ROOT / "LiverSegModule")]

from PySide6.QtCore import Qt  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402

from host import Host  # noqa: E402
from pythonqt_habits import bare  # noqa: E402

__all__ = ["ROOT", "Host", "QTest", "Qt", "bare", "click", "program", "wait_until"]


def click(widget, **where) -> None:
    """A click of the left button."""
    QTest.mouseClick(bare(widget), Qt.LeftButton, Qt.NoModifier, **where)


def wait_until(host: Host, condition: Callable[[], object], limit_s: float = 60) -> None:
    """Let Qt's event loop run until something holds."""
    for _ in range(round(limit_s / 0.02)):
        if condition():
            return
        host.settle(20)
    raise AssertionError("waited too long")


def program(folder: Path, text: str) -> Path:
    """A shell script that stands for PythonSlicer, once ``folder`` comes first on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "PythonSlicer"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
