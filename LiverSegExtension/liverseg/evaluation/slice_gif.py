"""An animated GIF of a case: its axial slices from the feet to the head, truth beside prediction.

The pictures show patients. Radiological convention: the patient's right is on the left of each half.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from liverseg.evaluation.case_files import LabelMaps, find_cases, read_case
from liverseg.evaluation.case_scores import CaseScores
from liverseg.evaluation.worst_cases import LESION_COLOR, LIVER_COLOR, CaseView, case_view, find_ct
from liverseg.writers.atomic import make_folder, written_whole
from liverseg.writers.slices import borders, font

GIF_FOLDER = "gifs"
HALF_WIDTH = 300
# More slices than this are thinned evenly, so that a file stays at a few megabytes.
MOST_FRAMES = 60
FRAME_MS = 160
_HEADER = 24
# So many gray levels, and one entry for each outline: a palette of their own keeps their colors pure.
GRAYS = 32


def _palette() -> list[int]:
    grays = [round(255 * n / (GRAYS - 1)) for n in range(GRAYS) for _ in range(3)]
    colors = [int(color[n : n + 2], 16) for color in (LIVER_COLOR, LESION_COLOR) for n in (1, 3, 5)]
    return grays + colors


_PALETTE = _palette()


def write_gifs(
    folder: Path, cases: Sequence[CaseScores], predictions: Path, truths: Path, images: Path | None = None
) -> list[str]:
    """Write ``folder/gifs/<case>.gif`` of each case with a prediction; returns a line for each without a CT.

    Args:
        predictions, truths: as scored.
        images: where to look for CTs, as :func:`liverseg.evaluation.worst_cases.find_ct` does.

    Raises:
        UsageError: a file cannot be written.
    """
    labeled, found = find_cases(truths), find_cases(predictions)
    make_folder(folder / GIF_FOLDER)
    missing = []
    for scores in cases:
        if scores.failure is not None:
            continue
        predicted = read_case(found[scores.case])
        truth = read_case(labeled[scores.case], predicted.geometry)
        ct = find_ct(scores.case, predicted.geometry, images or labeled[scores.case])
        if ct is None:
            missing.append(f"no CT was found for the GIF of {scores.case}; it shows labels alone")
        write_gif(folder / GIF_FOLDER / f"{scores.case}.gif", truth, predicted, ct)
    return missing


def write_gif(path: Path, truth: LabelMaps, predicted: LabelMaps, ct: np.ndarray | None) -> None:
    """One case, all on one grid; a looping GIF.

    Raises:
        UsageError: the file cannot be written.
    """
    view = case_view(truth, predicted, ct)
    count = len(view.slice_names)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    frames = [_frame(view, int(level)) for level in chosen]
    with written_whole(path) as temporary:
        frames[0].save(
            temporary, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, optimize=False
        )


def _frame(view: CaseView, level: int) -> Image.Image:
    rows, columns = view.gray.shape[1:]
    height = max(1, round(HALF_WIDTH * rows * view.spacing[1] / (columns * view.spacing[2])))
    size = (HALF_WIDTH, height)
    canvas = Image.new("L", (2 * HALF_WIDTH, height + _HEADER))
    half = Image.fromarray(view.gray[level]).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    for number, name in enumerate(("Truth", "Prediction")):
        canvas.paste(half, (number * HALF_WIDTH, _HEADER))
        draw.text((number * HALF_WIDTH + 6, 4), name, font=font(13), fill=255)
    draw.text((2 * HALF_WIDTH - 6, 4), view.slice_names[level], font=font(13), fill=255, anchor="ra")
    indices = np.asarray(canvas) // (256 // GRAYS)
    for number, masks in enumerate((view.truth, view.predicted)):
        part = indices[_HEADER:, number * HALF_WIDTH : (number + 1) * HALF_WIDTH]
        liver, lesions = (_enlarged(mask[level], size) for mask in masks)
        part[borders(liver) & liver] = GRAYS
        # On both sides of the border: small lesions are what one looks for.
        part[borders(lesions)] = GRAYS + 1
    frame = Image.fromarray(indices, mode="P")
    frame.putpalette(_PALETTE)
    return frame


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    soft = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(soft) > 0.5
