"""Draw training samples beyond the labels on contact sheets: before, after, label outline.

The pictures show real patients: they go beside a run, and a folder inside a repository is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused, LiverSegError
from liverseg.training.cache import STAGE1_SPACING, STAGE2_SPACING
from liverseg.training.cached_cases import cached_names, hu_of_gray
from liverseg.training.persons import person_of
from liverseg.training.synth.bulging import Survey, grow_at_surface
from liverseg.training.synth.contact_sheet import SheetSample, draw_sheet, refuse_repository, write_sheet
from liverseg.training.synth.pasted import build_library, paste_lesions
from liverseg.training.synth.planted import Planted, plant
from liverseg.training.synth.recipe import LesionRecipe
from liverseg.training.synth.samples import read_sample
from liverseg.training.synth.warped import WarpRefused, warp_to_shape

PATCH = (64, 96, 96)
SPACING = (STAGE2_SPACING,) * 3
Case = tuple[np.ndarray, np.ndarray]


def read_cases(cache: Path) -> dict[str, Case]:
    """HU and label of every cached scan; no phantoms.

    Raises:
        InputRefused: there is none.
    """
    samples = [read_sample(cache / name) for name in cached_names(cache) if not name.startswith("phantom")]
    if not samples:
        raise InputRefused(f"no scan of a person in {cache}; run scripts/prepare_data.py first")
    return {sample.case: (hu_of_gray(sample.image), sample.label) for sample in samples}


def random_patch(cases: dict[str, Case], rng: np.random.Generator) -> Case:
    """A patch around a random place of a random liver."""
    hu, label = cases[sorted(cases)[int(rng.integers(len(cases)))]]
    liver = np.flatnonzero(label)
    middle = np.array(np.unravel_index(liver[int(rng.integers(len(liver)))], label.shape))
    low = np.clip(middle - np.array(PATCH) // 2, 0, np.maximum(np.array(label.shape) - PATCH, 0))
    box = tuple(slice(a, a + n) for a, n in zip(low, PATCH, strict=True))
    return hu[box], label[box]


def on_patches(
    cases: dict[str, Case], count: int, rng: np.random.Generator, change: Callable[[Case], Planted]
) -> list[SheetSample]:
    """Samples of something that changes patches; patches that stay as they are do not count."""
    samples: list[SheetSample] = []
    for _ in range(20 * count):
        if len(samples) == count:
            break
        hu, label = random_patch(cases, rng)
        after = change((hu, label))
        names = [f"{x.kind} r {x.radius_mm:.0f} mm {x.contrast_hu:.0f} HU" for x in after.lesions]
        if names or after.confounders:
            title = ", ".join([*names, *after.confounders])
            index = after.lesions[0].center[0] if after.lesions else None
            samples.append(SheetSample(title, hu, after.hu, after.label, index=index))
    return samples


def planted(cases: dict[str, Case], count: int, rng: np.random.Generator) -> list[SheetSample]:
    """Made-up lesions."""
    recipe = LesionRecipe(confounder_share=0.0)
    return on_patches(cases, count, rng, lambda case: plant(*case, SPACING, rng, recipe))


def confounders(cases: dict[str, Case], count: int, rng: np.random.Generator) -> list[SheetSample]:
    """What only looks like lesions, with few lesions beside it."""
    recipe = LesionRecipe(confounder_share=1.0, more_lesions=0.0, radius_mm=(2.0, 4.0))
    return [
        replace(sample, index=_most_changed(sample))
        for sample in on_patches(cases, count, rng, lambda case: plant(*case, SPACING, rng, recipe))
    ]


def _most_changed(sample: SheetSample) -> int:
    assert sample.before is not None
    return int((np.abs(sample.after - sample.before) > 5).sum(axis=(1, 2)).argmax())


def pasted(cases: dict[str, Case], count: int, rng: np.random.Generator) -> list[SheetSample]:
    """Real lesions in new places."""
    library = build_library(cases, SPACING, {person_of(case) for case in cases})
    return on_patches(cases, count, rng, lambda case: paste_lesions(*case, SPACING, rng, library))


def bulging(cases: dict[str, Case], count: int, rng: np.random.Generator) -> list[SheetSample]:
    """Masses at the surface of whole livers, for a cache of stage 1."""
    names = sorted(cases)
    samples: list[SheetSample] = []
    surveys: dict[str, Survey] = {}
    for _ in range(3 * count):
        if len(samples) == count:
            break
        name = names[int(rng.integers(len(names)))]
        if name not in surveys:
            surveys[name] = Survey.of(*cases[name], (STAGE1_SPACING,) * 3)
        scan = surveys[name]
        result = grow_at_surface(scan, rng)
        for mass in result.lesions:
            title = f"{name} {mass.kind} r {mass.radius_mm:.0f} mm {mass.contrast_hu:.0f} HU"
            samples.append(SheetSample(title, scan.hu, result.hu, result.label, index=mass.center[0]))
    return samples


def warped(cases: dict[str, Case], count: int, rng: np.random.Generator) -> list[SheetSample]:
    """Scans in the shape of another person's liver; the shape's own scan stands before."""
    names = sorted(cases)
    samples: list[SheetSample] = []
    for _ in range(3 * count):
        if len(samples) == count:
            break
        source, shape = (names[int(n)] for n in rng.choice(len(names), 2, replace=False))
        hu, label = cases[source]
        try:
            result = warp_to_shape(hu, label, SPACING, cases[shape][1] > 0, SPACING)
        except WarpRefused as refusal:
            print(f"left out: {refusal}")
            continue
        title = (
            f"Dice {result.dice:.3f}, volumes x {result.volume_factor[0]:.2f}..{result.volume_factor[1]:.2f}"
        )
        samples.append(SheetSample(title, None, result.hu, result.label))
    return samples


def pseudo(folder: Path, count: int, rng: np.random.Generator) -> list[SheetSample]:
    """Pseudo-labels and negatives; what is not counted is colored over.

    Raises:
        InputRefused: the folder holds none.
    """
    paths = sorted(path.parent for path in folder.rglob("case.json"))
    if not paths:
        raise InputRefused(f"no sample in {folder}; run scripts/make_pseudo_labels.py first")
    samples = []
    for n in rng.permutation(len(paths))[:count]:
        sample = read_sample(paths[int(n)])
        hu = hu_of_gray(sample.image)
        share = f"{sample.counted.mean():.0%} counted"
        samples.append(SheetSample(share, hu, hu, sample.label, sample.counted, _shown(sample.label)))
    return samples


def _shown(label: np.ndarray) -> int:
    part = label == 2 if (label == 2).any() else label > 0
    # Slabs repeat one slice; their middle is the part that counts.
    areas = part.sum(axis=(1, 2))
    best = np.flatnonzero(areas == areas.max())
    return int(best[len(best) // 2])


KINDS = {
    "planted": planted,
    "confounders": confounders,
    "pasted": pasted,
    "bulging": bulging,
    "warped": warped,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", type=Path, help="stage 2's cache (scripts/prepare_data.py); for bulging, stage 1's"
    )
    parser.add_argument("--pseudo", type=Path, help="folder written by scripts/make_pseudo_labels.py")
    parser.add_argument(
        "--kinds", nargs="+", choices=sorted(KINDS), default=["planted", "confounders", "pasted"]
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the PNGs, outside of any repository"
    )
    parser.add_argument("--count", type=int, default=12, help="samples on a sheet")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        refuse_repository(arguments.out)
        sheets: dict[str, list[SheetSample]] = {}
        if arguments.cache:
            cases = read_cases(arguments.cache)
            for kind in arguments.kinds:
                rng = np.random.default_rng(arguments.seed)
                sheets[kind] = KINDS[kind](cases, arguments.count, rng)
        if arguments.pseudo:
            rng = np.random.default_rng(arguments.seed)
            sheets["pseudo"] = pseudo(arguments.pseudo, arguments.count, rng)
        if not sheets:
            parser.error("give --cache, --pseudo or both")
        for kind, samples in sheets.items():
            write_sheet(draw_sheet(samples), arguments.out / f"{kind}.png")
            print(f"{arguments.out / kind}.png: {len(samples)} samples")
    except (LiverSegError, ValueError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, LiverSegError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
