"""Which lesion of the earlier scan is which of the later one.

First by overlap after registration: the one-to-one assignment with the largest sum of Dice. What is left
over is matched by distance, relative to size, again by the optimal assignment. A lesion that is still left
over but lies for the larger part in a matched one's place is a part of it: the lesion was split, or several
have merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from liverseg.case import LesionReadout
from liverseg.compare.registration import Registration
from liverseg.compare.time_point import TimePoint
from liverseg.geometry import bounding_box

Box = tuple[slice, ...]

# An overlap below this part of the smaller lesion is a neighbor's brush, not the same lesion.
SMALLEST_OVERLAP = 0.1
# Left-over lesions belong to a matched one when more than this part of them lies in its place.
PART_OVERLAP = 0.5
# Centroids of one lesion lie no further apart than this plus half the mean diameter, and never more than
# the limit: what registration by shape leaves inside a liver (docs/compare.md has the figures).
DISTANCE_MM = 6.0
DISTANCE_LIMIT_MM = 20.0
# So many voxels tell the overlap of a large lesion well enough (by less than 1 %).
SAMPLED_VOXELS = 8000


@dataclass(frozen=True)
class Group:
    """Lesions that are one: ids of the earlier and of the later scan, either of them perhaps none.

    Attributes:
        before, after: lesion ids, largest first.
        overlap_percent: of the smaller one of the assigned pair, after registration; None without a pair.
        distance_mm: between the centroids of the assigned pair after registration; None without one.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    overlap_percent: float | None = None
    distance_mm: float | None = None


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """Of n earlier and m later lesions, (n, m) each: part of the earlier one that lies in the later one,
    part of the later one that lies in the earlier one, and mm between the centroids."""

    of_before: npt.NDArray[np.float64]
    of_after: npt.NDArray[np.float64]
    distance_mm: npt.NDArray[np.float64]

    @property
    def of_smaller(self) -> npt.NDArray[np.float64]:
        return np.maximum(self.of_before, self.of_after)


def match_lesions(before: TimePoint, after: TimePoint, registration: Registration) -> tuple[Group, ...]:
    """Groups of lesions, matched ones by falling size of the later one, then gone ones, then new ones.

    Lesions that a reader rejected take no part.
    """
    earlier, later = _by_size(before.measured), _by_size(after.measured)
    overlaps = _overlaps(before, earlier, after, later, registration)
    pairs = _assigned(overlaps, earlier, later)
    groups = {b: ([b], [a]) for b, a in pairs}
    place = {a: b for b, a in pairs}
    # A part is attached to the lesion that holds most of it; a lesion without a pair can hold none.
    for a in range(len(later)):
        if a not in place and pairs:
            b = max(groups, key=lambda n: overlaps.of_after[n, a])
            if overlaps.of_after[b, a] > PART_OVERLAP:
                groups[b][1].append(a)
    for b in range(len(earlier)):
        if b not in groups and pairs:
            a = max(place, key=lambda n: overlaps.of_before[b, n])
            if overlaps.of_before[b, a] > PART_OVERLAP:
                groups[place[a]][0].append(b)
    told = [
        Group(
            before=tuple(earlier[n].id for n in sorted(members)),
            after=tuple(later[n].id for n in sorted(parts)),
            overlap_percent=100.0 * float(overlaps.of_smaller[members[0], parts[0]]),
            distance_mm=float(overlaps.distance_mm[members[0], parts[0]]),
        )
        for members, parts in sorted(groups.values(), key=lambda g: min(g[1]))
    ]
    used_before = {lesion_id for group in told for lesion_id in group.before}
    used_after = {lesion_id for group in told for lesion_id in group.after}
    told += [Group((lesion.id,), ()) for lesion in earlier if lesion.id not in used_before]
    told += [Group((), (lesion.id,)) for lesion in later if lesion.id not in used_after]
    return tuple(told)


def equivalent_diameter_mm(lesion: LesionReadout) -> float:
    """Diameter of the sphere of the lesion's volume."""
    return float(2.0 * np.cbrt(3.0 * lesion.volume_ml * 1000.0 / (4.0 * np.pi)))


def distance_limit_mm(one: LesionReadout, other: LesionReadout) -> float:
    """How far apart the centroids of one lesion may lie after registration."""
    mean = (equivalent_diameter_mm(one) + equivalent_diameter_mm(other)) / 2.0
    return min(DISTANCE_MM + mean / 2.0, DISTANCE_LIMIT_MM)


