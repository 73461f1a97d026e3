"""Make copies of cached cases with further lesions in them, as further cases to train stage 2 or stage 1 on.

scripts/plant_lesions.py --cache CACHE/stage2 --out CACHE/planted --copies 8
scripts/plant_lesions.py --cache CACHE/stage2 --out CACHE/pasted_0 --pasted --splits splits.json --part 0
scripts/plant_lesions.py --cache CACHE/stage1 --out CACHE/planted_stage1
scripts/plant_lesions.py --cache CACHE/stage1 --out CACHE/bulging --bulging
scripts/train.py ... data.further=[CACHE/planted] data.further_share=0.25

Made-up lesions, with --bulging tumors that grow out of the liver (for stage 1, which leaves such out), or
with --pasted real ones, drawn from all cases (now and then from the copied one itself). ``task.planted``
plants while samples are drawn, which a GPU would wait for; copies are made once. A copy is named after its
case and belongs to its person, so folds leave both out; pasted lesions are mostly somebody else's, so the
held-out part is named here already.
"""

from __future__ import annotations

import logging
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused, LiverSegError, UsageError
from liverseg.training.cached_cases import (
    CachedCase,
    cached_grid,
    gray_of_hu,
    hu_of_gray,
    load_cached,
    write_cached,
)
from liverseg.training.persons import copy_of, person_of
from liverseg.training.synth.bulging import Survey, grow_at_surface
from liverseg.training.synth.copies import (
    Spacing,
    cases_to_copy,
    copies_parser,
    copy_all,
    spacing_of_copies,
)
from liverseg.training.synth.pasted import LesionLibrary, build_library, paste_lesions
from liverseg.training.synth.planted import Planted, plant
from liverseg.training.synth.recipe import LesionRecipe

# Makes a copy with further lesions, from a generator named ``rng``.
Change = Callable[..., Planted]
# Makes the change of one case from its HU, label and spacing; what its copies share is worked out there.
Prepare = Callable[[np.ndarray, np.ndarray, Spacing], Change]
# Smaller lesions than so many voxels of radius are no business of a coarse grid.
LEAST_VOXELS = 4 / 3


def library_of(cache: Path, names: Sequence[str], spacing: Spacing) -> LesionLibrary:
    """The real lesions of the named cases.

    Raises:
        InputRefused: they have none.
    """
    cases = {}
    for name in names:
        case = load_cached(cache, name)
        if takes_lesions(case):
            assert case.image is not None
            cases[name] = (hu_of_gray(case.image.numpy()), case.label.numpy())
    try:
        return build_library(cases, spacing, {person_of(name) for name in names})
    except ValueError as error:
        raise InputRefused(f"{cache}: {error}; train with made-up lesions (leave --pasted out)") from error


def takes_lesions(case: CachedCase) -> bool:
    """Whether lesions may be added: its own are labeled, and it is no phantom."""
    return case.image is not None and case.known.lesions and not case.case.startswith("phantom_")


def made_up(hu: np.ndarray, label: np.ndarray, spacing: Spacing) -> Change:
    """Made-up lesions, none too small for the grid."""
    smallest, largest = LesionRecipe().radius_mm
    recipe = LesionRecipe(radius_mm=(max(smallest, LEAST_VOXELS * spacing[0]), largest))
    return partial(plant, hu, label, spacing, recipe=recipe)


def pasted(hu: np.ndarray, label: np.ndarray, spacing: Spacing, library: LesionLibrary) -> Change:
    """Real lesions of the cases that may be copied from."""
    return partial(paste_lesions, hu, label, spacing, library=library)


def bulging(hu: np.ndarray, label: np.ndarray, spacing: Spacing) -> Change:
    """A tumor that grows out of the liver, or a mass beside it."""
    return partial(grow_at_surface, Survey.of(hu, label, spacing))


def copies_of(
    cache: Path, case: str, copies: int, seed: int, spacing: Spacing, kind: str, prepare: Prepare
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, label (uint8) and image (uint8 of the window), both (z, y, x), of each copy of a case."""
    known = load_cached(cache, case)
    assert known.image is not None
    change = prepare(hu_of_gray(known.image.numpy()), known.label.numpy(), spacing)
    for number in range(copies):
        rng = np.random.default_rng((seed, zlib.crc32(case.encode()), number))
        result = change(rng=rng)
        yield copy_of(case, kind, number), result.label, gray_of_hu(result.hu)


def write_copies(
    case: str, cache: Path, out: Path, copies: int, seed: int, spacing: Spacing, kind: str, prepare: Prepare
) -> int:
    """Write the copies of one case as cached cases; returns how many, 0 for one that cannot take lesions."""
    known = load_cached(cache, case)
    if not takes_lesions(known):
        return 0
    for name, label, image in copies_of(cache, case, copies, seed, spacing, kind, prepare):
        write_cached(out, name, label, image, known.known, grid=cached_grid(cache, case))
    return copies


def main() -> int:
    parser = copies_parser(__doc__, copies=8)
    parser.add_argument("--spacing", type=float, help="of a cache that does not say its own, in mm; 1.5")
    parser.add_argument("--pasted", action="store_true", help="real lesions of the cached cases, moved")
    parser.add_argument(
        "--bulging", action="store_true", help="a tumor at the liver's surface, or a mass beside it"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments.spacing is not None and not arguments.spacing > 0:
            raise UsageError("--spacing must be above 0")
        if arguments.pasted and arguments.bulging:
            raise UsageError("choose one of --pasted and --bulging")
        names = cases_to_copy(arguments)
        spacing = spacing_of_copies(arguments.cache, names, arguments.spacing)
        kind, prepare = "planted", made_up
        if arguments.bulging:
            kind, prepare = "bulging", bulging
        elif arguments.pasted:
            kind, prepare = "pasted", partial(pasted, library=library_of(arguments.cache, names, spacing))
        work = partial(
            write_copies,
            cache=arguments.cache,
            out=arguments.out,
            copies=arguments.copies,
            seed=arguments.seed,
            spacing=spacing,
            kind=kind,
            prepare=prepare,
        )
        copy_all(names, work, arguments.processes)
    except LiverSegError as error:
        print(f"plant_lesions: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
