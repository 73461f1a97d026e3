"""Writes a comparison: ``compare.json``, ``compare.csv`` and ``compare.png``, each whole or not at all."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from liverseg.compare.result import Change, Comparison, LesionChange
from liverseg.errors import UsageError
from liverseg.writers.atomic import make_folder, plain_reason, remove_leftovers, written_whole
from liverseg.writers.report_json import DECIMALS, report_text

SCHEMA_VERSION = "1.0"
FILENAMES = ("compare.png", "compare.csv", "compare.json")
_CHANGES = ("long_axis_mm", "short_axis_mm", "max_diameter_3d_mm", "volume_ml", "mean_hu")
_LIVER = ("liver_ml", "lesions_ml", "tumor_burden_percent", "liver_hu")


def check_folder(folder: Path, overwrite: bool = False) -> None:
    """Refuse a folder before any work is done.

    Raises:
        UsageError: it is a file, cannot be written to, or holds a comparison and ``overwrite`` is not set.
    """
    try:
        existing = folder.resolve()
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        raise UsageError(f"cannot use the output folder {folder}: {plain_reason(error)}") from error
    if not existing.is_dir():
        raise UsageError(f"{existing} is a file, not a folder; choose another output folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {existing}; choose another output folder")
    present = [name for name in FILENAMES if (folder / name).exists()]
    if present and not overwrite:
        raise UsageError(
            f"{folder} holds a comparison already ({present[0]}); choose another, or --overwrite"
        )


def write_comparison(comparison: Comparison, folder: Path, overwrite: bool = False) -> dict[str, Path]:
    """Write the three files; ``compare.json`` comes last, so that a folder with it is complete.

    Returns:
        The paths by file name.

    Raises:
        UsageError: the folder is refused (:func:`check_folder`) or a file cannot be written.
    """
    from liverseg.compare.picture import write_picture

    writers: dict[str, Callable[[Comparison, Path], None]] = dict(
        zip(FILENAMES, (write_picture, write_table, write_json), strict=True)
    )
    folder = Path(folder)
    check_folder(folder, overwrite)
    make_folder(folder)
    remove_leftovers(folder, set(FILENAMES))
    (folder / "compare.json").unlink(missing_ok=True)
    for name, writer in writers.items():
        with written_whole(folder / name) as temporary:
            writer(comparison, temporary)
    return {name: folder / name for name in FILENAMES}


def write_json(comparison: Comparison, path: Path) -> None:
    """Write by ``Resources/Schemas/comparison.schema.json``."""
    path.write_text(report_text(comparison_of(comparison)), encoding="utf-8")


def comparison_of(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain dicts and lists; unknown numbers are None."""
    registration = comparison.registration
    targets = comparison.targets
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "provenance": comparison.provenance,
        "registration": None
        if registration is None
        else {
            "steps": registration.steps,
            "liver_dice": registration.liver_dice,
            "rigid_dice": registration.rigid_dice,
            "surface_distance_mm": registration.surface_distance_mm,
            "smallest_jacobian": registration.smallest_jacobian,
        },
        "liver": {name: getattr(comparison, name).as_dict() for name in _LIVER},
        "lesions": [_lesion(lesion) for lesion in comparison.lesions],
        "targets": {
            "ids": targets.targets,
            "sums_mm": targets.sums_mm,
            "from_baseline": targets.from_baseline.as_dict(),
            "from_smallest": targets.from_smallest.as_dict(),
            "new_lesions": targets.new_lesions,
        },
        "summary": comparison.summary,
        "warnings": comparison.warnings,
    }


def write_table(comparison: Comparison, path: Path) -> None:
    """Write one row a lesion, RFC 4180, UTF-8; an empty cell is an unknown value."""
    plain = ("status", "before", "after", "segment_before", "segment_after", "target")
    sides = ("before", "after", "change", "percent")
    columns = [
        *plain,
        *(f"{name}_{side}" for name in _CHANGES for side in sides),
        "overlap_percent",
        "distance_mm",
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in _row(lesion)] for lesion in comparison.lesions)


def _row(lesion: LesionChange) -> Iterator[object]:
    yield lesion.status
    yield " ".join(str(n) for n in lesion.before)
    yield " ".join(str(n) for n in lesion.after)
    yield from (lesion.segment_before, lesion.segment_after, lesion.target)
    for name in _CHANGES:
        yield from getattr(lesion, name).as_dict().values()
    yield from (lesion.overlap_percent, lesion.distance_mm)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(round(value, DECIMALS) + 0.0) if isinstance(value, float) else str(value)


def _lesion(lesion: LesionChange) -> dict[str, Any]:
    return {
        name: value.as_dict() if isinstance(value := getattr(lesion, name), Change) else value
        for name in lesion.__dataclass_fields__
    }
