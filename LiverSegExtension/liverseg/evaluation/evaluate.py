"""Scores a folder of predictions against a folder of labels, case by case."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_files import STAGE1_FILE, LabelMaps, find_cases, read_case
from liverseg.evaluation.case_scores import CaseScores, Scored, score_case
from liverseg.evaluation.lesion_matching import LesionMatches
from liverseg.evaluation.overlap import dice
from liverseg.evaluation.phases import phase_of
from liverseg.progress import Progress, silent
from liverseg.reading import read_labels

log = logging.getLogger(__name__)

# Mean and largest lesion score by lesion id, written by scripts/predict_cases.
LESION_SCORES_FILE = "lesion_scores.json"


def evaluate_folders(
    predictions: Path,
    truths: Path,
    cases: list[str] | None = None,
    progress: Progress = silent,
    phases: Mapping[str, str] | None = None,
) -> Iterator[CaseScores]:
    """Score every case of the truth; one without a usable prediction counts as a failure.

    Couinaud segments and vessels are scored when at least one prediction has them; a prediction that lacks
    them then has 0.

    Args:
        predictions: a folder a case as ``liverseg segment`` writes it, or a label map a case.
        truths: see :mod:`liverseg.evaluation.case_files`.
        cases: score these alone; None for all of the truth.
        phases: contrast phase by case, where told; else it is taken from the case's name.

    Raises:
        liverseg.errors.UsageError: a folder holds no case, or a named case has no truth.
    """
    found, labeled = find_cases(predictions), find_cases(truths)
    wanted = sorted(labeled) if cases is None else chosen(cases, labeled, truths)
    folders = [path for path in found.values() if path.is_dir()]
    with_couinaud = any((path / "couinaud.nii.gz").exists() for path in folders)
    with_vessels = any((path / "vessels.nii.gz").exists() for path in folders)
    for number, case in enumerate(wanted):
        progress(number / len(wanted), f"case {number + 1} of {len(wanted)}")
        predicted, failure = _prediction(found.get(case), predictions)
        truth: LabelMaps | None = None
        if predicted is not None:
            try:
                truth = read_case(labeled[case], predicted.geometry)
            except InputRefused as error:
                predicted, failure = None, str(error)
        truth = truth or read_case(labeled[case])
        scored = score_case(
            case, truth, predicted, failure, with_couinaud=with_couinaud, with_vessels=with_vessels
        )
        phase = (phases or {}).get(case) or phase_of(case)
        yield replace(_with_extras(scored, labeled[case], predicted), phase=phase)


def without_truth(predictions: Path, truths: Path) -> list[str]:
    """Names of predictions that no truth belongs to."""
    return sorted(set(find_cases(predictions)) - set(find_cases(truths)))


def chosen(cases: list[str], labeled: dict[str, Path], truths: Path) -> list[str]:
    """The named cases, each once.

    Raises:
        UsageError: one has no truth.
    """
    unknown = [case for case in cases if case not in labeled]
    if unknown:
        raise UsageError(f"{truths} has no case {', '.join(unknown)}; it has {', '.join(sorted(labeled))}")
    return list(dict.fromkeys(cases))


def _prediction(path: Path | None, folder: Path) -> tuple[LabelMaps | None, str | None]:
    if path is None:
        return None, f"there is no prediction in {folder}"
    try:
        return read_case(path), None
    except InputRefused as error:
        return None, str(error)


def _with_extras(scored: Scored, truth: Path, predicted: LabelMaps | None) -> CaseScores:
    """Add what else lies in the prediction's folder: lesion scores and what stage 1 found."""
    if predicted is None or not predicted.path.is_dir():
        return scored.scores
    return replace(
        scored.scores,
        stage1_dice=_stage1_dice(predicted.path / STAGE1_FILE, truth),
        confidences=_confidences(predicted, scored.matches, scored.box),
    )


def _stage1_dice(path: Path, truth: Path) -> float | None:
    if not path.exists():
        return None
    try:
        mask, geometry = read_labels(path)
        return dice(read_case(truth, geometry).liver, mask > 0)
    except InputRefused as error:
        log.warning("stage 1 of %s is not scored: %s", path.parent.name, error)
        return None


def _confidences(
    predicted: LabelMaps, matches: LesionMatches, box: tuple[slice, slice, slice]
) -> dict[int, tuple[float | None, float | None]]:
    """Mean and largest score of each claim, by the lesion id that has most of its voxels."""
    known = _lesion_scores(predicted.path)
    if not known:
        return {}
    ids = predicted.lesions[box]
    inside = matches.claim_labels > 0
    pairs, counts = np.unique(
        np.stack([matches.claim_labels[inside], ids[inside]]), axis=1, return_counts=True
    )
    result = {}
    for column in np.argsort(counts, kind="stable"):
        claim, lesion = (int(n) for n in pairs[:, column])
        result[claim] = known.get(lesion, (None, None))
    return result


def _lesion_scores(folder: Path) -> dict[int, tuple[float | None, float | None]]:
    """Mean and largest score by lesion id, from the scores' own file or else from the report."""
    try:
        if (folder / LESION_SCORES_FILE).exists():
            rows = json.loads((folder / LESION_SCORES_FILE).read_text(encoding="utf-8"))
            return {int(row["id"]): (row["mean"], row["max"]) for row in rows}
        if (folder / "report.json").exists():
            rows = json.loads((folder / "report.json").read_text(encoding="utf-8"))["lesions"]
            return {int(row["id"]): (row["confidence"], None) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the lesion confidences of %s cannot be read (%s)", folder.name, error)
    return {}
