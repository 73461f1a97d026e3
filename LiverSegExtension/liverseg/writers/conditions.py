"""When an output can be written for a case, and what its reader must be told. Loads nothing heavy."""

from __future__ import annotations

import numpy as np

from liverseg.case import Case
from liverseg.uneven import SHEAR_DEGREES, is_sheared


def has_vessels(case: Case) -> bool:
    """Whether the case knows vessels, if only that there are none."""
    return case.masks.vessels is not None


def has_liver(case: Case) -> bool:
    """Whether there is anything to draw or to write into a DICOM object."""
    return bool(case.masks.liver.any())


def fits_dicom(case: Case) -> bool:
    """Whether DICOM objects can be made: a segmentation needs a segment, an image right angles."""
    return has_liver(case) and _rows_cross_columns(case)


def fits_dicom_with_vessels(case: Case) -> bool:
    """Whether a DICOM segmentation of the vessels can be made."""
    return fits_dicom(case) and case.masks.vessels is not None and bool(case.masks.vessels.any())


def fits_dicom_with_lesions(case: Case) -> bool:
    """Whether a DICOM segmentation of the lesions can be made."""
    return fits_dicom(case) and bool(case.lesions)


def dicom_warnings(case: Case) -> tuple[str, ...]:
    """What is to be said of the DICOM outputs: why there are none, ids that are made up, slanted slices."""
    if not has_liver(case):
        return (
            "No DICOM objects were written: without a liver there is no segment, and DICOM knows no empty "
            "segmentation.",
        )
    if not _rows_cross_columns(case):
        return (
            "No DICOM objects were written: the scan's rows and columns do not cross at right angles, "
            "which DICOM cannot say.",
        )
    found = []
    if not case.ct.source.files:
        found.append(
            "The DICOM objects carry generated ids and no patient, because the CT was not read from DICOM "
            "files: they fit no study in an archive."
        )
    if is_sheared(case.ct.geometry) or case.ct.slice_positions_mm is not None:
        found.append(
            "The scan's slices lie slanted or unevenly. The DICOM segmentation keeps each where it is; "
            "programs that stack slices evenly and upright (dcmqi, 3D Slicer) may misplace it."
        )
    return tuple(found)


def no_surfaces_warning(case: Case) -> tuple[str, ...]:
    """Why there are no surfaces."""
    return () if has_liver(case) else ("No surfaces were written: there is no liver.",)


def _rows_cross_columns(case: Case) -> bool:
    i, j = case.ct.geometry.directions[:, 0], case.ct.geometry.directions[:, 1]
    return bool(abs(i @ j) <= np.sin(np.radians(SHEAR_DEGREES)))
