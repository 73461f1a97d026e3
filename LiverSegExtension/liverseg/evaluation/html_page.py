"""A whole evaluation on one HTML page: figures, sortable tables, plots, the worst cases, a comparison.

The page stands alone and can be mailed. It holds no name of a case unless asked to, since folders may be
named after patients: cases are numbered in the order of ``cases.csv``. The pictures still show patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverseg import __version__
from liverseg.evaluation import html_parts as html
from liverseg.evaluation.case_scores import CaseScores
from liverseg.evaluation.comparison import Comparison
from liverseg.evaluation.error_groups import BY_PHASE, BY_SEGMENT, BY_SIZE, ErrorGroup, error_groups
from liverseg.evaluation.html_parts import Column, Section
from liverseg.evaluation.slice_scores import THIRDS
from liverseg.evaluation.summary import TEN_MM_AND_MORE
from liverseg.evaluation.worst_cases import WorstPicture

PAGE_FILE, COMPARISON_PAGE_FILE = "evaluation.html", "comparison.html"
_WHY = {
    "lesions": "worst by lesion Dice",
    "liver": "worst by liver Dice",
    "false_lesions": "most false lesions",
}
_DEFINITIONS = (
    "Dice is twice the shared volume over the sum of both; two empty masks have 1. The liver includes its "
    "lesions, except in macro Dice, which is the mean of liver tissue and lesion.",
    "A case without a usable prediction is failed: Dice 0, distances of the scan's diagonal, all lesions "
    "missed. Nothing is left out of a mean.",
    "A lesion is a component of 26 neighbors. It is found when a claim (a predicted lesion) shares a voxel "
    "with it; a claim that shares none is false. Sizes are diameters of the sphere of the volume.",
    "HD95 is the larger of the two directed 95th percentiles of surface distance, weighted by area.",
    "Mean lesion Dice is over persons with lesions; a person with several scans counts once.",
)


@dataclass(frozen=True)
class Names:
    """What cases are called on the page."""

    cases: tuple[str, ...]
    shown: bool = False

    def of(self, case: str) -> str:
        """The case's own name, or its number in ``cases.csv``."""
        return case if self.shown else f"case {self.cases.index(case) + 1}"


def write_evaluation_page(
    path: Path,
    title: str,
    cases: Sequence[CaseScores],
    summary: Mapping[str, Any],
    plots: Mapping[str, Path],
    pictures: Sequence[WorstPicture] = (),
    comparison: tuple[Comparison, Path] | None = None,
    case_names: bool = False,
) -> None:
    """Write the page of one evaluation.

    Args:
        summary: of these cases (:func:`liverseg.evaluation.summary.summarize`).
        plots: files by name, as :func:`liverseg.evaluation.plots.write_plots` gives them.
        comparison: with another evaluation, and its scatter plot; shown above the tables.
        case_names: show the names of cases, and why one failed.

    Raises:
        UsageError: the file cannot be written.
    """
    names = Names(tuple(case.case for case in cases), case_names)
    groups = error_groups(cases)
    sections = [Section("In short", _short(summary, cases, names))]
    if comparison is not None:
        sections.append(Section("Compared with another evaluation", comparison_body(*comparison, case_names)))
    sections += [
        Section("Cases", _cases(cases, names) + html.plot(plots["dice_distribution"], "Dice of each case")),
        Section("Lesions", _lesions(cases, groups, names, plots)),
        Section("Slices", _slices(summary["slices"], plots["dice_by_slice"])),
        Section(
            "Volumes",
            html.plot(plots["volume_agreement"], "Bland-Altman: prediction minus truth against their mean"),
        ),
    ]
    if pictures:
        sections.append(Section("Worst cases", _pictures(pictures, names)))
    if "loss" in plots:
        sections.append(Section("Training", html.plot(plots["loss"], "Losses while training")))
    sections.append(Section("Definitions", "".join(html.paragraph(text) for text in _DEFINITIONS)))
    html.write_page(path, title, _lead(summary, names), sections)


def write_comparison_page(path: Path, comparison: Comparison, plot: Path, names: bool = False) -> None:
    """Write the page of a comparison alone.

    Raises:
        UsageError: the file cannot be written.
    """
    lead = f"{comparison.cases} cases in both. Written by LiverSeg {__version__}. Research use."
    sections = [Section("Differences", comparison_body(comparison, plot, names))]
    html.write_page(path, f"{comparison.own} against {comparison.other}", lead, sections)


