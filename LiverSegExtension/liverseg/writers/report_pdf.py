"""``report.pdf``: a summary, then a page a lesion, for a tumor board. A4 or Letter, fonts embedded.

It names no patient unless a name is given. The same case gives the same file but for the time of writing.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from liverseg.case import Case
from liverseg.writers import pdf_words as words
from liverseg.writers.pdf_content import Content, content_of
from liverseg.writers.pdf_flow import Block, Placed
from liverseg.writers.pdf_lesion_page import draw_lesion_page
from liverseg.writers.pdf_sheet import FOOT, SOFT, Sheet, Style, document
from liverseg.writers.pdf_summary import summary_pages

logger = logging.getLogger(__name__)

RESEARCH_USE = "Research use, not a medical device"
_FIRST_HEAD, _LATER_HEAD = 52.0, 26.0
_HEADLINE = Style(17.0, bold=True)
_LATER = Style(8.0, color=SOFT)
_FOOT = Style(7.6, color=SOFT)


def write_pdf(case: Case, path: Path, paper: str = "a4", patient: str | None = None) -> None:
    """Write the report.

    Args:
        paper: "a4" or "letter".
        patient: printed on every page when given, in any script; nothing is taken from the CT.
    """
    write_content(content_of(case, patient), path, paper)


def write_content(content: Content, path: Path, paper: str) -> None:
    """Lay the pages out and write the file."""
    with document(path, paper, "LiverSeg report", content.patient or "", content.scan) as sheet:
        pages = _pages(sheet, content)
        for n, page in enumerate(pages, start=1):
            _draw_head(sheet, content, n)
            if n == 1:
                sheet.anchor("summary", "Summary")
            for y, block in page:
                block.draw(sheet, y)
            _draw_foot(sheet, n, len(pages))
            sheet.next_page()
    if sheet.book.unknown:
        logger.warning(
            "report.pdf shows %d characters as a sign for an unknown one, because no font at hand has them; "
            "'pip install weblate-fonts' brings most scripts.",
            len(sheet.book.unknown),
        )


def _pages(sheet: Sheet, content: Content) -> list[list[Placed]]:
    first_top, later_top = sheet.top + _FIRST_HEAD, sheet.top + _LATER_HEAD
    summary = len(summary_pages(sheet, content, {}, first_top, later_top))
    page_of = {lesion.id: summary + n for n, lesion in enumerate(content.with_page, start=1)}
    pages = summary_pages(sheet, content, page_of, first_top, later_top)
    for lesion in content.with_page:
        draw = partial(_draw_lesion, content=content, lesion_id=lesion.id)
        pages.append([(later_top, Block(sheet.bottom - later_top, draw))])
    return pages


def _draw_lesion(sheet: Sheet, y: float, content: Content, lesion_id: int) -> None:
    lesion = next(lesion for lesion in content.lesions if lesion.id == lesion_id)
    draw_lesion_page(sheet, y, content, lesion)


def _draw_head(sheet: Sheet, content: Content, page: int) -> None:
    """Whose report it is, large on the first page and small on the others."""
    name = f"CT {content.ct_id}"
    width = sheet.right - sheet.left
    if page > 1:
        title = f"Liver CT read-out, {name}"
        if content.patient is not None:
            room = width - sheet.line_width(title, _LATER) - 12
            sheet.text(sheet.left, sheet.top, sheet.cut(content.patient, room, _LATER), _LATER)
        sheet.text(sheet.right, sheet.top, title, _LATER, "right")
        sheet.rule(sheet.top + _LATER.leading + 3)
        return
    sheet.text(sheet.left, sheet.top - 4, "Liver CT read-out", _HEADLINE)
    started = content.provenance.started
    made = f"LiverSeg {content.provenance.version}" + (f", {words.time(started)}" if started else "")
    sheet.text(sheet.right, sheet.top + 2, made, _LATER, "right")
    y = sheet.top + _HEADLINE.leading - 1
    sheet.text(sheet.right, y, name, _LATER, "right")
    if content.patient is not None:
        style = Style(10.0, bold=True)
        room = width - sheet.line_width(name, _LATER) - 12
        sheet.text(sheet.left, y - 1, sheet.cut(content.patient, room, style), style)
    else:
        sheet.text(sheet.left, y, content.scan, _LATER)
    sheet.rule(sheet.top + _FIRST_HEAD - 12)


def _draw_foot(sheet: Sheet, page: int, pages: int) -> None:
    y = sheet.height - FOOT
    sheet.rule(y - 4)
    sheet.text(sheet.left, y, RESEARCH_USE, Style(7.6, bold=True, color=SOFT))
    sheet.text(sheet.right, y, f"Page {page} of {pages}", _FOOT, "right")
