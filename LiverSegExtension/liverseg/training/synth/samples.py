"""Training samples with a mask of where errors count, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused
from liverseg.geometry import bounding_box
from liverseg.resample import grid_for_spacing, resize_mask
from liverseg.training.cache import gray_on_grid, labels_on_grid
from liverseg.training.cached_cases import (
    WHOLE,
    CachedGrid,
    Known,
    cached_grid,
    load_cached,
    write_cached,
)
from liverseg.writers.atomic import make_folder

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """One scan or slice for training; all arrays (z, y, x) in canonical (S, P, L) order.

    Attributes:
        case: its name; :func:`liverseg.training.persons.person_of` tells the person from it.
        image: uint8, the cache's HU window scaled to 0..255.
        label: uint8, 0 background, 1 liver, 2 lesion.
        counted: bool, where errors count.
        lesions: False where the label says nothing about lesions: the liver's outline alone is learned.
        grid: what the voxels are; None where nobody knows.
    """

    case: str
    image: np.ndarray
    label: np.ndarray
    counted: np.ndarray
    lesions: bool = True
    grid: CachedGrid | None = None


def make_sample(
    case: str,
    hu: np.ndarray,
    label: np.ndarray,
    counted: np.ndarray,
    spacing_mm: Spacing,
    target_mm: float,
    crop_mm: float | None = None,
) -> TrainingSample:
    """Bring arrays of one grid (z, y, x) onto an isotropic one, cropped to the liver plus ``crop_mm``.

    Raises:
        InputRefused: cropping was asked for and the label holds no liver.
    """
    if crop_mm is not None:
        margin = [int(np.ceil(crop_mm / s)) for s in spacing_mm]
        box = bounding_box(label > 0, (margin[0], margin[1], margin[2]))
        if box is None:
            raise InputRefused(f"{case}: the label holds no liver; leave the scan out")
        hu, label, counted = hu[box], label[box], counted[box]
    shape = grid_for_spacing(hu.shape, spacing_mm, [target_mm] * 3)
    return TrainingSample(
        case=case,
        image=gray_on_grid(hu, shape),
        label=labels_on_grid(label, shape),
        counted=resize_mask(np.ascontiguousarray(counted), shape),
        grid=CachedGrid(WHOLE, (target_mm,) * 3),
    )


def write_sample(sample: TrainingSample, folder: Path) -> Path:
    """Write a sample as a case of a cache folder (:mod:`liverseg.training.cached_cases`); returns its folder.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    make_folder(folder)
    arrays, known = (sample.label, sample.image), Known(sample.lesions)
    write_cached(folder, sample.case, *arrays, known, sample.counted, grid=sample.grid)
    return folder / sample.case


def read_sample(place: Path) -> TrainingSample:
    """Read what :func:`write_sample` wrote.

    Raises:
        InputRefused: missing, or no sample with an image.
    """
    try:
        case = load_cached(place.parent, place.name)
    except (OSError, InputRefused) as error:
        raise InputRefused(f"{place} is no training sample ({error}); make it again") from error
    if case.image is None:
        raise InputRefused(f"{place} is no training sample (it has no image); make it again")
    label = case.label.numpy()
    counted = np.ones(label.shape, dtype=bool) if case.counted is None else case.counted.numpy()
    grid = cached_grid(place.parent, place.name)
    return TrainingSample(case.case, case.image.numpy(), label, counted, case.known.lesions, grid)
