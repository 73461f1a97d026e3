"""NIfTI label volumes on the CT's own grid."""

from __future__ import annotations

import errno
import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.case import Case
from liverseg.geometry import Geometry
from liverseg.images import to_sitk

AIR_HU = -1024

# Header of NIfTI-1 (https://nifti.nimh.nih.gov/nifti-1): byte offsets of qform_code and of srow_x.
_QFORM_CODE, _SROW_X = 252, 280
_SCANNER_ANATOMICAL = 1
_RIGHT_ANGLE_TOLERANCE = 1e-4


def write_liver(case: Case, path: Path) -> None:
    """Write the liver, lesions included: uint8, 0 or 1."""
    write_nifti(case.masks.liver.astype(np.uint8), case.ct.geometry, path)


def write_couinaud(case: Case, path: Path) -> None:
    """Write the Couinaud segments: uint8, 0 and 1..8; with segment IV split, 4 is IVa and 9 is IVb."""
    write_nifti(case.masks.couinaud.astype(np.uint8), case.ct.geometry, path)


def write_lesions(case: Case, path: Path) -> None:
    """Write the lesions: uint16, 0 or the lesion's id."""
    write_nifti(case.masks.lesions.astype(np.uint16), case.ct.geometry, path)


def write_vessels(case: Case, path: Path) -> None:
    """Write the vessels: uint8, 1 portal vein, 2 hepatic veins and cava, 4 aorta. The case must have them."""
    if case.masks.vessels is None:
        raise ValueError("this case has no vessels")
    write_nifti(case.masks.vessels.astype(np.uint8), case.ct.geometry, path)


def write_ct_liver(case: Case, path: Path) -> None:
    """Write the CT with everything outside the liver set to air (-1024 HU), in the CT's own number type."""
    array = case.ct.array
    write_nifti(np.where(case.masks.liver, array, array.dtype.type(AIR_HU)), case.ct.geometry, path)


def write_nifti(array: np.ndarray, geometry: Geometry, path: Path) -> None:
    """Write an array (k, j, i) as ``.nii.gz`` and make sure that it arrived.

    Raises:
        OSError: the disk is full or refuses the file.
    """
    cosines = geometry.directions.T @ geometry.directions
    sheared = bool(np.abs(cosines - np.eye(3)).max() > _RIGHT_ANGLE_TOLERANCE)
    upright = Geometry(geometry.shape, np.diag([*geometry.spacing_ijk, 1.0]))
    image = to_sitk(np.ascontiguousarray(array), upright if sheared else geometry)
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder is not there", str(path)) from error
        raise OSError(errno.EIO, "the image library could not write it", str(path)) from error
    # ITK's NIfTI writer does not tell of a full disk, so the file is unpacked once: gzip's checksum and
    # the number of bytes (a header of 352 bytes and the voxels) say whether it is whole.
    if _unpacked_bytes(path) < array.nbytes + 352:
        raise OSError(errno.ENOSPC, "no space left on the disk", str(path))
    if sheared:
        _set_sheared_form(path, geometry)


def _set_sheared_form(path: Path, geometry: Geometry) -> None:
    """Give a file the affine of a tilted gantry, which ITK's NIfTI writer cannot: sform alone, no qform."""
    with gzip.open(path, "rb") as file:
        content = bytearray(file.read())
    struct.pack_into("<2h", content, _QFORM_CODE, 0, _SCANNER_ANATOMICAL)
    struct.pack_into("<12f", content, _SROW_X, *geometry.ijk_to_ras[:3].ravel())
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content)


def _unpacked_bytes(path: Path) -> int:
    """The number of bytes in a gzip file, 0 when it is damaged."""
    total = 0
    try:
        with gzip.open(path, "rb") as file:
            while chunk := file.read(1 << 22):
                total += len(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error, FileNotFoundError):
        return 0
    return total