def comparison_body(comparison: Comparison, plot: Path, names: bool) -> str:
    """Differences with their intervals, the scatter plot, and each person's values."""
    columns = [
        Column("score"),
        Column("persons"),
        Column("other", 3),
        Column("this", 3),
        Column("difference", 3, True, "this minus other, mean over persons"),
        Column("95 % from", 3, True, "bootstrap over persons"),
        Column("to", 3, True),
        Column("p", 3, False, "Wilcoxon's signed ranks, two-sided"),
        Column("better"),
        Column("worse"),
        Column("this is"),
    ]
    rows = []
    for s in comparison.scores:
        low, high = s.interval or (None, None)
        means = [sum(values) / len(values) for values in (s.other, s.own)]
        rows.append(
            [
                s.name,
                len(s.persons),
                *means,
                s.mean_difference,
                low,
                high,
                s.p_value,
                s.better,
                s.worse,
                s.verdict,
            ]
        )
    told = f"This: {comparison.own}. Other: {comparison.other}. {comparison.cases} cases in both"
    left_out = len(comparison.only_own) + len(comparison.only_other)
    told += f"; {left_out} in one alone are left out." if left_out else "."
    note = (
        "Differences are over persons, each counted once. Better or worse is said where the interval leaves "
        "zero out. Several scores stand side by side and none is corrected for that."
    )
    by_person = html.table(
        [Column("person"), *(Column(s.name, 3, True) for s in comparison.scores)],
        _differences(comparison, names),
    )
    return (
        html.paragraph(told)
        + html.table(columns, rows)
        + html.paragraph(note, "quiet")
        + html.plot(plot, "Each person in both evaluations; above the line this is better")
        + html.folded("Difference of each person", by_person)
    )


def _differences(comparison: Comparison, names: bool) -> list[list[object]]:
    persons = sorted({person for score in comparison.scores for person in score.persons})
    tables = [dict(zip(s.persons, (float(d) for d in s.differences), strict=True)) for s in comparison.scores]
    return [
        [person if names else f"person {n}", *(table.get(person) for table in tables)]
        for n, person in enumerate(persons, start=1)
    ]


def _lead(summary: Mapping[str, Any], names: Names) -> str:
    told = f"{summary['cases']} cases of {summary['persons']} persons. Written by LiverSeg {__version__}. "
    told += "Research use, not a medical device."
    return told if names.shown else told + " Cases are numbered in the order of cases.csv."


def _short(summary: Mapping[str, Any], cases: Sequence[CaseScores], names: Names) -> str:
    liver, lesions, couinaud = summary["liver"], summary["lesions"], summary["couinaud"]
    values = [
        ("liver Dice, mean", _text(liver["dice"]["mean"])),
        ("liver Dice, worst", _text(liver["dice"]["worst"])),
        ("liver HD95, mean", f"{_text(liver['hausdorff95_mm']['mean'], 1)} mm"),
    ]
    if lesions["cases_with_lesions"]:
        everything, large = lesions["any_overlap"]["all"], lesions["any_overlap"][TEN_MM_AND_MORE]
        values += [
            ("lesion Dice, mean over persons", _text(lesions["person_mean_dice"])),
            ("lesions found", f"{everything['found']} of {everything['lesions']}"),
            ("of 10 mm or more", f"{large['found']} of {large['lesions']}"),
        ]
    values.append(("false lesions a CT", _text(lesions["false_lesions_per_ct"], 2)))
    if couinaud:
        values.append(("Couinaud Dice, mean", _text(couinaud["mean_dice"]["mean"])))
    classes = summary["classes"]
    values += [
        ("macro Dice, mean", _text(classes["macro_dice"]["mean"])),
        ("pixel accuracy in the liver", _text(classes["liver_pixel_accuracy"]["mean"])),
        ("pixel accuracy, whole scan", _text(classes["pixel_accuracy"]["mean"])),
    ]
    failed = [case for case in cases if case.failure]
    told = ""
    if failed:
        told = html.paragraph(f"{len(failed)} of {len(cases)} cases failed and count with zeros:", "bad")
        told += "".join(
            html.paragraph(f"{names.of(c.case)}: {c.failure if names.shown else 'see cases.csv'}", "bad")
            for c in failed
        )
    return html.tiles(values) + told


