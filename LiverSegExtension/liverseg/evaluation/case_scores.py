"""Every score of one case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.evaluation.case_files import LabelMaps
from liverseg.evaluation.class_scores import ClassScores, class_scores
from liverseg.evaluation.couinaud_scores import (
    NUMERALS,
    LesionSegments,
    component_segments,
    lesion_segments,
    segment_dice,
)
from liverseg.evaluation.lesion_matching import LesionMatches, MatchedLesion, match_lesions
from liverseg.evaluation.overlap import Overlap, dice, overlap_of
from liverseg.evaluation.phases import UNKNOWN
from liverseg.evaluation.slice_scores import SliceScore, slice_scores
from liverseg.evaluation.surface_distance import penalty_mm, surface_distances
from liverseg.geometry import bounding_box
from liverseg.labels import HEPATIC_VEINS, PORTAL_VEIN

TOLERANCES_MM = (1.0, 2.0, 5.0)
WITHOUT_LESIONS = "the labels have no map of lesions: taken as a liver without any, every claim as false"


@dataclass(frozen=True)
class StructureScores:
    """A mask against its truth.

    Attributes:
        overlap: voxel counts; Dice, IoU, sensitivity, specificity and volumes follow from them.
        hausdorff_mm, hausdorff95_mm, average_distance_mm: surface distances
            (:mod:`liverseg.evaluation.surface_distance`); the scan's diagonal when one mask is empty.
        surface_dice: by tolerance, in the order of :data:`TOLERANCES_MM`; 0 when one mask is empty.
        penalized: whether the distances are penalties.
        failed: there is no usable prediction. Dice, IoU, sensitivity and specificity are then 0 even where
            there was nothing to find: no answer is not a right one.
    """

    overlap: Overlap
    hausdorff_mm: float
    hausdorff95_mm: float
    average_distance_mm: float
    surface_dice: tuple[float, ...]
    penalized: bool
    failed: bool = False

    @property
    def dice(self) -> float:
        """Dice; 1 when both masks are empty, 0 for a failed case."""
        return 0.0 if self.failed else self.overlap.dice

    @property
    def iou(self) -> float:
        """IoU, likewise."""
        return 0.0 if self.failed else self.overlap.iou

    @property
    def sensitivity(self) -> float:
        """Sensitivity, likewise."""
        return 0.0 if self.failed else self.overlap.sensitivity

    @property
    def specificity(self) -> float:
        """Specificity, likewise."""
        return 0.0 if self.failed else self.overlap.specificity


@dataclass(frozen=True)
class VesselScores:
    """Dice of the vessels inside the true liver; None where the truth does not tell the kind."""

    any_vessel: float
    portal_vein: float | None
    hepatic_veins: float | None


@dataclass(frozen=True)
class CaseScores:
    """All scores of one case.

    Attributes:
        case: its name.
        failure: why there is no usable prediction; all scores are then those of an empty one.
        lesions: all lesions as one mask.
        truth, claims: each lesion, and each claim, matched.
        classes: voxels by class.
        slices: from below upwards.
        truth_segments, claim_segments: the segment with most of each lesion and claim, by the first reading
            of the labels, or else by the prediction; None each where neither has segments.
        phase: of the contrast medium, as told; "unknown" where nobody did.
        couinaud_dice: segments I to VIII, mean over the readings; None without a reference.
        lesion_segments: primary segments of the true lesions; empty without a reference.
        vessels: None without a reference.
        stage1_dice: liver Dice of what stage 1 alone found on its own scan; None when it was not kept, by
            this case or by any.
        confidences: mean and largest lesion score of each claim, by its id; empty when not known.
        notes: what else is to be told, one plain sentence each.
    """

    case: str
    failure: str | None
    liver: StructureScores
    lesions: StructureScores
    truth: tuple[MatchedLesion, ...]
    claims: tuple[MatchedLesion, ...]
    classes: ClassScores
    slices: tuple[SliceScore, ...]
    truth_segments: tuple[str | None, ...]
    claim_segments: tuple[str | None, ...]
    phase: str = UNKNOWN
    couinaud_dice: tuple[float, ...] | None = None
    lesion_segments: tuple[LesionSegments, ...] = ()
    vessels: VesselScores | None = None
    stage1_dice: float | None = None
    confidences: dict[int, tuple[float | None, float | None]] | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_lesions(self) -> bool:
        """Whether the truth has lesions."""
        return bool(self.truth)

    @property
    def false_claims(self) -> tuple[MatchedLesion, ...]:
        """Claims that touch no true lesion."""
        return tuple(claim for claim in self.claims if not claim.partners)


@dataclass(frozen=True, eq=False)
class Scored:
    """A case's scores, and the matched lesions' label arrays on the crop that was scored."""

    scores: CaseScores
    matches: LesionMatches
    box: tuple[slice, slice, slice]


def score_case(
    case: str,
    truth: LabelMaps,
    predicted: LabelMaps | None,
    failure: str | None = None,
    *,
    with_couinaud: bool = True,
    with_vessels: bool = True,
) -> Scored:
    """Score a prediction, or its absence.

    Args:
        truth, predicted: on one grid. A missing prediction (None) is scored as an empty one.
        failure: why it is missing.
        with_couinaud, with_vessels: whether this structure is predicted at all in this evaluation; a
            prediction that lacks it then scores 0.
    """
    shape = truth.geometry.shape
    empty = np.zeros(shape, dtype=np.uint8)
    liver = empty > 0 if predicted is None else predicted.liver
    lesions = empty if predicted is None else predicted.lesions
    failed = predicted is None
    box = bounding_box(truth.liver | liver | (lesions > 0)) or (slice(0, 1),) * 3
    spacing, voxel_ml = truth.geometry.spacing_kji, truth.geometry.voxel_volume_ml
    penalty = penalty_mm(truth.geometry)

    def scores(one: np.ndarray, other: np.ndarray) -> StructureScores:
        overlap = overlap_of(one, other, voxel_ml, int(np.prod(shape)))
        if failed:
            nothing = (0.0,) * len(TOLERANCES_MM)
            return StructureScores(overlap, penalty, penalty, penalty, nothing, True, True)
        distances = surface_distances(one, other, spacing, penalty)
        return StructureScores(
            overlap,
            distances.hausdorff_mm,
            distances.hausdorff95_mm,
            distances.average_mm,
            tuple(distances.surface_dice(tolerance) for tolerance in TOLERANCES_MM),
            distances.undefined,
        )

    true_liver, true_lesions = truth.liver[box], truth.lesions[box] > 0
    found_liver, found_lesions = liver[box], lesions[box] > 0
    matches = match_lesions(true_lesions, found_lesions, voxel_ml)
    couinaud: tuple[float, ...] | None = None
    segments: tuple[LesionSegments, ...] = ()
    if truth.couinaud and with_couinaud:
        readings = [reading[box] for reading in truth.couinaud]
        split = predicted.couinaud[0] if predicted is not None and predicted.couinaud else empty
        couinaud = (0.0,) * len(NUMERALS) if failed else segment_dice(readings, split[box])
        segments = lesion_segments(readings, split[box], matches, voxel_ml)
    maps = truth.couinaud or (() if predicted is None else predicted.couinaud)
    couinaud_map = maps[0][box] if maps else None
    vessels = None
    if truth.vessels is not None and with_vessels:
        found = predicted.vessels if predicted is not None and predicted.vessels is not None else empty
        vessels = _vessel_scores(truth.vessels[box], found[box], true_liver, failed)
    result = CaseScores(
        case=case,
        failure=failure,
        liver=scores(true_liver, found_liver),
        lesions=scores(true_lesions, found_lesions),
        truth=matches.truth,
        claims=matches.claims,
        classes=class_scores(
            (true_liver, true_lesions), (found_liver, found_lesions), int(np.prod(shape)), failed
        ),
        slices=slice_scores((truth.liver, truth.lesions > 0), (liver, lesions > 0), truth.geometry),
        truth_segments=_places(couinaud_map, matches.truth_labels, len(matches.truth)),
        claim_segments=_places(couinaud_map, matches.claim_labels, len(matches.claims)),
        couinaud_dice=couinaud,
        lesion_segments=segments,
        vessels=vessels,
        notes=(
            *(() if truth.lesions_told else (WITHOUT_LESIONS,)),
            *truth.notes,
            *(() if predicted is None else predicted.notes),
        ),
    )
    return Scored(result, matches, box)


def _places(couinaud: np.ndarray | None, components: np.ndarray, count: int) -> tuple[str | None, ...]:
    return (None,) * count if couinaud is None else component_segments(couinaud, components, count)


def _vessel_scores(truth: np.ndarray, found: np.ndarray, liver: np.ndarray, failed: bool) -> VesselScores:
    """Vessels inside the true liver alone: outside of it the labels reach as far as their readers liked."""
    truth, found = np.where(liver, truth, 0), np.where(liver, found, 0)
    told = bool(np.isin(truth, (PORTAL_VEIN.label, HEPATIC_VEINS.label)).any())
    if failed:
        kind = 0.0 if told else None
        return VesselScores(0.0, kind, kind)
    kinds = [
        dice(truth == label, found == label) if told else None
        for label in (PORTAL_VEIN.label, HEPATIC_VEINS.label)
    ]
    return VesselScores(dice(truth > 0, found > 0), kinds[0], kinds[1])
