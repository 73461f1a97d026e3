"""From the scores of cases to those of a model: means, worst cases, pooled values, counts.

Every case of the truth is in every mean that applies to it. A failed case has Dice 0 and distances of the
scan's diagonal (counted as ``penalized``); its lesions count as missed. What has no value in a case (the
volume error in percent of nothing) belongs to the cases with lesions alone, and each value says over how
many cases it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from liverseg.evaluation.case_scores import TOLERANCES_MM, CaseScores, StructureScores
from liverseg.evaluation.class_scores import CLASSES, ClassScores
from liverseg.evaluation.couinaud_scores import NUMERALS
from liverseg.evaluation.lesion_matching import SIZE_CLASSES, Detection, MatchedLesion, detection
from liverseg.evaluation.overlap import pooled_dice
from liverseg.evaluation.slice_scores import slice_summary
from liverseg.training.persons import person_of

TEN_MM_AND_MORE = "10 mm and more"
HIGHER_IS_BETTER = {"dice", "iou", "sensitivity", "specificity"}


def summarize(cases: Sequence[CaseScores]) -> dict[str, object]:
    """The summary as plain dicts, lists, strings and numbers, as ``summary.json`` holds it.

    Raises:
        ValueError: without a case.
    """
    if not cases:
        raise ValueError("there is no case to summarize")
    with_lesions = [case for case in cases if case.has_lesions]
    return {
        "cases": len(cases),
        "persons": len({person_of(case.case) for case in cases}),
        "failed_cases": {case.case: case.failure for case in cases if case.failure},
        "liver": _structure(cases, lambda case: case.liver)
        | {"global_dice": pooled_dice([case.liver.overlap for case in cases])},
        "stage1_liver": _optional({c.case: c.stage1_dice for c in cases}),
        "lesions": _lesions(cases, with_lesions),
        "couinaud": _couinaud(cases),
        "vessels": _vessels(cases),
        "classes": _classes(cases),
        "slices": slice_summary([case.slices for case in cases]),
    }


def person_mean(values: dict[str, float]) -> float | None:
    """Mean over persons of the mean over each person's cases; None without a case."""
    persons: dict[str, list[float]] = {}
    for case, value in values.items():
        persons.setdefault(person_of(case), []).append(value)
    return float(np.mean([np.mean(own) for own in persons.values()])) if persons else None


def spread(values: dict[str, float], higher_is_better: bool = True) -> dict[str, object]:
    """Mean, median, standard deviation (of these cases, not of a population they were drawn from) and worst
    value over cases, with the worst case's name.
    """
    if not values:
        return {"cases": 0, "mean": None, "median": None, "sd": None, "worst": None, "worst_case": None}
    numbers = np.array(list(values.values()), dtype=float)
    worst = (min if higher_is_better else max)(values, key=lambda case: values[case])
    return {
        "cases": len(values),
        "mean": float(numbers.mean()),
        "median": float(np.median(numbers)),
        "sd": float(numbers.std()),
        "worst": values[worst],
        "worst_case": worst,
    }


def structure_values(scores: StructureScores) -> dict[str, float]:
    """The scores of a structure by name; the volume error in percent only where the truth has a volume."""
    overlap = scores.overlap
    values = {
        "dice": scores.dice,
        "iou": scores.iou,
        "sensitivity": scores.sensitivity,
        "specificity": scores.specificity,
        "hausdorff_mm": scores.hausdorff_mm,
        "hausdorff95_mm": scores.hausdorff95_mm,
        "average_distance_mm": scores.average_distance_mm,
    }
    for tolerance, value in zip(TOLERANCES_MM, scores.surface_dice, strict=True):
        values[f"surface_dice_{tolerance:g}_mm"] = value
    values["volume_error_ml"] = overlap.volume_error_ml
    if overlap.volume_error_percent is not None:
        values["volume_error_percent"] = overlap.volume_error_percent
    return values


def class_values(scores: ClassScores) -> dict[str, float]:
    """The scores of voxels by class, by name."""
    by_class = {
        f"dice_{name.replace(' ', '_')}": dice for name, dice in zip(CLASSES, scores.dice, strict=True)
    }
    return {
        "pixel_accuracy": scores.pixel_accuracy,
        "liver_pixel_accuracy": scores.liver_pixel_accuracy,
        "macro_dice": scores.macro_dice,
        "macro_dice_with_background": scores.macro_dice_with_background,
        **by_class,
    }


def _classes(cases: Sequence[CaseScores]) -> dict[str, object]:
    tables = {case.case: class_values(case.classes) for case in cases}
    names = next(iter(tables.values()))
    return {name: spread({case: table[name] for case, table in tables.items()}) for name in names}


