"""Masks that lie beside a DICOM series as one image a slice: DICOM masks, and numbered pictures."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, UnidentifiedImageError
from pydicom.errors import InvalidDicomError

from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS, Geometry
from liverseg.volume import Volume

# A mask's slice lies where a slice of the CT lies, up to this part of a voxel.
OFF_BY_VOXELS = 0.25


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A folder as it is, or the contents of an archive (.zip) for the time of the block.

    Raises:
        InputRefused: missing, or no sound archive.
    """
    if path.suffix.lower() != ".zip":
        if not path.is_dir():
            raise InputRefused(f"{path} does not exist.")
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputRefused(f"{path} is missing or no sound archive: download it again.") from error
        yield Path(folder)


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sorts names by the numbers in them: image_2 before image_10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def slice_index(position_lps: np.ndarray, geometry: Geometry, name: str) -> int:
    """The slice (k) whose first voxel lies at a position (LPS mm).

    Raises:
        InputRefused: no slice of the grid begins there.
    """
    kji = geometry.to_kji(LPS_TO_RAS[:3, :3] @ np.asarray(position_lps, dtype=np.float64))
    k = round(float(kji[0]))
    if np.abs(kji - (k, 0, 0)).max() > OFF_BY_VOXELS or not 0 <= k < geometry.shape[0]:
        shown = ", ".join(f"{x:.1f}" for x in position_lps)
        raise InputRefused(f"{name} lies at ({shown}) LPS mm, where the CT has no slice.")
    return k


def read_dicom_mask(folder: Path, ct: Volume) -> np.ndarray:
    """A mask (bool, on the CT's grid) of DICOM images, one a slice; slices without an image are empty.

    Each belongs to the slice at its ImagePositionPatient, or to the CT's image of the same file name where it
    has none.

    Raises:
        InputRefused: an image that cannot be read, has another size, or belongs to no slice.
    """
    by_name = {path.name: k for k, (path, _) in enumerate(ct.source.files)}
    mask = np.zeros(ct.geometry.shape, bool)
    for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=natural_order):
        try:
            image = pydicom.dcmread(path)
            pixels = image.pixel_array
        except InvalidDicomError:
            continue
        except (OSError, EOFError, AttributeError, ValueError, NotImplementedError, RuntimeError) as error:
            raise InputRefused(f"{path} cannot be read as a DICOM image ({error}).") from error
        if pixels.shape != mask.shape[1:]:
            raise InputRefused(f"{path} has {pixels.shape[::-1]} pixels, the CT has {mask.shape[:0:-1]}.")
        position = image.get("ImagePositionPatient")
        if position is not None and len(position) == 3:
            k = slice_index(np.array(position, dtype=np.float64), ct.geometry, str(path))
        elif path.name in by_name:
            k = by_name[path.name]
        else:
            raise InputRefused(f"{path} has no position, and the CT no image of this name.")
        mask[k] |= pixels > 0
    return mask


def read_picture_mask(pictures: list[Path], ct: Volume) -> np.ndarray:
    """A mask (bool, on the CT's grid) of pictures, the n-th one for the n-th file of the series by name.

    Raises:
        InputRefused: another number of pictures than of slices, or one that is unreadable or of another size.
    """
    names = sorted((path for path, _ in ct.source.files), key=natural_order)
    if len(pictures) != len(names):
        where = pictures[0].parent if pictures else "the folder of masks"
        raise InputRefused(f"{where} holds {len(pictures)} pictures for {len(names)} slices of the CT.")
    slices = {path: k for k, (path, _) in enumerate(ct.source.files)}
    mask = np.zeros(ct.geometry.shape, bool)
    for picture, name in zip(sorted(pictures, key=natural_order), names, strict=True):
        try:
            pixels = np.asarray(Image.open(picture))
        except (OSError, UnidentifiedImageError) as error:
            raise InputRefused(f"{picture} cannot be read as a picture.") from error
        if pixels.ndim == 3:
            pixels = pixels.max(axis=2)
        if pixels.shape != mask.shape[1:]:
            raise InputRefused(f"{picture} has {pixels.shape[::-1]} pixels, the CT has {mask.shape[:0:-1]}.")
        mask[slices[name]] = pixels > 0
    return mask
