"""What a comparison says: frozen, with units in the names. Unknown is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from liverseg.compare.registration import Registration
from liverseg.compare.time_point import TimePoint

# matched: one lesion, one lesion. split, merged: one earlier and several later ones, or the reverse;
# regrouped: several on both sides. new, gone: without a counterpart. not_covered: its place lies outside of
# the other scan. not_compared: the other scan has no liver.
STATUSES = ("matched", "split", "merged", "regrouped", "gone", "new", "not_covered", "not_compared")


@dataclass(frozen=True)
class Change:
    """A quantity at both times. ``percent`` is None where the earlier value is not above 0."""

    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """Later minus earlier."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def percent(self) -> float | None:
        """Of the earlier value."""
        change = self.change
        if change is None or self.before is None or self.before <= 0:
            return None
        return 100.0 * change / self.before

    def as_dict(self) -> dict[str, float | None]:
        """For JSON."""
        return {"before": self.before, "after": self.after, "change": self.change, "percent": self.percent}


@dataclass(frozen=True)
class LesionChange:
    """One lesion at both times.

    Where it is in several parts, volume and long axis are the parts' sums (RECIST 1.1 adds the diameters
    of fragments), HU is weighted by volume, 3D diameter and short axis are None. A lesion that is gone, or
    was not there yet, has a volume and axes of 0; one that the other scan does not cover has None.

    Attributes:
        status: one of :data:`STATUSES`.
        before, after: lesion ids, largest first.
        before_tracking_uids, after_tracking_uids: of these.
        segment_before, segment_after: Couinaud segment of the largest part.
        target: whether it is in the sum of diameters.
        overlap_percent: of the smaller one of the matched pair, after registration.
        distance_mm: between the pair's centroids, after registration.
    """

    status: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    before_tracking_uids: tuple[str, ...]
    after_tracking_uids: tuple[str, ...]
    segment_before: str | None
    segment_after: str | None
    target: bool
    overlap_percent: float | None
    distance_mm: float | None
    long_axis_mm: Change
    short_axis_mm: Change
    max_diameter_3d_mm: Change
    volume_ml: Change
    mean_hu: Change


@dataclass(frozen=True)
class TargetSum:
    """Sum of the long axes of the target lesions (RECIST 1.1, liver alone). Information, no verdict.

    Attributes:
        targets: ids in the first scan.
        sums_mm: one a scan, in order of time; None where a target could not be judged.
        from_baseline: first and last sum.
        from_smallest: smallest sum before the last, and the last.
        new_lesions: how many there are in the last scan that the first does not have.
    """

    targets: tuple[int, ...]
    sums_mm: tuple[float | None, ...]
    from_baseline: Change
    from_smallest: Change
    new_lesions: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two scans of one person compared.

    Attributes:
        before, after: as given.
        registration: None when a scan has no liver.
        liver_ml, lesions_ml, tumor_burden_percent, liver_hu: of the whole liver; rejected lesions are no
            part of the second and the third.
        lesions: matched ones by falling size of the later one, then gone ones, then new ones.
        targets: sum of diameters.
        summary: plain sentences.
        warnings: plain sentences.
        provenance: versions, hashes, seconds.
    """

    before: TimePoint
    after: TimePoint
    registration: Registration | None
    liver_ml: Change
    lesions_ml: Change
    tumor_burden_percent: Change
    liver_hu: Change
    lesions: tuple[LesionChange, ...]
    targets: TargetSum
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]