def _structure(
    cases: Sequence[CaseScores], pick: Callable[[CaseScores], StructureScores]
) -> dict[str, object]:
    tables = {case.case: structure_values(pick(case)) for case in cases}
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    result: dict[str, object] = {}
    for name in names:
        values = {case: table[name] for case, table in tables.items() if name in table}
        if name.startswith("volume_error"):
            # Errors of both signs: the mean is the bias, the worst the largest of either sign.
            sizes = {case: abs(value) for case, value in values.items()}
            worst = max(sizes, key=sizes.__getitem__)
            result[name] = spread(values) | {
                "mean_absolute": float(np.mean(list(sizes.values()))),
                "worst": values[worst],
                "worst_case": worst,
            }
        else:
            result[name] = spread(values, name in HIGHER_IS_BETTER or name.startswith("surface_dice"))
    result["penalized"] = [case.case for case in cases if pick(case).penalized]
    return result


def _lesions(cases: Sequence[CaseScores], with_lesions: Sequence[CaseScores]) -> dict[str, object]:
    truth = [lesion for case in cases for lesion in case.truth]
    claims = [claim for case in cases for claim in case.claims]
    answered = [case for case in cases if case.failure is None]
    false = {case.case: len(case.false_claims) for case in answered}
    segments = [row for case in cases for row in case.lesion_segments]
    found = [row for row in segments if row.found]
    return _structure(with_lesions, lambda case: case.lesions) | {
        "cases_with_lesions": len(with_lesions),
        "persons_with_lesions": len({person_of(case.case) for case in with_lesions}),
        "person_mean_dice": person_mean({c.case: c.lesions.dice for c in with_lesions}),
        "global_dice": pooled_dice([case.lesions.overlap for case in cases]),
        "any_overlap": _by_size(truth, claims, by_shape=False),
        "iou_over_0.5": _by_size(truth, claims, by_shape=True),
        "false_lesions": sum(false.values()),
        # Over the cases that have a prediction: a failed one claims nothing and would flatter.
        "false_lesions_per_ct": sum(false.values()) / len(false) if false else None,
        "false_lesions_in_lesion_free_cases": {
            case.case: len(case.false_claims) for case in answered if not case.has_lesions
        },
        "primary_segment": {
            "lesions": len(segments),
            "right_by_map": _mean([row.map_right for row in segments]),
            "right_by_report": _mean([row.claim_right for row in segments]),
            "found_lesions": len(found),
            "right_by_report_of_found": _mean([row.claim_right for row in found]),
        },
    }


def _by_size(
    truth: Sequence[MatchedLesion], claims: Sequence[MatchedLesion], by_shape: bool
) -> dict[str, object]:
    """Counts, precision, recall and F1 of all lesions, of each size class, and from 10 mm upwards."""
    kept: dict[str, Callable[[MatchedLesion], bool]] = {"all": lambda lesion: True}
    kept |= {name: _of_class(name) for name in SIZE_CLASSES}
    kept[TEN_MM_AND_MORE] = lambda lesion: lesion.size_class != SIZE_CLASSES[0]
    return {
        name: _rates(detection(filter(keep, truth), filter(keep, claims), by_shape))
        for name, keep in kept.items()
    }


def _of_class(name: str) -> Callable[[MatchedLesion], bool]:
    return lambda lesion: lesion.size_class == name


def _rates(counts: Detection) -> dict[str, object]:
    return {
        "lesions": counts.lesions,
        "found": counts.found,
        "claims": counts.claims,
        "right": counts.right,
        "recall": counts.recall,
        "precision": counts.precision,
        "f1": counts.f1,
    }


def _couinaud(cases: Sequence[CaseScores]) -> dict[str, object] | None:
    tables = {case.case: case.couinaud_dice for case in cases if case.couinaud_dice is not None}
    if not tables:
        return None
    return {
        "mean_dice": spread({case: float(np.mean(row)) for case, row in tables.items()}),
        "dice_by_segment": {
            numeral: float(np.mean([row[n] for row in tables.values()])) for n, numeral in enumerate(NUMERALS)
        },
    }


def _vessels(cases: Sequence[CaseScores]) -> dict[str, object] | None:
    known = {case.case: case.vessels for case in cases if case.vessels is not None}
    if not known:
        return None
    return {
        name: _optional({case: getattr(scores, name) for case, scores in known.items()})
        for name in ("any_vessel", "portal_vein", "hepatic_veins")
    }


def _optional(values: dict[str, float | None]) -> dict[str, object] | None:
    """The spread over the cases for which there is a reference; None when there is none."""
    known = {case: value for case, value in values.items() if value is not None}
    return spread(known) if known else None


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None
