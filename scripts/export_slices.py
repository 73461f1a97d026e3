"""Write slices of cached scans as .npy files: all with liver or lesion, and a share of empty ones.

scripts/export_slices.py --cache CACHE/stage2 --out SLICES --context 3 --empty 0.1
scripts/export_slices.py --weak DATA/slices --out WEAK

With --weak the slices of lits_slices.npz whose pixel size is sure, as cases of one slice each: their livers,
with lesions that nobody told apart. scripts/train.py experiment=slices ... data.further=[WEAK] learns from
them, too, but for those of held-out persons.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from liverseg.errors import LiverSegError, UsageError
from liverseg.training.cache import STAGE2_SPACING
from liverseg.training.cached_cases import cached_names
from liverseg.training.persons import person_of
from liverseg.training.slices import SliceChoice, export_slices, export_weak_slice
from liverseg.training.synth.weak_slices import read_weak_slices


def counted(number: int, word: str) -> str:
    """Such as "1 person" and "2 persons"."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--cache", type=Path, help="a stage's folder of scripts/prepare_data.py")
    source.add_argument("--weak", type=Path, help="folder with lits_slices.npz and lits_slices_weak.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--context", type=int, default=1, help="slices in all that a slice is kept with (odd)"
    )
    parser.add_argument("--empty", type=float, default=0.1, help="empty slices for each one with liver")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments.seed < 0:
            raise UsageError(f"--seed is {arguments.seed}; it must be at least 0")
        choice = SliceChoice(arguments.empty, arguments.context, arguments.seed)
        if arguments.weak:
            slices = read_weak_slices(arguments.weak)
            for weak in slices:
                export_weak_slice(weak, arguments.out, STAGE2_SPACING, choice.context)
            persons = len({person_of(weak.case) for weak in slices})
            print(f"{counted(len(slices), 'slice')} of {counted(persons, 'person')}")
            return 0
        names = [n for n in cached_names(arguments.cache) if not n.startswith("phantom_without_")]
        cases = [export_slices(arguments.cache, name, arguments.out, choice) for name in names]
    except LiverSegError as error:
        print(f"export_slices: {error}", file=sys.stderr)
        return error.exit_code
    slices, scans = sum(len(c.numbers) for c in cases), sum(c.depth for c in cases)
    size = sum(path.stat().st_size for path in arguments.out.glob("*/*.npy"))
    print(f"{slices} of {counted(scans, 'slice')} of {counted(len(cases), 'scan')}, {size / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
