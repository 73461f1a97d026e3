"""Make copies of cached cases with made-up lesions in them, as further cases to train stage 2 on.

scripts/plant_lesions.py --cache CACHE/stage2 --out CACHE/planted --copies 8
scripts/train.py ... data.further=[CACHE/planted] data.further_share=0.25

``task.planted`` plants while samples are drawn, which a GPU would wait for; copies are made once.
A copy is named after its case and belongs to its person, so folds leave both out.
"""

from __future__ import annotations

import argparse
import logging
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from liverseg.errors import LiverSegError, UsageError
from liverseg.training.cache import (
    STAGE2_SPACING,
    cached_names,
    gray_of_hu,
    hu_of_gray,
    load_cached,
    write_cached,
)
from liverseg.training.synth.planted import plant_lesions

log = logging.getLogger("plant_lesions")


def copies_of(cache: Path, case: str, copies: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, label (uint8) and image (uint8 of the window), both (z, y, x), of each copy of a case."""
    known = load_cached(cache, case)
    assert known.image is not None
    hu = hu_of_gray(known.image.numpy())
    for number in range(copies):
        rng = np.random.default_rng((seed, zlib.crc32(case.encode()), number))
        planted, label = plant_lesions(hu, known.label.numpy(), (STAGE2_SPACING,) * 3, rng)
        yield f"{case}_planted_{number}", label, gray_of_hu(planted)


def write_copies(case: str, cache: Path, out: Path, copies: int, seed: int) -> int:
    """Write the copies of one case as cached cases; returns how many, 0 for one that cannot take lesions."""
    known = load_cached(cache, case)
    if known.image is None or not known.known.lesions or case.startswith("phantom_"):
        return 0
    for name, label, image in copies_of(cache, case, copies, seed):
        write_cached(out, name, label, image, known.known, None)
    return copies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="cache of stage 2")
    parser.add_argument("--out", type=Path, required=True, help="cache folder to write to")
    parser.add_argument("--copies", type=int, default=8, help="of each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=None, help="all cores when not given")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments.copies < 1:
            raise UsageError("--copies must be at least 1")
        names = cached_names(arguments.cache)
        work = partial(
            write_copies,
            cache=arguments.cache,
            out=arguments.out,
            copies=arguments.copies,
            seed=arguments.seed,
        )
        with ProcessPoolExecutor(arguments.processes) as pool:
            made = list(pool.map(work, names))
    except LiverSegError as error:
        print(f"plant_lesions: {error}", file=sys.stderr)
        return error.exit_code
    log.info("%d copies of %d cases", sum(made), sum(1 for count in made if count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