def _cases(cases: Sequence[CaseScores], names: Names) -> str:
    columns = [
        Column("case"),
        Column("phase"),
        Column("liver Dice", 3),
        Column("HD95 mm", 1, hint="of the liver"),
        Column("liver ml", 0, hint="truth"),
        Column("error ml", 0, True, "prediction minus truth"),
        Column("lesions"),
        Column("found"),
        Column("false"),
        Column("lesion Dice", 3, hint="empty for a case without lesions"),
        Column("lesion ml", 1, hint="truth"),
        Column("error ml", 1, True, "prediction minus truth"),
        Column("Couinaud Dice", 3),
        Column("macro Dice", 3),
        Column("pixel accuracy", 3, hint="in the liver"),
    ]
    rows = [
        [
            names.of(c.case),
            c.phase,
            c.liver.dice,
            c.liver.hausdorff95_mm,
            c.liver.overlap.truth_ml,
            c.liver.overlap.volume_error_ml,
            len(c.truth),
            sum(x.is_matched() for x in c.truth),
            len(c.false_claims),
            c.lesions.dice if c.has_lesions else None,
            c.lesions.overlap.truth_ml,
            c.lesions.overlap.volume_error_ml,
            sum(c.couinaud_dice) / len(c.couinaud_dice) if c.couinaud_dice else None,
            c.classes.macro_dice,
            c.classes.liver_pixel_accuracy,
        ]
        for c in cases
    ]
    hint = html.paragraph("Sort by a click on a column's name.", "quiet")
    return hint + html.table(columns, rows, [c.failure is not None for c in cases])


_GROUP_TITLES = {
    BY_SIZE: "By size: lesions by their own, claims by theirs",
    BY_SEGMENT: "By the Couinaud segment with most of the lesion or claim, as the labels have it, or the "
    "prediction where they have none",
    BY_PHASE: "By contrast phase",
}


def _groups(groups: Sequence[ErrorGroup]) -> str:
    columns = [
        Column("group"),
        Column("lesions"),
        Column("found"),
        Column("recall", 2),
        Column("Dice of a lesion", 3, hint="with the claim that fits best, 0 for a missed one"),
        Column("claims"),
        Column("false"),
        Column("precision", 2),
    ]
    of_scans = [
        Column("scans"),
        Column("failed"),
        Column("liver Dice", 3),
        Column("lesion Dice of a scan", 3),
    ]
    parts = []
    for kind, title in _GROUP_TITLES.items():
        own = [g for g in groups if g.kind == kind]
        rows: list[list[object]] = [
            [g.name, g.lesions, g.found, g.recall, g.lesion_dice, g.claims, g.false_claims, g.precision]
            for g in own
        ]
        if kind == BY_PHASE:
            for row, g in zip(rows, own, strict=True):
                row += [g.cases, g.failed, g.liver_dice, g.case_lesion_dice]
        if rows:
            parts.append(html.paragraph(title))
            parts.append(html.table(columns + (of_scans if kind == BY_PHASE else []), rows))
    return "".join(parts)


def _lesions(
    cases: Sequence[CaseScores], groups: Sequence[ErrorGroup], names: Names, plots: Mapping[str, Path]
) -> str:
    each = html.table(
        [
            Column("case"),
            Column("lesion"),
            Column("diameter mm", 1),
            Column("volume ml", 2),
            Column("segment"),
            Column("found"),
            Column("Dice", 3),
            Column("IoU", 3),
        ],
        [
            [
                names.of(c.case),
                x.id,
                x.diameter_mm,
                x.volume_ml,
                place,
                x.is_matched(),
                x.best_dice,
                x.best_iou,
            ]
            for c in cases
            for x, place in zip(c.truth, c.truth_segments, strict=True)
        ],
    )
    return (
        _groups(groups)
        + html.plot(plots["errors_by_group"], "Lesions found, and false ones, in each group")
        + html.plot(plots["lesion_dice_by_size"], "Each true lesion against its size")
        + html.folded("Every true lesion", each)
    )


def _slices(summary: Mapping[str, Any], plot: Path) -> str:
    columns = [
        Column("structure"),
        Column("slices"),
        Column("mean Dice", 3),
        Column("lower quartile", 3),
        Column("median", 3),
        Column("upper quartile", 3),
        Column("missed %", 1, hint="slices of Dice 0"),
        Column("below 0.5 %", 1),
        *(Column(third, 3, hint="mean Dice there") for third in THIRDS),
    ]
    rows = []
    for name in ("liver", "lesions"):
        s = summary[name]
        shares = [None if s[key] is None else 100 * s[key] for key in ("missed_share", "below_half_share")]
        quartiles = s["quartiles"] or [None] * 3
        thirds = [s["mean_by_third"][third] for third in THIRDS]
        rows.append([name, s["slices"], s["mean"], *quartiles, *shares, *thirds])
    note = html.paragraph(
        "A slice counts where truth or prediction has some of the structure. Thirds are of the true liver's "
        "height.",
        "quiet",
    )
    return html.table(columns, rows) + note + html.plot(plot, "Dice slice by slice")


def _pictures(pictures: Sequence[WorstPicture], names: Names) -> str:
    note = "CT, truth and prediction in the slice with most wrong; the patient's right is on the left."
    return html.paragraph(note, "quiet") + "".join(
        html.picture(p.path, f"{names.of(p.scores.case)}: {_WHY[p.why]}, rank {p.rank}") for p in pictures
    )


def _text(value: float | None, decimals: int = 3) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
