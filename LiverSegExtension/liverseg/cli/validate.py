"""``liverseg validate``: whether a report follows the published schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NoReturn

from liverseg.cli.console import Listener
from liverseg.errors import InputRefused, UsageError
from liverseg.resources import resources_folder


def add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What can be typed."""
    p = commands.add_parser("validate", help="check a report.json against the published schema")
    p.add_argument("report", type=Path, metavar="REPORT", help="a report.json, or a result folder")


def run_validate(arguments: argparse.Namespace, listener: Listener) -> int:
    """Say that a report is valid, or name each place where it is not.

    Raises:
        InputRefused: the report is not valid, or no JSON at all.
        UsageError: the package that checks is not installed.
    """
    path = arguments.report
    path = path / "report.json" if path.is_dir() else path
    found = violations(_read(path))
    if found:
        listener.done(str(path), found)
        count = "1 violation" if len(found) == 1 else f"{len(found)} violations"
        raise InputRefused(f"{path} does not follow the schema of a LiverSeg report: {count}")
    listener.done(str(path), [f"{path} is a valid LiverSeg report."])
    return 0


def violations(report: object) -> list[str]:
    """Each violation of the schema as ``place: reason``, in the order of the report.

    Raises:
        UsageError: the package jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError as error:
        raise UsageError("validate needs the package jsonschema: pip install 'liverseg[report]'") from error
    schema = json.loads((resources_folder() / "Schemas" / "report.schema.json").read_text(encoding="utf-8"))
    lines = []
    found = Draft202012Validator(schema).iter_errors(report)
    for violation in sorted(found, key=lambda v: [str(part) for part in v.path]):
        # Where one of several forms is allowed, the reason is in the form that fits best.
        deepest: Any = best_match([violation])
        lines.append(f"{_place(list(deepest.absolute_path))}: {_shortened(deepest.message)}")
    return lines


def _read(path: Path) -> object:
    from liverseg.file_headers import cannot_open

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError as error:
        raise InputRefused(f"{path} is not there; give a report.json or a result folder") from error
    except OSError as error:
        raise cannot_open(path, error) from error
    except ValueError as error:
        raise InputRefused(f"{path} cannot be read as JSON: {error}") from error


def _place(path: list[str | int]) -> str:
    """``lesions[2].long_axis_mm``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the report"


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:297]}..."
