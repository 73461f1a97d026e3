"""Make copies of cached cases whose liver takes another person's shape, as further cases to train stage 2 on.

scripts/warp_scans.py --cache CACHE/stage2 --out CACHE/warped_0 --splits splits.json --part 0
scripts/train.py ... data.further=[CACHE/warped_0] data.further_share=0.25

Shapes are those of the other cached persons. Some pairs do not fit (``liverseg.training.synth.warped``): the
next shape is tried, and a case that fits none gets no copy. A copy is named after its case and belongs to its
person; the shape is somebody else's, so the held-out part is named here already.
"""

from __future__ import annotations

import logging
import sys
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from liverseg.errors import LiverSegError
from liverseg.training.cached_cases import cached_grid, gray_of_hu, hu_of_gray, load_cached, write_cached
from liverseg.training.persons import copy_of, person_of
from liverseg.training.synth.copies import (
    Spacing,
    cases_to_copy,
    copies_parser,
    copy_all,
    spacing_of_copies,
)
from liverseg.training.synth.warped import WarpRefused, warp_to_shape

# So many shapes are tried for a copy, of some ten seconds each.
MOST_TRIED = 4

log = logging.getLogger("warp_scans")


def write_copies(
    case: str, cache: Path, out: Path, names: Sequence[str], copies: int, seed: int, spacing: Spacing
) -> int:
    """Write the warped copies of one case as cached cases; returns how many.

    Args:
        names: cases whose livers are the shapes; those of the case's own person are passed over.
    """
    known = load_cached(cache, case)
    others = [name for name in names if person_of(name) != person_of(case)]
    if known.image is None or not others:
        return 0
    hu, label = hu_of_gray(known.image.numpy()), known.label.numpy()
    rng = np.random.default_rng((seed, zlib.crc32(case.encode())))
    written = 0
    for name in rng.permutation(others)[: MOST_TRIED * copies]:
        shape = load_cached(cache, str(name)).label.numpy() > 0
        try:
            warped = warp_to_shape(hu, label, spacing, shape, spacing)
        except WarpRefused as refusal:
            log.info("%s as %s: %s", case, name, refusal)
            continue
        copy, image = copy_of(case, "warped", written), gray_of_hu(warped.hu)
        write_cached(out, copy, warped.label, image, known.known, grid=cached_grid(cache, case))
        written += 1
        if written == copies:
            break
    return written


def main() -> int:
    arguments = copies_parser(__doc__, copies=2).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        names = [name for name in cases_to_copy(arguments) if not name.startswith("phantom_")]
        work = partial(
            write_copies,
            cache=arguments.cache,
            out=arguments.out,
            names=names,
            copies=arguments.copies,
            seed=arguments.seed,
            spacing=spacing_of_copies(arguments.cache, names),
        )
        copy_all(names, work, arguments.processes)
    except LiverSegError as error:
        print(f"warp_scans: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
