"""``liverseg compare``: two time points, or more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from liverseg.cli.console import Listener
from liverseg.errors import UsageError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What can be typed after ``liverseg compare``."""
    p = commands.add_parser(
        "compare",
        help="compare the results of two scans of one person",
        description="Registers the livers, matches the lesions and tells what changed. Give the result "
        "folders in order of time; with more than two, those between give the smallest sum of diameters.",
    )
    p.add_argument("folders", type=Path, nargs="+", metavar="OUT", help="result folders, the earliest first")
    p.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FOLDER", help="folder for the comparison"
    )
    p.add_argument(
        "--ct",
        type=Path,
        nargs="+",
        metavar="CT",
        help="the CTs of the folders in the same order: registers by their vessels, too, and shows them "
        "(without, ct_liver.nii.gz is taken where a folder has it)",
    )
    p.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")


def run_compare(arguments: argparse.Namespace, listener: Listener) -> int:
    """Result folders in, ``compare.json``, ``compare.csv`` and ``compare.png`` out."""
    folders: Sequence[Path] = arguments.folders
    if len(folders) < 2:
        raise UsageError("compare needs two result folders: the earlier one, then the later one")
    if arguments.ct is not None and len(arguments.ct) != len(folders):
        raise UsageError(f"--ct names {len(arguments.ct)} CTs for {len(folders)} folders; give one for each")
    from liverseg.compare import compare_cases, read_time_point
    from liverseg.compare.output import check_folder, write_comparison
    from liverseg.progress import part_of

    check_folder(arguments.out, arguments.overwrite)
    points = []
    for n, folder in enumerate(folders):
        listener(0.1 * n / len(folders), f"reading scan {n + 1}")
        points.append(read_time_point(folder, arguments.ct[n] if arguments.ct else None))

    comparison = compare_cases(points[0], points[-1], points[1:-1], part_of(listener, 0.1, 0.9))
    listener(0.9, "writing")
    write_comparison(comparison, arguments.out, arguments.overwrite)
    for warning in comparison.warnings:
        listener.warning(warning)
    listener(1.0, "done")
    listener.done(str(arguments.out), [*comparison.summary, f"Comparison: {arguments.out}"])
    return 0
