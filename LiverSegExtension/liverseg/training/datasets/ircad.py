"""3D-IRCADb-01: a folder a patient (``3Dircadb1.N``) with ``PATIENT_DICOM`` and ``MASKS_DICOM``.

Both may be folders or the archives (.zip) they come in. ``MASKS_DICOM`` holds a folder of DICOM masks for
each structure; liver tumors and liver cysts are lesions, the portal vein and the hepatic veins with the cava
are vessels where both are drawn, every other structure is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liverseg.dicom import read_series
from liverseg.errors import InputRefused
from liverseg.training.datasets.dicom_masks import opened, read_dicom_mask
from liverseg.training.datasets.scan import LabeledScan, ScanLabels, check_folder
from liverseg.training.persons import person_of
from liverseg.volume import Volume

_PATIENT = re.compile(r"3Dircadb1\.(\d+)", re.IGNORECASE)
_CT, _MASKS = "PATIENT_DICOM", "MASKS_DICOM"
# How the structures' folders begin; some have a number behind (livertumor01).
_LESIONS = ("livertumor", "livercyst", "livercist")
_PORTAL_VEIN = ("portalvein",)
_HEPATIC_VEINS = ("venoussystem", "venacava", "hepaticvein")


class _Reader:
    def ct(self, scan: LabeledScan) -> Volume:
        with opened(scan.ct) as folder:
            return read_series(folder)

    def labels(self, scan: LabeledScan) -> ScanLabels:
        with opened(scan.ct) as series, opened(scan.label) as masks:
            ct = read_series(series)
            structures: dict[str, Path] = {}
            for folder in sorted(path for path in masks.rglob("*") if path.is_dir()):
                structures.setdefault(folder.name.lower().replace(" ", ""), folder)
            if "liver" not in structures:
                raise InputRefused(f"{scan.label} has no folder 'liver'.")
            label = read_dicom_mask(structures["liver"], ct).astype(np.uint8)
            label[_together(structures, _LESIONS, ct)] = 2
            hepatic = _together(structures, _HEPATIC_VEINS, ct)
            portal = _together(structures, _PORTAL_VEIN, ct)
        # One kind alone says nothing of the other.
        vessels = np.where(portal, 1, hepatic * 2).astype(np.uint8)
        return ScanLabels(label, ct.geometry, vessels if portal.any() and hepatic.any() else None)


def _together(structures: dict[str, Path], beginnings: Sequence[str], ct: Volume) -> np.ndarray:
    mask = np.zeros(ct.geometry.shape, bool)
    for name, folder in structures.items():
        if name.startswith(tuple(beginnings)):
            mask |= read_dicom_mask(folder, ct)
    return mask


_READER = _Reader()


def ircad_folder(root: Path) -> list[LabeledScan]:
    """Every patient's folder; a missing half is named all the same.

    Raises:
        InputRefused: no folder, or no patient in it.
    """
    check_folder(root)
    folders: dict[int, Path] = {}
    for path in sorted(p for p in (root, *root.glob("*"), *root.glob("*/*")) if p.is_dir()):
        match = _PATIENT.fullmatch(path.name)
        # The archive of all patients holds a folder of the same name in the patient's own.
        if match and any(_part(path, name).exists() for name in (_CT, _MASKS)):
            folders.setdefault(int(match[1]), path)
    if not folders:
        raise InputRefused(
            f"{root} holds no patient: give the folder with 3Dircadb1.1 to 3Dircadb1.20, each with {_CT} and "
            f"{_MASKS} (or their .zip)"
        )
    return [
        LabeledScan(
            case=f"ircad_{number:02d}",
            person=person_of(f"ircad_{number:02d}"),
            ct=_part(folder, _CT),
            label=_part(folder, _MASKS),
            reader=_READER,
        )
        for number, folder in sorted(folders.items())
    ]


def _part(folder: Path, name: str) -> Path:
    """The folder of that name, or its archive where it is still packed."""
    archive = folder / f"{name}.zip"
    return archive if archive.is_file() and not (folder / name).is_dir() else folder / name
