"""``lesions.csv``, one row a lesion, and ``measurements.csv``, one row a number. RFC 4180, UTF-8.

An empty cell is an unknown value. In ``lesions.csv`` the share of a segment is empty, too, when so little
of the lesion lies there that the report does not list it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from liverseg import labels
from liverseg.case import Case, LesionReadout, Point
from liverseg.writers.report_json import DECIMALS

Cell = str | int | float | bool | None

_NIFTI_AND_OTHERS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")

_POINTS = ("long_axis_p1", "long_axis_p2", "short_axis_p1", "short_axis_p2", "centroid")

# Field of a lesion, quantity in the long table, unit.
_LESION_QUANTITIES = (
    ("volume_ml", "volume", "ml"),
    ("long_axis_mm", "long_axis", "mm"),
    ("short_axis_mm", "short_axis", "mm"),
    ("max_diameter_3d_mm", "max_diameter_3d", "mm"),
    ("mean_hu", "mean_attenuation", "HU"),
    ("sd_hu", "sd_attenuation", "HU"),
    ("contrast_to_liver_hu", "contrast_to_liver", "HU"),
    ("sphericity", "sphericity", "1"),
    ("distance_to_surface_mm", "distance_to_surface", "mm"),
    ("confidence", "confidence", "1"),
)


def case_name(case: Case) -> str:
    """The name of a case in tables: the file's name, or for DICOM the start of the input's hash.

    A DICOM series is named by its hash because the names in it may be a patient's.
    """
    source = case.ct.source
    digest = source.sha256[:12] or "unnamed"
    if source.kind == "dicom" or not source.name:
        return digest
    name = Path(source.name).name
    for extension in _NIFTI_AND_OTHERS:
        if name.lower().endswith(extension):
            return name[: -len(extension)] or digest
    return name


def write_lesions_table(case: Case, path: Path) -> None:
    """Write one row a lesion; only the header when there is none."""
    numerals = [labels.numeral(s) for s in labels.segments(case.split_segment_4)]
    columns = [
        *("case", "id", "tracking_uid", "volume_ml", "long_axis_mm", "short_axis_mm", "max_diameter_3d_mm"),
        *("primary_segment", "centroid_segment"),
        *(f"share_{numeral}_percent" for numeral in numerals),
        *("mean_hu", "sd_hu", "contrast_to_liver_hu", "sphericity", "distance_to_surface_mm"),
        *("recist_measurable", "touches_volume_edge", "confidence", "key_slice"),
        *(f"{point}_{axis}_mm" for point in _POINTS for axis in "ras"),
        *("review_state", "review_reader", "review_time", "review_comment"),
    ]
    name = case_name(case)
    _write_csv(path, columns, (_lesion_row(name, lesion, columns) for lesion in case.lesions))


def write_measurements(case: Case, path: Path) -> None:
    """Write one row a number: case, object, quantity, value, unit (dimensionless: 1)."""
    name = case_name(case)
    rows = ((name, *row) for row in measurements_of(case))
    _write_csv(path, ["case", "object", "quantity", "value", "unit"], rows)


def measurements_of(case: Case) -> Iterator[tuple[str, str, float | None, str]]:
    """Every number of a case as (object, quantity, value, unit)."""
    liver = case.liver
    yield "Liver", "volume", liver.volume_ml, "ml"
    yield "Liver", "mean_attenuation", liver.mean_hu, "HU"
    yield "Liver", "sd_attenuation", liver.sd_hu, "HU"
    yield "Liver", "tumor_burden", liver.tumor_burden_percent, "%"
    yield "Liver", "lesion_count", len(case.lesions), "1"
    for segment in case.segments:
        structure = f"Segment {segment.name}"
        yield structure, "volume", segment.volume_ml, "ml"
        yield structure, "share_of_liver", segment.share_percent, "%"
        yield structure, "lesion_volume", segment.lesion_ml, "ml"
    for lesion in case.lesions:
        structure = f"Lesion {lesion.id}"
        for field, quantity, unit in _LESION_QUANTITIES:
            yield structure, quantity, getattr(lesion, field), unit
        for share in lesion.segments:
            yield structure, f"share_in_{share.name}", share.share_percent, "%"
    if case.remnant is not None:
        remnant = case.remnant
        yield "Remnant", "volume", remnant.remnant_ml, "ml"
        yield "Remnant", "share_of_liver", remnant.percent_of_liver, "%"
        yield "Remnant", "standardized_liver_volume", remnant.standardized_liver_ml, "ml"
        yield "Remnant", "share_of_standardized_liver", remnant.percent_of_standardized, "%"


def _lesion_row(name: str, lesion: LesionReadout, columns: Sequence[str]) -> list[Cell]:
    cells: dict[str, Cell] = {"case": name}
    for share in lesion.segments:
        cells[f"share_{share.name}_percent"] = share.share_percent
    points: tuple[Point, ...] = (
        *lesion.long_axis_points_ras_mm,
        *lesion.short_axis_points_ras_mm,
        lesion.centroid_ras_mm,
    )
    for point, position in zip(_POINTS, points, strict=True):
        cells |= {f"{point}_{axis}_mm": value for axis, value in zip("ras", position, strict=True)}
    cells |= {
        "review_state": lesion.review.state,
        "review_reader": lesion.review.reader,
        "review_time": lesion.review.time,
        "review_comment": lesion.review.comment,
    }
    return [cells[c] if c in cells else getattr(lesion, c, None) for c in columns]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_text(cell) for cell in row] for row in rows)


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(round(float(cell), DECIMALS) + 0.0)
    return str(cell)
