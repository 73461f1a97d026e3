"""Reads a CT or a label map from a file or a DICOM folder, or says in one line why not.

Pixels come through SimpleITK; ITK's LPS world becomes RAS. Nothing is resampled here.
"""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.errors import InputRefused, UsageError
from liverseg.file_headers import (
    WHAT_TO_GIVE,
    NiftiHeader,
    cannot_open,
    check_header,
    non_finite_voxels,
    suffix_of,
)
from liverseg.geometry import Geometry
from liverseg.gray_values import gray_values
from liverseg.images import geometry_of, quiet_itk, to_sitk
from liverseg.volume import Source, Volume
from liverseg.volume_identity import volume_hash, with_hash

# Where qform and sform place a corner further apart than this, the reader is told.
_FORMS_DIFFER_MM = 1.0
_COMPLEX_PIXELS = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)


def read_volume(path: Path, series_uid: str | None = None) -> Volume:
    """Read a CT.

    Args:
        path: a .nii, .nii.gz, .nrrd, .mha or .mhd file, or a folder of DICOM files (searched through all of
            its subfolders).
        series_uid: the DICOM series to take when the folder holds several.

    Returns:
        Array (k, j, i), int16 where the file holds whole numbers of that range, else float32, and its
        ``Source`` with the hash. Some NaN become air, with a warning.

    Raises:
        InputRefused: missing, unreadable, not a 3D scalar image, no true spacing, constant or all NaN, or a
            DICOM folder without a single CT series to take.
        UsageError: ``series_uid`` with a file.
    """
    path = Path(path)
    _check_exists(path)
    if path.is_dir():
        from liverseg.dicom import read_series  # noqa: PLC0415  pydicom only where DICOM is read

        return read_series(path, series_uid)
    if series_uid is not None:
        raise UsageError(f"A series can be chosen in a DICOM folder only; {path.name} is a file.")
    raw, geometry, warnings = _read_file(path)
    array, mended = gray_values(raw, path.name)
    volume = Volume(array, geometry, Source("file", path.name), (*warnings, *mended))
    return with_hash(volume)


