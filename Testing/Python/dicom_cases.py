"""Cases whose CT was read from DICOM files, and the programs that judge what is made of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from liverseg.case import Case, Masks
from liverseg.geometry import LPS_TO_RAS
from liverseg.measure import measure
from liverseg.phantom_dicom import SeriesTags, write_dicom_series
from liverseg.reading import read_volume
from made_cases import make_case

# Besides the errors named here, dciodvfy must find none.
UNKNOWN_TO_DCIODVFY = (
    # It is older than label maps (DICOM Supplement 243) and takes them for no segmentation.
    "Information Object Not found",
    "SegmentNumber not monotonically increasing from one by one - have SegmentSequence item number 1 "
    "(from one) with SegmentNumber of 0",
    "Shall not be present for Referenced SOP Class that is not segmentation",
)


def dicom_case(folder: Path, tags: SeriesTags | None = None, change=None, **made) -> Case:
    """A made-up case written as a DICOM series, read back and measured on what was read.

    Args:
        change: called with each header and its number along the stack before the series is read.
        made: as for ``make_case``.
    """
    case = make_case(**made)
    files = write_dicom_series(case.ct, folder, tags)
    for k, path in enumerate(files):
        if change is not None:
            image = pydicom.dcmread(path)
            if change(image, k) == "remove":
                path.unlink()
            else:
                image.save_as(path)
    ct = read_volume(folder)
    return measured_on(case, ct)


def measured_on(case: Case, ct) -> Case:
    """The case measured on the same scan as it was read: slices sorted, some perhaps missing."""
    index = [int(np.flatnonzero((case.ct.array == slab).all(axis=(1, 2)))[0]) for slab in ct.array]
    masks = case.masks
    arrays = [masks.liver, masks.couinaud, masks.lesions]
    vessels = None if masks.vessels is None else masks.vessels[index]
    return measure(
        ct,
        Masks(*(array[index] for array in arrays), vessels),
        method=case.method,
        provenance=replace(case.provenance, weights_sha256={"stage1": "cd" * 32}),
        confidences={1: 0.9},
        reviews={lesion.id: lesion.review for lesion in case.lesions},
    )


def on_case_grid(case: Case, array: np.ndarray, kji_to_lps: np.ndarray) -> np.ndarray:
    """Voxels (n, m, l) at the places that a 4x4 affine from their indices says, on the case's grid."""
    result = np.zeros(case.ct.array.shape, array.dtype)
    index = np.argwhere(array)
    world = index @ kji_to_lps[:3, :3].T + kji_to_lps[:3, 3]
    kji = case.ct.geometry.to_kji(world @ LPS_TO_RAS[:3, :3])
    rounded = np.rint(kji).astype(int)
    assert np.abs(kji - rounded).max(initial=0) < 1e-3, "voxels lie beside the grid"
    result[tuple(rounded.T)] = array[tuple(index.T)]
    return result


def expected_masks(case: Case) -> dict[str, np.ndarray]:
    """The bool mask of every segment that has voxels, by its name."""
    from liverseg.segment_tags import segments_of

    masks = {s.structure.name: getattr(case.masks, s.layer) == s.structure.label for s in segments_of(case)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def dciodvfy_errors(path: Path) -> list[str]:
    """What the validator of dicom3tools calls an error; the test is skipped without it."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (as root: apt-get install dicom3tools)")
    answer = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    lines = (answer.stdout + answer.stderr).splitlines()
    assert any(line.strip() for line in lines), "dciodvfy said nothing"
    return [line for line in lines if line.startswith("Error")]


def unexpected(errors: list[str]) -> list[str]:
    """Errors other than those of an old dciodvfy that does not know label maps."""
    return [error for error in errors if not any(known in error for known in UNKNOWN_TO_DCIODVFY)]


def run_dcmqi(program: str, *arguments: object) -> None:
    """Run one of dcmqi's programs; the test is skipped without it."""
    found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (pip install dcmqi)")
    answer = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
