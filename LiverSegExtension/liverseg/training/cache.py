"""Scans and label maps on the networks' grids, brought there once, as cached cases.

What such a case is and how it lies on disk stands in :mod:`liverseg.training.cached_cases`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cc3d
import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from liverseg.errors import InputRefused
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.images import geometry_of, to_sitk
from liverseg.intensity import normalize_hu
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB
from liverseg.phantom import make_phantom
from liverseg.phantom_other import make_head_phantom, make_knee_phantom, water_box
from liverseg.resample import grid_for_spacing, resize, resize_labels
from liverseg.training.cached_cases import SEGMENTS, WHOLE, WINDOW, CachedGrid, Code, Known, write_cached
from liverseg.training.datasets import LabeledScan, ScanLabels, standard_label
from liverseg.volume import Volume

log = logging.getLogger(__name__)

STAGE1_SPACING = 4.0
STAGE2_SPACING = 1.5
COUINAUD_SPACING = 5.0
STAGE2_MARGIN_MM = 30.0
# Files of one grid may differ by rounding.
SAME_GRID_MM = 0.5


def canonical_map(path: Path) -> tuple[np.ndarray, Geometry]:
    """The values (z, y, x) of a file in canonical order, and their grid.

    Raises:
        InputRefused: it cannot be read.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputRefused(f"{path} cannot be read as an image: copy or export it again") from error
    geometry = geometry_of(image)
    order = CanonicalOrder.of(geometry)
    return order.apply(sitk.GetArrayFromImage(image)), order.geometry(geometry)


def segments_map(path: Path) -> tuple[np.ndarray, Geometry]:
    """The Couinaud segments 1..8 (z, y, x) of a file in canonical order, IVb as a part of IV, and their grid.

    Raises:
        InputRefused: it cannot be read.
    """
    segments, geometry = canonical_map(path)
    segments[segments == SEGMENT_IVB.label] = SEGMENT_IVA.label
    return segments, geometry


# Codes of the anatomy maps (portal vein, hepatic veins and cava) as vessel kinds.
_ANATOMY_VESSELS = {6: 1, 7: 2}
_ANATOMY_ARTERY = 9
# Maps whose arteries reach through less of their slices do not tell where the aorta is not.
DRAWN_THROUGH = 0.9
# The renal, splenic and hepatic arteries have a radius below it, the aorta one above.
BRANCH_MM = 4.5


def _vessels(scan: LabeledScan, labels: ScanLabels, geometry: Geometry) -> np.ndarray | None:
    """Vessels (1 portal, 2 hepatic, 3 kind not told) on the scan's grid, or None where nobody drew them."""
    if labels.vessels is not None:
        return CanonicalOrder.of(labels.geometry).apply(labels.vessels)
    if scan.vessels is not None:
        vessels, grid = canonical_map(scan.vessels)
        if not grid.matches(geometry, SAME_GRID_MM):
            raise InputRefused(f"{scan.case}: CT and vessels lie on different grids")
        return vessels
    if scan.anatomy is None:
        return None
    anatomy, grid = canonical_map(scan.anatomy)
    if not grid.matches(geometry, SAME_GRID_MM):
        return None
    vessels = np.zeros(anatomy.shape, dtype=np.uint8)
    for code, kind in _ANATOMY_VESSELS.items():
        vessels[anatomy == code] = kind
    return vessels


def canonical_scan(scan: LabeledScan) -> tuple[np.ndarray, np.ndarray, Geometry, ScanLabels]:
    """HU and label codes (z, y, x) of a scan in canonical order, their grid, and its labels as read.

    Raises:
        InputRefused: CT and label map lie on different grids, or cannot be read.
    """
    ct, labels = scan.reader.ct(scan), scan.reader.labels(scan)
    order = CanonicalOrder.of(ct.geometry)
    hu, geometry = order.apply(ct.array), order.geometry(ct.geometry)
    order = CanonicalOrder.of(labels.geometry)
    label, grid = order.apply(labels.label), order.geometry(labels.geometry)
    if not grid.matches(geometry, SAME_GRID_MM):
        raise InputRefused(f"{scan.case}: CT and label lie on different grids; run scripts/check_data.py")
    return hu, standard_label(label, scan), geometry, labels


