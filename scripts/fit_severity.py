"""What a clinical table tells of the tumor burdens of labeled persons, before it is trained with.

scripts/fit_severity.py --table TABLE.xlsx --cache CACHE/stage2 --splits splits.json --part 0

Prints the weight of each variable, the variance that the fit explains of persons left out (beyond chance),
and the expected beside the labeled burdens of persons left out.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from pathlib import Path

from liverseg.errors import LiverSegError
from liverseg.training.burden import TARGETS, known_burdens, severity_of_cases
from liverseg.training.cached_cases import cached_names, load_cached
from liverseg.training.clinical import FLOOR
from liverseg.training.config import ClinicalConfig, DataConfig
from liverseg.training.run import split_cases


def run(arguments: argparse.Namespace) -> None:
    """Fit and print."""
    data = DataConfig(cache=str(arguments.cache), splits=str(arguments.splits or ""), part=arguments.part)
    kept, _ = split_cases(cached_names(arguments.cache), data)
    cases = {name: load_cached(arguments.cache, name) for name in kept}
    settings = ClinicalConfig(str(arguments.table), arguments.target, columns=dict(arguments.column))
    severity = severity_of_cases(settings, cases, arguments.seed)
    for name, weight in severity.weights.items():
        print(f"{name}: {weight:+.3f} a standard deviation")
    print(f"explained beyond chance: {severity.explained:.3f} ({severity.persons} persons left out in turn)")
    print(f"a burden is missed by a factor of {math.exp(severity.deviation):.2f} (one deviation)")
    print("person,burden,expected")
    for person, burden in sorted(known_burdens(cases).items()):
        if person in severity.expected:
            print(f"{person},{burden:.4f},{max(0.0, math.exp(severity.expected[person]) - FLOOR):.4f}")


def named_column(text: str) -> tuple[str, str]:
    """("size", "Diameter (cm)") of "size=Diameter (cm)"."""
    variable, separator, column = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no VARIABLE=NAME")
    return variable, column


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True, help=".csv, .tsv or .xlsx, a row a patient")
    parser.add_argument(
        "--cache", type=Path, required=True, help="stage 2's folder of scripts/prepare_data.py"
    )
    parser.add_argument("--splits", type=Path, help="file of scripts/split_data.py")
    parser.add_argument("--part", default="0", help="the part that is held out")
    parser.add_argument("--target", default="burden", choices=sorted(TARGETS))
    parser.add_argument(
        "--column",
        nargs="+",
        type=named_column,
        default=[],
        metavar="VARIABLE=NAME",
        help="columns with names of their own",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the permutations")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        run(parser.parse_args())
    except LiverSegError as error:
        print(f"fit_severity: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
