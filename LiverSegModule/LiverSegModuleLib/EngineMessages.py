"""What the engine's process says, line by line, and how it ended. Free of Qt.

With ``--json-progress`` the engine writes one JSON object a line: ``{"event": "progress", "fraction": 0.42,
"message": "..."}``, ``{"event": "warning", "message": "..."}``, ``{"event": "done", "output": "...",
"summary": ["..."]}`` or ``{"event": "error", "message": "...", "exit_code": 3}``.
"""

from __future__ import annotations

import codecs
import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from LiverSegModuleLib.Translation import _

EXIT_DONE = 0
EXIT_NO_LIVER = 4
EXIT_OUT_OF_MEMORY = 5
EXIT_SOME_FAILED = 6
EXIT_CANCELLED = 130


@dataclass(frozen=True)
class Progress:
    """How far the engine is: ``fraction`` 0..1 and a short message."""

    fraction: float
    message: str


@dataclass(frozen=True)
class Warned:
    """A plain sentence about the input or the result."""

    message: str


@dataclass(frozen=True)
class Done:
    """The outputs are written; ``summary`` is what the engine tells of them, line by line."""

    output: str
    summary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The engine gave up: why, and the exit code that it will end with."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class PlainText:
    """A line that is no message of the engine, such as a library's own words; for the log."""

    text: str


Message = Progress | Warned | Done | Failed | PlainText


def parse_progress_line(line: str) -> Message:
    """Turn a line of the engine's standard output into a message; anything unknown is plain text."""
    text = line.strip()
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    message = _message_of(event) if isinstance(event, dict) else None
    return PlainText(text) if message is None else message


def _message_of(event: dict[str, object]) -> Message | None:
    """The message that a JSON object is, or None when it is none of the engine's."""
    words = str(event.get("message", ""))
    fraction, code = event.get("fraction"), event.get("exit_code")
    match event.get("event"):
        case "progress" if isinstance(fraction, int | float) and math.isfinite(fraction):
            return Progress(min(max(float(fraction), 0.0), 1.0), words)
        case "warning":
            return Warned(words)
        case "done":
            told = event.get("summary")
            lines = told if isinstance(told, list) else []
            return Done(str(event.get("output", "")), tuple(str(line) for line in lines))
        case "error":
            return Failed(words, code if isinstance(code, int) else 1)
    return None


class LineBuffer:
    """Cuts a stream of bytes into lines; pieces arrive as the pipe has them, even inside a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes, final: bool = False) -> list[str]:
        """The lines that ``data`` completes, but for blank ones; with ``final`` also the unfinished last."""
        self._rest += self._decoder.decode(data, final)
        *lines, self._rest = self._rest.replace("\r\n", "\n").split("\n")
        if final:
            lines.append(self._rest)
            self._rest = ""
        return [line.rstrip("\r") for line in lines if line.strip()]


class RunState(Enum):
    """How a run ended."""

    DONE = "done"
    NO_LIVER = "no liver"
    SOME_FAILED = "some cases failed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, in words for the user. ``reason`` is empty when all went well."""

    state: RunState
    reason: str = ""

    @property
    def words(self) -> str:
        """Why it ended so; for a run that was cancelled, that it was."""
        return (
            self.reason
            or {
                RunState.DONE: _("done"),
                RunState.NO_LIVER: _("no liver"),
                RunState.SOME_FAILED: _("some cases failed"),
                RunState.CANCELLED: _("cancelled"),
                RunState.FAILED: _("failed"),
            }[self.state]
        )

    @property
    def has_results(self) -> bool:
        """Whether the output folder holds a whole result (an empty liver is one)."""
        return self.state in (RunState.DONE, RunState.NO_LIVER)


# What Slicer's launcher writes when a signal ended the process that it started; it exits with 1 itself.
_LAUNCHER_TOLD = "exit abnormally"
# So many of the last lines of standard error are shown.
_LAST_LINES = 3
_SIGKILL = 9
# A shell tells of a signal by 128 + its number.
_SHELL_SIGNAL = 128


def outcome_of(exit_code: int, crashed: bool, cancelled: bool, messages: Sequence[Message]) -> RunOutcome:
    """Judge a finished run.

    Args:
        exit_code: of the process; when it crashed, the signal (Windows: the exception code), 0 if unknown.
        crashed: the process ended by a signal or did not start.
        cancelled: the user pressed Cancel.
        messages: all that the engine said.
    """
    if cancelled or (not crashed and exit_code == EXIT_CANCELLED):
        return RunOutcome(RunState.CANCELLED)
    reasons = [message.message for message in messages if isinstance(message, Failed) and message.message]
    if not crashed and exit_code == EXIT_DONE:
        return RunOutcome(RunState.DONE)
    if not crashed and exit_code in (EXIT_NO_LIVER, EXIT_SOME_FAILED):
        # Whole outputs were written all the same.
        state, words = _partly(exit_code)
        return RunOutcome(state, reasons[-1] if reasons else words)
    if reasons:
        return RunOutcome(RunState.FAILED, reasons[-1])
    # Without a message of its own, the last words (of Python, mostly) say most.
    lines = [message.text for message in messages if isinstance(message, PlainText)]
    by_launcher = not crashed and any(_LAUNCHER_TOLD in line for line in lines[-_LAST_LINES:])
    last = "\n".join(lines[-_LAST_LINES:] if crashed or by_launcher else lines[-1:])
    how = _way_of_ending(exit_code, crashed, by_launcher)
    return RunOutcome(RunState.FAILED, f"{how}: {last}" if last else how)


def _partly(exit_code: int) -> tuple[RunState, str]:
    if exit_code == EXIT_NO_LIVER:
        return RunState.NO_LIVER, _("no liver was found in this volume")
    return RunState.SOME_FAILED, _("some cases failed")


def _way_of_ending(exit_code: int, crashed: bool, by_launcher: bool) -> str:
    """How a process ended that gave no reason, with a hint where it was probably short of memory."""
    number = exit_code if crashed else exit_code - _SHELL_SIGNAL
    killed = number == _SIGKILL
    if crashed or killed:
        how = _("the engine ended unexpectedly")
        if exit_code:
            how += f" ({_signal_name(number)})"
    else:
        how = _("the engine ended with exit code {code}").format(code=exit_code)
    if killed or by_launcher:
        how += "; " + _(
            "most often a computer that runs out of memory ends a program like this: close other "
            "applications, or choose the quality Fast or a smaller tile"
        )
    return how


def _signal_name(number: int) -> str:
    try:
        return _("signal {number}, {name}").format(number=number, name=signal.Signals(number).name)
    except ValueError:
        # Windows' exception codes; Qt has them as signed numbers.
        return _("exit code {code}").format(code=f"{number & 0xFFFFFFFF:#x}")
