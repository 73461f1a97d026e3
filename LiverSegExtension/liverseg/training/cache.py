"""Scans with labels, brought once onto the networks' grids and kept as 8-bit arrays.

A cache folder holds one ``<case>.npz`` a case with ``image`` (uint8, window scaled to 0..255; absent for
label maps without a CT) and ``label`` (uint8), both in canonical (S, P, L) order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.intensity import normalize_hu
from liverseg.phantom import make_phantom
from liverseg.phantom_other import make_head_phantom, make_knee_phantom, water_box
from liverseg.reading import geometry_of
from liverseg.resample import grid_for_spacing, resize, resize_labels
from liverseg.volume import Volume

log = logging.getLogger(__name__)

WINDOW = (-160.0, 240.0)
STAGE1_SPACING = 4.0
STAGE2_SPACING = 1.5
COUINAUD_SPACING = 5.0
STAGE2_MARGIN_MM = 30.0


@dataclass(frozen=True)
class Pair:
    """A CT and its label map (1 liver, 2 lesion) on one grid."""

    case: str
    ct: Path
    label: Path


def _canonical(path: Path) -> tuple[np.ndarray, Geometry]:
    image = sitk.ReadImage(str(path))
    geometry = geometry_of(image)
    order = CanonicalOrder.of(geometry)
    return order.apply(sitk.GetArrayFromImage(image)), order.geometry(geometry)


def pairs_for_stage1(data: Path) -> list[Pair]:
    """Whole scans: at full resolution where we have them, else at 3 mm."""
    return _pairs(data, "3mm")


def pairs_for_stage2(data: Path) -> list[Pair]:
    """Livers with their surroundings: full scans (cropped later), else regions at 1.25 mm."""
    return _pairs(data, "roi")


def _pairs(data: Path, version: str) -> list[Pair]:
    pairs = []
    for folder in sorted((data / "ct").iterdir()):
        if folder.name == "totalseg_example":
            continue  # its labels are another program's output, not a reader's
        whole = folder / "ct.nii.gz"
        if whole.exists():
            label = folder / "liver_lesion.nii.gz"
            pairs.append(Pair(folder.name, whole, label if label.exists() else folder / "liver.nii.gz"))
        elif (folder / f"ct_{version}.nii.gz").exists():
            label = folder / f"liver_lesion_{version}.nii.gz"
            pairs.append(Pair(folder.name, folder / f"ct_{version}.nii.gz", label))
    return pairs


def cache_pair(pair: Pair, spacing: float, folder: Path, crop_mm: float | None) -> None:
    """Write one case at an isotropic spacing, cropped to the liver plus ``crop_mm`` when given."""
    hu, geometry = _canonical(pair.ct)
    label, _ = _canonical(pair.label)
    if hu.shape != label.shape:
        raise ValueError(f"{pair.case}: CT {hu.shape} and label {label.shape} differ in size")
    _write(pair.case, hu, label, geometry.spacing_kji, spacing, folder, crop_mm)


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
    _write(case, hu, label, step, STAGE1_SPACING, folder / "stage1", None)
    _write(case, hu, label, step, STAGE2_SPACING, folder / "stage2", STAGE2_MARGIN_MM)


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
    _write(f"phantom_without_{seed}", hu, nothing, step, STAGE1_SPACING, folder / "stage1", None)


def _write(
    case: str,
    hu: np.ndarray,
    label: np.ndarray,
    step: tuple[float, float, float],
    spacing: float,
    folder: Path,
    crop_mm: float | None,
) -> None:
    if crop_mm is not None:
        margin = [int(np.ceil(crop_mm / s)) for s in step]
        box = bounding_box(label > 0, (margin[0], margin[1], margin[2]))
        if box is None:
            raise ValueError(f"{case}: the label map holds no liver")
        hu, label = hu[box], label[box]
    shape = grid_for_spacing(hu.shape, step, [spacing] * 3)
    image = resize(torch.from_numpy(normalize_hu(hu, WINDOW)), shape).numpy()
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"{case}.npz",
        image=np.round(image * 255).astype(np.uint8),
        label=resize_labels(np.ascontiguousarray(label), shape).astype(np.uint8),
    )
    log.info("%s: %s voxels of %.1f mm", case, shape, spacing)


def cache_couinaud_map(path: Path, spacing: float, folder: Path) -> None:
    """Write one map of the segments 1..8 at an isotropic spacing, with a border of two empty voxels."""
    label, geometry = _canonical(path)
    box = bounding_box(label > 0)
    if box is None:
        raise ValueError(f"{path.name}: the label map holds no liver")
    label = np.ascontiguousarray(label[box])
    shape = grid_for_spacing(label.shape, geometry.spacing_kji, [spacing] * 3)
    folder.mkdir(parents=True, exist_ok=True)
    small = np.pad(resize_labels(label, shape).astype(np.uint8), 2)
    np.savez(folder / f"{path.name.removesuffix('.nii.gz')}.npz", label=small)


def load_cache(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """All cases of a cache folder, in memory.

    Raises:
        FileNotFoundError: the folder holds no case.
    """
    cases = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            cases[path.stem] = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if not cases:
        raise FileNotFoundError(f"no cached case in {folder}; run scripts/prepare_data first")
    return cases