def cache_scan(scan: LabeledScan, spacing: float, folder: Path, crop_mm: float | None) -> None:
    """Write one case at an isotropic spacing, cropped to the liver plus ``crop_mm`` when given.

    Raises:
        InputRefused: CT and label map lie on different grids, or the label holds no liver.
    """
    if scan.liver_value is None:
        raise InputRefused(
            f"{scan.case}: nobody drew the liver, which stage 1 learns and stage 2 is given; leave the "
            "data set out, or put maps of the liver into it (docs/training-data.md)"
        )
    hu, label, geometry, labels = canonical_scan(scan)
    vessels = _vessels(scan, labels, geometry)
    kinds = "none" if vessels is None else _mark_vessels(label, vessels)
    known = Known(lesions=not scan.liver_only, vessels=kinds)
    aorta = drawn_aorta(scan, hu.shape, geometry) if crop_mm is None else None
    _write(scan.case, hu, label, geometry.spacing_kji, spacing, folder, crop_mm, known, aorta)


def _mark_vessels(label: np.ndarray, vessels: np.ndarray) -> str:
    """Write the liver's vessels into its label, and return what of them is known (:class:`Known`).

    Where one kind alone was drawn, nobody drew the other: the vessels then stay liver.
    """
    found = set(np.unique(vessels).tolist())
    if 3 not in found and not {1, 2} <= found:
        return "none"
    inside = (label == Code.LIVER) & (vessels > 0)
    label[inside] = vessels[inside] + (Code.PORTAL_VEIN - 1)
    return "vessels" if 3 in found else "kinds"


def drawn_aorta(scan: LabeledScan, shape: tuple[int, ...], geometry: Geometry) -> np.ndarray | None:
    """The aorta (bool, z, y, x) on a whole scan's canonical grid, or None where nobody drew it through.

    Of the drawn arteries it is the largest piece without the branches; arteries that are all as thin as
    branches are none.
    """
    if scan.anatomy is None:
        return None
    anatomy, grid = canonical_map(scan.anatomy)
    arteries = (anatomy == _ANATOMY_ARTERY).astype(np.uint8)
    there = np.nonzero(arteries.any(axis=(1, 2)))[0]
    if len(there) < DRAWN_THROUGH * len(arteries):
        return None
    aorta = cc3d.largest_k(_thick(arteries > 0, grid.spacing_kji), k=1, connectivity=26)
    image = to_sitk(aorta.astype(np.uint8), grid)
    reference = to_sitk(np.zeros(shape, np.uint8), geometry)
    same = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor)
    drawn = sitk.GetArrayFromImage(same) > 0
    return drawn if drawn.any() else None