def read_labels(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a label map: whole numbers from 0 upwards, all zero allowed.

    Returns:
        Array (k, j, i), uint8 or uint16 by the largest label, and its grid.

    Raises:
        InputRefused: as :func:`read_volume`, and for fractions, negative values or labels over 65535.
    """
    path = Path(path)
    _check_exists(path)
    if path.is_dir():
        raise InputRefused(f"{path.name} is a folder: give the file of the label map.")
    array, geometry, _ = _read_file(path)
    low, high = float(array.min()), float(array.max())
    whole = array.dtype.kind in "iu" or (np.isfinite(array).all() and np.array_equal(array, np.rint(array)))
    if not whole or low < 0 or high > np.iinfo(np.uint16).max:
        raise InputRefused(
            f"{path.name} is no label map (values from {low:g} to {high:g}; wanted are whole numbers from 0 "
            "to 65535): give the file with the labels, not the CT."
        )
    return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16), geometry


def describe_input(ct: Volume) -> dict[str, object]:
    """What the report says of the input: kind, hash, UIDs, grid; no names."""
    return {
        "kind": ct.source.kind,
        "sha256": ct.source.sha256 or volume_hash(ct),
        "study_uid": ct.source.study_uid,
        "series_uid": ct.source.series_uid,
        "modality": ct.source.modality,
        "size_ijk": list(ct.array.shape[::-1]),
        "spacing_ijk_mm": [round(float(s), 5) for s in ct.geometry.spacing_ijk],
    }


def _check_exists(path: Path) -> None:
    try:
        there = path.exists()
    except PermissionError as error:
        raise cannot_open(path, error) from error
    if not there:
        raise InputRefused(f"{path} does not exist: {WHAT_TO_GIVE}.")


def _read_file(path: Path) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """Voxels (k, j, i), NaN as the file has them, the grid, and what the user should know of the header."""
    if suffix_of(path) is None:
        raise InputRefused(f"{path.name} is of no known format: {WHAT_TO_GIVE}.")
    try:
        header = check_header(path)
        with quiet_itk():
            if header is not None and _only_sheared(header):
                image = _read_sheared_nifti(path, header)
            else:
                image = _read_3d(path, path.name)
        array = sitk.GetArrayFromImage(image)
        if header is not None and array.dtype.kind == "f":
            array.reshape(-1)[non_finite_voxels(path, header)] = np.nan
    except OSError as error:
        raise cannot_open(path.name, error) from error
    except RuntimeError as error:
        raise InputRefused(f"{path.name} cannot be read as an image: copy or export it again.") from error
    geometry = geometry_of(image)
    return array, geometry, _forms_warning(header, geometry)


def _read_3d(path: Path, name: str) -> sitk.Image:
    """The image of a file; further axes of size 1 are dropped. ``name`` is for messages."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _check_pixels(name, reader)
    image = reader.Execute()
    if image.GetDimension() == 3:
        return image
    return sitk.Extract(image, [*image.GetSize()[:3], *[0] * (image.GetDimension() - 3)])


def _check_pixels(name: str, reader: sitk.ImageFileReader) -> None:
    """Refuse colors, vectors, complex numbers and other than three axes before the pixels are read."""
    components = reader.GetNumberOfComponents()
    if components > 1:
        what = "is a segmentation of overlapping layers" if name.lower().endswith(".seg.nrrd") else "holds"
        raise InputRefused(
            f"{name} {what} {components} values a voxel (RGB or a vector), a CT has one: give the CT itself."
        )
    if reader.GetPixelID() in _COMPLEX_PIXELS:
        raise InputRefused(f"{name} holds complex numbers; a CT has none: give the CT itself.")
    size = reader.GetSize()
    if len(size) < 3:
        raise InputRefused(f"{name} is a 2D image: give the whole scan, a volume of axial slices.")
    if any(n > 1 for n in size[3:]):
        shown = " x ".join(str(n) for n in size)
        raise InputRefused(f"{name} is {len(size)}D ({shown}): give one time point or phase as a 3D volume.")


def _only_sheared(header: NiftiHeader) -> bool:
    """Whether the file has no form but an sform without right angles, which ITK refuses to read."""
    if header.sform_code <= 0 or header.qform_code > 0 or len([n for n in header.dim if n > 1]) > 3:
        return False
    steps = header.sform[:, :3] / np.linalg.norm(header.sform[:, :3], axis=0)
    # ITK's own tolerance is of this order; below it, ITK takes the form.
    return bool(np.abs(steps.T @ steps - np.eye(3)).max() > 1e-4)


def _read_sheared_nifti(path: Path, header: NiftiHeader) -> sitk.Image:
    """Read through a copy whose sform is switched off, then set the sheared grid."""
    raw = path.read_bytes()
    data = bytearray(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    at, code = (254, "h") if header.version == 1 else (348, "i")
    struct.pack_into(header.byte_order + code, data, at, 0)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.nii"
        copy.write_bytes(data)
        image = _read_3d(copy, path.name)
    matrix = np.vstack([header.sform, [0, 0, 0, 1]])
    grid = to_sitk(np.zeros((1, 1, 1), np.uint8), Geometry((1, 1, 1), matrix))
    image.SetSpacing(grid.GetSpacing())
    image.SetDirection(grid.GetDirection())
    image.SetOrigin(grid.GetOrigin())
    return image


def _forms_warning(header: NiftiHeader | None, taken: Geometry) -> tuple[str, ...]:
    """Tell when a NIfTI file's sform places the volume elsewhere than the form that was taken."""
    if header is None or header.sform_code <= 0 or not header.unit_is_mm:
        return ()
    sform = Geometry(taken.shape, np.vstack([header.sform, [0, 0, 0, 1]]))
    if taken.matches(sform, _FORMS_DIFFER_MM):
        return ()
    return ("The file's qform and sform place the scan differently; the one that 3D Slicer takes was taken.",)
