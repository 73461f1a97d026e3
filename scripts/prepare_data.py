"""Cache labeled scans and Couinaud maps on the networks' grids (once, before training).

Maps of the segments without a CT lie in DATA/couinaud (<case>.nii.gz). Every scan and every map is checked
first; nothing is written when one has a fatal fault.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from liverseg.errors import LiverSegError
from liverseg.training.cache import (
    COUINAUD_SPACING,
    STAGE1_SPACING,
    STAGE2_MARGIN_MM,
    STAGE2_SPACING,
    cache_couinaud_map,
    cache_phantom,
    cache_scan,
    cache_scan_without_liver,
)
from liverseg.training.datasets import ADAPTERS, LabeledScan, list_maps, list_scans
from liverseg.training.integrity import check_data, check_maps

# Tests and the demo use seeds below and above this range.
FIRST_PHANTOM = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument(
        "--adapter",
        default="project",
        choices=("project", *sorted(ADAPTERS)),
        help="how the folder is laid out (docs/training-data.md); 'project' takes each stage's own version",
    )
    parser.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="CASE",
        help="cases to leave out, and their persons' Couinaud maps",
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--phantoms",
        type=int,
        default=12,
        help="made-up patients beside the real ones, and twice as many scans without a liver",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return prepare(arguments)
    except LiverSegError as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return error.exit_code


def scans_by_stage(
    adapter: str, data: Path, exclude: list[str]
) -> tuple[list[LabeledScan], list[LabeledScan]]:
    """Scans for stage 1 (whole) and stage 2 (livers with their surroundings)."""
    if adapter == "project":
        return list_scans("project-3mm", data, exclude), list_scans("project-roi", data, exclude)
    scans = list_scans(adapter, data, exclude)
    return scans, scans


def prepare(arguments: argparse.Namespace) -> int:
    """Check and write; the exit code."""
    whole, livers = scans_by_stage(arguments.adapter, arguments.data, arguments.exclude)
    scans = list({(scan.ct, scan.label): scan for scan in (*whole, *livers)}.values())
    maps = list_maps(arguments.data / "couinaud", [scan.case for scan in scans], arguments.exclude)
    report = check_data(scans, arguments.data)
    report = replace(report, findings=(*report.findings, *check_maps(maps, arguments.data)))
    if report.fatal:
        print("\n".join(report.lines()), file=sys.stderr)
        return 1
    for scan in livers:
        cache_scan(scan, STAGE2_SPACING, arguments.cache / "stage2", STAGE2_MARGIN_MM)
    for scan in whole:
        cache_scan(scan, STAGE1_SPACING, arguments.cache / "stage1", None)
    for path in maps:
        cache_couinaud_map(path, COUINAUD_SPACING, arguments.cache / "couinaud")
    for seed in range(FIRST_PHANTOM, FIRST_PHANTOM + arguments.phantoms):
        cache_phantom(seed, arguments.cache)
    for seed in range(FIRST_PHANTOM, FIRST_PHANTOM + 2 * arguments.phantoms):
        cache_scan_without_liver(seed, arguments.cache)
    return 0


if __name__ == "__main__":
    sys.exit(main())
