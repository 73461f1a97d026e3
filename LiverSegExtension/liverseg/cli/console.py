"""What a person or a parent process hears while the engine works, and how they stop it."""

from __future__ import annotations

import io
import json
import math
import sys
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Protocol

from liverseg.errors import Cancelled

# Presses that follow so soon are of one wish, and must not interrupt the removal of temporary files.
_SAME_WISH_S = 2.0


class Listener(Protocol):
    """Progress, and the events at the end. Used as a context.

    Progress raises ``Cancelled`` when the work is to end: a stop was asked for, or nobody can be told.
    """

    def __call__(self, fraction: float, message: str) -> None: ...
    def __enter__(self) -> Listener: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def warning(self, message: str) -> None: ...
    def done(self, output: str, lines: list[str]) -> None: ...
    def failed(self, message: str, exit_code: int) -> None: ...


class OutputLost(Cancelled):
    """Standard output cannot be written to, which ends the work as a cancel does."""

    exit_code = 2


class ReaderLeft(OutputLost):
    """Whoever read our output left; there is nobody to tell."""

    exit_code = Cancelled.exit_code


class Stop:
    """Whether a signal asked the running command to stop; handles the signal.

    A library may swallow the interrupt, or make another error of it (an import in C an ``ImportError``); the
    wish stays known here.

    Attributes:
        asked: since the command began.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, for another command."""
        self.asked, self._heard = False, -math.inf

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Interrupt what runs, once for presses in a row."""
        self.asked = True
        before, self._heard = self._heard, time.monotonic()
        if self._heard - before > _SAME_WISH_S:
            raise KeyboardInterrupt


stop = Stop()


def stop_asked() -> bool:
    """Whether Ctrl+C or SIGTERM asked the running command to stop, whatever became of the interrupt."""
    return stop.asked


def _end_if_asked() -> None:
    if stop_asked():
        raise Cancelled("cancelled")


def prepare_output() -> None:
    """See that whatever text is told can be written.

    Raises:
        OutputLost: standard output is closed.
    """
    if sys.stdout is None:
        raise OutputLost("standard output is closed, so nothing can be told; send it to a file or /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # What the terminal's encoding lacks, as in a path, is told as numbers.
        sys.stdout.reconfigure(errors="backslashreplace")


def write_out(text: str) -> None:
    """Write to standard output at once.

    Raises:
        OutputLost: it cannot be written to.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderLeft("the reader of standard output left") from error
    except OSError as error:
        raise OutputLost(
            f"standard output cannot be written to ({error.strerror or error}); send it elsewhere"
        ) from error


def tell_failure(message: str) -> None:
    """One line on standard error, where there is one."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(f"liverseg: {message}\n")
        sys.stderr.flush()


class JsonLines:
    """One JSON object a line on standard output: progress, warning, done, error."""

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, fraction: float, message: str) -> None:
        _end_if_asked()
        self._say(event="progress", fraction=round(fraction, 4), message=message)

    def warning(self, message: str) -> None:
        self._say(event="warning", message=message)

    def done(self, output: str, lines: list[str]) -> None:
        self._say(event="done", output=output, summary=lines)

    def failed(self, message: str, exit_code: int) -> None:
        try:
            self._say(event="error", message=message, exit_code=exit_code)
        except OutputLost:
            tell_failure(message)

    def _say(self, **event: object) -> None:
        write_out(json.dumps(event, ensure_ascii=True) + "\n")


class Bar:
    """A progress bar on standard error, results on standard output."""

    def __init__(self) -> None:
        # The half of a quick command's time, so not before an interrupt is taken for one.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._errors = Console(stderr=True, soft_wrap=True, highlight=False)
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._errors,
            transient=True,
            disable=not self._errors.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=1.0)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, fraction: float, message: str) -> None:
        _end_if_asked()
        self._progress.update(self._task, completed=fraction, description=message)

    def warning(self, message: str) -> None:
        with suppress(OSError):
            self._errors.print(f"warning: {message}", markup=False)

    def done(self, output: str, lines: list[str]) -> None:
        self._progress.stop()
        write_out("".join(line + "\n" for line in lines))

    def failed(self, message: str, exit_code: int) -> None:
        self._progress.stop()
        with suppress(OSError):
            self._errors.print(f"liverseg: {message}", markup=False)
