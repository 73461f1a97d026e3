"""A CT in memory: gray values, grid, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from liverseg.geometry import Geometry


@dataclass(frozen=True)
class Source:
    """Where a volume was read from. Holds no patient name.

    Attributes:
        kind: ``"file"``, ``"dicom"``, ``"scene"`` or ``"array"``.
        name: file or series name for messages; never written into a report of a DICOM input.
        sha256: hash of the voxels and the affine (:func:`liverseg.reading.volume_hash`).
        study_uid: DICOM StudyInstanceUID, when known.
        series_uid: DICOM SeriesInstanceUID, when known.
        modality: DICOM Modality, when known.
        instance_uids: SOPInstanceUIDs sorted along the slice normal, when known.
        files: of a DICOM series the file and the frame in it of each slice, so that objects made from the
            scan can be given its headers. Paths may hold a patient's name: they are written nowhere.
    """

    kind: str = "array"
    name: str = ""
    sha256: str = ""
    study_uid: str | None = None
    series_uid: str | None = None
    modality: str | None = None
    instance_uids: tuple[str, ...] = ()
    files: tuple[tuple[Path, int], ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume.

    Attributes:
        array: (k, j, i) int16 or float32, Hounsfield units for a CT.
        geometry: its grid.
        source: where it came from.
        warnings: what reading had to mend, one plain sentence each.
        slice_positions_mm: position of each slice along the slice normal, rising, counted from where
            ``geometry`` has its first slice, when the slices are not evenly spaced; None when they are.
            Files read have a grid that is right for the longest evenly spaced run.
    """

    array: np.ndarray
    geometry: Geometry
    source: Source = field(default_factory=Source)
    warnings: tuple[str, ...] = ()
    slice_positions_mm: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} and geometry {self.geometry.shape} differ in size")
        if self.slice_positions_mm is not None and len(self.slice_positions_mm) != self.array.shape[0]:
            raise ValueError(f"{len(self.slice_positions_mm)} positions for {self.array.shape[0]} slices")
