"""Check a folder of labeled scans before anything is trained on it.

Prints what is wrong (FATAL) and what is good to know (note); exits 1 when something is fatal, 3 when the
folder is not what the adapter wants. Several adapters, such as two versions of one folder, are checked
together, and so are the maps of DATA/couinaud.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from liverseg.errors import LiverSegError
from liverseg.training.datasets import ADAPTERS, list_maps, list_scans
from liverseg.training.integrity import ScanReport, check_data, check_maps
from liverseg.writers.atomic import written_whole


def show_progress(report: ScanReport) -> None:
    """One line a scan, on stderr."""
    word = "FATAL" if report.fatal else "ok"
    print(f"{report.ct}: {word}", file=sys.stderr, flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, write; the exit code."""
    listed = {
        (scan.ct, scan.label): scan
        for name in arguments.adapter
        for scan in list_scans(name, arguments.data, arguments.exclude)
    }
    cases = [scan.case for scan in listed.values()]
    maps = list_maps(arguments.data / "couinaud", cases, arguments.exclude)
    report = check_data(list(listed.values()), arguments.data, show_progress)
    report = replace(report, findings=(*report.findings, *check_maps(maps, arguments.data)))
    print("\n".join(report.lines()))
    if arguments.out:
        with written_whole(arguments.out) as path:
            path.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    return 1 if report.fatal else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--adapter", nargs="+", required=True, choices=sorted(ADAPTERS))
    parser.add_argument("--exclude", nargs="+", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument("--out", type=Path, help="JSON to write")
    try:
        return run(parser.parse_args())
    except LiverSegError as error:
        print(f"check_data: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
