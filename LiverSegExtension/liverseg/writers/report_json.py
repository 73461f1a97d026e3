"""``report.json``: the whole read-out for programs, by ``Resources/Schemas/report.schema.json``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.case import (
    Case,
    LesionReadout,
    LiverReadout,
    Point,
    Remnant,
    Review,
    SegmentReadout,
    SegmentShare,
)
from liverseg.errors import InputRefused
from liverseg.file_headers import cannot_open

SCHEMA_VERSION = "1.1"
# A tenth of a micrometer, a tenth of a microliter: finer than any scan, coarse enough to be read.
DECIMALS = 4


def write_report(case: Case, path: Path) -> None:
    """Write the report as UTF-8 JSON; unknown numbers are null, never NaN."""
    path.write_text(report_text(report_of(case)), encoding="utf-8")


def report_text(report: dict[str, Any]) -> str:
    """A report as the text of its file."""
    return json.dumps(_plain(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_report(path: Path) -> dict[str, Any]:
    """A report written earlier.

    Raises:
        InputRefused: there is none, or it is no report of a version that can be read.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        known = str(report["schema_version"]).split(".")[0] == SCHEMA_VERSION.split(".", maxsplit=1)[0]
    except PermissionError as error:
        raise cannot_open(path, error) from error
    except OSError as error:
        raise InputRefused(
            f"there is no report at {path}; name a folder that 'liverseg segment' wrote"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            f"{path} is no LiverSeg report; name a folder that 'liverseg segment' wrote"
        ) from error
    if not known:
        raise InputRefused(f"{path} has schema version {report['schema_version']}; this version reads 1")
    return dict(report)


def segments_of(report: dict[str, Any]) -> tuple[SegmentReadout, ...]:
    """The Couinaud segments of a report.

    Raises:
        InputRefused: they are missing or damaged, or one lacks a name or a volume.
    """
    try:
        segments = tuple(SegmentReadout(**segment) for segment in report["segments"])
    except (KeyError, TypeError) as error:
        raise InputRefused(f"the report's segments are damaged ({error}); run LiverSeg again") from error
    for segment in segments:
        volumes = (segment.volume_ml, segment.lesion_ml)
        known = all(isinstance(volume, Real) and math.isfinite(volume) for volume in volumes)
        if not known or not isinstance(segment.name, str):
            raise InputRefused(
                f"the report's segments are damaged ({segment.name} has no volume in ml); run LiverSeg again"
            )
    return segments


def remnant_of(report: dict[str, Any]) -> Remnant | None:
    """The future liver remnant of a report, if it has one that can be read."""
    fields = report.get("remnant")
    if not isinstance(fields, dict):
        return None
    try:
        remnant = Remnant(**{**fields, "resected": tuple(str(name) for name in fields["resected"])})
        float(remnant.remnant_ml)
    except (KeyError, TypeError, ValueError):
        return None
    return remnant


def liver_of(report: dict[str, Any]) -> LiverReadout:
    """The whole liver of a report.

    Raises:
        InputRefused: it is missing or damaged.
    """
    try:
        liver = LiverReadout(**report["liver"])
        float(liver.volume_ml)
        return liver
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"the report's liver is damaged ({error}); run LiverSeg again") from error


def lesions_of(report: dict[str, Any]) -> tuple[LesionReadout, ...]:
    """The lesions of a report.

    Raises:
        InputRefused: they are missing or damaged.
    """
    try:
        return tuple(lesion_of(lesion) for lesion in report["lesions"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"the report's lesions are damaged ({error}); run LiverSeg again") from error


def lesion_of(fields: dict[str, Any]) -> LesionReadout:
    """One lesion from its JSON fields.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, unknown or of another kind.
    """
    ends = ("long_axis_points_ras_mm", "short_axis_points_ras_mm")
    lesion = LesionReadout(
        **{
            **fields,
            **{name: tuple(_point(point) for point in fields[name]) for name in ends},
            "centroid_ras_mm": _point(fields["centroid_ras_mm"]),
            "segments": tuple(SegmentShare(**share) for share in fields["segments"]),
            "review": Review(**fields["review"]),
        }
    )
    for value in (lesion.volume_ml, lesion.long_axis_mm, lesion.short_axis_mm, lesion.max_diameter_3d_mm):
        float(value)
    if not isinstance(lesion.id, int):
        raise TypeError(f"a lesion's id is {lesion.id!r}")
    return lesion


def _point(values: list[float]) -> Point:
    x, y, z = values
    return float(x), float(y), float(z)


def report_of(case: Case) -> dict[str, object]:
    """The report as plain dicts, lists, strings and rounded numbers.

    Lengths are mm, volumes ml, points RAS mm; ``key_slice`` is an index along the axis of the array (k, j
    or i) that runs nearest to the body's long axis.
    """
    report: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "provenance": {"extension": "LiverSeg", **asdict(case.provenance), "input": _input_of(case)},
        "liver": asdict(case.liver),
        "segments": [asdict(segment) for segment in case.segments],
        "lesions": [asdict(lesion) for lesion in case.lesions],
        "remnant": None if case.remnant is None else asdict(case.remnant),
        "method": asdict(case.method),
        "summary": list(case.summary),
        "hints": list(case.hints),
        "warnings": list(case.warnings),
    }
    return {key: _plain(value) for key, value in report.items()}


def _input_of(case: Case) -> dict[str, object]:
    """What was read: kind, hash and UIDs. No file and no patient name."""
    source = case.ct.source
    known: dict[str, object] = {
        "kind": source.kind,
        "sha256": source.sha256 or None,
        "study_uid": source.study_uid,
        "series_uid": source.series_uid,
        "modality": source.modality,
    }
    return known | case.provenance.input


def _plain(value: object) -> object:
    """JSON types only: numpy scalars unwrapped, floats rounded, what is not finite null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        # Adding zero turns -0.0 into 0.0.
        return round(value, DECIMALS) + 0.0 if math.isfinite(value) else None
    return value
