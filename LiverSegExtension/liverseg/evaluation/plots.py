"""Plots of the scores, as PNG. Needs matplotlib (the ``evaluate`` extra).

Failed cases are drawn like all others: with Dice 0 and a volume of nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.case_scores import CaseScores, StructureScores
from liverseg.evaluation.error_groups import error_groups
from liverseg.evaluation.error_plots import dice_by_slice, errors_by_group
from liverseg.evaluation.plot_style import BLUE, GRAY, GREEN, RED, plain
from liverseg.writers.atomic import make_folder, written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTS_FOLDER = "plots"
LOSS = "loss"
PLOTS = (
    *("dice_distribution", "lesion_dice_by_size", "volume_agreement", "dice_by_slice", "errors_by_group"),
    LOSS,
)
# Limits of agreement after Bland and Altman, Lancet 1986.
LIMITS_SD = 1.96


def need_matplotlib() -> None:
    """Refuse plots before any work when matplotlib is not installed.

    Raises:
        UsageError: it is not.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(
            "plots need matplotlib; pip install 'liverseg[evaluate]', or leave --plots and --html out"
        )


def write_plots(
    folder: Path, cases: Sequence[CaseScores], training_logs: Sequence[Path] = ()
) -> dict[str, Path]:
    """Write all plots into ``folder/plots``; returns their paths by name.

    Raises:
        InputRefused: a training log that is none.
        UsageError: a file cannot be written.
    """
    figures = {
        "dice_distribution": dice_distribution(cases),
        "lesion_dice_by_size": lesion_dice_by_size(cases),
        "volume_agreement": volume_agreement(cases),
        "dice_by_slice": dice_by_slice(cases),
        "errors_by_group": errors_by_group(error_groups(cases)),
    }
    if training_logs:
        figures[LOSS] = loss_curves(training_logs)
    make_folder(folder / PLOTS_FOLDER)
    return {
        name: save_plot(folder / PLOTS_FOLDER / f"{name}.png", figure) for name, figure in figures.items()
    }


def save_plot(path: Path, figure: Figure) -> Path:
    """Write a figure as PNG; returns its path.

    Raises:
        UsageError: the file cannot be written.
    """
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def dice_distribution(cases: Sequence[CaseScores]) -> Figure:
    """Dice of every case: liver, lesions (cases with lesions), Couinaud mean over segments."""
    columns = {
        "Liver": ([case.liver.dice for case in cases], BLUE),
        "Lesions\n(cases with lesions)": (
            [case.lesions.dice for case in cases if case.has_lesions],
            RED,
        ),
        "Couinaud\n(mean of segments)": (
            [float(np.mean(case.couinaud_dice)) for case in cases if case.couinaud_dice],
            GREEN,
        ),
    }
    figure, axes = _figure(7.0, 4.5)
    rng = np.random.default_rng(0)
    names = []
    for position, (name, (values, color)) in enumerate(columns.items()):
        names.append(f"{name}\nn = {len(values)}")
        if not values:
            continue
        axes.boxplot(values, positions=[position], widths=0.5, showfliers=False, medianprops={"color": color})
        spots = position + rng.uniform(-0.15, 0.15, len(values))
        axes.scatter(spots, values, s=18, color=color, alpha=0.7, linewidths=0)
        axes.scatter([position], [np.mean(values)], marker="D", s=45, color="black", zorder=3)
        axes.annotate(
            f"mean {np.mean(values):.3f}\nworst {min(values):.3f}",
            (position + 0.3, float(np.mean(values))),
            va="center",
            fontsize=8,
        )
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.2)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("Dice")
    axes.set_title("Dice of each case")
    return figure


