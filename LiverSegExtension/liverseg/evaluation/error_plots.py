"""Plots of where the errors are: Dice by slice, and lesions by size, segment and phase. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from liverseg.evaluation.case_scores import CaseScores
from liverseg.evaluation.error_groups import BY_PHASE, BY_SEGMENT, BY_SIZE, ErrorGroup
from liverseg.evaluation.plot_style import BLUE, RED, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    BY_SIZE: "By size of the lesion",
    BY_SEGMENT: "By Couinaud segment",
    BY_PHASE: "By contrast phase",
}
BINS = 20
# Quartiles of fewer say nothing.
FEWEST_SLICES = 5


def dice_by_slice(cases: Sequence[CaseScores]) -> Figure:
    """How the Dice of slices is spread, and where in the liver it is low (median and middle half)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    slices = [score for case in cases for score in case.slices]
    for name, attribute, color in (("Liver", "liver", BLUE), ("Lesions", "lesions", RED)):
        known = [(s.position, overlap.dice) for s in slices if (overlap := getattr(s, attribute)) is not None]
        if not known:
            continue
        values = np.array([dice for _, dice in known])
        left.hist(
            values,
            bins=BINS,
            range=(0, 1),
            weights=np.full(len(values), 100 / len(values)),
            histtype="stepfilled",
            alpha=0.55,
            color=color,
            label=f"{name}: {len(values)} slices, median {np.median(values):.2f}",
        )
        _by_position(right, [(p, dice) for p, dice in known if p is not None], color, name)
    left.set_xlabel("Dice of a slice")
    left.set_ylabel("slices (%)")
    left.set_title("Slices with some of it in truth or prediction")
    right.set_xlabel("place in the true liver (0 lowest slice, 1 highest)")
    right.set_ylabel("Dice of a slice: median and middle half")
    right.set_title("From the feet to the head")
    right.set_xlim(0, 1)
    right.set_ylim(-0.03, 1.03)
    for axes in (left, right):
        plain(axes, "y")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    return figure


def _by_position(axes: Axes, known: Sequence[tuple[float, float]], color: str, name: str) -> None:
    inside = np.array([(p, dice) for p, dice in known if 0 <= p <= 1]).reshape(-1, 2)
    bins = np.minimum((inside[:, 0] * 10).astype(int), 9)
    rows = [
        ((n + 0.5) / 10, *np.percentile(inside[bins == n, 1], (25, 50, 75)))
        for n in range(10)
        if np.count_nonzero(bins == n) >= FEWEST_SLICES
    ]
    if rows:
        place, low, middle, high = np.array(rows).T
        axes.fill_between(place, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(place, middle, color=color, marker="o", markersize=4, label=name)


def errors_by_group(groups: Sequence[ErrorGroup]) -> Figure:
    """Share of lesions found in each group, with the counts, and the number of false lesions."""
    from matplotlib.figure import Figure

    kinds = [kind for kind in TITLES if any(g.kind == kind for g in groups)]
    tallest = max(sum(g.kind == kind for g in groups) for kind in kinds)
    figure = Figure(figsize=(4.6 * len(kinds), 1.5 + 0.42 * tallest), layout="constrained")
    for number, kind in enumerate(kinds, start=1):
        axes = figure.add_subplot(1, len(kinds), number)
        own = [g for g in groups if g.kind == kind]
        places = np.arange(len(own))
        axes.barh(places, [100 * (g.recall or 0) for g in own], color=BLUE, height=0.6)
        for place, group in zip(places, own, strict=True):
            found = f"{group.found} of {group.lesions}" if group.lesions else "no lesion"
            axes.text(102, float(place), f"{found}, {group.false_claims} false", va="center", fontsize=8)
        axes.set_yticks(places, [_label(g) for g in own])
        axes.invert_yaxis()
        axes.set_xlim(0, 165)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlabel("lesions found (%)")
        axes.set_title(TITLES[kind], fontsize=10)
        plain(axes, "x")
    return figure


def _label(group: ErrorGroup) -> str:
    return group.name if group.cases is None else f"{group.name}\n({group.cases} scans)"
