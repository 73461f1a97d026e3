"""The engine in a process of its own, under Qt's event loop."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence

import qt

from LiverSegModuleLib.EngineMessages import (
    Failed,
    LineBuffer,
    Message,
    PlainText,
    RunOutcome,
    outcome_of,
    parse_progress_line,
)
from LiverSegModuleLib.ProcessTree import kill_process_tree
from LiverSegModuleLib.Translation import _


def pythonSlicerPath() -> str:
    """The Python interpreter that has Slicer's packages.

    Slicer puts it on PATH, and looks for it there itself (``slicer.util.executePythonModule``).

    Raises:
        RuntimeError: it is not on PATH.
    """
    path = shutil.which("PythonSlicer")
    if not path:
        raise RuntimeError(_("PythonSlicer was not found; this needs the installed 3D Slicer application"))
    return path


class EngineProcess:
    """One run of the engine. Callbacks come from Qt's event loop, in the application's own thread.

    Args:
        onMessage: hears of each message.
        onFinished: hears, once, how the run ended; not called after :meth:`abandon`.
    """

    def __init__(
        self,
        onMessage: Callable[[Message], None],
        onFinished: Callable[[RunOutcome], None],
    ) -> None:
        self._onMessage = onMessage
        self._onFinished = onFinished
        self._messages: list[Message] = []
        self._output = LineBuffer()
        self._errors = LineBuffer()
        self._cancelled = False
        self._over = False
        self._process = qt.QProcess()
        self._process.setProcessChannelMode(qt.QProcess.SeparateChannels)
        self._process.readyReadStandardOutput.connect(self._onOutput)
        self._process.readyReadStandardError.connect(self._onErrorOutput)
        self._process.finished.connect(self._onProcessFinished)
        self._process.errorOccurred.connect(self._onProcessError)

    def start(self, program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program; ``environment`` is added to the application's own."""
        variables = qt.QProcessEnvironment.systemEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        self._process.setProcessEnvironment(variables)
        self._process.start(program, list(arguments))

    @property
    def isRunning(self) -> bool:
        """Whether the run has not ended yet."""
        return not self._over

    def wait(self) -> None:
        """Wait for the end, of which is told before this returns; the window stands still meanwhile."""
        if not self._over:
            self._process.waitForFinished(-1)

    def cancel(self) -> None:
        """End the process with all of its children; ``onFinished`` hears of it before this returns."""
        if self._over:
            return
        self._cancelled = True
        self._kill()
        # Some platforms tell of the end only from the event loop.
        self._finish(exitCode=0, crashed=True)

    def abandon(self) -> None:
        """End the process and tell nobody: for when the application or the module goes away."""
        if not self._over:
            self._over = True
            self._kill()

    def _kill(self) -> None:
        if self._process.state() != qt.QProcess.NotRunning:
            kill_process_tree(int(self._process.processId()))
            self._process.waitForFinished(2000)

    def _onOutput(self, final: bool = False) -> None:
        data = self._process.readAllStandardOutput().data()
        self._tell(parse_progress_line(line) for line in self._output.feed(data, final))

    def _onErrorOutput(self, final: bool = False) -> None:
        data = self._process.readAllStandardError().data()
        self._tell(PlainText(line) for line in self._errors.feed(data, final))

    def _tell(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._messages.append(message)
            if not self._over:
                self._onMessage(message)

    def _onProcessFinished(self, *_args: object) -> None:
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        self._finish(self._process.exitCode(), crashed)

    def _onProcessError(self, error: object = None, *_args: object) -> None:
        # All other errors are followed by finished(); a process that never started has no end. The error is
        # taken as it is told: Qt 5 has a signal beside the function of that name.
        if error == qt.QProcess.FailedToStart:
            logging.error("LiverSeg: the engine's process did not start")
            self._messages.append(Failed(_("the engine's program could not be started"), 1))
            self._finish(exitCode=0, crashed=True)

    def _finish(self, exitCode: int, crashed: bool) -> None:
        if self._over:
            return
        self._onOutput(final=True)
        self._onErrorOutput(final=True)
        self._over = True
        self._onFinished(outcome_of(exitCode, crashed, self._cancelled, self._messages))
