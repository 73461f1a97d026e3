"""Small DICOM series as files, and what reading them says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from liverseg.errors import InputRefused
from liverseg.reading import read_volume

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


ROWS = 6


COLUMNS = 8


STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


EVEN_Z = tuple(100.0 + 2.5 * n for n in range(7))


def stored_values(count: int) -> np.ndarray:
    """Different in every voxel, (slice, row, column)."""
    return np.arange(count * ROWS * COLUMNS, dtype=np.int16).reshape(count, ROWS, COLUMNS)


def image(uid: str, modality: str = "CT", sop_class: str = CT_IMAGE) -> Dataset:
    """The elements that all images of a series share; a phase name stands where a patient's name would."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", uid
    ds.PatientName, ds.PatientID = "Example^Person", "ID-4711"
    ds.Modality, ds.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = ROWS, COLUMNS, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    return ds


def write_series(
    folder: Path,
    uid: str = "1.2.3.1",
    positions: Sequence[Sequence[float]] | None = None,
    *,
    orientation: Sequence[float] = STRAIGHT,
    modality: str = "CT",
    description: str = "PORTAL",
    number: int = 1,
    image_type: str = "AXIAL",
    compress: bool = False,
) -> np.ndarray:
    """Write one file a slice under names in an arbitrary order; returns the HU in the order of positions."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [(-50.0, -60.0, z) for z in EVEN_Z] if positions is None else positions
    stored = stored_values(len(places))
    for n in np.random.default_rng(1).permutation(len(places)):
        ds = image(uid, modality)
        ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber = description, number, 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", image_type]
        ds.ImagePositionPatient = [round(float(x), 6) for x in places[n]]
        ds.ImageOrientationPatient = [round(float(x), 8) for x in orientation]
        ds.PixelSpacing, ds.SliceThickness = [0.8, 0.7], 2.5
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = stored[n].tobytes()
        if compress:
            ds.compress(RLELossless)
        ds.save_as(folder / f"IM{len(list(folder.iterdir())):04d}", enforce_file_format=True)
    return stored.astype(np.int32) - 1024


def refusal(folder: Path, series_uid: str | None = None) -> str:
    with pytest.raises(InputRefused) as caught:
        read_volume(folder, series_uid)
    assert "\n" not in str(caught.value)
    assert "Example" not in str(caught.value)
    return str(caught.value)
