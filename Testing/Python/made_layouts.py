"""Tiny data sets in the very layouts of the public ones, each of one made-up scan."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import generate_uid

from liverseg.geometry import Geometry
from liverseg.phantom_dicom import SeriesTags, write_dicom_series
from liverseg.volume import Volume
from made_data import MadeScan, write_array

Structures = dict[str, np.ndarray]


def volume_of(made: MadeScan) -> Volume:
    """The made-up CT with whole HU."""
    return Volume(np.rint(made.hu).astype(np.int16), Geometry(made.hu.shape, made.ct_affine))


def vessels_of(made: MadeScan) -> np.ndarray:
    """Two made-up vessels in the liver: 1 portal vein, 2 hepatic veins."""
    vessels = np.zeros(made.label.shape, np.uint8)
    vessels[4:11, 15:17, 8:10] = 1
    vessels[4:11, 15:17, 14:16] = 2
    return vessels


def write_lits(root: Path, made: MadeScan) -> None:
    """LiTS, the CT compressed and in another batch than its segmentation."""
    write_array(volume_of(made).array, made.ct_affine, root / "Training Batch 1" / "volume-3.nii")
    write_array(made.label, made.label_affine, root / "Training Batch 2" / "segmentation-3.nii.gz")
    write_array(volume_of(made).array, made.ct_affine, root / "test-volume-3.nii")


def write_task08(root: Path, made: MadeScan, liver: bool = True) -> None:
    """MSD Task08: vessels and tumor, and a folder of livers unless left out."""
    drawn = np.where(made.label == 2, 2, vessels_of(made) > 0).astype(np.uint8)
    write_array(volume_of(made).array, made.ct_affine, root / "imagesTr" / "hepaticvessel_012.nii.gz")
    (root / "imagesTr" / "._hepaticvessel_012.nii.gz").write_bytes(b"left by a Mac")
    write_array(drawn, made.label_affine, root / "labelsTr" / "hepaticvessel_012.nii.gz")
    if liver:
        segments = (made.label > 0) * 5
        write_array(
            segments.astype(np.uint8), made.label_affine, root / "livers" / "hepaticvessel_012.nii.gz"
        )


def write_pairs(root: Path, made: MadeScan) -> None:
    """A plain folder pair, channels numbered as nnU-Net wants it."""
    write_array(volume_of(made).array, made.ct_affine, root / "images" / "first_0000.nii.gz")
    write_array(made.label, made.label_affine, root / "labels" / "first.nii.gz")


def _slices(folder: Path, volume: Volume, name: Callable[[int], str], tags: SeriesTags) -> list[Path]:
    """A DICOM series whose file of slice k is called ``name(k)``."""
    result = []
    for k, path in enumerate(write_dicom_series(volume, folder, tags, shuffle_seed=None)):
        result.append(path.rename(folder / name(k)))
    return result


def write_ircad(root: Path, made: MadeScan, zipped: bool = False) -> None:
    """3D-IRCADb-01: DICOM of the patient, and a folder of DICOM masks (0 and 255) a structure."""
    patient = root / "3Dircadb1.5"
    volume = volume_of(made)
    _slices(patient / "PATIENT_DICOM", volume, lambda k: f"image_{k}", SeriesTags())
    vessels = vessels_of(made)
    structures = {
        "liver": (made.label > 0) & (vessels == 0),
        "livertumor01": made.label == 2,
        "portalvein": vessels == 1,
        "venoussystem": vessels == 2,
        "bone": made.hu > 500,
    }
    for name, mask in structures.items():
        folder = patient / "MASKS_DICOM" / name
        for k, path in enumerate(_slices(folder, volume, lambda k: f"image_{k}", SeriesTags())):
            image = pydicom.dcmread(path)
            image.RescaleIntercept = "0"
            image.PixelData = (mask[k] * 255).astype("<i2").tobytes()
            image.save_as(path)
    if zipped:
        for name in ("PATIENT_DICOM", "MASKS_DICOM"):
            with zipfile.ZipFile(patient / f"{name}.zip", "w") as archive:
                for path in sorted((patient / name).rglob("*")):
                    archive.write(path, path.relative_to(patient))
            shutil.rmtree(patient / name)


def write_chaos(root: Path, made: MadeScan) -> None:
    """CHAOS: pictures as masks, file names against the positions, each file of a series of its own."""
    patient = root / "Train_Sets" / "CT" / "14"
    last = made.hu.shape[0] - 1
    name = "i{:04d},0000b.dcm"
    files = _slices(patient / "DICOM_anon", volume_of(made), lambda k: name.format(last - k), SeriesTags())
    (patient / "Ground").mkdir(parents=True)
    for k, path in enumerate(files):
        image = pydicom.dcmread(path)
        image.SeriesInstanceUID = generate_uid(entropy_srcs=["chaos", str(k)])
        image.save_as(path)
        picture = Image.fromarray(((made.label[k] > 0) * 255).astype(np.uint8))
        picture.save(patient / "Ground" / f"liver_GT_{last - k:03d}.png")
    (root / "Train_Sets" / "MR" / "1" / "T2SPIR" / "DICOM_anon").mkdir(parents=True)


def write_hcc_tace(root: Path, made: MadeScan, two_phases: bool = False) -> None:
    """HCC-TACE-Seg: studies and series as TCIA's downloader names them, and a DICOM SEG of five classes."""
    study = root / "HCC_017" / "04-21-2000-NA-CT ABDPEL WC-49771"
    series = study / "103.000000-Recon 3 LIVER 3 PHASE-98357"
    tags = SeriesTags(series_number=103)
    volume = volume_of(made)
    files = _slices(series, volume, lambda k: f"1-{k + 1:02d}.dcm", tags)
    other = Volume(volume.array + np.int16(40), volume.geometry)
    _slices(study / "2.000000-LIVER PRE-1", other, lambda k: f"1-{k:02d}.dcm", SeriesTags())
    _write_seg(study / "300.000000-Segmentation-45632" / "1-1.dcm", files, made)
    if two_phases:
        for k, path in enumerate(files):
            image = pydicom.dcmread(path)
            image.AcquisitionNumber = 2
            image.SOPInstanceUID = generate_uid(entropy_srcs=["second phase", str(k)])
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.PixelData = (image.pixel_array + 60).astype("<i2").tobytes()
            image.save_as(path.with_name(f"2-{k + 1:02d}.dcm"))


