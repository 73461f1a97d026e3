"""Scans with labels on the grid and in the window of a ``scan`` experiment, cached for its training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from liverseg.errors import InputRefused
from liverseg.geometry import Geometry, bounding_box
from liverseg.resample import grid_for_spacing
from liverseg.training.cache import (
    SAME_GRID_MM,
    canonical_scan,
    gray_on_grid,
    labels_on_grid,
    segments_map,
)
from liverseg.training.cached_cases import SEGMENTS_FILE, WHOLE, CachedGrid, Known, write_cached
from liverseg.training.datasets import LabeledScan
from liverseg.training.road_config import ScanConfig

log = logging.getLogger(__name__)


def wanted_spacing(
    settings: ScanConfig, shape: Sequence[int], spacing: Sequence[float]
) -> tuple[float, float, float]:
    """The voxel size (z, y, x) in mm of a scan of this shape on the grid of the settings."""
    axes = zip(shape, spacing, settings.spacing_mm, settings.voxels, strict=True)
    z, y, x = (n * own / count if count else (wanted or own) for n, own, wanted, count in axes)
    return z, y, x


def cropped_or_padded(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An array (z, y, x) brought to ``size`` about its center; what is added is 0."""
    for axis, side in enumerate(size):
        surplus = array.shape[axis] - side
        if surplus > 0:
            array = array.take(range(surplus // 2, surplus // 2 + side), axis=axis)
        elif surplus < 0:
            pads = [(0, 0)] * 3
            pads[axis] = (-surplus // 2, -surplus - -surplus // 2)
            array = np.pad(array, pads)
    return array


def on_grid(
    hu: np.ndarray, label: np.ndarray, spacing: Sequence[float], settings: ScanConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Image (uint8, the window as 0..255) and label (uint8) of a scan as an experiment wants them.

    Args:
        hu: (z, y, x), canonical order.
        label: the same shape, codes of ``cache.Code``.
        spacing: voxel size in mm (z, y, x).

    Raises:
        InputRefused: the region is the liver, and the label holds none.
    """
    target = wanted_spacing(settings, hu.shape, spacing)
    box = _region(label, spacing, settings)
    hu, label = hu[box], label[box]
    shape = grid_for_spacing(hu.shape, spacing, target)
    low, high = settings.window_hu
    image, small = gray_on_grid(hu, shape, (low, high)), labels_on_grid(label, shape)
    if settings.size:
        image, small = (cropped_or_padded(array, settings.size) for array in (image, small))
    return image, small


def segments_on_grid(
    segments: np.ndarray, label: np.ndarray, spacing: Sequence[float], settings: ScanConfig
) -> np.ndarray:
    """Couinaud segments (1..8, uint8) of a scan on the very grid of :func:`on_grid`."""
    target = wanted_spacing(settings, label.shape, spacing)
    box = _region(label, spacing, settings)
    cropped = segments[box]
    small = labels_on_grid(cropped, grid_for_spacing(cropped.shape, spacing, target))
    return cropped_or_padded(small, settings.size) if settings.size else small


def _region(label: np.ndarray, spacing: Sequence[float], settings: ScanConfig) -> tuple[slice, ...]:
    if settings.region == "whole":
        return (slice(None),) * 3
    z, y, x = (int(np.ceil(settings.margin_mm / s)) for s in spacing)
    box = bounding_box(label > 0, (z, y, x))
    if box is None:
        raise InputRefused("the label map holds no liver")
    return box


def cache_on_grid(scan: LabeledScan, settings: ScanConfig, folder: Path) -> None:
    """Write one case of an experiment's cache.

    Raises:
        InputRefused: CT, label map and segments lie on different grids, or the label holds no liver where
            one is to be learned.
        UsageError: the cache cannot be written.
    """
    if scan.liver_value is None and "liver" in settings.classes:
        raise InputRefused(
            f"{scan.case}: nobody drew the liver; leave the data set out, or learn scan.classes=[lesion]"
        )
    hu, label, geometry, _ = canonical_scan(scan)
    try:
        gray, small = on_grid(hu, label, geometry.spacing_kji, settings)
    except InputRefused as error:
        raise InputRefused(f"{scan.case}: {error}") from error
    low, high = settings.window_hu
    write_cached(
        folder,
        scan.case,
        small,
        gray,
        Known(lesions=not scan.liver_only),
        segments=_segments(scan, label, geometry, settings),
        grid=CachedGrid(WHOLE, wanted_spacing(settings, hu.shape, geometry.spacing_kji), (low, high)),
    )
    log.info("%s: %s voxels", scan.case, gray.shape)


def _segments(
    scan: LabeledScan, label: np.ndarray, geometry: Geometry, settings: ScanConfig
) -> np.ndarray | None:
    """The first reading of the segments on the experiment's grid; None where none is wanted or drawn."""
    if not settings.segments or not scan.couinaud:
        return None
    segments, grid = segments_map(scan.couinaud[0])
    if not grid.matches(geometry, SAME_GRID_MM):
        raise InputRefused(f"{scan.case}: CT and segments lie on different grids")
    return segments_on_grid(segments, label, geometry.spacing_kji, settings)


def load_segments(folder: Path, cases: Iterable[str]) -> dict[str, torch.Tensor]:
    """The Couinaud segments (z, y, x) of the cached cases that have them."""
    files = {case: folder / case / SEGMENTS_FILE for case in cases}
    return {case: torch.from_numpy(np.load(file)) for case, file in files.items() if file.exists()}
