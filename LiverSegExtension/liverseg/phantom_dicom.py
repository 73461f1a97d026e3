"""A volume written as a DICOM series of CT images (CT Image Storage, DICOM PS3.3 A.3), one file a slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from liverseg.errors import UsageError
from liverseg.geometry import LPS_TO_RAS
from liverseg.phantom import make_folder
from liverseg.volume import Volume

_INTERCEPT = -1024


@dataclass(frozen=True)
class SeriesTags:
    """What a series says of itself; the defaults are plainly made up.

    Attributes:
        patient_name, patient_id, birth_date: of the made-up patient.
        study_key: series with the same key belong to one study and one frame of reference.
        series_number: SeriesNumber; part of the SeriesInstanceUID.
        description: SeriesDescription.
        modality: Modality; another than "CT" makes a series that a reader must refuse.
        image_type: ImageType; ("ORIGINAL", "PRIMARY", "LOCALIZER") makes a scout.
    """

    patient_name: str = "Phantom^Petra"
    patient_id: str = "PHANTOM-0"
    birth_date: str = "19600101"
    study_key: str = "phantom"
    series_number: int = 2
    description: str = "Abdomen portal venous (made up)"
    modality: str = "CT"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID, the same for the same key."""
        return str(generate_uid(entropy_srcs=["liverseg study", self.study_key]))

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID, the same for the same key, number and description."""
        return str(
            generate_uid(
                entropy_srcs=["liverseg series", self.study_key, str(self.series_number), self.description]
            )
        )


def write_dicom_series(
    volume: Volume,
    folder: Path,
    tags: SeriesTags | None = None,
    *,
    shuffle_seed: int | None = 0,
    slices: Sequence[int] | None = None,
    prefix: str | None = None,
) -> tuple[Path, ...]:
    """Write a volume as one file a slice (k); several series may lie in one folder.

    Args:
        volume: HU; its k axis must be perpendicular to its slices, as an image series cannot be sheared.
        folder: made when missing.
        tags: of the series.
        shuffle_seed: file names follow another order than InstanceNumber, drawn from this seed; None keeps
            the order.
        slices: which k to write; None for all.
        prefix: of the file names; None for one from the series number.

    Returns:
        The files, by rising k.

    Raises:
        UsageError: HU out of the range of 16 bits, a sheared grid, or a folder that cannot be written to.
    """
    tags = tags or SeriesTags()
    normal = np.cross(volume.geometry.directions[:, 0], volume.geometry.directions[:, 1])
    if abs(abs(normal @ volume.geometry.directions[:, 2]) - 1) > 1e-4:
        raise UsageError("the grid is sheared; a DICOM series needs slices perpendicular to their stack")
    if volume.array.min() < -32768 + _INTERCEPT or volume.array.max() > 32767 + _INTERCEPT:
        raise UsageError("HU beyond the 16 bits of a DICOM image; clip them first")
    make_folder(folder)
    chosen = list(range(volume.geometry.shape[0])) if slices is None else list(slices)
    names = np.arange(len(chosen))
    if shuffle_seed is not None:
        names = np.random.default_rng(shuffle_seed).permutation(names)
    prefix = f"series{tags.series_number:02d}_" if prefix is None else prefix
    paths = []
    for number, (k, name) in enumerate(zip(chosen, names, strict=True)):
        path = folder / f"{prefix}{name:04d}.dcm"
        try:
            _image(volume, k, number + 1, tags, path).save_as(path, enforce_file_format=True)
        except OSError as error:
            raise UsageError(f"cannot write {path} ({error.strerror}); choose another folder") from error
        paths.append(path)
    return tuple(paths)


def _image(volume: Volume, k: int, number: int, tags: SeriesTags, path: Path) -> FileDataset:
    """The data set of one slice."""
    sop_uid = generate_uid(entropy_srcs=["liverseg image", tags.series_uid, str(k)])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = sop_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = sop_uid
    image.InstanceNumber = number
    _say_whose(image, tags)
    _say_where(image, volume, k)
    _say_what(image, volume.array[k])
    return image


def _say_whose(image: Dataset, tags: SeriesTags) -> None:
    """Patient, study, series and equipment."""
    image.PatientName = tags.patient_name
    image.PatientID = tags.patient_id
    image.PatientBirthDate = tags.birth_date
    image.PatientSex = "O"
    image.StudyInstanceUID = tags.study_uid
    image.StudyID = "1"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20240101"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "120000"
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    image.SeriesInstanceUID = tags.series_uid
    image.SeriesNumber = tags.series_number
    image.SeriesDescription = tags.description
    image.Modality = tags.modality
    image.ImageType = list(tags.image_type)
    image.AcquisitionNumber = 1
    image.BodyPartExamined = "ABDOMEN"
    image.PatientPosition = "HFS"
    image.Manufacturer = "LiverSeg"
    image.ManufacturerModelName = "phantom"
    image.KVP = "120"
    image.ContrastBolusAgent = "made up"


def _say_where(image: Dataset, volume: Volume, k: int) -> None:
    """Image plane, in LPS mm."""
    geometry = volume.geometry
    to_lps = LPS_TO_RAS[:3, :3]
    origin = to_lps @ geometry.to_ras((k, 0, 0))
    along_row, along_column = (to_lps @ geometry.directions[:, n] for n in (0, 1))
    thickness, rows_apart, columns_apart = geometry.spacing_kji
    image.FrameOfReferenceUID = str(generate_uid(entropy_srcs=["liverseg frame", image.StudyInstanceUID]))
    image.PositionReferenceIndicator = ""
    image.ImagePositionPatient = [_decimal(v) for v in origin]
    image.ImageOrientationPatient = [_decimal(v) for v in (*along_row, *along_column)]
    image.PixelSpacing = [_decimal(rows_apart), _decimal(columns_apart)]
    image.SliceThickness = _decimal(thickness)
    normal = np.cross(along_row, along_column)
    image.SliceLocation = _decimal(float(normal @ origin))


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    return f"{value + 0.0:.10g}"[:16]


def _say_what(image: Dataset, array: np.ndarray) -> None:
    """Pixels: 16 bits, stored as HU + 1024."""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = array.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.RescaleIntercept = str(_INTERCEPT)
    image.RescaleSlope = "1"
    image.RescaleType = "HU"
    image.WindowCenter, image.WindowWidth = "40", "400"
    stored = np.rint(array).astype(np.int32) - _INTERCEPT
    image.PixelData = stored.astype("<i2").tobytes()
