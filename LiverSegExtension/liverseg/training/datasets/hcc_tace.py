"""HCC-TACE-Seg as TCIA gives it: ``HCC_NNN/<study>/<series>/*.dcm``, CTs and DICOM segmentations.

A segmentation knows background, liver, mass, portal vein and aorta. The CT it belongs to is the series that
it names; where that series holds several phases, the images it names tell which. The clinical table of the
same patients is for :mod:`liverseg.training.clinical`.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from liverseg.dicom import read_files
from liverseg.errors import InputRefused
from liverseg.training.datasets.dicom_seg import read_segments, reference_of
from liverseg.training.datasets.scan import LabeledScan, ScanLabels, check_folder
from liverseg.training.persons import person_of
from liverseg.volume import Volume

log = logging.getLogger(__name__)

_PATIENT = re.compile(r"HCC_(\d+)", re.IGNORECASE)
# Words of a segment's name, in the order in which they decide: "mass in the liver" is a mass.
_PORTAL_VEIN, _LESION, _LEFT_OUT, _LIVER = "portal vein", "lesion", "left out", "liver"
_WORDS = (
    (_PORTAL_VEIN, ("portal",)),
    (_LEFT_OUT, ("aorta", "background")),
    (_LESION, ("mass", "tumor", "tumour", "lesion", "neoplasm", "carcinoma")),
    (_LIVER, ("liver",)),
)


@dataclass(frozen=True)
class _Reader:
    """Reads one segmentation's CT among the patient's series.

    Attributes:
        series: the folders of the patient's images, by SeriesInstanceUID.
    """

    series: tuple[tuple[str, Path], ...]

    def ct(self, scan: LabeledScan) -> Volume:
        reference = reference_of(scan.label)
        folder = dict(self.series).get(reference.series_uid)
        if folder is None:
            raise InputRefused(
                f"the CT series {reference.series_uid}, which {scan.label} names, is not there."
            )
        files = sorted(path for path in folder.iterdir() if path.is_file())
        try:
            return read_files(files)
        except InputRefused:
            phase = _of_the_same_phase(files, reference.instance_uids)
            if not phase or len(phase) == len(files):
                raise
            return read_files(phase)

    def labels(self, scan: LabeledScan) -> ScanLabels:
        ct = self.ct(scan)
        masks = {what: np.zeros(ct.geometry.shape, bool) for what, _ in _WORDS}
        segments = read_segments(scan.label, ct)
        for name, mask in segments.items():
            what = next((w for w, words in _WORDS if any(word in name for word in words)), None)
            if what is None:
                log.warning("%s: the segment %r is unknown and was left out", scan.case, name)
            else:
                masks[what] |= mask
        if not masks[_LIVER].any():
            raise InputRefused(f"{scan.label} holds no liver, only: {'; '.join(segments)}.")
        label = (masks[_LIVER] | _enclosed(masks[_PORTAL_VEIN], masks[_LIVER] | masks[_LESION])).astype(
            np.uint8
        )
        label[masks[_LESION]] = 2
        # One kind of vessel alone says nothing of the others, so none is given.
        return ScanLabels(label, ct.geometry)


def _enclosed(vein: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """The parts of the portal vein that lie in the liver: the segmentation leaves holes for them there."""
    return vein & np.stack([ndimage.binary_fill_holes(part) for part in organ])


def _of_the_same_phase(files: list[Path], instance_uids: frozenset[str]) -> list[Path]:
    """The files of the acquisition that the named images belong to."""
    headers = {path: header for path in files if (header := _header(path)) is not None}
    acquisition = {
        str(h.get("AcquisitionNumber", ""))
        for h in headers.values()
        if str(h.get("SOPInstanceUID")) in instance_uids
    }
    return [
        path for path, header in headers.items() if str(header.get("AcquisitionNumber", "")) in acquisition
    ]


def _header(path: Path) -> Dataset | None:
    try:
        return pydicom.dcmread(
            path,
            stop_before_pixels=True,
            specific_tags=["Modality", "SeriesInstanceUID", "SOPInstanceUID", "AcquisitionNumber"],
        )
    except (InvalidDicomError, OSError, EOFError):
        return None


def hcc_tace_folder(root: Path) -> list[LabeledScan]:
    """Every segmentation of every patient, with the CT that it names.

    Raises:
        InputRefused: no folder, or no segmentation in it.
    """
    check_folder(root)
    patients: dict[int, Path] = {}
    for path in sorted(p for p in (root, *root.glob("*"), *root.glob("*/*")) if p.is_dir()):
        match = _PATIENT.fullmatch(path.name)
        if match:
            patients.setdefault(int(match[1]), path)
    scans = [scan for number, folder in sorted(patients.items()) for scan in _scans(number, folder)]
    if not scans:
        raise InputRefused(
            f"{root} holds {len(patients)} folders HCC_NNN and no segmentation: give the folder HCC-TACE-Seg "
            "as TCIA's downloader writes it"
        )
    return scans


def _scans(number: int, folder: Path) -> list[LabeledScan]:
    """The scans of a patient; a series is a folder, so that one header of each is enough."""
    images, segmentations = [], []
    for place in sorted(p for p in folder.rglob("*") if p.is_dir()):
        files = sorted(p for p in place.iterdir() if p.is_file())
        header = next((h for path in files if (h := _header(path)) is not None), None)
        if header is None:
            continue
        if header.get("Modality") == "SEG":
            segmentations += [path for path in files if _header(path) is not None]
        else:
            images.append((str(header.get("SeriesInstanceUID")), place))
    scans = []
    for count, label in enumerate(segmentations, start=1):
        case = f"hcctace_{number:03d}" + (f"_{count}" if count > 1 else "")
        scans.append(
            LabeledScan(
                case=case,
                person=person_of(case),
                ct=_place_of_ct(label, images, folder),
                label=label,
                reader=_Reader(tuple(images)),
            )
        )
    return scans


def _place_of_ct(label: Path, images: list[tuple[str, Path]], folder: Path) -> Path:
    """For the report; what cannot be found is said when it is read."""
    try:
        return dict(images).get(reference_of(label).series_uid, folder)
    except InputRefused:
        return folder
