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
from liverseg.writers.slices import borders, stroked_text

GIF_FOLDER = "gifs"
HALF_WIDTH = 320
# More slices than this are thinned evenly, so that a file stays at a few megabytes.
MOST_FRAMES = 60
FRAME_MS = 160
_HEADER = 24
_WHITE = (255, 255, 255)


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
    frames = [_frame(view, int(level)).quantize(128, dither=Image.Dither.NONE) for level in chosen]
    with written_whole(path) as temporary:
        frames[0].save(
            temporary,
            save_all=True,
            append_images=frames[1:],
            duration=FRAME_MS,
            loop=0,
            optimize=False,
            disposal=1,
        )


def _frame(view: CaseView, level: int) -> Image.Image:
    rows, columns = view.gray.shape[1:]
    height = max(1, round(HALF_WIDTH * rows * view.spacing[1] / (columns * view.spacing[2])))
    frame = Image.new("RGB", (2 * HALF_WIDTH, height + _HEADER))
    draw = ImageDraw.Draw(frame)
    for number, (name, masks) in enumerate((("Truth", view.truth), ("Prediction", view.predicted))):
        half = _half(view.gray[level], [mask[level] for mask in masks], height)
        frame.paste(half, (number * HALF_WIDTH, _HEADER))
        stroked_text(draw, (number * HALF_WIDTH + 6, 4), name, 13, _WHITE, "la")
    stroked_text(draw, (2 * HALF_WIDTH - 6, 4), view.slice_names[level], 13, _WHITE, "ra")
    return frame


def _half(gray: np.ndarray, masks: Sequence[np.ndarray], height: int) -> Image.Image:
    """One slice with the outlines of liver and lesions."""
    size = (HALF_WIDTH, height)
    rgb = np.array(Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC).convert("RGB"))
    for mask, color in zip(masks, (LIVER_COLOR, LESION_COLOR), strict=True):
        soft = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        large = np.asarray(soft) > 0.5
        rgb[borders(large) & large] = [int(color[n : n + 2], 16) for n in (1, 3, 5)]
    return Image.fromarray(rgb)
