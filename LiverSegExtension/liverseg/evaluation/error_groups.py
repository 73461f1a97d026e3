"""Where the errors are: lesions by size, by Couinaud segment and by contrast phase; livers by phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from liverseg.evaluation.case_scores import CaseScores
from liverseg.evaluation.couinaud_scores import NUMERALS, OUTSIDE
from liverseg.evaluation.lesion_matching import SIZE_CLASSES, MatchedLesion
from liverseg.evaluation.phases import UNKNOWN

BY_SIZE, BY_SEGMENT, BY_PHASE = "size", "segment", "phase"


@dataclass(frozen=True)
class ErrorGroup:
    """The lesions, or the cases, of one kind.

    Attributes:
        kind: what the groups go by: "size" (of the lesion, or of the claim), "segment" (the one with most
            of the component, by the labels where they have segments, else by the prediction) or "phase".
        name: of the group; what nobody told is "unknown".
        cases, failed: how many cases are in it and how many of them have no prediction; None unless the
            groups are of cases.
        lesions, found: true lesions, and those touched by a claim.
        lesion_dice: mean over the true lesions of the Dice with the claim that fits best, 0 for a missed one.
        claims, false_claims: predicted lesions, and those that touch no true one.
        liver_dice, case_lesion_dice: means over the cases, and over the cases with lesions.
    """

    kind: str
    name: str
    cases: int | None
    failed: int | None
    lesions: int
    found: int
    lesion_dice: float | None
    claims: int
    false_claims: int
    liver_dice: float | None = None
    case_lesion_dice: float | None = None

    @property
    def recall(self) -> float | None:
        """Share of the lesions that were found; None without a lesion."""
        return self.found / self.lesions if self.lesions else None

    @property
    def precision(self) -> float | None:
        """Share of the claims that touch a lesion; None without a claim."""
        return (self.claims - self.false_claims) / self.claims if self.claims else None


def error_groups(cases: Sequence[CaseScores]) -> tuple[ErrorGroup, ...]:
    """All groups in a fixed order; size classes are all there, the others where there is something."""
    return (*_by_size(cases), *_by_segment(cases), *_by_phase(cases))


def _by_size(cases: Sequence[CaseScores]) -> Iterable[ErrorGroup]:
    truth = [lesion for case in cases for lesion in case.truth]
    claims = [claim for case in cases for claim in case.claims]
    for name in SIZE_CLASSES:
        yield _of_lesions(
            BY_SIZE,
            name,
            [x for x in truth if x.size_class == name],
            [x for x in claims if x.size_class == name],
        )


def _by_segment(cases: Sequence[CaseScores]) -> Iterable[ErrorGroup]:
    truth = [pair for case in cases for pair in zip(case.truth_segments, case.truth, strict=True)]
    claims = [pair for case in cases for pair in zip(case.claim_segments, case.claims, strict=True)]
    told = {segment for segment, _ in (*truth, *claims)}
    for name in (*NUMERALS, OUTSIDE, None):
        if name in told:
            own = [x for segment, x in truth if segment == name]
            yield _of_lesions(
                BY_SEGMENT, name or UNKNOWN, own, [x for segment, x in claims if segment == name]
            )


def _by_phase(cases: Sequence[CaseScores]) -> Iterable[ErrorGroup]:
    for name in sorted({case.phase for case in cases}, key=lambda phase: (phase == UNKNOWN, phase)):
        own = [case for case in cases if case.phase == name]
        with_lesions = [case.lesions.dice for case in own if case.has_lesions]
        lesions = _of_lesions(
            BY_PHASE, name, [x for case in own for x in case.truth], [x for case in own for x in case.claims]
        )
        yield ErrorGroup(
            BY_PHASE,
            name,
            len(own),
            sum(case.failure is not None for case in own),
            lesions.lesions,
            lesions.found,
            lesions.lesion_dice,
            lesions.claims,
            lesions.false_claims,
            float(np.mean([case.liver.dice for case in own])),
            float(np.mean(with_lesions)) if with_lesions else None,
        )


def _of_lesions(
    kind: str, name: str, truth: Sequence[MatchedLesion], claims: Sequence[MatchedLesion]
) -> ErrorGroup:
    return ErrorGroup(
        kind,
        name,
        None,
        None,
        len(truth),
        sum(lesion.is_matched() for lesion in truth),
        float(np.mean([lesion.best_dice for lesion in truth])) if truth else None,
        len(claims),
        sum(not claim.is_matched() for claim in claims),
    )
