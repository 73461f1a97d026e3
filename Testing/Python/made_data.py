"""Tiny data folders in the layouts that training knows: a block of a body, its liver, a lesion in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from liverseg.geometry import Geometry
from liverseg.reading import to_sitk
from liverseg.training.cached_cases import Known, write_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig

SHAPE = (16, 24, 28)
SPACING = (5.0, 4.0, 4.0)
LAYOUTS = ("project-whole", "project-roi", "decathlon")


@dataclass
class MadeScan:
    """A CT and its label (0, 1 liver, 2 lesion), to be damaged before it is written."""

    case: str
    hu: np.ndarray
    label: np.ndarray
    ct_affine: np.ndarray = field(default_factory=lambda: np.diag([*SPACING[::-1], 1.0]))
    label_affine: np.ndarray = field(default_factory=lambda: np.diag([*SPACING[::-1], 1.0]))


def made_scan(case: str, seed: int = 0, lesion: bool = True) -> MadeScan:
    """A sound scan; other seeds have other voxels."""
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, -1000.0)
    hu[:, 2:-2, 2:-2] = -100.0
    hu[:, 4:-4, 4:-4] = 50.0
    label = np.zeros(SHAPE, np.uint8)
    label[3:13, 5:19, 5:21] = 1
    if lesion:
        label[6:9, 9:12, 9:12] = 2
    hu[label == 1] = 110.0
    hu[label == 2] = 60.0
    hu[2:4, 6:9, 12:15] = 900.0
    return MadeScan(case, hu + rng.normal(0, 10, SHAPE), label)


def paths(layout: str, root: Path, case: str) -> tuple[Path, Path]:
    """Where a layout keeps a case's CT and label."""
    if layout == "decathlon":
        return root / "imagesTr" / f"{case}.nii.gz", root / "labelsTr" / f"{case}.nii.gz"
    suffix = "" if layout == "project-whole" else "_roi"
    folder = root / "ct" / case
    return folder / f"ct{suffix}.nii.gz", folder / f"liver_lesion{suffix}.nii.gz"


def write_array(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write an array (k, j, i) with its affine from (i, j, k) to RAS mm."""
    import SimpleITK as sitk  # noqa: N813

    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_sitk(array, Geometry(array.shape, affine)), str(path))


def write_folder(layout: str, root: Path, scans: list[MadeScan]) -> Path:
    """Write scans in a layout; a later write of one case replaces it. Returns the data folder."""
    for scan in scans:
        ct, label = paths(layout, root, scan.case)
        whole = np.isfinite(scan.hu).all() and np.abs(scan.hu).max() > 2
        write_array(scan.hu.astype(np.int16 if whole else np.float32), scan.ct_affine, ct)
        write_array(scan.label, scan.label_affine, label)
    if layout == "decathlon":
        entries = [
            {"image": f"./imagesTr/{scan.case}.nii.gz", "label": f"./labelsTr/{scan.case}.nii.gz"}
            for scan in scans
        ]
        content = {"labels": {"0": "background", "1": "liver", "2": "cancer"}, "training": entries}
        (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_tiny_livers(folder: Path, cases: Sequence[str]) -> Path:
    """Cached cases for stage 2, each a block of liver with a lesion in 20 x 24 x 24 voxels."""
    label = np.zeros((20, 24, 24), dtype=np.uint8)
    label[4:16, 4:20, 4:20] = 1
    label[8:12, 8:12, 8:12] = 2
    for seed, case in enumerate(cases):
        image = np.random.default_rng(seed).integers(60, 90, label.shape, dtype=np.uint8) + 60 * (label > 0)
        write_cached(folder, case, label, image.astype(np.uint8), Known())
    return folder


def tiny_run(cache: Path, run: Path, **changes: object) -> RunConfig:
    """Two steps of a tiny stage 2 over :func:`write_tiny_livers`, ircad_02 held out; parts by ``changes``."""
    first = RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0, exclude=["ircad_02"]),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(steps=2, steps_an_epoch=2, accumulate=1, precision="32-true", pictures=0),
    )
    return replace(first, **changes)
