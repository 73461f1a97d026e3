"""Pictures of the worst cases: the CT, the truth and the prediction side by side, as PNG.

They show patients, so they belong beside the scores in a folder of the user's own, never into a repository.
Radiological convention: the patient's right is on the left of the picture. Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liverseg.errors import InputRefused
from liverseg.evaluation.case_files import SUFFIXES, LabelMaps, case_name, find_cases, read_case
from liverseg.evaluation.case_scores import CaseScores
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.reading import read_volume
from liverseg.writers.atomic import make_folder, written_whole
from liverseg.writers.slices import windowed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORST_FOLDER = "worst"
REASONS = ("lesions", "liver", "false_lesions")
MARGIN_MM = 20.0
# Paul Tol's bright cyan and red on gray.
LIVER_COLOR, LESION_COLOR = "#66CCEE", "#EE6677"


@dataclass(frozen=True, eq=False)
class WorstPicture:
    """A picture of a bad case: its file, and as what it is among the worst."""

    path: Path
    why: str
    rank: int
    scores: CaseScores


@dataclass(frozen=True, eq=False)
class CaseView:
    """Canonical arrays (S, P, L), cropped to what is drawn; voxel size (z, y, x) in mm.

    ``slice_names`` says where each axial slice is in the files, such as "k = 42".
    """

    gray: np.ndarray
    truth: tuple[np.ndarray, np.ndarray]
    predicted: tuple[np.ndarray, np.ndarray]
    spacing: tuple[float, float, float]
    slice_names: tuple[str, ...]


def worst(cases: Sequence[CaseScores], count: int) -> dict[str, list[CaseScores]]:
    """The ``count`` worst cases by lesion Dice (of those with lesions), by liver Dice, and by false lesions.

    Failed cases have nothing to show and are left to the table.
    """
    shown = [case for case in cases if case.failure is None]
    orders: dict[str, Callable[[CaseScores], float]] = {
        "lesions": lambda case: case.lesions.dice,
        "liver": lambda case: case.liver.dice,
        "false_lesions": lambda case: -len(case.false_claims),
    }
    kept = {
        "lesions": [case for case in shown if case.has_lesions],
        "liver": shown,
        "false_lesions": [case for case in shown if case.false_claims],
    }
    return {name: sorted(kept[name], key=orders[name])[:count] for name in REASONS}


def write_worst_cases(
    folder: Path,
    cases: Sequence[CaseScores],
    predictions: Path,
    truths: Path,
    images: Path | None = None,
    count: int = 3,
) -> tuple[list[WorstPicture], list[str]]:
    """Write ``folder/worst/<why>_<rank>_<case>.png``; returns these, and a line for each case without a CT.

    A case that is among the worst in two ways is drawn once. Pictures of an earlier evaluation are removed.

    Args:
        predictions, truths: as scored.
        images: folder with ``<case>.nii.gz`` or ``<case>_0000.nii.gz`` or ``<case>/ct*.nii.gz``; by default
            the CT is looked for in the truth's case folder.

    Raises:
        UsageError: a file cannot be written.
    """
    labeled, found = find_cases(truths), find_cases(predictions)
    make_folder(folder / WORST_FOLDER)
    for why in REASONS:
        for path in (folder / WORST_FOLDER).glob(f"{why}_*.png"):
            path.unlink()
    missing: dict[str, str] = {}
    pictures: dict[str, WorstPicture] = {}
    for why, chosen in worst(cases, count).items():
        for rank, scores in enumerate(chosen, start=1):
            if scores.case in pictures:
                continue
            predicted = read_case(found[scores.case])
            truth = read_case(labeled[scores.case], predicted.geometry)
            ct = find_ct(scores.case, predicted.geometry, images or labeled[scores.case])
            if ct is None:
                missing[scores.case] = (
                    f"no CT was found for the picture of {scores.case}; it shows labels alone"
                )
            path = folder / WORST_FOLDER / f"{why}_{rank}_{scores.case}.png"
            with written_whole(path) as temporary:
                _draw(temporary, scores, truth, predicted, ct)
            pictures[scores.case] = WorstPicture(path, why, rank, scores)
    return list(pictures.values()), list(missing.values())


def find_ct(case: str, geometry: Geometry, where: Path) -> np.ndarray | None:
    """The CT of a case (HU) on a grid, from its own folder or from one of many; None when there is none."""
    folders = [where / case, where] if where.is_dir() else []
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if not path.name.endswith(SUFFIXES):
                continue
            stem = case_name(path)
            own = folder.name == case and (stem == "ct" or stem.startswith("ct_"))
            if not own and stem not in (case, f"{case}_0000"):
                continue
            try:
                volume = read_volume(path)
            except InputRefused:
                continue
            if volume.geometry.matches(geometry, 0.1):
                return volume.array
    return None


def _draw(
    path: Path, scores: CaseScores, truth: LabelMaps, predicted: LabelMaps, ct: np.ndarray | None
) -> None:
    from matplotlib.figure import Figure

    view = case_view(truth, predicted, ct)
    lesions = bool(truth.lesions.any() or predicted.lesions.any())
    rows = [("lesions", 1, 0)] if lesions else []
    rows += [("liver", 0, 0), ("liver", 0, 1)]
    figure = Figure(figsize=(12.0, 3.6 * len(rows) + 0.6), layout="constrained", facecolor="black")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for line, (what, kind, axis) in zip(axes, rows, strict=True):
        wrong = view.truth[kind] != view.predicted[kind]
        index = _busiest(wrong, axis) if wrong.any() else _busiest(view.truth[0], axis)
        place = f"axial, {view.slice_names[index]}" if axis == 0 else "coronal"
        for each, name, masks in zip(
            line, ("CT", "Truth", "Prediction"), (None, view.truth, view.predicted), strict=True
        ):
            _show(each, view, masks, axis, index)
            each.set_title(f"{name}, {place} (most wrong {what})", color="white", fontsize=9)
    figure.suptitle(
        # Without the case's name, which may be a patient's: the file has it.
        f"Liver Dice {scores.liver.overlap.dice:.3f}, lesion Dice "
        f"{scores.lesions.overlap.dice:.3f}, {sum(x.is_matched() for x in scores.truth)} of "
        f"{len(scores.truth)} lesions found, {len(scores.false_claims)} false   "
        "(blue: liver, red: lesions)",
        color="white",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)


def case_view(truth: LabelMaps, predicted: LabelMaps, ct: np.ndarray | None) -> CaseView:
    order = CanonicalOrder.of(truth.geometry)
    spacing = order.geometry(truth.geometry).spacing_kji
    margins = [int(round(MARGIN_MM / s)) for s in spacing]
    everything = order.apply(truth.liver | predicted.liver)
    box = bounding_box(everything, (margins[0], margins[1], margins[2])) or (slice(None),) * 3

    def part(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(order.apply(array)[box])

    numbers = range(order.geometry(truth.geometry).shape[0])
    if order.flips[0]:
        numbers = numbers[::-1]
    gray = np.full(truth.geometry.shape, 60, dtype=np.uint8) if ct is None else windowed(ct)
    return CaseView(
        part(gray),
        (part(truth.liver), part(truth.lesions > 0)),
        (part(predicted.liver), part(predicted.lesions > 0)),
        spacing,
        tuple(f"{'kji'[order.axes[0]]} = {n}" for n in numbers[box[0]]),
    )


def _busiest(mask: np.ndarray, axis: int) -> int:
    """The slice across an axis with the most voxels."""
    others = tuple(a for a in range(3) if a != axis)
    return int(np.count_nonzero(mask, axis=others).argmax())


def _show(
    axes: Axes, view: CaseView, masks: tuple[np.ndarray, np.ndarray] | None, axis: int, index: int
) -> None:
    rows, columns = (a for a in range(3) if a != axis)
    aspect = view.spacing[rows] / view.spacing[columns]
    axes.imshow(np.take(view.gray, index, axis), cmap="gray", vmin=0, vmax=255, aspect=aspect, origin="upper")
    for mask, color in zip(masks or (), (LIVER_COLOR, LESION_COLOR), strict=False):
        image = np.take(mask, index, axis)
        if image.any():
            # Padded, so that an outline at the picture's edge is closed.
            shape = image.shape
            axes.contour(
                np.arange(-1, shape[1] + 1),
                np.arange(-1, shape[0] + 1),
                np.pad(image, 1).astype(float),
                [0.5],
                colors=[color],
                linewidths=1.2,
            )
    if axis != 0:
        # Slices are counted upwards, so that superior must be turned up.
        axes.invert_yaxis()
    axes.set_axis_off()
