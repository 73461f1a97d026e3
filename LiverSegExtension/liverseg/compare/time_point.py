"""One of the scans that are compared: masks and measurements, from a case or a result folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.case import Case, LesionReadout, LiverReadout
from liverseg.errors import InputRefused
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.reading import read_labels, read_volume
from liverseg.writers.report_json import lesions_of, liver_of, read_report

# A report's volume and the voxels of its label map may differ by rounding only.
VOLUME_TOLERANCE = 0.005
VOLUME_TOLERANCE_ML = 0.001


@dataclass(frozen=True, eq=False)
class TimePoint:
    """What a comparison needs of one scan.

    Attributes:
        liver_mask: bool (k, j, i), lesions included.
        lesion_labels: uint16, 0 or the lesion's id.
        geometry: the grid of the arrays.
        liver, lesions: as measured.
        ct: HU on the same grid, or None; outside of the liver it may be anything.
        input: what the report says of the CT: hash, UIDs.
        made_by: LiverSeg's version and the model, to tell apart results of different makers.
    """

    liver_mask: np.ndarray
    lesion_labels: np.ndarray
    geometry: Geometry
    liver: LiverReadout
    lesions: tuple[LesionReadout, ...]
    ct: np.ndarray | None = None
    input: dict[str, Any] = field(default_factory=dict)
    made_by: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(case: Case) -> TimePoint:
        """A time point that shares the arrays of a case."""
        source, provenance = case.ct.source, case.provenance
        known = {"sha256": source.sha256 or None, "study_uid": source.study_uid}
        return TimePoint(
            liver_mask=case.masks.liver,
            lesion_labels=case.masks.lesions,
            geometry=case.ct.geometry,
            liver=case.liver,
            lesions=case.lesions,
            ct=case.ct.array,
            input={**known, "series_uid": source.series_uid} | dict(provenance.input),
            made_by=_made_by(provenance.version, provenance.model_name, provenance.weights_sha256),
        )

    @property
    def slice_mm(self) -> float:
        """Distance of the slices along the body's long axis."""
        return CanonicalOrder.of(self.geometry).geometry(self.geometry).spacing_kji[0]

    @property
    def measured(self) -> tuple[LesionReadout, ...]:
        """The lesions without those that the reader rejected."""
        return tuple(lesion for lesion in self.lesions if lesion.review.state != "rejected")


def read_time_point(folder: Path, ct: Path | None = None) -> TimePoint:
    """Read what ``liverseg segment`` or ``liverseg measure`` wrote.

    Args:
        folder: with ``report.json``, ``liver.nii.gz`` and ``lesions.nii.gz``.
        ct: the CT it was made from; without it ``ct_liver.nii.gz`` of the folder is taken, where it is there.

    Raises:
        InputRefused: a file is missing or damaged, or the report and the label maps do not belong together.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputRefused(f"{folder} is no folder; name a folder that 'liverseg segment' wrote")
    report = read_report(folder / "report.json")
    mask, labels, geometry = labels_beside(report, folder)
    provenance = report["provenance"] if isinstance(report.get("provenance"), dict) else {}
    told = provenance.get("input")
    return TimePoint(
        liver_mask=mask > 0,
        lesion_labels=labels.astype(np.uint16),
        geometry=geometry,
        liver=liver_of(report),
        lesions=lesions_of(report),
        ct=_ct_on(geometry, folder, ct),
        input=told if isinstance(told, dict) else {},
        made_by=_made_by(
            provenance.get("version"), provenance.get("model_name"), provenance.get("weights_sha256")
        ),
    )


def labels_beside(report: dict[str, Any], folder: Path) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """Liver and lesions (k, j, i) of the label maps that a report tells of, and their grid.

    Args:
        folder: of the report, with ``liver.nii.gz`` and ``lesions.nii.gz``.

    Raises:
        InputRefused: a file is missing or damaged, or the report does not tell of these maps.
    """
    mask, geometry = _labels(folder / "liver.nii.gz")
    labels, other = _labels(folder / "lesions.nii.gz")
    if not geometry.matches(other):
        raise InputRefused(f"the label maps in {folder} lie on different grids; run 'liverseg measure' again")
    _check_together(folder, mask, labels, geometry, liver_of(report), lesions_of(report))
    return mask, labels, geometry


def _labels(path: Path) -> tuple[np.ndarray, Geometry]:
    if not path.is_file():
        raise InputRefused(f"{path} is not there; name a folder that 'liverseg segment' wrote")
    return read_labels(path)


def _check_together(
    folder: Path,
    mask: np.ndarray,
    labels: np.ndarray,
    geometry: Geometry,
    liver: LiverReadout,
    lesions: tuple[LesionReadout, ...],
) -> None:
    """Refuse a report that does not tell of the masks beside it, as after a hand edit."""
    box = bounding_box(labels)
    counts = np.bincount(labels[box].ravel() if box else [])
    drawn = {int(n): int(counts[n]) for n in np.flatnonzero(counts) if n}
    pairs = [(int(np.count_nonzero(mask)), liver.volume_ml)]
    same = set(drawn) == {lesion.id for lesion in lesions}
    if same:
        pairs += [(drawn[lesion.id], lesion.volume_ml) for lesion in lesions]
    for voxels, volume_ml in pairs:
        expected = voxels * geometry.voxel_volume_ml
        same &= abs(expected - volume_ml) <= max(VOLUME_TOLERANCE * expected, VOLUME_TOLERANCE_ML)
    if not same:
        raise InputRefused(
            f"the report in {folder} does not fit the label maps beside it, which were changed since; "
            "run 'liverseg measure' on them first"
        )


def _ct_on(geometry: Geometry, folder: Path, ct: Path | None) -> np.ndarray | None:
    path = ct or folder / "ct_liver.nii.gz"
    if ct is None and not path.is_file():
        return None
    volume = read_volume(path)
    if not volume.geometry.matches(geometry, 0.1):
        raise InputRefused(
            f"{path.name} is not on the grid of the results in {folder}; give the CT they are of"
        )
    return volume.array


def _made_by(version: object, model: object, weights: object) -> dict[str, Any]:
    return {"version": version, "model_name": model, "weights_sha256": weights or {}}
