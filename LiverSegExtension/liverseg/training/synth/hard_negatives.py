"""What fools a network: clear slices of many persons, livers without lesions, and its own false alarms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import cc3d
import numpy as np
from scipy.ndimage import binary_dilation

from liverseg.training.cache import STAGE2_MARGIN_MM
from liverseg.training.persons import person_of
from liverseg.training.synth.fields import LESION
from liverseg.training.synth.samples import TrainingSample, make_sample
from liverseg.training.synth.weak_slices import WeakSlice, as_slab, slice_label

# A slab must fill a good part of a patch, or the network sees little but its ends; errors count in the
# middle alone, where the ends are out of sight.
SLAB_DEPTH, SLAB_COUNTED = 32, 8


@dataclass(frozen=True)
class FalseAlarm:
    """A place that a network took for a lesion.

    Attributes:
        center: voxels (z, y, x), where the score is highest.
        volume_ml: of what it claimed.
        peak: its highest score.
    """

    center: tuple[int, int, int]
    volume_ml: float
    peak: float


def hard_negatives(
    slices: Sequence[WeakSlice],
    cases: Mapping[str, tuple[np.ndarray, np.ndarray]],
    excluded_persons: Collection[str],
    spacing_mm: float,
    least_clear_cm2: float = 4.0,
) -> list[TrainingSample]:
    """Samples in which no lesion is to be found.

    Args:
        slices: with weak lesion windows; those with enough surely clear liver are taken.
        cases: image (uint8 of the cache's window) and label (z, y, x) by case, on the grid of
            ``spacing_mm``; those whose liver has no lesion are taken whole.
        excluded_persons: never taken, whichever of their scans or slices is given.
        spacing_mm: of the samples.
        least_clear_cm2: of clear liver in a slice.
    """
    samples = []
    for weak in slices:
        area = np.count_nonzero(weak.clear) * weak.pixel_mm**2 / 100
        if person_of(weak.case) not in excluded_persons and area >= least_clear_cm2:
            samples.append(slab_sample(weak, *slice_label(weak), spacing_mm))
    for case in sorted(cases):
        image, label = cases[case]
        if person_of(case) not in excluded_persons and (label > 0).any() and not (label == LESION).any():
            samples.append(TrainingSample(case, image, label, np.ones(label.shape, dtype=bool)))
    return samples


def few_of_each_person(samples: Sequence[TrainingSample], count: int) -> list[TrainingSample]:
    """At most ``count`` samples a person, from the middle of those in the order of their names outwards.

    Neighboring slices of one person teach the same; the middle of a liver shows most of it.
    """
    persons: dict[str, list[TrainingSample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.case):
        persons.setdefault(person_of(sample.case), []).append(sample)
    chosen = []
    for own in persons.values():
        outwards = sorted(range(len(own)), key=lambda n: abs(n - len(own) // 2))
        chosen += [own[n] for n in outwards[:count]]
    return chosen


def for_liver_alone(sample: TrainingSample) -> TrainingSample:
    """A slab that teaches where the liver ends, and says nothing about lesions."""
    counted = sample.counted.copy()
    start = (SLAB_DEPTH - SLAB_COUNTED) // 2
    counted[start : start + SLAB_COUNTED] = True
    return replace(sample, counted=counted, lesions=False)


def slab_sample(weak: WeakSlice, label: np.ndarray, counted: np.ndarray, spacing_mm: float) -> TrainingSample:
    """A slice with its label as a slab of ``SLAB_DEPTH`` voxels, of which the middle counts."""
    flat = make_sample(
        weak.case,
        weak.hu[None],
        label[None],
        counted[None],
        (spacing_mm, weak.pixel_mm, weak.pixel_mm),
        spacing_mm,
        STAGE2_MARGIN_MM,
    )
    slab = replace(
        flat,
        image=as_slab(flat.image[0], SLAB_DEPTH),
        label=as_slab(flat.label[0], SLAB_DEPTH),
        counted=as_slab(flat.counted[0], SLAB_DEPTH),
    )
    start = (SLAB_DEPTH - SLAB_COUNTED) // 2
    slab.counted[:start] = False
    slab.counted[start + SLAB_COUNTED :] = False
    return slab


def false_alarms(
    label: np.ndarray,
    score: np.ndarray,
    spacing_mm: tuple[float, float, float],
    threshold: float = 0.5,
    smallest_ml: float = 0.03,
) -> list[FalseAlarm]:
    """Where a network claims a lesion in liver that has none there, the largest first.

    Patches around these places are worth more than others. Claims that touch a true lesion or lie within
    two voxels of it are inexact, not false.

    Args:
        label: (z, y, x), the truth: 0, 1 liver, 2 lesion, above 2 vessels of the liver.
        score: (z, y, x) lesion probability.
    """
    claims = cc3d.connected_components((score >= threshold) & (label > 0), connectivity=26)
    near = binary_dilation(label == LESION, iterations=2) if (label == LESION).any() else label == LESION
    touched = set(np.unique(claims[near]).tolist())
    statistics = cc3d.statistics(claims)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    alarms = []
    for number in range(1, len(statistics["voxel_counts"])):
        volume = float(statistics["voxel_counts"][number]) * voxel_ml
        if number in touched or volume < smallest_ml:
            continue
        box = statistics["bounding_boxes"][number]
        inside = np.where(claims[box] == number, score[box], -1)
        place = np.unravel_index(int(inside.argmax()), inside.shape)
        z, y, x = (int(p) + s.start for p, s in zip(place, box, strict=True))
        alarms.append(FalseAlarm((z, y, x), volume, float(inside.max())))
    return sorted(alarms, key=lambda alarm: -alarm.volume_ml)
