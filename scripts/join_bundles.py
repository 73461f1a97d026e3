"""Join networks that were trained apart to one model: each stage from a bundle of its own.

scripts/join_bundles.py --name mine --out MODELS/mine --stage1 MODELS/global --stage2 MODELS/local
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from liverseg.bundle import STAGES, find_bundle
from liverseg.errors import LiverSegError
from liverseg.training.joining import join_bundles


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--name", required=True)
    for stage in STAGES:
        parser.add_argument(f"--{stage}", help="name or folder of the bundle that has this network")
    arguments = parser.parse_args()
    given = {stage: name for stage in STAGES if (name := getattr(arguments, stage)) is not None}
    if not given:
        parser.error("give at least one of " + ", ".join(f"--{stage}" for stage in STAGES))
    try:
        join_bundles(
            arguments.out, arguments.name, {stage: find_bundle(name).folder for stage, name in given.items()}
        )
    except LiverSegError as error:
        print(f"join_bundles: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
