"""CHAOS: CTs of healthy donors, a folder a patient with ``DICOM_anon`` and ``Ground`` (a picture a slice).

The n-th picture belongs to the n-th DICOM file by name, not by position: both are numbered so. The files of
one scan claim to be of different series. MR scans are left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liverseg.dicom import read_files
from liverseg.errors import InputRefused
from liverseg.training.datasets.dicom_masks import read_picture_mask
from liverseg.training.datasets.scan import LabeledScan, ScanLabels, check_folder
from liverseg.training.persons import person_of
from liverseg.volume import Volume

_CT, _MASKS = "DICOM_anon", "Ground"


class _Reader:
    def ct(self, scan: LabeledScan) -> Volume:
        if not scan.ct.is_dir():
            raise InputRefused(f"{scan.ct} does not exist.")
        return read_files(sorted(path for path in scan.ct.iterdir() if path.is_file()))

    def labels(self, scan: LabeledScan) -> ScanLabels:
        if not scan.label.is_dir():
            raise InputRefused(f"{scan.label} does not exist.")
        ct = self.ct(scan)
        mask = read_picture_mask(sorted(scan.label.glob("*.png")), ct)
        return ScanLabels(mask.astype(np.uint8), ct.geometry)


_READER = _Reader()


def chaos_folder(root: Path) -> list[LabeledScan]:
    """Every labeled CT under ``root``, ``root/CT`` or ``root/Train_Sets/CT``; the donors have no lesions.

    Raises:
        InputRefused: no folder, or no patient in it.
    """
    check_folder(root)
    for place in (root / "Train_Sets" / "CT", root / "CT", root):
        patients = sorted(
            (
                p
                for p in place.glob("*")
                if p.name.isdigit() and ((p / _CT).is_dir() or (p / _MASKS).is_dir())
            ),
            key=lambda p: int(p.name),
        )
        if patients:
            break
    else:
        raise InputRefused(
            f"{root} holds no patient: give the folder Train_Sets of CHAOS; each CT/<number> needs {_CT} "
            f"and {_MASKS}"
        )
    return [
        LabeledScan(
            case=f"chaos_{int(patient.name):02d}",
            person=person_of(f"chaos_{int(patient.name):02d}"),
            ct=patient / _CT,
            label=patient / _MASKS,
            reader=_READER,
        )
        for patient in patients
    ]
