"""Write any data set as a plain folder pair: images/, labels/ (1 liver, 2 lesion) and vessels/ as .nii.gz.

DICOM, DICOM SEG, archives and pictures are then read once; the adapter 'pairs' takes the folder. Cases that
are there already are kept, so that the command can be given again after an interruption.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from liverseg.errors import LiverSegError
from liverseg.training.datasets import ADAPTERS, list_scans
from liverseg.training.datasets.convert import convert_scans
from liverseg.writers.atomic import make_folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--adapter", required=True, choices=sorted(ADAPTERS))
    parser.add_argument("--exclude", nargs="+", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        scans = list_scans(arguments.adapter, arguments.data, arguments.exclude)
        make_folder(arguments.out)
        convert_scans(scans, arguments.out)
    except LiverSegError as error:
        print(f"convert_data: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
