"""The command line of the engine's own process. Free of Qt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEVICES = ("auto", "cuda", "mps", "cpu")
QUALITIES = ("full", "fast")


@dataclass(frozen=True)
class EngineOptions:
    """How the CT is read out.

    Attributes:
        device: one of :data:`DEVICES`.
        quality: one of :data:`QUALITIES`.
        split_segment_4: segment IV as IVa and IVb.
        force: go on where the gray values are no plausible Hounsfield units.
        model: a name or a bundle's folder; empty for the default.
    """

    device: str = "auto"
    quality: str = "full"
    split_segment_4: bool = False
    force: bool = False
    model: str = ""

    def is_valid(self) -> tuple[bool, str]:
        """Whether the engine knows these options, and if not, why."""
        if self.device not in DEVICES:
            return False, f"the device {self.device!r} is not known; use one of {', '.join(DEVICES)}"
        if self.quality not in QUALITIES:
            return False, f"the quality {self.quality!r} is not known; use one of {', '.join(QUALITIES)}"
        return True, ""


def build_arguments(ct: Path, output: Path, options: EngineOptions) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg segment`` with JSON progress lines.

    Raises:
        ValueError: an option the engine does not know.
    """
    return ["-m", "liverseg", "segment", str(ct), "-o", str(output), *_option_arguments(options)]


def build_batch_arguments(source: Path, output: Path, options: EngineOptions) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg batch`` with JSON progress lines.

    Args:
        source: a folder of CTs, a list or a table.
        output: the folder of the cases' folders.

    Raises:
        ValueError: an option the engine does not know.
    """
    return ["-m", "liverseg", "batch", str(source), "-o", str(output), *_option_arguments(options)]


def _option_arguments(options: EngineOptions) -> list[str]:
    valid, reason = options.is_valid()
    if not valid:
        raise ValueError(reason)
    arguments = ["--device", options.device, "--quality", options.quality, "--json-progress"]
    if options.split_segment_4:
        arguments.append("--split-segment-4")
    if options.force:
        arguments.append("--force")
    if options.model:
        arguments += ["--model", options.model]
    return arguments


def child_environment(packages: Path, parent: Mapping[str, str]) -> dict[str, str]:
    """The variables that the engine's process has beside those of this one.

    Args:
        packages: the folder of the package ``liverseg``; comes first on the child's ``PYTHONPATH``.
        parent: the environment of this process.
    """
    inherited = parent.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": os.pathsep.join([str(packages), inherited] if inherited else [str(packages)]),
        # Progress lines must come at once, and file names and messages are UTF-8 on Windows, too.
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
