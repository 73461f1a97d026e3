"""The scores as files: one row a case, one row a lesion, the summary, and lines for a terminal."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.evaluation.case_scores import CaseScores, StructureScores
from liverseg.evaluation.couinaud_scores import NUMERALS
from liverseg.evaluation.error_groups import ErrorGroup, error_groups
from liverseg.evaluation.lesion_matching import MatchedLesion, detection
from liverseg.evaluation.summary import TEN_MM_AND_MORE, class_values, structure_values
from liverseg.training.persons import person_of
from liverseg.writers.atomic import written_whole

CASES_FILE, LESIONS_FILE, SUMMARY_FILE = "cases.csv", "lesions.csv", "summary.json"
SLICES_FILE, ERRORS_FILE = "slices.csv", "errors.csv"
DECIMALS = 5

Row = dict[str, object]


def write_scores(folder: Path, cases: Sequence[CaseScores], summary: dict[str, object]) -> None:
    """Write cases, lesions, slices, error groups and the summary; an unknown value is an empty field or null.

    Raises:
        UsageError: a file cannot be written.
    """
    _write_csv(folder / CASES_FILE, [case_row(case) for case in cases])
    _write_csv(folder / LESIONS_FILE, [row for case in cases for row in lesion_rows(case)], LESION_FIELDS)
    _write_csv(folder / SLICES_FILE, [row for case in cases for row in slice_rows(case)], SLICE_FIELDS)
    _write_csv(folder / ERRORS_FILE, [error_row(group) for group in error_groups(cases)])
    with written_whole(folder / SUMMARY_FILE) as temporary:
        temporary.write_text(json.dumps(_rounded(summary), indent=2) + "\n", encoding="utf-8")


def case_row(case: CaseScores) -> Row:
    """All scores of a case in one flat row."""
    any_overlap, by_shape = (detection(case.truth, case.claims, shape) for shape in (False, True))
    row: Row = {
        "case": case.case,
        "person": person_of(case.case),
        "phase": case.phase,
        "failure": case.failure,
        "lesions": len(case.truth),
        "claims": len(case.claims),
        "found": any_overlap.found,
        "found_iou": by_shape.found,
        "false_lesions": len(case.false_claims),
        "recall": any_overlap.recall,
        "precision": any_overlap.precision,
        "f1": any_overlap.f1,
    }
    row |= _columns("liver", case.liver) | _columns("lesion", case.lesions)
    row |= class_values(case.classes)
    row["stage1_liver_dice"] = case.stage1_dice
    dices = case.couinaud_dice
    row["couinaud_dice"] = float(np.mean(dices)) if dices else None
    for n, numeral in enumerate(NUMERALS):
        row[f"couinaud_dice_{numeral}"] = dices[n] if dices else None
    segments = case.lesion_segments
    row["lesions_in_right_segment"] = sum(s.claim_right for s in segments) if segments else None
    row["lesions_in_right_segment_by_map"] = sum(s.map_right for s in segments) if segments else None
    for name in ("any_vessel", "portal_vein", "hepatic_veins"):
        row[f"{name}_dice"] = getattr(case.vessels, name) if case.vessels else None
    return row


LESION_FIELDS = [
    *("case", "kind", "id", "volume_ml", "diameter_mm", "size_class", "matched", "iou", "dice", "partners"),
    *("confidence_mean", "confidence_max", "segment", "segment_by_map", "segment_by_report"),
    "place",
]


def lesion_rows(case: CaseScores) -> list[Row]:
    """One row a true lesion (kind "true") and one a predicted lesion (kind "claim")."""
    segments = {row.lesion: row for row in case.lesion_segments}
    rows = []
    for lesion, place in zip(case.truth, case.truth_segments, strict=True):
        row = _lesion_row(case.case, "true", lesion) | {"place": place}
        if lesion.id in segments:
            named = segments[lesion.id]
            row["segment"] = " or ".join(dict.fromkeys(s or "-" for s in named.truth))
            row["segment_by_map"], row["segment_by_report"] = named.by_map, named.by_claim
        rows.append(row)
    for claim, place in zip(case.claims, case.claim_segments, strict=True):
        row = _lesion_row(case.case, "claim", claim) | {"place": place}
        mean, largest = (case.confidences or {}).get(claim.id, (None, None))
        rows.append(row | {"confidence_mean": mean, "confidence_max": largest})
    return rows


SLICE_FIELDS = [
    *("case", "slice", "position", "liver_dice", "liver_truth_ml", "liver_predicted_ml"),
    *("lesion_dice", "lesion_truth_ml", "lesion_predicted_ml"),
]


def slice_rows(case: CaseScores) -> list[Row]:
    """One row a slice that holds something; empty where a structure is in neither truth nor prediction."""
    rows = []
    for score in case.slices:
        row: Row = {"case": case.case, "slice": score.name, "position": score.position}
        for name, overlap in (("liver", score.liver), ("lesion", score.lesions)):
            row[f"{name}_dice"] = overlap.dice if overlap else None
            row[f"{name}_truth_ml"] = overlap.truth_ml if overlap else None
            row[f"{name}_predicted_ml"] = overlap.predicted_ml if overlap else None
        rows.append(row)
    return rows


def error_row(group: ErrorGroup) -> Row:
    """A group of lesions or cases in one row."""
    return {
        "groups_by": group.kind,
        "group": group.name,
        "cases": group.cases,
        "failed": group.failed,
        "lesions": group.lesions,
        "found": group.found,
        "recall": group.recall,
        "lesion_dice": group.lesion_dice,
        "claims": group.claims,
        "false_claims": group.false_claims,
        "precision": group.precision,
        "liver_dice": group.liver_dice,
        "case_lesion_dice": group.case_lesion_dice,
    }


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The main figures in a few lines."""
    liver, lesions, couinaud = summary["liver"], summary["lesions"], summary["couinaud"]
    lines = [
        f"{summary['cases']} cases of {summary['persons']} persons, {len(summary['failed_cases'])} failed",
        f"Liver: Dice {_text(liver['dice']['mean'])}, worst {_text(liver['dice']['worst'])} "
        f"({liver['dice']['worst_case']}), HD95 {_text(liver['hausdorff95_mm']['mean'], 1)} mm",
    ]
    if lesions["cases_with_lesions"]:
        large = lesions["any_overlap"][TEN_MM_AND_MORE]
        shape = lesions["iou_over_0.5"][TEN_MM_AND_MORE]
        everything = lesions["any_overlap"]["all"]
        lines += [
            f"Lesions: Dice {_text(lesions['person_mean_dice'])} over {lesions['persons_with_lesions']} "
            f"persons with lesions, global {_text(lesions['global_dice'])}",
            f"Found: {everything['found']} of {everything['lesions']}, from 10 mm {large['found']} of "
            f"{large['lesions']} ({shape['found']} at IoU > 0.5); "
            f"precision {_text(everything['precision'], 2)}",
        ]
    lines.append(f"False lesions a CT: {_text(lesions['false_lesions_per_ct'], 2)}")
    if couinaud:
        right = lesions["primary_segment"]
        of_found = _text(right["right_by_report_of_found"], 2)
        lines.append(
            f"Couinaud: Dice {_text(couinaud['mean_dice']['mean'])}; lesions in their right segment "
            f"{_text(right['right_by_report'], 2)}, of the found {of_found}"
        )
    if summary["vessels"]:
        dice = summary["vessels"]["any_vessel"]
        lines.append(f"Vessels in the liver: Dice {_text(dice['mean'])}")
    return lines


def _columns(name: str, scores: StructureScores) -> Row:
    row: Row = {f"{name}_{key}": value for key, value in structure_values(scores).items()}
    row[f"{name}_volume_error_percent"] = scores.overlap.volume_error_percent
    row[f"{name}_truth_ml"] = scores.overlap.truth_ml
    row[f"{name}_predicted_ml"] = scores.overlap.predicted_ml
    row[f"{name}_penalized"] = scores.penalized
    return row


def _lesion_row(case: str, kind: str, lesion: MatchedLesion) -> Row:
    return {
        "case": case,
        "kind": kind,
        "id": lesion.id,
        "volume_ml": lesion.volume_ml,
        "diameter_mm": lesion.diameter_mm,
        "size_class": lesion.size_class,
        "matched": lesion.is_matched(),
        "iou": lesion.best_iou,
        "dice": lesion.best_dice,
        "partners": " ".join(str(n) for n in lesion.partners),
    }


def _write_csv(path: Path, rows: Sequence[Row], fields: Sequence[str] | None = None) -> None:
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fields or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _rounded(value) for key, value in row.items()} for row in rows)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(float(value), DECIMALS) if isinstance(value, float) else value


def _text(value: float | None, decimals: int = 3) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
