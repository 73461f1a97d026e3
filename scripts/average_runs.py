"""Average a run with one that began with its weights: halfway back from a fine-tuning.

scripts/train.py ... run=RUNS/fine begin_from=RUNS/first
scripts/average_runs.py RUNS/first RUNS/fine --out RUNS/halfway
scripts/export_bundle.py --stage2 RUNS/halfway ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from liverseg.evaluation.case_script import run_script
from liverseg.training.averaging import average_runs


def work(arguments: argparse.Namespace) -> None:
    print(average_runs(arguments.first, arguments.second, arguments.out, arguments.share))


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, help="a run's folder")
    parser.add_argument("second", type=Path, help="that of a run that began with it")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--share", type=float, default=0.5, help="of the second run in the mean (0.5)")
    return run_script(parser, work, "average_runs", words)


if __name__ == "__main__":
    sys.exit(main())