def lesion_dice_by_size(cases: Sequence[CaseScores]) -> Figure:
    """Dice of every true lesion with the claim that fits it best, against its size."""
    lesions = [lesion for case in cases for lesion in case.truth]
    figure, axes = _figure(7.0, 4.5)
    groups = (
        ("IoU above 0.5", BLUE, "o", [x for x in lesions if x.is_matched(by_shape=True)]),
        ("found", GREEN, "^", [x for x in lesions if x.is_matched() and not x.is_matched(by_shape=True)]),
        ("missed", RED, "x", [x for x in lesions if not x.is_matched()]),
    )
    for name, color, marker, group in groups:
        axes.scatter(
            [x.diameter_mm for x in group],
            [x.best_dice for x in group],
            color=color,
            marker=marker,
            s=28,
            alpha=0.8,
            label=f"{name} ({len(group)})",
        )
    for limit in (10.0, 20.0):
        axes.axvline(limit, color=GRAY, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    ticks = [2, 5, 10, 20, 50, 100, 200]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    sizes = [x.diameter_mm for x in lesions]
    axes.set_xlim(min([2.0, *sizes]) * 0.85, max([50.0, *sizes]) * 1.15)
    axes.set_ylim(-0.05, 1.03)
    axes.set_xlabel("diameter of the sphere of the lesion's volume (mm)")
    axes.set_ylabel("Dice with the claim that fits best")
    axes.set_title(f"{len(lesions)} lesions")
    axes.legend(loc="upper left", fontsize=8)
    return figure


def volume_agreement(cases: Sequence[CaseScores]) -> Figure:
    """Bland-Altman plots of liver and lesion volume: the difference against the mean of both."""
    figure, left, right = _two_panels(11.0, 4.5)
    lesion_cases = [case for case in cases if case.has_lesions or case.claims]
    _bland_altman(left, "Liver", [case.liver for case in cases], BLUE)
    _bland_altman(right, "All lesions of a case", [case.lesions for case in lesion_cases], RED)
    return figure


def _bland_altman(axes: Axes, title: str, scores: Sequence[StructureScores], color: str) -> None:
    axes.set_title(f"{title}, {len(scores)} cases")
    axes.set_xlabel("mean of truth and prediction (ml)")
    axes.set_ylabel("prediction minus truth (ml)")
    axes.axhline(0.0, color="black", linewidth=0.8)
    if not scores:
        return
    truth = np.array([s.overlap.truth_ml for s in scores])
    predicted = np.array([s.overlap.predicted_ml for s in scores])
    difference = predicted - truth
    axes.scatter((truth + predicted) / 2, difference, s=24, color=color, alpha=0.8, linewidths=0)
    mean, sd = float(difference.mean()), float(difference.std(ddof=1)) if len(scores) > 1 else 0.0
    lines = [(mean, "mean", "-")]
    if sd > 0:
        lines += [(mean + LIMITS_SD * sd, "+1.96 SD", "--"), (mean - LIMITS_SD * sd, "-1.96 SD", "--")]
    for level, name, style in lines:
        axes.axhline(level, color=GRAY, linestyle=style, linewidth=1.0)
        axes.annotate(
            f"{name} {level:+.1f}",
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )


def loss_curves(logs: Sequence[Path]) -> Figure:
    """The columns of training logs that hold a loss, against the step."""
    figure, axes = _figure(7.0, 4.5)
    for log in logs:
        for name, (steps, losses) in read_log(log).items():
            label = f"{log.parent.name}: {name}" if len(logs) > 1 else name
            axes.plot(steps, losses, label=label, linewidth=1.2)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title("Training")
    axes.legend(fontsize=8)
    return figure


def read_log(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of every loss in a training log.

    Either rows of ``step,loss,...`` without a header, or a header with ``step`` (or ``epoch``) and columns
    whose names hold "loss", in which empty fields are left out.

    Raises:
        InputRefused: it is not there, or holds no loss.
    """
    refusal = InputRefused(f"{path} is no training log: wanted are rows of step,loss or a header with a loss")
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise refusal from error
    rows = [row for row in rows if row]
    at, columns = 0, {"loss": 1}
    if rows and not _is_number(rows[0][0]):
        header, rows = rows[0], rows[1:]
        places = [header.index(name) for name in ("step", "epoch") if name in header]
        if not places:
            raise refusal
        at, columns = places[0], {name: n for n, name in enumerate(header) if "loss" in name.lower()}
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for name, column in columns.items():
        known = [
            (float(row[at]), float(row[column]))
            for row in rows
            if len(row) > max(at, column) and _is_number(row[at]) and _is_number(row[column])
        ]
        if known:
            curves[name] = ([step for step, _ in known], [value for _, value in known])
    if not curves:
        raise refusal
    return curves


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure that belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    plain(axes)
    return figure, axes


def _two_panels(width: float, height: float) -> tuple[Figure, Axes, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    plain(left)
    plain(right)
    return figure, left, right