def _write_seg(path: Path, files: list[Path], made: MadeScan) -> None:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    vessels = vessels_of(made)
    aorta = np.zeros(made.label.shape, bool)
    aorta[:, 20:22, 20:22] = True
    masks = {
        "Liver": (made.label == 1) & (vessels == 0),
        "Mass": made.label == 2,
        "Portal vein": vessels > 0,
        "Abdominal aorta": aorta,
        "Background": made.hu < -500,
    }
    algorithm = hd.AlgorithmIdentificationSequence("by hand", codes.DCM.ManualProcessing, "1")
    described = [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Organ,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            algorithm_identification=algorithm,
        )
        for n, name in enumerate(masks, start=1)
    ]
    seg = hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in files],
        pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=hd.UID(),
        series_number=300,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="LiverSeg",
        manufacturer_model_name="phantom",
        software_versions="1",
        device_serial_number="1",
    )
    path.parent.mkdir(parents=True)
    seg.save_as(path)


WRITERS: dict[str, Callable[[Path, MadeScan], None]] = {
    "lits": write_lits,
    "msd-task08": write_task08,
    "ircad": write_ircad,
    "chaos": write_chaos,
    "hcc-tace": write_hcc_tace,
    "pairs": write_pairs,
}
PERSONS = {
    "lits": "lits_003",
    "msd-task08": "msd8_012",
    "ircad": "ircad_005",
    "chaos": "chaos_014",
    "hcc-tace": "hcctace_017",
    "pairs": "first",
}
