"""SimpleITK images and arrays: the grid of an image, an image of an array, ITK kept quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.geometry import LPS_TO_RAS, Geometry


def geometry_of(image: sitk.Image) -> Geometry:
    """The grid of a 3D SimpleITK image; ITK's LPS becomes RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    i, j, k = image.GetSize()
    return Geometry((k, j, i), LPS_TO_RAS @ matrix)


def to_sitk(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A SimpleITK image (LPS) of an array (k, j, i); bool becomes uint8.

    A sheared grid (gantry tilt) stays sheared in the image, and in NRRD and MetaImage files written from it.
    ITK's NIfTI writer turns such a grid into the nearest one with right angles, which moves voxels.
    """
    if array.shape != geometry.shape:
        raise ValueError(f"array {array.shape} and geometry {geometry.shape} differ in size")
    values = array.astype(np.uint8) if array.dtype == bool else array
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    matrix = LPS_TO_RAS @ geometry.ijk_to_ras
    spacing = geometry.spacing_ijk
    image.SetSpacing([float(s) for s in spacing])
    image.SetDirection([float(d) for d in (matrix[:3, :3] / spacing).ravel()])
    image.SetOrigin([float(x) for x in matrix[:3, 3]])
    return image


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK's warnings, and what its libraries print to the process's stderr, away from the user.

    Some of ITK's readers (MetaImage) write to file descriptor 2 past every switch of ITK, so the descriptor
    itself is turned away for the time of one read.
    """
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        kept = os.dup(2)
    except OSError:  # a windowed application without a stderr
        kept = None
    try:
        if kept is not None:
            with Path(os.devnull).open("wb") as sink:
                os.dup2(sink.fileno(), 2)
        yield
    finally:
        if kept is not None:
            os.dup2(kept, 2)
            os.close(kept)
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
