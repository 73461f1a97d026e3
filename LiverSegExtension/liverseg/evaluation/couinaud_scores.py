"""How well a liver was split, and whether lesions are named by their right segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverseg.evaluation.lesion_matching import LesionMatches
from liverseg.evaluation.overlap import dice_by_label
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB, SEGMENTS, numeral
from liverseg.lesion_measures import primary_segment, segment_shares

NUMERALS = tuple(numeral(segment) for segment in SEGMENTS)
# Where a component lies of which no voxel has a segment.
OUTSIDE = "outside"


@dataclass(frozen=True)
class LesionSegments:
    """Where a true lesion lies by the readings, by the predicted map, and by its claim.

    Attributes:
        lesion: id of the true lesion.
        truth: primary segment by each reading.
        by_map: primary segment of the lesion's own voxels in the predicted map; None outside of it. This
            judges the split alone.
        by_claim: primary segment of the claim that shares most with it; None for a missed lesion, or where
            the prediction has no segment there. This is what a report says.
        map_right, claim_right: share of the readings that name the same segment. A tie such as "IV/V"
            agrees with each of its segments. A missed lesion has 0, and so has a claim without a segment.
        found: whether a claim shares a voxel with it.
    """

    lesion: int
    truth: tuple[str | None, ...]
    by_map: str | None
    by_claim: str | None
    map_right: float
    claim_right: float
    found: bool


def undivided(couinaud: np.ndarray) -> np.ndarray:
    """Segments 1..8: IVb (9) becomes part of IV (4)."""
    return np.where(couinaud == SEGMENT_IVB.label, couinaud.dtype.type(SEGMENT_IVA.label), couinaud)


def segment_dice(readings: Sequence[np.ndarray], predicted: np.ndarray) -> tuple[float, ...]:
    """Dice of the segments I to VIII, each the mean over the readings of one liver."""
    labels = [segment.label for segment in SEGMENTS]
    rows = [dice_by_label(undivided(reading), undivided(predicted), labels) for reading in readings]
    return tuple(float(value) for value in np.mean(rows, axis=0))


def lesion_segments(
    readings: Sequence[np.ndarray], predicted: np.ndarray, matches: LesionMatches, voxel_ml: float
) -> tuple[LesionSegments, ...]:
    """Compare the primary segment of each true lesion.

    Args:
        readings: reference maps (1..8) on the masks' grid; at least one.
        predicted: the predicted map there.
        matches: the lesions, on the same grid.
    """
    rows = []
    places = ndimage.find_objects(matches.truth_labels)
    claim_places = ndimage.find_objects(matches.claim_labels)
    for lesion in matches.truth:
        box = places[lesion.id - 1]
        own = matches.truth_labels[box] == lesion.id
        truth = tuple(_primary(reading[box][own], voxel_ml) for reading in readings)
        by_map = _primary(predicted[box][own], voxel_ml)
        by_claim = None
        if lesion.partners:
            box = claim_places[lesion.partners[0] - 1]
            claim = matches.claim_labels[box] == lesion.partners[0]
            by_claim = _primary(predicted[box][claim], voxel_ml)
        rows.append(
            LesionSegments(
                lesion.id,
                truth,
                by_map,
                by_claim,
                _agreement(truth, by_map),
                _agreement(truth, by_claim),
                lesion.is_matched(),
            )
        )
    return tuple(rows)


def component_segments(couinaud: np.ndarray, components: np.ndarray, count: int) -> tuple[str, ...]:
    """The one segment that has most of each component, or ``OUTSIDE``; for groups, where each counts once.

    Args:
        couinaud: a map of segments (1..8, 9 as 4), (k, j, i).
        components: ids 1..count on the same grid.
    """
    inside = components > 0
    size = SEGMENTS[-1].label + 1
    segments = undivided(couinaud)[inside].astype(np.int64)
    segments[segments >= size] = 0
    pairs = components[inside].astype(np.int64) * size + segments
    table = np.bincount(pairs, minlength=(count + 1) * size).reshape(-1, size)[1 : count + 1, 1:]
    return tuple(NUMERALS[int(row.argmax())] if row.any() else OUTSIDE for row in table)


def _primary(labels_inside: np.ndarray, voxel_ml: float) -> str | None:
    return primary_segment(segment_shares(undivided(labels_inside), SEGMENTS, voxel_ml), SEGMENTS)


def _agreement(truth: Sequence[str | None], named: str | None) -> float:
    if named is None:
        return 0.0
    said = set(named.split("/"))
    return float(np.mean([bool(reading and said & set(reading.split("/"))) for reading in truth]))
