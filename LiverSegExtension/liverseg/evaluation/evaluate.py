"""Scores a folder of predictions against a folder of labels, case by case."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_files import (
    STAGE1_FILE,
    WHOLE_SCAN,
    LabelMaps,
    files_named,
    find_cases,
    read_case,
)
from liverseg.evaluation.case_scores import CaseScores, score_case
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

    Couinaud segments and vessels, and what stage 1 alone found, are scored when at least one prediction has
    them; a prediction that lacks them then has 0.

    Args:
        predictions: a folder a case as ``liverseg segment`` writes it, or a label map a case.
        truths: see :mod:`liverseg.evaluation.case_files`.
        cases: score these alone; None for all of the truth.
        phases: contrast phase by case, where told; else it is taken from the case's name.

    Raises:
        liverseg.errors.UsageError: a folder holds no case, or a named case has no truth.
    """
    found, labeled = find_cases(predictions), cases_to_score(truths, cases)
    folders = [path for path in found.values() if path.is_dir()]
    with_couinaud, with_vessels = (
        any(files_named(path, stem) for path in folders) for stem in ("couinaud", "vessels")
    )
    with_stage1 = any(predictions.glob(f"*/{STAGE1_FILE}"))
    for number, (case, label) in enumerate(labeled.items()):
        progress(number / len(labeled), f"case {number + 1} of {len(labeled)}")
        predicted, failure = _prediction(found.get(case), predictions)
        truth: LabelMaps | None = None
        if predicted is not None:
            try:
                truth = read_case(label, predicted.geometry)
            except InputRefused as error:
                predicted, failure = None, str(error)
        truth = truth or read_case(label)
        scored = score_case(
            case, truth, predicted, failure, with_couinaud=with_couinaud, with_vessels=with_vessels
        )
        # What lies beside the prediction counts even where that one is of no use.
        yield replace(
            scored.scores,
            phase=(phases or {}).get(case) or phase_of(case),
            stage1_dice=_stage1_dice(predictions / case / STAGE1_FILE, label, with_stage1),
            confidences=_confidences(predicted, scored.matches, scored.box),
        )


def without_truth(predictions: Path, truths: Path) -> list[str]:
    """Names of predictions that no truth belongs to."""
    return sorted(set(find_cases(predictions)) - set(find_cases(truths)))


def cases_to_score(truths: Path, cases: list[str] | None = None) -> dict[str, Path]:
    """The labeled cases by name: all of a folder in order, or those named, each once.

    Raises:
        UsageError: the folder holds no case, or a named one has no truth.
    """
    labeled = find_cases(truths)
    unknown = [case for case in cases or () if case not in labeled]
    if unknown:
        raise UsageError(f"{truths} has no case {', '.join(unknown)}; it has {', '.join(sorted(labeled))}")
    return {case: labeled[case] for case in (sorted(labeled) if cases is None else cases)}


def _prediction(path: Path | None, folder: Path) -> tuple[LabelMaps | None, str | None]:
    if path is None:
        return None, f"there is no prediction in {folder}"
    try:
        return read_case(path), None
    except InputRefused as error:
        return None, str(error)


def _stage1_dice(path: Path, truth: Path, wanted: bool) -> float | None:
    """Liver Dice of what stage 1 alone found; 0 where that is damaged, or missing although ``wanted``.

    None where nothing is to be scored: no mask is wanted of a whole scan, or there is no label on its grid.
    """
    if not path.exists():
        return 0.0 if wanted and not (truth / WHOLE_SCAN).exists() else None
    try:
        mask, geometry = read_labels(path)
    except InputRefused as error:
        log.warning("stage 1 of %s counts with 0: %s", path.parent.name, error)
        return 0.0
    try:
        return dice(read_case(truth, geometry).liver, mask > 0)
    except InputRefused as error:
        log.warning("stage 1 of %s is not scored: %s", path.parent.name, error)
        return None


def _confidences(
    predicted: LabelMaps | None, matches: LesionMatches, box: tuple[slice, slice, slice]
) -> dict[int, tuple[float | None, float | None]]:
    """Mean and largest score of each claim, by the lesion id that has most of its voxels."""
    if predicted is None:
        return {}
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
