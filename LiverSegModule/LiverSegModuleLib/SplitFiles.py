"""A liver's way to the engine's own process and back: mask, vessels and landmarks; segments. Free of Qt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from LiverSegModuleLib.EngineCommand import CouinaudFiles
from LiverSegModuleLib.Translation import _

if TYPE_CHECKING:
    from liverseg.case import Point
    from liverseg.couinaud import Split
    from liverseg_mrml.resplitting import SplitInput


def write_split_input(files: CouinaudFiles, given: SplitInput) -> None:
    """Put what a split goes by where the engine reads it."""
    import numpy as np
    import SimpleITK as sitk

    from liverseg.reading import to_sitk

    masks = {files.liver: given.liver.astype(np.uint8), files.vessels: given.vessels}
    for path, mask in masks.items():
        if mask is not None:
            sitk.WriteImage(to_sitk(mask, given.ct.geometry), str(path), True)
    points = {"landmarks": given.landmarks.placed, "guessed": given.landmarks.guessed}
    files.landmarks.write_text(json.dumps(points), encoding="utf-8")


def read_split(files: CouinaudFiles, given: SplitInput) -> tuple[Split, dict[str, str]]:
    """The split that the engine left, on the grid of ``given``, and the hashes of the networks that made it.

    Raises:
        liverseg.errors.InputRefused: a file is missing or does not fit.
    """
    from liverseg.case import CouinaudMethod
    from liverseg.couinaud import Split
    from liverseg.errors import InputRefused
    from liverseg.label_grids import onto_grid
    from liverseg.reading import read_labels

    try:
        told = json.loads(files.report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputRefused(_("the engine left no split; see the log for its last words")) from error
    labels, grid = read_labels(files.segments)
    labels, _cut = onto_grid(labels, grid, given.ct.geometry, files.segments.name, same_box=True)
    split = Split(labels.astype("uint8"), CouinaudMethod(**told["method"]), tuple(told["warnings"]))
    return split, dict(told["weights_sha256"])


def read_guess(files: CouinaudFiles) -> dict[str, Point]:
    """The landmarks as the engine guesses them, world RAS mm.

    Raises:
        liverseg.errors.InputRefused: the file is missing.
    """
    from liverseg.couinaud.landmark_file import read_landmarks

    return read_landmarks(files.guess)
