"""A labeled scan: where its files lie and how they are read, whatever the layout of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.reading import read_labels, read_volume
from liverseg.volume import Volume


@dataclass(frozen=True, eq=False)
class ScanLabels:
    """What was drawn on a scan.

    Attributes:
        label: (k, j, i) liver and lesions, by the values that the scan names.
        geometry: of ``label``; for file pairs that of the label's own file.
        vessels: 1 portal vein, 2 hepatic veins and cava, 3 either, on the same grid; None where nobody drew
            them, or where they are a file of their own.
    """

    label: np.ndarray
    geometry: Geometry
    vessels: np.ndarray | None = None


class ScanReader(Protocol):
    """Reads the scans of one layout; what cannot be read is refused by InputRefused with the reason."""

    def ct(self, scan: LabeledScan) -> Volume:
        """The CT in HU."""
        ...

    def labels(self, scan: LabeledScan) -> ScanLabels:
        """Its labels."""
        ...


class FilePair:
    """A CT and a label map, each a file (or the CT a DICOM folder)."""

    def ct(self, scan: LabeledScan) -> Volume:
        return read_volume(scan.ct)

    def labels(self, scan: LabeledScan) -> ScanLabels:
        return ScanLabels(*read_labels(scan.label))


FILE_PAIR = FilePair()


@dataclass(frozen=True)
class LabeledScan:
    """A CT with its labels.

    Attributes:
        case: unique within a data set.
        person: who was scanned (:func:`liverseg.training.persons.person_of` of ``case``); splits are by
            person.
        ct: gray values in HU: a file, a DICOM folder, or an archive that holds one.
        label: liver and lesions on the CT's grid: a file, or the folder they are made from.
        couinaud: readings of the Couinaud segments 1..8 on the same grid.
        vessels: 1 portal vein, 2 hepatic veins and cava, 3 either, on the same grid.
        anatomy: other organs, in the same world but perhaps on another grid.
        liver_only: the label tells no lesions apart: whether there are any is not said.
        liver_value, lesion_value: what ``label`` calls them; None for a liver that nobody drew.
        reader: how ``ct`` and ``label`` are read.
    """

    case: str
    person: str
    ct: Path
    label: Path
    couinaud: tuple[Path, ...] = ()
    vessels: Path | None = None
    anatomy: Path | None = None
    liver_only: bool = False
    liver_value: int | None = 1
    lesion_value: int = 2
    reader: ScanReader = FILE_PAIR


def standard_label(label: np.ndarray, scan: LabeledScan) -> np.ndarray:
    """A scan's label map as 0 outside, 1 liver, 2 lesion (uint8); the scan says which values it uses."""
    result = np.zeros(label.shape, np.uint8)
    if scan.liver_value is not None:
        result[label == scan.liver_value] = 1
    if not scan.liver_only:
        result[label == scan.lesion_value] = 2
    return result


def check_folder(root: Path, *parts: str) -> None:
    """Refuse a data folder that is missing or lacks one of its parts.

    Raises:
        InputRefused: names what is missing.
    """
    if not root.is_dir():
        raise InputRefused(f"the data folder {root} does not exist")
    for part in parts:
        if not (root / part).is_dir():
            raise InputRefused(f"{root} has no folder {part!r}: is it laid out as this adapter wants it?")


def stem_of(path: Path) -> str:
    """A file's name without the endings of NIfTI, NRRD and MetaImage files."""
    name = path.name
    for ending in (".gz", ".nii", ".nrrd", ".mha", ".mhd"):
        name = name.removesuffix(ending)
    return name


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; hidden ones (archives packed on a Mac) are none."""
    endings = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
    files = (path for path in folder.iterdir() if path.is_file() and path.name.endswith(endings))
    return sorted(path for path in files if not path.name.startswith("."))
