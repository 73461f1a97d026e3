"""Label unlabeled scans and weakly labeled slices by one or several models, where they can be believed.

Each scan is read by every model on the scan as it is and on slightly changed ones; lesions that the readings
agree on, and that are plausible, become labels, and what is doubtful is not counted. Writes one npz a case
(image, label, counted) for training. Nobody who is held out for judging is touched.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from liverseg.bundle import Bundle, find_bundle
from liverseg.device import choose_device
from liverseg.errors import InputRefused, LiverSegError, UsageError
from liverseg.geometry import CanonicalOrder
from liverseg.reading import read_volume
from liverseg.stages import MARGIN_MM, RoughLiver, find_lesions, find_liver
from liverseg.training.cache import STAGE2_MARGIN_MM, STAGE2_SPACING
from liverseg.training.persons import person_of
from liverseg.training.splits import read_splits
from liverseg.training.synth.hard_negatives import (
    SLAB_DEPTH,
    few_of_each_person,
    for_liver_alone,
    hard_negatives,
    slab_sample,
)
from liverseg.training.synth.pseudo_labels import PseudoRules, pseudo_label
from liverseg.training.synth.samples import make_sample, write_sample
from liverseg.training.synth.weak_slices import WeakSlice, as_slab, read_weak_slices, slice_label

log = logging.getLogger("make_pseudo_labels")

# Changes that leave a scan a scan: size of its voxels and brightness (HU).
VARIANTS = ((1.0, 0.0), (0.93, 0.0), (1.06, 8.0))
Spacing = tuple[float, float, float]


def held_out_persons(exclude: list[str], split: Path | None, held: str | None) -> set[str]:
    """Persons of the named cases and of the held-out part of a splits file.

    Raises:
        InputRefused: the file cannot be read.
        UsageError: a splits file without the part that is held out, or that part without the file, or a file
            that has no such part.
    """
    persons = {person_of(case) for case in exclude}
    if (split is None) != (held is None):
        raise UsageError("--split and --held go together: give the splits file and its part that judges")
    if split is None or held is None:
        return persons
    return persons | read_splits(split).unseen_persons(held)


def readings(
    hu: np.ndarray, spacing: Spacing, rough: RoughLiver, bundles: list[Bundle], device: str, variants: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Liver and lesion score on the rough liver's box, of each model and variant that finds a liver."""
    for bundle in bundles:
        for factor, shift in VARIANTS[:variants]:
            step = (spacing[0] * factor, spacing[1] * factor, spacing[2] * factor)
            fine, _ = find_lesions(hu + np.float32(shift), step, rough, bundle, device, "fast")
            if fine is not None:
                yield fine.liver, fine.lesion_score


def label_scan(path: Path, bundles: list[Bundle], device: str, variants: int, out: Path) -> str:
    """Write one scan's labels; returns a line that says what became of it."""
    case = path.name.removesuffix(".nii.gz")
    volume = read_volume(path)
    order = CanonicalOrder.of(volume.geometry)
    hu = np.ascontiguousarray(order.apply(volume.array)).astype(np.float32)
    spacing = order.geometry(volume.geometry).spacing_kji
    rough, _ = find_liver(hu, spacing, bundles[0], device)
    if rough is None:
        return f"{case}: no liver found, left out"
    found = list(readings(hu, spacing, rough, bundles, device, variants))
    if not found:
        return f"{case}: no liver found, left out"
    part = hu[rough.box]
    result = pseudo_label(part, [f[0] for f in found], [f[1] for f in found], spacing, PseudoRules())
    write_sample(
        make_sample(case, part, result.label, result.counted, spacing, STAGE2_SPACING, STAGE2_MARGIN_MM), out
    )
    reasons = sorted({claim.reason for claim in result.claims if claim.reason})
    kept = ", ".join(f"{claim.volume_ml:.1f}" for claim in result.kept) or "none"
    liver_uncounted = float(1 - result.counted[result.label > 0].mean())
    doubts = f"; not kept: {'; '.join(reasons)}" if reasons else ""
    return (
        f"{case}: {len(result.kept)} of {len(result.claims)} lesions kept (ml: {kept}), "
        f"{liver_uncounted:.1%} of the liver not counted{doubts}"
    )


