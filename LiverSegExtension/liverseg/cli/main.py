"""Runs a command and turns what went wrong into one line and an exit code.

What takes long to import is imported where an interrupt is already told as one.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from liverseg.cli.console import (
    Bar,
    JsonLines,
    Listener,
    ReaderLeft,
    prepare_output,
    stop,
    stop_asked,
    tell_failure,
    write_out,
)
from liverseg.errors import Cancelled, LiverSegError, OutOfMemory, UsageError

log = logging.getLogger(__name__)

CRASHED = 1
_SHOWN_OF_A_NAME = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``liverseg`` command; returns the exit code.

    Args:
        arguments: what was typed after ``liverseg``; None for those of this process, which is to end then.
    """
    own_process = arguments is None
    with _signals_cancel(own_process):
        try:
            return _run(arguments)
        except (Exception, KeyboardInterrupt) as error:
            # Before or after the listener's time.
            message, code = _told(error)
            if message:
                tell_failure(message)
            return code
        finally:
            if own_process:
                _end_quietly()


def _run(arguments: Sequence[str] | None) -> int:
    prepare_output()
    parsed = _parsed(arguments)
    with _logging(parsed.verbose):
        listener: Listener = JsonLines() if getattr(parsed, "json_progress", False) else Bar()
        with listener:
            try:
                from liverseg.cli import commands

                return commands.COMMANDS[parsed.command](parsed, listener)
            except (Exception, KeyboardInterrupt) as error:
                message, code = _told(error)
                if message:
                    listener.failed(message, code)
                return code


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    from liverseg.cli.parser import build_parser

    try:
        return build_parser().parse_args(arguments)
    except SystemExit:
        # Help, too, may find no room.
        write_out("")
        raise


def _told(error: BaseException) -> tuple[str, int]:
    """What ended a command, as one line (none where nobody is left to read it) and the exit code."""
    if stop_asked() or isinstance(error, KeyboardInterrupt):
        _no_more_interrupts()
        return "cancelled", Cancelled.exit_code
    if isinstance(error, ReaderLeft | BrokenPipeError):
        return "", ReaderLeft.exit_code
    if isinstance(error, LiverSegError):
        return " ".join(str(error).split()), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; close programs or crop the CT", OutOfMemory.exit_code
    refused = _told_of_path(error)
    if refused:
        return refused, UsageError.exit_code
    # A defect of ours: the last line of defense.
    log.debug("unexpected", exc_info=error)
    text = f"an unexpected error: {type(error).__name__}: {error}; run with --verbose and report it"
    return " ".join(text.split()), CRASHED


def _told_of_path(error: BaseException) -> str:
    """Why the system refuses a path that was typed; nothing where that is not what went wrong."""
    if not isinstance(error, OSError):
        return ""
    text = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a file"
    if error.errno == errno.ENAMETOOLONG:
        name = max(Path(text).parts, key=len, default="")[:_SHOWN_OF_A_NAME]
        return f"the name {name}... is longer than this system allows; choose a shorter one"
    if isinstance(error, PermissionError):
        return f"permission is missing for {text}; ask its owner, or choose another place"
    return ""


@contextmanager
def _logging(verbose: bool) -> Iterator[None]:
    """liverseg's own log on standard error for a command: all of it, or warnings alone."""
    logger = logging.getLogger("liverseg")
    level, propagate = logger.level, logger.propagate
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def _signals_cancel(own_process: bool) -> Iterator[None]:
    """Ctrl+C and SIGTERM end a command in one way, by which temporary files are removed."""
    stop.forget()
    if threading.current_thread() is not threading.main_thread():
        # Signals belong to the main thread; whoever runs a command in another ends it in another way.
        yield
        return
    # A process that was told to ignore Ctrl+C (in the background) goes on to do so.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    tell = sys.unraisablehook

    def tell_others(lost: sys.UnraisableHookArgs) -> None:
        # An interrupt in a callback, from where it leads nowhere; the wish is known all the same.
        if lost.exc_type is not KeyboardInterrupt:
            tell(lost)

    sys.unraisablehook = tell_others
    try:
        yield
    finally:
        sys.unraisablehook = tell
        for number, handler in before.items():
            signal.signal(number, handler)
        if own_process:
            _no_more_interrupts()


def _no_more_interrupts() -> None:
    """The work is over, and one more Ctrl+C would only show where Python stood when it ended."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_quietly() -> None:
    """See that Python finds nothing to complain of when this process ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # What could not be written stays in the buffer, and would be tried again.
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), sys.stdout.fileno())
