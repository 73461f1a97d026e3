"""Compares the scores of two evaluations of the same cases, from the folders they were written to."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_scores import CaseScores
from liverseg.evaluation.paired import Paired, paired
from liverseg.evaluation.plot_style import BLUE, GRAY, RED, plain
from liverseg.evaluation.tables import CASES_FILE, DECIMALS, case_row
from liverseg.writers.atomic import make_folder, written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARISON_CSV, COMPARISON_JSON, COMPARISON_PNG = "comparison.csv", "comparison.json", "comparison.png"
# Column of cases.csv, what it is called, and whether more of it is better.
SCORES = (
    ("liver_dice", "liver Dice", True),
    ("liver_hausdorff95_mm", "liver HD95 (mm)", False),
    ("macro_dice", "macro Dice", True),
    ("lesion_dice", "lesion Dice", True),
    ("recall", "share of lesions found", True),
    ("false_lesions", "false lesions", False),
    ("couinaud_dice", "Couinaud Dice", True),
)
# Over persons with lesions; a lesion-free liver has none to find.
_OF_LESIONS = {"lesion_dice", "recall"}
# Labels are the same when their volumes agree to this, in ml, beyond what rounding does.
_SAME_ML = 0.01

Row = Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """Two evaluations.

    Attributes:
        other, own: names of the two, for a reader.
        cases: how many are in both.
        only_other, only_own: cases in one alone; they are left out.
        scores: each score that both have.
    """

    other: str
    own: str
    cases: int
    only_other: tuple[str, ...]
    only_own: tuple[str, ...]
    scores: tuple[Paired, ...]


def compare_scores(other: Path, own: Path) -> Comparison:
    """Compare two folders of scores, as ``liverseg evaluate`` wrote them.

    Failed cases count with their zeros; their false lesions do not, since there is no answer to count.

    Raises:
        InputRefused: a folder holds no scores, or a case was scored against other labels.
        UsageError: the two have no case in common.
    """
    before, after = read_cases(other), read_cases(own)
    common = [case for case in after if case in before]
    if not common:
        raise _nothing_in_common(other, own)
    for case in common:
        _check_labels(case, before[case], after[case], f"{other} than in {own}")
    person = {case: after[case]["person"] for case in common}
    pairs = []
    for column, name, higher in SCORES:
        old, new = (_values(rows, common, column) for rows in (before, after))
        pair = paired(name, higher, old, new, person)
        if pair is not None:
            pairs.append(pair)
    return Comparison(
        other.resolve().name,
        own.resolve().name,
        len(common),
        tuple(sorted(set(before) - set(after))),
        tuple(sorted(set(after) - set(before))),
        tuple(pairs),
    )


def read_cases(folder: Path) -> dict[str, Row]:
    """The rows of ``cases.csv`` by case.

    Raises:
        InputRefused: there is no such file, or it is none of ours.
    """
    path = folder / CASES_FILE
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        needed = {"case", "person", "failure", "lesions", "liver_dice", "liver_truth_ml", "lesion_truth_ml"}
        if not rows or not needed <= set(rows[0]):
            raise InputRefused(f"{path} is no table of scores; give a folder that liverseg evaluate wrote")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputRefused(
            f"{folder} holds no {CASES_FILE}; give a folder that liverseg evaluate wrote"
        ) from error
    return {row["case"]: row for row in rows}


def check_cases(other: Path, cases: Collection[str], truths: Path) -> dict[str, Row]:
    """The rows of an earlier evaluation that these cases, still to be scored, are to be held against.

    Raises:
        InputRefused: the folder holds no scores.
        UsageError: it has none of the cases.
    """
    before = read_cases(other)
    if not set(before) & set(cases):
        raise _nothing_in_common(other, truths)
    return before


def check_labels(scores: CaseScores, before: Mapping[str, Row], other: Path, truths: Path) -> None:
    """Refuse a case as soon as it is scored, rather than after all of them.

    Raises:
        InputRefused: an earlier evaluation scored it against other labels.
    """
    if scores.case in before:
        _check_labels(scores.case, before[scores.case], case_row(scores), f"{other} than those in {truths}")


def _nothing_in_common(other: Path, own: Path) -> UsageError:
    return UsageError(f"{other} and {own} have no case in common; compare evaluations of the same cases")


def _check_labels(case: str, before: Row, after: Mapping[str, object], where: str) -> None:
    if before["failure"] or after["failure"]:
        # Without a prediction nothing says on which of several grids the labels are wanted.
        return
    for column in ("lesions", "liver_truth_ml", "lesion_truth_ml"):
        old, new = float(before[column]), float(str(after[column]))
        if abs(old - new) > _SAME_ML:
            raise InputRefused(
                f"{case} was scored against other labels in {where} ({column} {old:.8g} and {new:.8g}); "
                "score both against the same"
            )


def _values(rows: Mapping[str, Row], cases: Sequence[str], column: str) -> dict[str, float]:
    kept = {}
    for case in cases:
        row = rows[case]
        without = (column in _OF_LESIONS and row["lesions"] == "0") or (
            column == "false_lesions" and row["failure"]
        )
        if not without and row.get(column):
            kept[case] = float(row[column])
    return kept


def comparison_rows(comparison: Comparison) -> list[dict[str, object]]:
    """One flat row a score."""
    rows = []
    for score in comparison.scores:
        low, high = score.interval or (None, None)
        rows.append(
            {
                "score": score.name,
                "persons": len(score.persons),
                "other_mean": sum(score.other) / len(score.other),
                "own_mean": sum(score.own) / len(score.own),
                "mean_difference": score.mean_difference,
                "interval_95_low": low,
                "interval_95_high": high,
                "wilcoxon_p": score.p_value,
                "persons_better": score.better,
                "persons_worse": score.worse,
                "verdict": score.verdict,
            }
        )
    return rows


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write ``comparison.csv`` (one row a score) and ``comparison.json`` (also every person's values).

    Raises:
        UsageError: a file cannot be written.
    """
    make_folder(folder)
    rows = [{k: _rounded(v) for k, v in row.items()} for row in comparison_rows(comparison)]
    with (
        written_whole(folder / COMPARISON_CSV) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    by_person = {
        score.name: {
            person: {"other": _rounded(old), "own": _rounded(new)}
            for person, old, new in zip(score.persons, score.other, score.own, strict=True)
        }
        for score in comparison.scores
    }
    content = {
        "other": comparison.other,
        "own": comparison.own,
        "cases": comparison.cases,
        "only_other": list(comparison.only_other),
        "only_own": list(comparison.only_own),
        "scores": rows,
        "persons": by_person,
    }
    with written_whole(folder / COMPARISON_JSON) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def comparison_lines(comparison: Comparison) -> list[str]:
    """The comparison in a few lines for a terminal."""
    lines = [f"{comparison.own} against {comparison.other}: {comparison.cases} cases in both"]
    left_out = len(comparison.only_other) + len(comparison.only_own)
    if left_out:
        lines.append(f"Left out: {left_out} cases that are in one of the two alone")
    for score in comparison.scores:
        interval = score.interval
        between = f", 95 % {interval[0]:+.3f} to {interval[1]:+.3f}" if interval else ""
        p_value = "" if score.p_value is None else f", p {score.p_value:.3f}"
        lines.append(
            f"{score.name}: {score.mean_difference:+.3f}{between}{p_value}; {score.better} of "
            f"{len(score.persons)} persons better, {score.worse} worse: {score.verdict}"
        )
    return lines


def scatter(comparison: Comparison) -> Figure:
    """Each person's scores of the two evaluations against each other. Needs matplotlib."""
    from matplotlib.figure import Figure

    shown = [score for score in comparison.scores if score.name.endswith("Dice")]
    figure = Figure(figsize=(3.9 * len(shown), 4.2), layout="constrained")
    for number, score in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), number)
        axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8)
        for mask, color, marker in (
            (score.differences > 0, BLUE, "^"),
            (score.differences < 0, RED, "v"),
            (score.differences == 0, GRAY, "o"),
        ):
            axes.scatter(
                np.array(score.other)[mask],
                np.array(score.own)[mask],
                s=26,
                color=color,
                marker=marker,
                alpha=0.8,
                linewidths=0,
            )
        low = max(-0.03, min(*score.other, *score.own) - 0.05)
        axes.set_xlim(low, 1.03)
        axes.set_ylim(low, 1.03)
        axes.set_aspect("equal")
        axes.set_xlabel("other")
        axes.set_ylabel("this")
        even = len(score.persons) - score.better - score.worse
        axes.set_title(f"{score.name}: {score.better} better, {score.worse} worse, {even} even", fontsize=9)
        plain(axes)
    return figure


def _rounded(value: object) -> object:
    return round(value, DECIMALS) if isinstance(value, float) else value