def label_slice(weak: WeakSlice, bundles: list[Bundle], device: str, variants: int, out: Path) -> bool:
    """Write one slice with lesions that the models and the windows agree on; False where there are none."""
    hu, liver = as_slab(weak.hu, SLAB_DEPTH), as_slab(weak.liver, SLAB_DEPTH)
    spacing = (STAGE2_SPACING, weak.pixel_mm, weak.pixel_mm)
    margin = int(np.ceil(MARGIN_MM / weak.pixel_mm))
    lines = [np.flatnonzero(weak.liver.any(axis=1 - axis)) for axis in range(2)]
    rows, columns = (
        slice(max(0, int(line[0]) - margin), min(n, int(line[-1]) + 1 + margin))
        for line, n in zip(lines, weak.liver.shape, strict=True)
    )
    rough = RoughLiver(liver, (slice(0, SLAB_DEPTH), rows, columns))
    scores = []
    for _, score in readings(hu, spacing, rough, bundles, device, variants):
        plane = np.zeros(weak.liver.shape, dtype=np.float32)
        plane[rows, columns] = score[SLAB_DEPTH // 2]
        scores.append(plane)
    label, counted = slice_label(weak, scores)
    if not (label == 2).any():
        return False
    write_sample(slab_sample(weak, label, counted, STAGE2_SPACING), out)
    return True


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, or the given words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", required=True, help="names or folders of bundles: the teachers")
    parser.add_argument("--data", type=Path, required=True, help="folder with ct_unlabelled/ and slices/")
    parser.add_argument("--out", type=Path, required=True, help="folder for scans/, slices/ and negatives/")
    parser.add_argument("--exclude", nargs="*", default=[], help="cases whose persons are held out")
    parser.add_argument("--split", type=Path, help="splits file (JSON with parts)")
    parser.add_argument("--held", help="part of the splits file that judges")
    parser.add_argument("--only", nargs="*", help="these unlabeled scans only (names without .nii.gz)")
    parser.add_argument("--variants", type=int, choices=(1, 2, 3), default=3, help="readings a model")
    parser.add_argument("--slices", action="store_true", help="lesions on the weakly labeled slices too")
    parser.add_argument("--negatives", action="store_true", help="write clear slices without lesions too")
    parser.add_argument("--a-person", type=int, default=0, help="so many negatives a person; 0 for all")
    parser.add_argument("--livers", type=int, default=0, help="so many further slices a person for the liver")
    parser.add_argument("--device", default="auto")
    return parser.parse_args(words)


def main() -> int:
    arguments = read_arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("liverseg").setLevel(logging.WARNING)
    try:
        run(arguments)
    except LiverSegError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def run(arguments: argparse.Namespace) -> None:
    """All that was asked for."""
    held = held_out_persons(arguments.exclude, arguments.split, arguments.held)
    bundles = [find_bundle(name) for name in arguments.model]
    device = choose_device(arguments.device)
    scans = sorted((arguments.data / "ct_unlabelled").glob("*.nii.gz"))
    if not scans:
        raise InputRefused(f"no scan in {arguments.data / 'ct_unlabelled'}; give the folder that holds it")
    for path in scans:
        case = path.name.removesuffix(".nii.gz")
        if arguments.only is not None and case not in arguments.only:
            continue
        if person_of(case) in held or case in held:
            log.info("%s: held out, not touched", case)
            continue
        try:
            log.info("%s", label_scan(path, bundles, device, arguments.variants, arguments.out / "scans"))
        except LiverSegError as error:
            log.info("%s: %s", case, error)
    if not (arguments.slices or arguments.negatives or arguments.livers):
        return
    slices = read_weak_slices(arguments.data / "slices", held)
    kept = set()
    if arguments.slices:
        flagged = [weak for weak in slices if (weak.lesion_window & weak.liver).any()]
        out = arguments.out / "slices"
        kept = {w.case for w in flagged if label_slice(w, bundles, device, arguments.variants, out)}
        log.info("slices: %d of %d with lesion windows kept", len(kept), len(flagged))
    if arguments.negatives or arguments.livers:
        write_clear_slices([weak for weak in slices if weak.case not in kept], held, arguments)


def write_clear_slices(slices: list[WeakSlice], held: set[str], arguments: argparse.Namespace) -> None:
    """Slices clear of lesions, as negatives, and further ones that teach the liver's outline alone."""
    clear = hard_negatives(slices, {}, held, STAGE2_SPACING)
    negatives = few_of_each_person(clear, arguments.a_person or len(clear)) if arguments.negatives else []
    taken = {sample.case for sample in negatives}
    others = [for_liver_alone(sample) for sample in clear if sample.case not in taken]
    livers = few_of_each_person(others, arguments.livers)
    for name, samples in (("negatives", negatives), ("livers", livers)):
        for sample in samples:
            write_sample(sample, arguments.out / name)
        if samples:
            persons = {person_of(sample.case) for sample in samples}
            log.info("%s: %d slices of %d persons", name, len(samples), len(persons))


if __name__ == "__main__":
    sys.exit(main())
