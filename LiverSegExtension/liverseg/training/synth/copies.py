"""What scripts share that make changed copies of cached cases: their options, all cases side by side."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from liverseg.errors import InputRefused, UsageError
from liverseg.training.cache import STAGE2_SPACING
from liverseg.training.cached_cases import WHOLE, WINDOW, cached_grid, cached_names
from liverseg.training.splits import cases_to_learn_from

log = logging.getLogger(__name__)

Spacing = tuple[float, float, float]


def copies_parser(description: str | None, copies: int) -> argparse.ArgumentParser:
    """The options common to these scripts; ``copies`` is the default of ``--copies``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cache", type=Path, required=True, help="cache of stage 2, or of stage 1")
    parser.add_argument("--out", type=Path, required=True, help="cache folder to write to")
    parser.add_argument("--copies", type=int, default=copies, help="of each case")
    parser.add_argument("--splits", type=Path, help="splits file; without it all cases are used")
    parser.add_argument("--part", help="part of the splits file that is held out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=None, help="all cores when not given")
    return parser


def cases_to_copy(arguments: argparse.Namespace) -> list[str]:
    """The cached cases that may be copied and copied from.

    Raises:
        UsageError: no copies are asked for, or only one of ``--splits`` and ``--part`` is given.
        InputRefused: the cache is empty, or the splits file is damaged.
    """
    if arguments.copies < 1:
        raise UsageError("--copies must be at least 1")
    return cases_to_learn_from(cached_names(arguments.cache), arguments.splits, arguments.part)


def spacing_of_copies(cache: Path, names: Sequence[str], asked: float | None = None) -> Spacing:
    """The voxel size (z, y, x) in mm of the cases to copy: their own, else as asked for, else stage 2's.

    Raises:
        UsageError: another one is asked for than theirs.
        InputRefused: they are no scans in the stages' HU window, or not all on one grid.
    """
    grids = {grid for name in names if (grid := cached_grid(cache, name)) is not None}
    if any(grid.kind != WHOLE or grid.window_hu != WINDOW for grid in grids):
        raise InputRefused(
            f"{cache}: copies are made of scans as scripts/prepare_data.py caches them; give one"
        )
    spacings = {grid.spacing_mm for grid in grids if grid.spacing_mm is not None}
    if len(spacings) > 1:
        raise InputRefused(f"{cache}: its cases have voxels of several sizes; make their copies by size")
    given = (STAGE2_SPACING if asked is None else asked,) * 3
    own = spacings.pop() if spacings else given
    if asked is not None and own != given:
        shown = " x ".join(f"{s:g}" for s in own)
        raise UsageError(f"--spacing {asked:g}: the voxels in {cache} have {shown} mm; leave --spacing out")
    return own


def copy_all(names: Sequence[str], write_copies: Callable[[str], int], processes: int | None) -> None:
    """Write the copies of all cases and say how many there are.

    Args:
        write_copies: writes those of one case and returns how many; goes to other processes.
    """
    with ProcessPoolExecutor(processes) as pool:
        made = list(pool.map(write_copies, names))
    log.info("%d copies of %d cases", sum(made), sum(1 for count in made if count))
