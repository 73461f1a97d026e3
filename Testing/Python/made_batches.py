"""Batches of made-up cases, and what they wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.batch_inputs import BatchInput
from made_cases import make_case

NAMES = ["liver", "lesions_table", "report"]


def summary(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def three_inputs(folder: Path) -> list[BatchInput]:
    """Inputs whose files are not there, for a :class:`Reader`."""
    return [BatchInput(name, folder / f"Doe^Jane_{name}.nii.gz") for name in ("a", "b", "c")]


class Reader:
    """Reads out made-up cases; ``bad`` raises what it is told to, ``seen`` lists what it was asked for."""

    def __init__(self, **bad: BaseException) -> None:
        self.bad, self.seen = bad, []

    def __call__(self, each: BatchInput, progress) -> object:
        self.seen.append(each.name)
        progress(0.5, "half")
        if each.name in self.bad:
            raise self.bad[each.name]
        return make_case()


def write_ct(path: Path, gray: int) -> None:
    """A file of an image, each gray value another scan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) + gray
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