def _by_size(lesions: Sequence[LesionReadout]) -> list[LesionReadout]:
    return sorted(lesions, key=lambda lesion: (-lesion.volume_ml, lesion.id))


def _assigned(
    overlaps: _Overlaps, earlier: Sequence[LesionReadout], later: Sequence[LesionReadout]
) -> list[tuple[int, int]]:
    """Pairs of positions: by overlap, then by distance what that left over."""
    volume_before = np.array([lesion.volume_ml for lesion in earlier])[:, None]
    volume_after = np.array([lesion.volume_ml for lesion in later])[None, :]
    if volume_before.size == 0 or volume_after.size == 0:
        return []
    shared = overlaps.of_before * volume_before + overlaps.of_after * volume_after
    dice = shared / (volume_before + volume_after)
    allowed = overlaps.of_smaller >= SMALLEST_OVERLAP
    pairs = _optimal(np.where(allowed, dice, 0.0), allowed)
    free_before = [n for n in range(len(earlier)) if n not in {b for b, _ in pairs}]
    free_after = [n for n in range(len(later)) if n not in {a for _, a in pairs}]
    # What lies in a lesion that has its match already is a part of it, whatever else is near.
    near = np.zeros(dice.shape)
    for b in free_before:
        for a in free_after:
            limit = distance_limit_mm(earlier[b], later[a])
            near[b, a] = max(0.0, 1.0 - overlaps.distance_mm[b, a] / limit)
    for b, a in pairs:
        near[overlaps.of_before[:, a] > PART_OVERLAP, :] = 0.0
        near[:, overlaps.of_after[b, :] > PART_OVERLAP] = 0.0
    return pairs + _optimal(near, near > 0)


def _optimal(gain: np.ndarray, allowed: np.ndarray) -> list[tuple[int, int]]:
    """The one-to-one assignment of the largest total gain, among the allowed pairs."""
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(b), int(a)) for b, a in zip(rows, columns, strict=True) if allowed[b, a]]


def _overlaps(
    before: TimePoint,
    earlier: Sequence[LesionReadout],
    after: TimePoint,
    later: Sequence[LesionReadout],
    registration: Registration,
) -> _Overlaps:
    shape = (len(earlier), len(later))
    of_before, of_after = np.zeros(shape), np.zeros(shape)
    boxes_before, boxes_after = _boxes(before), _boxes(after)
    for a, lesion in enumerate(later):
        there = registration.to_before(_voxels(after, boxes_after[lesion.id], lesion.id))
        of_after[:, a] = _shares(before, there, [other.id for other in earlier])
    for b, lesion in enumerate(earlier):
        there = registration.to_after(_voxels(before, boxes_before[lesion.id], lesion.id))
        of_before[b, :] = _shares(after, there, [other.id for other in later])
    distance = np.zeros(shape)
    if earlier and later:
        centers = registration.to_after([lesion.centroid_ras_mm for lesion in earlier])
        places = np.array([lesion.centroid_ras_mm for lesion in later])
        distance = np.linalg.norm(centers[:, None] - places[None], axis=2)
    return _Overlaps(of_before, of_after, distance)


def _boxes(point: TimePoint) -> dict[int, Box]:
    """Where each lesion lies in the arrays."""
    whole = bounding_box(point.lesion_labels)
    if whole is None:
        return {}
    found = ndimage.find_objects(point.lesion_labels[whole])
    start = [s.start for s in whole]
    return {
        n: tuple(slice(s.start + at, s.stop + at) for s, at in zip(box, start, strict=True))
        for n, box in enumerate(found, start=1)
        if box is not None
    }


def _voxels(point: TimePoint, box: Box, lesion_id: int) -> npt.NDArray[np.float64]:
    """Voxel centers (n, 3) of a lesion, RAS mm; of a large one an even part of them."""
    index = np.argwhere(point.lesion_labels[box] == lesion_id) + [s.start for s in box]
    step = max(1, len(index) // SAMPLED_VOXELS)
    return point.geometry.to_ras(index[step // 2 :: step])


def _shares(
    point: TimePoint, ras: npt.NDArray[np.float64], lesion_ids: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Part of the points (n, 3), RAS mm, that lies in each lesion; outside of the scan in none."""
    index = np.floor(point.geometry.to_kji(ras) + 0.5).astype(int)
    inside = np.all((index >= 0) & (index < np.array(point.geometry.shape)), axis=1)
    found = point.lesion_labels[tuple(index[inside].T)]
    counts = np.bincount(found, minlength=max(lesion_ids, default=0) + 1)
    return counts[list(lesion_ids)] / len(index)
