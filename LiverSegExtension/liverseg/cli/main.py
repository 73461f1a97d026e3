"""Runs a command and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from liverseg.cli.console import Bar, JsonLines, Listener
from liverseg.cli.parser import build_parser
from liverseg.errors import Cancelled, LiverSegError, OutOfMemory

log = logging.getLogger(__name__)

CRASHED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``liverseg`` command; returns the exit code."""
    parsed = build_parser().parse_args(arguments)
    with _logging(parsed.verbose), _termination_cancels():
        listener: Listener = JsonLines() if getattr(parsed, "json_progress", False) else Bar()
        with listener:
            return _run(parsed, listener)


def _run(parsed: argparse.Namespace, listener: Listener) -> int:
    try:
        from liverseg.cli import commands

        return commands.COMMANDS[parsed.command](parsed, listener)
    except LiverSegError as error:
        listener.failed(" ".join(str(error).split()), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        listener.failed("cancelled", Cancelled.exit_code)
        return Cancelled.exit_code
    except MemoryError:
        listener.failed("out of memory; close programs or crop the CT", OutOfMemory.exit_code)
        return OutOfMemory.exit_code
    except BrokenPipeError:
        # The reader of our output left; there is nobody to tell.
        return Cancelled.exit_code
    except Exception as error:  # the last line of defense: a defect of ours, told in one line
        log.debug("unexpected", exc_info=True)
        text = f"an unexpected error: {type(error).__name__}: {error}; run with --verbose and report it"
        listener.failed(" ".join(text.split()), CRASHED)
        return CRASHED


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
def _termination_cancels() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl+C does, so that temporary files are removed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        # Signals belong to the main thread; whoever runs a command in another ends it in another way.
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
