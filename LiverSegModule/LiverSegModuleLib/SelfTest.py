"""The module's self test: what a user does, with assertions. Runs inside Slicer and in the tests' Qt host.

Each scenario gets the test case (for its assertions) and starts on an empty scene. They stand in the files
``SelfTest*.py``, by subject.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from LiverSegModuleLib import SelfTestEdits, SelfTestEngine, SelfTestInput, SelfTestResults, SelfTestViews

Scenario = Callable[[Any], None]
SUBJECTS = (SelfTestInput, SelfTestResults, SelfTestEdits, SelfTestViews, SelfTestEngine)


def scenarios() -> dict[str, Scenario]:
    """All scenarios by name, in the order of their files."""
    return {
        name: each
        for subject in SUBJECTS
        for name, each in vars(subject).items()
        if name.startswith("scenario_")
    }
