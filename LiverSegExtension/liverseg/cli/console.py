"""What a person or a parent process hears while the engine works."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Listener(Protocol):
    """Progress, and the events at the end. Used as a context."""

    def __call__(self, fraction: float, message: str) -> None: ...
    def __enter__(self) -> Listener: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def warning(self, message: str) -> None: ...
    def done(self, output: str, lines: list[str]) -> None: ...
    def failed(self, message: str, exit_code: int) -> None: ...


class JsonLines:
    """One JSON object a line on standard output: progress, warning, done, error."""

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, fraction: float, message: str) -> None:
        self._say(event="progress", fraction=round(fraction, 4), message=message)

    def warning(self, message: str) -> None:
        self._say(event="warning", message=message)

    def done(self, output: str, lines: list[str]) -> None:
        self._say(event="done", output=output, summary=lines)

    def failed(self, message: str, exit_code: int) -> None:
        self._say(event="error", message=message, exit_code=exit_code)

    def _say(self, **event: object) -> None:
        sys.stdout.write(json.dumps(event, ensure_ascii=True) + "\n")
        sys.stdout.flush()


class Bar:
    """A progress bar on standard error, results on standard output."""

    def __init__(self) -> None:
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
        self._progress.update(self._task, completed=fraction, description=message)

    def warning(self, message: str) -> None:
        self._errors.print(f"warning: {message}", markup=False)

    def done(self, output: str, lines: list[str]) -> None:
        self._progress.stop()
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def failed(self, message: str, exit_code: int) -> None:
        self._progress.stop()
        self._errors.print(f"liverseg: {message}", markup=False)
