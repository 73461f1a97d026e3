"""The headers that DICOM objects inherit from the CT: those of its own files, or made-up ones.

A segmentation or a report belongs to the patient, the study and the frame of reference of the images it was
made from. Of a CT that came from DICOM files these are read again here, when they are needed, so that a
``Case`` holds no patient data. A NIfTI or NRRD file has none: then UIDs follow from the hash of the scan (the
same scan gives the same study), the patient's name stays empty, and no image is referred to.
"""

from __future__ import annotations

import uuid
import warnings
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DA, TM

from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS, Geometry
from liverseg.volume import Volume
from liverseg.volume_identity import volume_hash

# What every object must have, if only empty (type 2 in DICOM PS3.3 C.7.1 and C.7.2), and files may lack.
_EMPTY_ALLOWED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_SEXES = ("M", "F", "O")


@dataclass(frozen=True, eq=False)
class SourceHeaders:
    """What DICOM objects made from a CT say of it. Holds patient data: use it, and let it go.

    Attributes:
        images: one header a slice, by rising k; or the one header of a multi-frame file.
        frames: of a multi-frame file, the frame (from 0) of each slice; None for single images.
        generated: the ids are made up, because the CT did not come from DICOM files.
    """

    images: tuple[Dataset, ...]
    frames: tuple[int, ...] | None
    generated: bool

    @property
    def first(self) -> Dataset:
        """The header that the whole series' attributes are taken from."""
        return self.images[0]


def derived_uid(*parts: str) -> str:
    """A DICOM UID (PS3.5 B.2, UUID derived) that follows from the parts."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(('liverseg', *parts))).int}"


def has_headers(ct: Volume) -> bool:
    """Whether the CT came from DICOM files that are known, so that their headers can be inherited."""
    return bool(ct.source.files)


def source_headers(ct: Volume) -> SourceHeaders:
    """The headers of a CT, without pixels.

    Raises:
        InputRefused: the CT's DICOM files are no longer there, or are others by now.
    """
    if not has_headers(ct):
        return _made_up(ct)
    files = ct.source.files
    if len({path for path, _ in files}) == 1 and len(files) > 1:
        header = _completed(_read(ct, 0), ct)
        return SourceHeaders((header,), tuple(frame for _, frame in files), generated=False)
    first = _completed(_read(ct, 0), ct)
    return SourceHeaders(
        (first, *(_slice_like(first, _read(ct, k)) for k in range(1, len(files)))), None, generated=False
    )


def _read(ct: Volume, k: int) -> Dataset:
    """The header of slice k's file; of all but the first no more than what tells slices apart."""
    path, _ = ct.source.files[k]
    tags = None if k == 0 else ["SOPClassUID", "SOPInstanceUID", "ImagePositionPatient"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=list(tags) if tags else None
            )
    except (OSError, InvalidDicomError, EOFError) as error:
        raise InputRefused(
            "A file of the DICOM series cannot be read again for its header; leave the series where it is "
            "until the results are written."
        ) from error
    if str(header.get("SOPInstanceUID", "")) not in ct.source.instance_uids:
        raise InputRefused("The DICOM series was changed while it was read out: run again.")
    return header


def _slice_like(first: Dataset, own: Dataset) -> Dataset:
    """The header of a further slice: the series' attributes of the first and its own place and name."""
    image = Dataset()
    for keyword in (
        *("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
        *("PixelSpacing", "SliceThickness"),
        # Written with rounding errors that differ from slice to slice; the first's counts for all.
        "ImageOrientationPatient",
    ):
        image[keyword] = first[keyword]
    image.SOPClassUID = own.get("SOPClassUID", first.SOPClassUID)
    image.SOPInstanceUID, image.ImagePositionPatient = own.SOPInstanceUID, own.ImagePositionPatient
    return image


def _completed(header: Dataset, ct: Volume) -> Dataset:
    """A header with all that objects made from it must say; what is damaged is left empty or out."""
    _to_utf8(header)
    _repair(header)
    made_up = {
        "StudyInstanceUID": derived_uid("study", header.SeriesInstanceUID),
        "FrameOfReferenceUID": derived_uid("frame of reference", header.SeriesInstanceUID),
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
    }
    if "PixelSpacing" in header:
        made_up["SliceThickness"] = _decimal(ct.geometry.spacing_kji[0])
    for keyword, value in made_up.items():
        if not header.get(keyword):
            setattr(header, keyword, value)
    return header


def _to_utf8(header: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.decode()
    for element in header:
        if element.VR == "PN" and element.VM == 1:
            # As text, or the bytes of the old character set would be written under the name of the new one.
            element.value = str(element.value)
    header.SpecificCharacterSet = "ISO_IR 192"


def _repair(header: Dataset) -> None:
    """Add what may be empty but not missing, and take out what would make a new object invalid."""
    for element in [e for e in header if e.VR == "SQ" and any(map(_is_broken_code, e.value))]:
        del header[element.tag]
    for keyword in _EMPTY_ALLOWED:
        if header.get(keyword) is None:
            setattr(header, keyword, "")
    if header.PatientSex not in _SEXES:
        header.PatientSex = ""
    for keyword, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            kind(header.get(keyword))
        except ValueError:
            setattr(header, keyword, "")


def _is_broken_code(item: Dataset) -> bool:
    """Whether an item of a sequence is a code without its scheme or meaning, which nobody may pass on."""
    return "CodeValue" in item and not (item.get("CodingSchemeDesignator") and item.get("CodeMeaning"))


def _made_up(ct: Volume) -> SourceHeaders:
    """Headers of a scan that is no DICOM: one image a slice, where the slice lies."""
    digest = ct.source.sha256 or volume_hash(ct)
    first = Dataset()
    for keyword in _EMPTY_ALLOWED:
        setattr(first, keyword, "")
    first.SpecificCharacterSet = "ISO_IR 192"
    # Scans of different patients must not be taken for those of one without an id.
    first.PatientID = f"LIVERSEG-{digest[:12]}"
    first.StudyInstanceUID = derived_uid("study", digest)
    first.SeriesInstanceUID = derived_uid("series", digest)
    first.FrameOfReferenceUID = derived_uid("frame of reference", digest)
    first.SOPClassUID, first.Modality = CTImageStorage, "CT"
    slices, first.Rows, first.Columns = ct.geometry.shape
    thickness, rows_apart, columns_apart = ct.geometry.spacing_kji
    first.PixelSpacing = [_decimal(rows_apart), _decimal(columns_apart)]
    first.SliceThickness = _decimal(thickness)
    first.ImageOrientationPatient = [_decimal(v) for v in row_and_column(ct.geometry).ravel()]
    first.SOPInstanceUID, first.ImagePositionPatient = _place(ct, digest, 0)
    others = []
    for k in range(1, slices):
        own = Dataset()
        own.SOPInstanceUID, own.ImagePositionPatient = _place(ct, digest, k)
        others.append(_slice_like(first, own))
    return SourceHeaders((first, *others), None, generated=True)


def row_and_column(geometry: Geometry) -> np.ndarray:
    """Unit vectors (LPS) along a row (i) and along a column (j), (2, 3)."""
    return (LPS_TO_RAS[:3, :3] @ geometry.directions[:, :2]).T


def _place(ct: Volume, digest: str, k: int) -> tuple[str, list[str]]:
    """A made-up SOPInstanceUID and the position (LPS mm) of slice k."""
    position = LPS_TO_RAS[:3, :3] @ ct.geometry.to_ras((k, 0, 0))
    return derived_uid("image", digest, str(k)), [_decimal(v) for v in position]


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    return f"{value + 0.0:.10g}"[:16]
