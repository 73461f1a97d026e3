"""Pictures of training samples: before, after, and the label's outline, many on one sheet.

The sheets show real patients: they are written beside a run, never into the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from liverseg.errors import UsageError
from liverseg.writers.atomic import make_folder, written_whole
from liverseg.writers.slices import WINDOW_HU, font, windowed

LESION_COLOR = (255, 64, 48)
LIVER_COLOR = (64, 200, 255)
UNCOUNTED_COLOR = (70, 60, 20)
_GAP = 6
_TITLE = 18


@dataclass(frozen=True, eq=False)
class SheetSample:
    """One row of pictures.

    Attributes:
        title: what it is; no patient names.
        before: (z, y, x) HU; None where there is no earlier state.
        after: (z, y, x) HU.
        label: (z, y, x), 0 background, 1 liver, 2 lesion.
        counted: (z, y, x) bool, where errors count; None for everywhere.
        index: slice shown; None for the one with most lesion, else most liver, of the changed voxels.
    """

    title: str
    before: np.ndarray | None
    after: np.ndarray
    label: np.ndarray
    counted: np.ndarray | None = None
    index: int | None = None


def draw_sheet(samples: Sequence[SheetSample], cell: int = 288, per_row: int = 2) -> Image.Image:
    """All samples on one picture, ``per_row`` side by side, three cells each.

    Raises:
        UsageError: there is no sample.
    """
    if not samples:
        raise UsageError("no sample to draw; ask for at least one")
    wide, high = 3 * cell + 3 * _GAP + 6, cell + _TITLE + _GAP
    rows = -(-len(samples) // per_row)
    sheet = Image.new("RGB", (per_row * wide, rows * high))
    for number, sample in enumerate(samples):
        x, y = number % per_row * wide, number // per_row * high
        ImageDraw.Draw(sheet).text((x + 2, y + 2), sample.title, fill=(230, 230, 230), font=font(13))
        for column, picture in enumerate(_cells(sample, cell)):
            sheet.paste(picture, (x + column * (cell + _GAP), y + _TITLE))
    return sheet


def write_sheet(image: Image.Image, path: Path) -> None:
    """Write a sheet as PNG.

    Raises:
        UsageError: the folder lies in a repository, or cannot be written to.
    """
    refuse_repository(path.parent)
    make_folder(path.parent)
    with written_whole(path) as temporary:
        image.save(temporary, format="PNG")


def refuse_repository(folder: Path) -> None:
    """Pictures of patients do not go into a place that is under version control.

    Raises:
        UsageError: the folder lies inside a git work tree (a ``.git`` in it or above it).
    """
    resolved = folder.resolve()
    for place in (resolved, *resolved.parents):
        if (place / ".git").exists():
            raise UsageError(
                f"{folder} lies inside the repository {place}; contact sheets show patients: "
                "choose a folder outside of it"
            )


def key_slice(sample: SheetSample) -> int:
    """The slice that shows most of what the sample is about."""
    if sample.index is not None:
        return sample.index
    lesion = sample.label == 2
    if sample.before is not None:
        changed = np.abs(sample.after.astype(np.float32) - sample.before) > 3
        for part in (lesion & changed, changed):
            if part.any():
                return int(part.sum(axis=(1, 2)).argmax())
    part = lesion if lesion.any() else sample.label > 0
    return int(part.sum(axis=(1, 2)).argmax())


def _cells(sample: SheetSample, cell: int) -> list[Image.Image]:
    index = key_slice(sample)
    after = _gray(sample.after[index], cell)
    before = (
        _gray(sample.before[index], cell) if sample.before is not None else Image.new("RGB", (cell, cell))
    )
    outlined = np.array(after)
    scale = [cell / n for n in sample.label[index].shape]
    size = min(scale)
    height, width = (max(1, round(n * size)) for n in sample.label[index].shape)

    def fitted(mask: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(mask.astype(np.uint8) * 255).resize(
            (width, height), Image.Resampling.NEAREST
        )
        whole = np.zeros((cell, cell), dtype=bool)
        whole[:height, :width] = np.array(picture) > 127
        return whole

    if sample.counted is not None:
        outlined[fitted(~sample.counted[index])] = UNCOUNTED_COLOR
    for mask, color in ((sample.label[index] > 0, LIVER_COLOR), (sample.label[index] == 2, LESION_COLOR)):
        outlined[_outline(fitted(mask))] = color
    return [before, after, Image.fromarray(outlined)]


def _gray(image: np.ndarray, cell: int) -> Image.Image:
    gray = Image.fromarray(windowed(image))
    size = min(cell / n for n in image.shape)
    height, width = (max(1, round(n * size)) for n in image.shape)
    square = Image.new("RGB", (cell, cell))
    square.paste(gray.resize((width, height), Image.Resampling.BICUBIC).convert("RGB"), (0, 0))
    return square


def _outline(mask: np.ndarray) -> np.ndarray:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


__all__ = ["WINDOW_HU", "SheetSample", "draw_sheet", "key_slice", "refuse_repository", "write_sheet"]
