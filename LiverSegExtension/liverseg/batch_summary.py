"""``summary.csv`` of a batch: one row a case, whether it was read out now, earlier, or not at all."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverseg.errors import LiverSegError
from liverseg.writers.atomic import written_whole

DONE, NO_LIVER, FAILED, PENDING = "done", "no liver", "failed", "pending"
COLUMNS = (
    *("case", "input", "status", "reason", "seconds", "liver_ml", "tumor_burden_percent", "complete"),
    *("lesions", "lesions_ml", "largest_lesion_mm", "warnings"),
)


@dataclass(frozen=True)
class CaseRow:
    """One case of a batch.

    Attributes:
        name: of its folder of results.
        input: path of its CT, as found.
        status: "done", "no liver", "failed" or "pending".
        reason: why it failed, or a word about it; one line.
        seconds: that it took now; None when it was done before.
        report: of ``report.json``, where there is one.
    """

    name: str
    input: str
    status: str = PENDING
    reason: str = ""
    seconds: float | None = None
    report: dict[str, Any] | None = None

    def cells(self) -> list[object]:
        """The row, in the order of :data:`COLUMNS`; unknown is empty."""
        known: list[object] = [self.name, self.input, self.status, self.reason]
        known.append("" if self.seconds is None else f"{self.seconds:.1f}")
        if self.report is None:
            return [*known, *[""] * (len(COLUMNS) - len(known))]
        liver, lesions = self.report["liver"], self.report["lesions"]
        largest = max((lesion["long_axis_mm"] for lesion in lesions), default="")
        total = round(sum(lesion["volume_ml"] for lesion in lesions), 4)
        return [
            *known,
            *(_cell(liver[name]) for name in ("volume_ml", "tumor_burden_percent", "complete")),
            *(len(lesions), total, largest, len(self.report["warnings"])),
        ]


def reason_of(error: Exception) -> str:
    """Why a case failed, in one line for a file that is kept.

    What may name the patient is left out (:class:`liverseg.errors.LiverSegError`).
    """
    told = error.without_names if isinstance(error, LiverSegError) else None
    return " ".join((str(error) if told is None else told).split())


def write_summary(rows: Sequence[CaseRow], path: Path) -> None:
    """Write all rows; the file appears whole, so it can be read while the batch goes on."""
    with (
        written_whole(path) as temporary,
        # A path may hold bytes that are no text; they are told as numbers.
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row.cells() for row in rows)


def _cell(value: object) -> object:
    return "" if value is None else value
