"""What the scripts over labeled cases of a data folder share: their arguments, and how they end."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from liverseg.errors import LiverSegError


def case_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """A parser of the arguments that each of them has; the caller adds its own.

    Args:
        description: what the script does, shown as it is.
        out: what the output folder is for.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/<case>/")
    parser.add_argument("--model", help="name or folder of a bundle")
    parser.add_argument("--cases", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--seen-too", action="store_true", help="also persons of the training: a mere trial")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice without")
    return parser


def run_script(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    name: str,
    words: Sequence[str] | None = None,
) -> int:
    """Parse, work, and return the exit code; a user's mistake is one line on standard error.

    Args:
        parser: with ``--threads`` (of PyTorch), or without.
        name: of the script, before what it says of a mistake.
    """
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if getattr(arguments, "threads", None):
        import torch

        torch.set_num_threads(arguments.threads)
    try:
        work(arguments)
    except LiverSegError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
