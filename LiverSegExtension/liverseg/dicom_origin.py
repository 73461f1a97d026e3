"""The DICOM files of a CT that reached us another way, such as through a Slicer scene.

With them, DICOM objects that are made from the CT belong to its patient and study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from liverseg.dicom import series_of_files
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.volume import Volume

# Programs write positions with rounded digits.
SAME_PLACE_MM = 0.1


def with_dicom_files(ct: Volume, files: Sequence[Path]) -> Volume:
    """The CT with the DICOM files of its slices, wherever the files' headers say that the CT lies.

    Args:
        ct: on the files' grid; slices may run the other way.
        files: of one series, in any order.

    Raises:
        InputRefused: a file is missing or no image, or the series is not on the CT's grid: another one, or
            the CT was moved or resampled.
    """
    source, geometry = series_of_files(files)
    for grid, order in ((geometry, slice(None)), (_backwards(geometry), slice(None, None, -1))):
        if grid.matches(ct.geometry, SAME_PLACE_MM):
            ordered = replace(
                source,
                files=source.files[order],
                instance_uids=source.instance_uids[order],
                sha256=ct.source.sha256,
            )
            return replace(ct, source=ordered)
    raise InputRefused("the CT does not lie where its DICOM files say; it was moved or resampled since")


def _backwards(geometry: Geometry) -> Geometry:
    """The same grid with its slices counted from the other end."""
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 3] = geometry.to_ras(np.array([geometry.shape[0] - 1, 0, 0]))
    matrix[:3, 2] *= -1
    return Geometry(geometry.shape, matrix)
