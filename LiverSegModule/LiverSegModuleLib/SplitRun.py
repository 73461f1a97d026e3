"""A split of the liver on screen, in the engine's own process: PyTorch stays there, and the window alive."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from LiverSegModuleLib.EngineCommand import CouinaudFiles, build_couinaud_arguments, child_environment
from LiverSegModuleLib.EngineMessages import Message, PlainText, RunOutcome
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.InstallLogic import ensurePackages
from LiverSegModuleLib.RunFolder import RunFolder
from LiverSegModuleLib.SplitFiles import write_split_input


class SplitRun:
    """One split at a time.

    Args:
        packages: the folder of the package ``liverseg``.
        requirements: path of ``requirements.txt``.
        log: takes lines for the log.
    """

    def __init__(self, packages: Path, requirements: str, log: Callable[[str], None]) -> None:
        self._packages, self._requirements, self._log = packages, requirements, log
        self._process: EngineProcess | None = None
        self._folder: RunFolder | None = None

    @property
    def isRunning(self) -> bool:
        """Whether a split goes on."""
        return self._process is not None and self._process.isRunning

    def start(
        self,
        given: Any,
        wish: Any,
        model: str,
        onFinished: Callable[[RunOutcome, CouinaudFiles], None],
    ) -> None:
        """Begin to split.

        Args:
            given: ``liverseg_mrml.resplitting.SplitInput``.
            wish: ``liverseg_mrml.resplitting.SplitWish``.
            model: a name or a bundle's folder; empty for the default.
            onFinished: hears how it ended and where the files are, which are removed when it returns.

        Raises:
            RuntimeError: there is no PythonSlicer, or the packages were not installed.
        """
        program = pythonSlicerPath()
        ensurePackages(self._requirements)
        self._forget()
        self._folder = RunFolder.create(Path(slicer.app.temporaryPath))
        files = CouinaudFiles(self._folder.path)
        write_split_input(files, given)

        def finished(outcome: RunOutcome) -> None:
            try:
                onFinished(outcome, files)
            finally:
                self._forget()

        self._process = EngineProcess(self._onMessage, finished)
        arguments = build_couinaud_arguments(
            files, wish.method, wish.split_segment_4, model, given.vessels is not None
        )
        self._process.start(program, arguments, child_environment(self._packages, os.environ))

    def cancel(self) -> None:
        """End the split; who started it hears of it."""
        if self._process is not None:
            self._process.cancel()

    def abandon(self) -> None:
        """End the split without a word: for when the application closes."""
        if self._process is not None:
            self._process.abandon()
        self._forget()

    def _onMessage(self, message: Message) -> None:
        if isinstance(message, PlainText):
            self._log(message.text)

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