def _thick(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """A mask opened by a ball of ``BRANCH_MM``."""
    core = ndimage.distance_transform_edt(mask, spacing) >= BRANCH_MM
    return mask & (ndimage.distance_transform_edt(~core, spacing) < BRANCH_MM)


def cache_phantom(seed: int, folder: Path) -> None:
    """Write a made-up patient for stage 1 and stage 2; none of the seeds that tests use may come here."""
    rng = np.random.default_rng(seed)
    pixel = float(rng.uniform(1.1, 1.4))
    step = (float(rng.uniform(1.5, 3.0)), pixel, pixel)
    diameters = np.exp(rng.uniform(np.log(8), np.log(45), int(rng.integers(1, 6))))
    phantom = make_phantom(
        seed=seed,
        shape_kji=(round(330 / step[0]), round(370 / step[1]), round(370 / step[2])),
        spacing_kji=step,
        diameters_mm=sorted(diameters.tolist(), reverse=True),
        noise_hu=float(rng.uniform(6, 22)),
    )
    order = CanonicalOrder.of(phantom.ct.geometry)
    label = phantom.masks.liver.astype(np.uint8) + (phantom.masks.lesions > 0)
    hu, label = order.apply(phantom.ct.array), order.apply(label)
    case = f"phantom_{seed}"
    step = order.geometry(phantom.ct.geometry).spacing_kji
    _write(case, hu, label, step, STAGE1_SPACING, folder / "stage1", None, Known())
    _write(case, hu, label, step, STAGE2_SPACING, folder / "stage2", STAGE2_MARGIN_MM, Known())


def cache_scan_without_liver(seed: int, folder: Path) -> None:
    """Write a made-up head, knee or box of fluid for stage 1: what a liver is not."""
    rng = np.random.default_rng(seed)
    size = float(np.exp(rng.uniform(-0.2, 0.2)))
    makers: list[Callable[[], Volume]] = [
        lambda: make_head_phantom(seed, spacing_kji=(3.0 * size, 2.0 * size, 2.0 * size)),
        lambda: make_knee_phantom(seed, spacing_kji=(3.0 * size, 1.6 * size, 1.6 * size)),
        lambda: water_box(
            spacing_kji=(5.0 * size, 5.0 * size, 5.0 * size), seed=seed, hu=float(rng.uniform(-60, 180))
        ),
    ]
    volume = makers[seed % len(makers)]()
    order = CanonicalOrder.of(volume.geometry)
    hu = order.apply(volume.array)
    step = order.geometry(volume.geometry).spacing_kji
    nothing = np.zeros(hu.shape, dtype=np.uint8)
    _write(f"phantom_without_{seed}", hu, nothing, step, STAGE1_SPACING, folder / "stage1", None, Known())


def _write(
    case: str,
    hu: np.ndarray,
    label: np.ndarray,
    step: tuple[float, float, float],
    spacing: float,
    folder: Path,
    crop_mm: float | None,
    known: Known,
    aorta: np.ndarray | None = None,
) -> None:
    if crop_mm is not None:
        margin = [int(np.ceil(crop_mm / s)) for s in step]
        box = bounding_box(label > 0, (margin[0], margin[1], margin[2]))
        if box is None:
            raise InputRefused(f"{case}: the label map holds no liver")
        hu, label = hu[box], label[box]
    shape = grid_for_spacing(hu.shape, step, [spacing] * 3)
    small = None if aorta is None else labels_on_grid(aorta, shape) > 0
    arrays = labels_on_grid(label, shape), gray_on_grid(hu, shape)
    write_cached(folder, case, *arrays, known, aorta=small, grid=CachedGrid(WHOLE, (spacing,) * 3))
    log.info("%s: %s voxels of %.1f mm", case, shape, spacing)


def gray_on_grid(
    hu: np.ndarray, shape: tuple[int, int, int], window: tuple[float, float] = WINDOW
) -> np.ndarray:
    """HU (z, y, x) as a cached image's uint8 on another grid of the same box."""
    scaled = torch.from_numpy(normalize_hu(np.ascontiguousarray(hu), window))
    return np.round(resize(scaled, shape).numpy() * 255).astype(np.uint8)


def labels_on_grid(label: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Labels (z, y, x) as uint8 on another grid of the same box."""
    return resize_labels(np.ascontiguousarray(label), shape).astype(np.uint8)


def cache_couinaud_map(path: Path, spacing: float, folder: Path) -> None:
    """Write one map of the segments 1..8 at an isotropic spacing, with a border of two empty voxels.

    Raises:
        InputRefused: it cannot be read, or holds no liver.
        UsageError: the cache cannot be written.
    """
    label, geometry = segments_map(path)
    box = bounding_box(label > 0)
    if box is None:
        raise InputRefused(f"{path.name}: the label map holds no liver")
    label = np.ascontiguousarray(label[box])
    shape = grid_for_spacing(label.shape, geometry.spacing_kji, [spacing] * 3)
    small = np.pad(labels_on_grid(label, shape), 2)
    grid = CachedGrid(SEGMENTS, (spacing,) * 3, window_hu=None)
    write_cached(folder, path.name.removesuffix(".nii.gz"), small, None, Known(), grid=grid)
