"""Split a folder of labeled scans by person, once, into a file that training and evaluation share.

scripts/split_data.py --data DIR --adapter NAME --out splits.json                       (70/10/20)
scripts/split_data.py --data DIR --adapter NAME --shares 70 15 15 --out splits.json
scripts/split_data.py --data DIR --adapter NAME --shares 80 20 --repeats 3 --out splits.json
scripts/split_data.py --data DIR --adapter NAME --folds 5 --out splits.json

Shares are train, val and test, or train and val. Repeats are random splits of their own, written to
splits_1.json, splits_2.json, ... with the seeds that follow --seed.

With --maps, label maps without a CT (<case>.nii.gz) are put into the folds too, beside their persons' CTs;
those of persons whom --exclude leaves out are not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from liverseg.errors import InputRefused, LiverSegError, UsageError
from liverseg.training.datasets import ADAPTERS, list_maps, list_scans
from liverseg.training.integrity import counted
from liverseg.training.persons import person_of
from liverseg.training.splits import (
    DEFAULT_SHARES,
    Splits,
    has_lesions,
    make_folds,
    make_repeats,
    with_more_cases,
    write_splits,
)


def run(arguments: argparse.Namespace) -> int:
    """Split, write, and print what each part holds; the exit code."""
    scans = list_scans(arguments.adapter, arguments.data, arguments.exclude)
    persons = {scan.case: scan.person for scan in scans}
    lesion_cases = {scan.case for scan in scans if has_lesions(scan)}
    maps = maps_of(arguments, persons)
    seed, adapter = arguments.seed, arguments.adapter
    if arguments.folds is not None:
        if arguments.repeats != 1:
            raise UsageError("--repeats goes with --shares; folds hold out everybody once")
        made = [make_folds(persons, lesion_cases, arguments.folds, seed, adapter)]
    else:
        shares = arguments.shares or DEFAULT_SHARES
        made = make_repeats(persons, lesion_cases, shares, arguments.repeats, seed, adapter)
    if maps:
        made = [with_more_cases(splits, maps) for splits in made]
        persons |= maps
    for number, splits in enumerate(made, start=1):
        out = arguments.out
        if len(made) > 1:
            out = out.with_name(f"{out.stem}_{number}{out.suffix}")
        write_splits(splits, out)
        print(f"{out}:")
        show(splits, persons, lesion_cases)
    return 0


def maps_of(arguments: argparse.Namespace, cases: Iterable[str]) -> dict[str, str]:
    """The person of each label map of ``--maps``.

    Raises:
        InputRefused: there is no such folder, no map in it, or one that would count as another person than
            the case it is called after.
    """
    folder = arguments.maps
    if folder is None:
        return {}
    paths = list_maps(folder, cases, arguments.exclude)
    if not paths:
        raise InputRefused(
            f"--maps: {folder} holds no map; give the folder of <case>.nii.gz, or leave it out"
        )
    return {name: person_of(name) for name in (path.name.removesuffix(".nii.gz") for path in paths)}


def show(splits: Splits, persons: dict[str, str], lesion_cases: set[str]) -> None:
    """One line a part."""
    for part in splits.parts:
        bearing = len({persons[case] for case in part.cases if case in lesion_cases})
        everybody, scans = counted(len(part.persons), "person"), counted(len(part.cases), "scan")
        print(f"{part.name}: {everybody} ({bearing} with lesions), {scans}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--adapter", required=True, choices=sorted(ADAPTERS))
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--folds", type=int, help="number of folds")
    kind.add_argument(
        "--shares", type=float, nargs="+", help="of train, val and perhaps test; default 70 10 20"
    )
    parser.add_argument("--repeats", type=int, default=1, help="so many random splits by the same shares")
    parser.add_argument("--maps", type=Path, help="folder of label maps without a CT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--exclude", nargs="+", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    try:
        return run(parser.parse_args())
    except LiverSegError as error:
        print(f"split_data: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
