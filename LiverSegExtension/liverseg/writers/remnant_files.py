"""A future liver remnant in a result folder: put into its files, and kept when masks are corrected."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liverseg.case import Case, Remnant
from liverseg.errors import InputRefused, LiverSegError
from liverseg.remnant import planned_again
from liverseg.writers.atomic import written_whole
from liverseg.writers.report_json import read_report, remnant_of, report_text
from liverseg.writers.tables import replace_remnant

logger = logging.getLogger(__name__)


def write_remnant(folder: Path, report: dict[str, Any], remnant: Remnant) -> tuple[str, ...]:
    """Put a remnant into the report, the long table and the PDF of a folder, as far as these are there.

    Either all of them change or none does, but for a PDF that cannot be changed.

    Returns:
        Sentences about what could not be brought up to date.

    Raises:
        InputRefused: the long table is none of LiverSeg's.
        UsageError: a file cannot be written.
    """
    changed = {**report, "remnant": asdict(remnant)}
    table, pdf = folder / "measurements.csv", folder / "report.pdf"
    warnings: list[str] = []
    # What was begun first is put in place last: the report names the remnant when all else shows it.
    with ExitStack() as files:
        text = files.enter_context(written_whole(folder / "report.json"))
        text.write_text(report_text(changed), encoding="utf-8")
        if table.is_file():
            replace_remnant(table, files.enter_context(written_whole(table)), remnant)
        if pdf.is_file():
            try:
                drawn = _drawn_again(pdf, changed)
            except LiverSegError as error:
                warnings.append(f"report.pdf does not show this remnant: {error}")
            else:
                files.enter_context(written_whole(pdf)).write_bytes(drawn)
    return tuple(warnings)


def with_earlier_remnant(case: Case, *places: Path) -> Case:
    """The case with the resection that an earlier result plans, measured again in the case's own segments.

    Args:
        places: result folders, or files in them, the first with a report of the same CT counts.
    """
    return planned_again(case, _earlier(case, places))


def _earlier(case: Case, places: Sequence[Path]) -> Remnant | None:
    for place in places:
        path = (place if place.is_dir() else place.parent) / "report.json"
        if not path.is_file():
            continue
        try:
            report = read_report(path)
            same = report["provenance"]["input"]["sha256"] == case.ct.source.sha256
        except (InputRefused, KeyError, TypeError):
            logger.debug("%s tells of no remnant", path.name)
            continue
        if same and remnant_of(report) is not None:
            return remnant_of(report)
    return None


def _drawn_again(pdf: Path, report: dict[str, Any]) -> bytes:
    try:
        from liverseg.writers.pdf_redraw import drawn_again  # noqa: PLC0415
    except ImportError as error:
        raise LiverSegError(f"more packages are needed: pip install 'liverseg[report]' ({error})") from error
    return drawn_again(pdf, report)
