"""MSD Task08_HepaticVessel: labels 1 hepatic vessel (kind not told) and 2 tumor, and no liver.

What it is good for: vessels and tumors of some three hundred persons. Without a liver no network of ours can
be trained on it, as stage 1 learns the liver and stage 2 is given it. So a folder ``livers`` may lie beside
``imagesTr`` with a map of the liver for each case (any value above 0; published Couinaud maps of these scans
do, and so does the liver of a trained model, looked at by a person). Cases without one can be checked, split
and converted, and are refused when a cache is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused
from liverseg.reading import read_labels, read_volume
from liverseg.training.datasets.scan import LabeledScan, ScanLabels, check_folder, image_files, stem_of
from liverseg.training.persons import person_of
from liverseg.volume import Volume

# Task08's own values, and the code of vessels whose kind nobody told.
_VESSEL, _TUMOR = 1, 2
_KIND_UNKNOWN = 3
_SAME_GRID_MM = 0.5


@dataclass(frozen=True)
class _Reader:
    liver: Path | None

    def ct(self, scan: LabeledScan) -> Volume:
        return read_volume(scan.ct)

    def labels(self, scan: LabeledScan) -> ScanLabels:
        """Values that Task08 does not have stay as they are, for the check to find."""
        raw, geometry = read_labels(scan.label)
        label = np.where(raw == _VESSEL, 0, raw).astype(raw.dtype)
        if self.liver is not None:
            liver, grid = read_labels(self.liver)
            if not grid.matches(geometry, _SAME_GRID_MM):
                raise InputRefused(f"{self.liver} lies on another grid than {scan.label.name}")
            label[(liver > 0) & (raw <= _VESSEL)] = 1
        return ScanLabels(label, geometry, ((raw == _VESSEL) * _KIND_UNKNOWN).astype(np.uint8))


def hepatic_vessels_folder(root: Path) -> list[LabeledScan]:
    """Every case of ``imagesTr`` and ``labelsTr``, with its liver where ``livers`` has one.

    Raises:
        InputRefused: no such folders, or no image in them.
    """
    check_folder(root, "imagesTr", "labelsTr")
    images = image_files(root / "imagesTr")
    if not images:
        raise InputRefused(f"{root / 'imagesTr'} holds no image: give the folder Task08_HepaticVessel")
    livers = {stem_of(p): p for p in image_files(root / "livers")} if (root / "livers").is_dir() else {}
    scans = []
    for image in images:
        case = stem_of(image)
        liver = livers.get(case)
        scans.append(
            LabeledScan(
                case=case,
                person=person_of(case),
                ct=image,
                label=root / "labelsTr" / image.name,
                liver_value=None if liver is None else 1,
                lesion_value=_TUMOR,
                reader=_Reader(liver),
            )
        )
    return scans
