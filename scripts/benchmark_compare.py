"""How well two scans of one person are laid over each other: made-up patients moved by a known field.

Each patient is scanned twice, the second time moved and deformed, with lesions that grew, shrank, went and
came. Prints, with and without the CTs, how far points of the liver are led astray, the share of lesions that
are told rightly, and the seconds of the processor.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.compare import TimePoint, compare_cases
from liverseg.measure import measure
from liverseg.phantom import Phantom, make_phantom
from liverseg.phantom_motion import Motion, middle_of, moved
from liverseg.phantom_patient import Patient
from liverseg.volume import Volume

# Diameters before and after, mm; 0 where there is no lesion.
LESIONS = ((36.0, 44.0), (26.0, 18.0), (20.0, 20.0), (16.0, 0.0), (12.0, 12.0), (0.0, 18.0), (0.0, 10.0))


def read_out(ct: Volume, masks: Masks) -> Case:
    """The case of true masks."""
    return measure(
        ct, replace(masks, vessels=None), method=CouinaudMethod("truth"), provenance=Provenance("truth")
    )


def two_scans(seed: int, motion: Motion) -> tuple[Phantom, Phantom]:
    """The same person with the earlier and the later lesions, not yet moved."""
    planned = Patient.of(seed).plan_lesions([max(sizes) for sizes in LESIONS])
    pairs = list(zip(planned, LESIONS, strict=True))
    first, second = (
        [replace(lesion, diameter_mm=sizes[n]) for lesion, sizes in pairs if sizes[n]] for n in (0, 1)
    )
    shape, spacing = (100, 150, 170), (2.5, 2.3, 2.2)
    return tuple(make_phantom(seed, shape, spacing, lesions=each) for each in (first, second))  # type: ignore[return-value]


def told_rightly(earlier: Phantom, later: Phantom, pairs: set[tuple[int, int]]) -> int:
    """How many of the patient's lesions were paired, or left alone, as they should be."""
    place = {lesion.center_ras_mm: lesion.id for lesion in later.lesions}
    truth = {(lesion.id, place.get(lesion.center_ras_mm, 0)) for lesion in earlier.lesions}
    known = {lesion.center_ras_mm for lesion in earlier.lesions}
    truth |= {(0, lesion.id) for lesion in later.lesions if lesion.center_ras_mm not in known}
    return len(truth & pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 9])
    arguments = parser.parse_args()
    motion = Motion()
    for seed in arguments.seeds:
        earlier, later = two_scans(seed, motion)
        before, after = read_out(earlier.ct, earlier.masks), read_out(*moved(later, motion))
        for name in ("masks", "masks and CTs"):
            points = [TimePoint.of(case) for case in (before, after)]
            if name == "masks":
                points = [replace(point, ct=None) for point in points]
            began = time.process_time()
            comparison = compare_cases(*points)
            seconds = time.process_time() - began
            registration = comparison.registration
            assert registration is not None
            liver = after.ct.geometry.to_ras(np.argwhere(after.masks.liver)[::200])
            truth = motion.to_first(liver, middle_of(earlier.ct.geometry))
            error = np.linalg.norm(registration.to_before(liver) - truth, axis=1)
            pairs = {((x.before or (0,))[0], (x.after or (0,))[0]) for x in comparison.lesions}
            print(
                f"seed {seed}, {name}: "
                f"error mean {error.mean():.1f} mm, 95 % {np.percentile(error, 95):.1f} mm, "
                f"liver Dice {registration.rigid_dice:.3f} to {registration.liver_dice:.3f}, "
                f"lesions right {told_rightly(earlier, later, pairs)} of {len(LESIONS)}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
