"""Runs a command and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from liverseg.cli.console import Bar, JsonLines, Listener
from liverseg.cli.parser import build_parser
from liverseg.errors import Cancelled, LiverSegError

log = logging.getLogger(__name__)

CRASHED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``liverseg`` command; returns the exit code."""
    parsed = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if parsed.verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not parsed.verbose:
        # Libraries log below liverseg's own one-line errors what only a developer can use.
        logging.getLogger("liverseg").setLevel(logging.ERROR)
    _cancel_on_termination()
    with JsonLines() if getattr(parsed, "json_progress", False) else Bar() as listener:
        return _run(parsed, listener)


def _run(parsed: argparse.Namespace, listener: Listener) -> int:
    from liverseg.cli import commands

    try:
        return commands.COMMANDS[parsed.command](parsed, listener)
    except LiverSegError as error:
        listener.failed(str(error), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        listener.failed("cancelled", Cancelled.exit_code)
        return Cancelled.exit_code
    except BrokenPipeError:
        # The reader of our output left; there is nobody to tell.
        return Cancelled.exit_code
    except Exception as error:  # the last line of defense: a defect of ours, told in one line
        log.debug("unexpected", exc_info=True)
        text = f"an unexpected error: {type(error).__name__}: {error}; run with --verbose and report it"
        listener.failed(text, CRASHED)
        return CRASHED


def _cancel_on_termination() -> None:
    """Let SIGTERM end a run as Ctrl+C does, so that temporary files are removed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
