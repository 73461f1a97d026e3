"""Results as folders that ``liverseg compare`` reads, and what it wrote as rows of a table. Free of Qt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LiverSegModuleLib.Translation import _

if TYPE_CHECKING:
    from liverseg.case import Case

# What a comparison reads; the CT inside of the liver lets it follow the vessels.
NEEDED_OUTPUTS = ("liver", "lesions", "ct_liver", "report")
RESULT = "compare.json"


@dataclass(frozen=True)
class ComparedLesion:
    """One row: a lesion at both times.

    Attributes:
        status: as the engine names it ("matched", "new", "gone" ...).
        before, after: ids, such as "1" or "1, 3"; empty where there is none.
        segment: Couinaud segment, later one first; empty when unknown.
        long_before_mm, long_after_mm, long_percent, volume_before_ml, volume_after_ml, volume_percent: None
            where unknown.
        after_ids: ids in the later result.
    """

    status: str
    before: str
    after: str
    segment: str
    long_before_mm: float | None
    long_after_mm: float | None
    long_percent: float | None
    volume_before_ml: float | None
    volume_after_ml: float | None
    volume_percent: float | None
    after_ids: tuple[int, ...]


@dataclass(frozen=True)
class ComparedResult:
    """What a comparison says: plain sentences on the whole, warnings, and the lesions."""

    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    lesions: tuple[ComparedLesion, ...]


def write_result(case: Case, folder: Path) -> Path:
    """A folder with what a comparison needs of a case; returns it."""
    from liverseg.writers import write_case

    write_case(case, folder, NEEDED_OUTPUTS)
    return folder


def read_comparison(folder: Path) -> ComparedResult:
    """What ``liverseg compare`` wrote.

    Raises:
        liverseg.errors.InputRefused: there is no comparison in the folder.
    """
    from liverseg.errors import InputRefused

    path = folder / RESULT
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        lesions = tuple(_lesion(lesion) for lesion in told["lesions"])
        # One sentence a lesion comes last; the table says the same.
        sentences = told["summary"][: len(told["summary"]) - len(lesions)]
        return ComparedResult(tuple(sentences), tuple(told["warnings"]), lesions)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            _("{path} is no comparison ({error}); compare again").format(path=path, error=error)
        ) from error


def _lesion(told: dict[str, Any]) -> ComparedLesion:
    long, volume = told["long_axis_mm"], told["volume_ml"]
    return ComparedLesion(
        status=told["status"],
        before=_ids(told["before"]),
        after=_ids(told["after"]),
        segment=told["segment_after"] or told["segment_before"] or "",
        long_before_mm=long["before"],
        long_after_mm=long["after"],
        long_percent=long["percent"],
        volume_before_ml=volume["before"],
        volume_after_ml=volume["after"],
        volume_percent=volume["percent"],
        after_ids=tuple(told["after"]),
    )


def _ids(ids: list[int]) -> str:
    return ", ".join(str(n) for n in ids)
