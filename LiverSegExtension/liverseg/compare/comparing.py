"""The one road from two read-outs to a :class:`~liverseg.compare.result.Comparison`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from liverseg import __version__
from liverseg.case import Case, LesionReadout
from liverseg.compare import recist, sentences
from liverseg.compare.doubts import doubts
from liverseg.compare.matching import Group, match_lesions
from liverseg.compare.registration import Registration, register_livers
from liverseg.compare.result import Change, Comparison, LesionChange, TargetSum
from liverseg.compare.time_point import TimePoint
from liverseg.progress import Progress, silent


def compare_cases(
    before: Case | TimePoint,
    after: Case | TimePoint,
    between: Sequence[Case | TimePoint] = (),
    progress: Progress = silent,
) -> Comparison:
    """Compare two scans of one person. Changes nothing that it is given.

    Args:
        before: the first scan (baseline).
        after: the last one.
        between: scans between them, in order of time. Only their sums of target lesions are used, for the
            smallest sum so far.
        progress: hears of every step; may raise ``Cancelled``.
    """
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    first, last = _point(before), _point(after)
    middle = [_point(each) for each in between]
    targets = recist.choose_targets(first.measured)
    sums: list[float | None] = [_sum_of(first, targets)]
    for n, point in enumerate(middle):
        progress(0.8 * n / (len(middle) + 1), f"scan {n + 2}")
        groups, _, missing = _matched(first, point, silent)
        sums.append(recist.sum_of_targets(targets, groups, _by_id(point), missing))

    def listener(fraction: float, message: str) -> None:
        done = len(middle) / (len(middle) + 1)
        progress(0.8 * (done + fraction * (1 - done)), message)

    groups, registration, missing = _matched(first, last, listener)
    progress(0.85, "measuring changes")
    sums.append(recist.sum_of_targets(targets, groups, _by_id(last), missing))
    lesions = tuple(_change(group, first, last, registration, targets) for group in groups)
    total = _target_sum(targets, sums, lesions)
    return Comparison(
        before=first,
        after=last,
        registration=registration,
        liver_ml=_known(first, last, first.liver.volume_ml, last.liver.volume_ml),
        lesions_ml=_known(first, last, *(sum(x.volume_ml for x in p.measured) for p in (first, last))),
        tumor_burden_percent=Change(_burden(first), _burden(last)),
        liver_hu=Change(first.liver.mean_hu, last.liver.mean_hu),
        lesions=lesions,
        targets=total,
        summary=sentences.summary(lesions, total, _by_id(first), _by_id(last)),
        warnings=doubts(first, last, registration),
        provenance=_provenance(first, middle, last, started, time.monotonic() - began),
    )


def _point(given: Case | TimePoint) -> TimePoint:
    return TimePoint.of(given) if isinstance(given, Case) else given


def _by_id(point: TimePoint) -> dict[int, LesionReadout]:
    return {lesion.id: lesion for lesion in point.lesions}


def _sum_of(point: TimePoint, targets: Sequence[int]) -> float | None:
    by_id = _by_id(point)
    return sum(by_id[lesion_id].long_axis_mm for lesion_id in targets) if targets else None


def _matched(
    before: TimePoint, after: TimePoint, progress: Progress
) -> tuple[tuple[Group, ...], Registration | None, tuple[int, ...]]:
    """Groups, the registration, and ids of earlier lesions that the later scan cannot show."""
    if not before.liver_mask.any() or not after.liver_mask.any():
        # A scan without a liver has no lesions; the other one's cannot be judged.
        groups = [Group((lesion.id,), ()) for lesion in before.measured]
        groups += [Group((), (lesion.id,)) for lesion in after.measured]
        return tuple(groups), None, tuple(lesion.id for lesion in before.measured)
    registration = register_livers(before, after, progress)
    progress(0.95, "matching lesions")
    groups_found = match_lesions(before, after, registration)
    outside = tuple(
        group.before[0]
        for group in groups_found
        if not group.after and not _covered(group, before, after, registration)
    )
    return groups_found, registration, outside


def _covered(group: Group, before: TimePoint, after: TimePoint, registration: Registration) -> bool:
    """Whether the place of a lesion without a counterpart lies inside the other scan."""
    if group.before:
        place, other = registration.to_after([_by_id(before)[group.before[0]].centroid_ras_mm]), after
    else:
        place, other = registration.to_before([_by_id(after)[group.after[0]].centroid_ras_mm]), before
    index = other.geometry.to_kji(place)[0]
    return bool(np.all((index >= -0.5) & (index <= np.array(other.geometry.shape) - 0.5)))


def _status(group: Group, before: TimePoint, after: TimePoint, registration: Registration | None) -> str:
    if registration is None:
        return "not_compared"
    earlier, later = len(group.before), len(group.after)
    if earlier and later:
        return {(False, False): "matched", (False, True): "split", (True, False): "merged"}.get(
            (earlier > 1, later > 1), "regrouped"
        )
    if not _covered(group, before, after, registration):
        return "not_covered"
    return "gone" if earlier else "new"


def _change(
    group: Group,
    before: TimePoint,
    after: TimePoint,
    registration: Registration | None,
    targets: Sequence[int],
) -> LesionChange:
    earlier = [_by_id(before)[lesion_id] for lesion_id in group.before]
    later = [_by_id(after)[lesion_id] for lesion_id in group.after]
    status = _status(group, before, after, registration)
    missing = 0.0 if status in ("gone", "new") else None

    def added(quantity: str) -> Change:
        return Change(*(_sum(lesions, quantity, missing) for lesions in (earlier, later)))

    def single(quantity: str) -> Change:
        several = len(earlier) > 1 or len(later) > 1
        return Change(None, None) if several else added(quantity)

    return LesionChange(
        status=status,
        before=group.before,
        after=group.after,
        before_tracking_uids=tuple(lesion.tracking_uid for lesion in earlier),
        after_tracking_uids=tuple(lesion.tracking_uid for lesion in later),
        segment_before=earlier[0].primary_segment if earlier else None,
        segment_after=later[0].primary_segment if later else None,
        target=bool(set(group.before) & set(targets)),
        overlap_percent=group.overlap_percent,
        distance_mm=group.distance_mm,
        long_axis_mm=added("long_axis_mm"),
        short_axis_mm=single("short_axis_mm"),
        max_diameter_3d_mm=single("max_diameter_3d_mm"),
        volume_ml=added("volume_ml"),
        mean_hu=Change(_mean_hu(earlier), _mean_hu(later)),
    )


def _sum(lesions: Sequence[LesionReadout], quantity: str, missing: float | None) -> float | None:
    return float(sum(getattr(lesion, quantity) for lesion in lesions)) if lesions else missing


def _mean_hu(lesions: Sequence[LesionReadout]) -> float | None:
    """Mean HU of all voxels together; None where one is not known."""
    values = [lesion.mean_hu for lesion in lesions if lesion.mean_hu is not None]
    if not lesions or len(values) < len(lesions):
        return None
    return float(np.average(values, weights=[lesion.volume_ml for lesion in lesions]))


def _target_sum(
    targets: tuple[int, ...], sums: Sequence[float | None], lesions: Sequence[LesionChange]
) -> TargetSum:
    known = [value for value in sums[:-1] if value is not None]
    return TargetSum(
        targets=targets,
        sums_mm=tuple(sums),
        from_baseline=Change(sums[0], sums[-1]),
        from_smallest=Change(min(known, default=None), sums[-1]),
        new_lesions=sum(lesion.status == "new" for lesion in lesions),
    )


def _known(before: TimePoint, after: TimePoint, one: float, other: float) -> Change:
    """A change of volumes; None on the side that has no liver."""
    return Change(one if before.liver_mask.any() else None, other if after.liver_mask.any() else None)


def _burden(point: TimePoint) -> float | None:
    """Percent of the liver, without the lesions that a reader rejected; None without a liver."""
    if not point.liver_mask.any() or point.liver.volume_ml <= 0:
        return None
    return 100.0 * sum(lesion.volume_ml for lesion in point.measured) / point.liver.volume_ml


def _provenance(
    first: TimePoint, middle: Sequence[TimePoint], last: TimePoint, started: str, seconds: float
) -> dict[str, Any]:
    def told(point: TimePoint) -> dict[str, Any]:
        known = {name: point.input.get(name) for name in ("sha256", "study_uid", "series_uid")}
        return {**known, **point.made_by}

    return {
        "extension": "LiverSeg",
        "version": __version__,
        "started": started,
        "seconds": round(seconds, 2),
        "before": told(first),
        "between": [told(point) for point in middle],
        "after": told(last),
    }
