"""Split a folder of labeled scans by person, once, into a file that training and evaluation share.

scripts/split_data.py --data DIR --adapter NAME --folds 3 --out splits.json
scripts/split_data.py --data DIR --adapter NAME --shares 70 15 15 --out splits.json

With --maps, label maps without a CT (<case>.nii.gz) are put into the folds too, beside their persons' CTs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from liverseg.errors import LiverSegError
from liverseg.training.datasets import ADAPTERS, list_scans
from liverseg.training.persons import person_of
from liverseg.training.splits import has_lesions, make_folds, make_shares, with_more_cases, write_splits


def run(arguments: argparse.Namespace) -> int:
    """Split, write, and print what each part holds; the exit code."""
    scans = list_scans(arguments.adapter, arguments.data)
    persons = {scan.case: scan.person for scan in scans}
    lesion_cases = {scan.case for scan in scans if has_lesions(scan)}
    if arguments.shares:
        splits = make_shares(persons, lesion_cases, arguments.shares, arguments.seed, arguments.adapter)
    else:
        splits = make_folds(persons, lesion_cases, arguments.folds, arguments.seed, arguments.adapter)
    if arguments.maps:
        names = [path.name.removesuffix(".nii.gz") for path in sorted(arguments.maps.glob("*.nii.gz"))]
        splits = with_more_cases(splits, {name: person_of(name) for name in names})
        persons |= {name: person_of(name) for name in names}
    write_splits(splits, arguments.out)
    for part in splits.parts:
        bearing = len({persons[case] for case in part.cases if case in lesion_cases})
        print(f"{part.name}: {len(part.persons)} persons ({bearing} with lesions), {len(part.cases)} scans")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--adapter", required=True, choices=sorted(ADAPTERS))
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--folds", type=int, help="number of folds")
    kind.add_argument("--shares", type=float, nargs="+", help="shares of train, val and perhaps test")
    parser.add_argument("--maps", type=Path, help="folder of label maps without a CT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    try:
        return run(parser.parse_args())
    except LiverSegError as error:
        print(f"split_data: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
