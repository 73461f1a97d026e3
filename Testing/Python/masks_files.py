"""A case's masks as files, and changes to them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.case import Case, Review
from liverseg.masks_reading import ReadMasks
from liverseg.reading import to_sitk
from liverseg.writers import write_case

NIFTI = ["liver", "couinaud", "lesions", "vessels"]


READER = Review("accepted", "Dr. Müller | reader 2", "2026-01-02T03:04:05+00:00")


def write_folder(case: Case, folder: Path, names: list[str] | None = None) -> Path:
    write_case(case, folder, names or [*NIFTI, "report"])
    return folder


def write_segmentation(case: Case, folder: Path) -> Path:
    return write_case(case, folder, ["segmentation"])["segmentation"]


def edit_header(path: Path, change: Callable[[str], str]) -> None:
    header, data = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(change(header.decode("utf-8")).encode("utf-8") + b"\n\n" + data)


def assert_same_masks(read: ReadMasks, case: Case) -> None:
    for name in ("liver", "couinaud", "lesions"):
        assert np.array_equal(getattr(read.masks, name), getattr(case.masks, name)), name
    if case.masks.vessels is None:
        assert read.masks.vessels is None
    else:
        assert np.array_equal(read.masks.vessels, case.masks.vessels)
    assert read.masks.liver.dtype == bool
    assert read.masks.couinaud.dtype == np.uint8
    assert read.masks.lesions.dtype == np.uint16


def write_lesions(lesions: np.ndarray, case: Case, folder: Path) -> None:
    """Save lesion labels as a person's program does."""
    sitk.WriteImage(to_sitk(lesions, case.ct.geometry), str(folder / "lesions.nii.gz"))


def edit_report(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    change(report)
    path.write_text(json.dumps(report), encoding="utf-8")


def write_results(case: Case, folder: Path) -> Path:
    """A folder as a run leaves it, but for the preview and the tables."""
    return write_folder(case, folder, [*NIFTI, "segmentation", "report"])


def save_later(path: Path, seconds: float) -> None:
    """Move a file's time of saving."""
    now = path.stat()
    os.utime(path, (now.st_atime + seconds, now.st_mtime + seconds))
