"""A stand-in for Slicer's ``qt.QProcess``, for the edge of the process: it plays a script."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType


class Signal:
    """Calls what is connected to it."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., None]] = []

    def connect(self, slot: Callable[..., None]) -> None:
        self._slots.append(slot)

    def emit(self, *arguments: object) -> None:
        for slot in self._slots:
            slot(*arguments)


class QByteArray:
    """Bytes with a ``data`` method."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def data(self) -> bytes:
        return self._content


class QProcessEnvironment:
    """A dict with Qt's names."""

    def __init__(self) -> None:
        self.values = {"INHERITED": "yes"}

    @staticmethod
    def systemEnvironment() -> QProcessEnvironment:  # noqa: N802
        return QProcessEnvironment()

    def insert(self, name: str, value: str) -> None:
        self.values[name] = value


class QProcess:
    """What EngineProcess uses of Qt's class; tests call ``say``, ``end`` and ``refuse`` on it."""

    SeparateChannels = 0
    NotRunning, Starting, Running = 0, 1, 2
    NormalExit, CrashExit = 0, 1
    FailedToStart, Crashed = 0, 1
    made: QProcess

    def __init__(self) -> None:
        QProcess.made = self
        self.readyReadStandardOutput, self.readyReadStandardError = Signal(), Signal()
        self.finished, self.errorOccurred = Signal(), Signal()
        self._state, self._code, self._status, self._error = self.NotRunning, 0, self.NormalExit, None
        self._output, self._errors = b"", b""
        self.environment: QProcessEnvironment | None = None
        self.command: list[str] = []

    # What Qt has.
    def setProcessChannelMode(self, mode: int) -> None:  # noqa: N802
        assert mode == self.SeparateChannels

    def setProcessEnvironment(self, environment: QProcessEnvironment) -> None:  # noqa: N802
        self.environment = environment

    def start(self, program: str, arguments: list[str]) -> None:
        self.command, self._state = [program, *arguments], self.Running

    def state(self) -> int:
        return self._state

    def processId(self) -> int:  # noqa: N802
        return 4711

    def waitForFinished(self, milliseconds: int) -> bool:  # noqa: N802
        return self._state == self.NotRunning

    def exitCode(self) -> int:  # noqa: N802
        return self._code

    def exitStatus(self) -> int:  # noqa: N802
        return self._status

    def readAllStandardOutput(self) -> QByteArray:  # noqa: N802
        content, self._output = self._output, b""
        return QByteArray(content)

    def readAllStandardError(self) -> QByteArray:  # noqa: N802
        content, self._errors = self._errors, b""
        return QByteArray(content)

    # What the test makes happen.
    def say(self, output: bytes = b"", errors: bytes = b"", tell: bool = True) -> None:
        self._output += output
        self._errors += errors
        if tell and output:
            self.readyReadStandardOutput.emit()
        if tell and errors:
            self.readyReadStandardError.emit()

    def end(self, code: int = 0, crashed: bool = False) -> None:
        self._state, self._code = self.NotRunning, code
        self._status = self.CrashExit if crashed else self.NormalExit
        if crashed:
            self._error = self.Crashed
            self.errorOccurred.emit(self.Crashed)
        self.finished.emit(code, self._status)

    def refuse(self) -> None:
        self._state, self._error = self.NotRunning, self.FailedToStart
        self.errorOccurred.emit(self.FailedToStart)


def fake_qt() -> ModuleType:
    """A module to stand in ``sys.modules`` as ``qt``."""
    module = ModuleType("qt")
    module.QProcess = QProcess  # type: ignore[attr-defined]
    module.QProcessEnvironment = QProcessEnvironment  # type: ignore[attr-defined]
    return module
