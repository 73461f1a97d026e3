"""The summary of ``report.pdf``: key figures, segments, 3D picture, lesion table, warnings, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from liverseg import labels
from liverseg.case import LesionReadout
from liverseg.remnant import USUAL_LIMITS
from liverseg.summary import whole_mm
from liverseg.writers import pdf_words as words
from liverseg.writers.pdf_content import OVERVIEW, Content, lesion_anchor, lesion_key
from liverseg.writers.pdf_flow import (
    BODY,
    SECTION_GAP,
    SMALL,
    Block,
    Column,
    Placed,
    Section,
    bulleted,
    heading,
    paragraph,
    place,
    table_head,
    table_row,
)
from liverseg.writers.pdf_sheet import INK, LINE, SHADE, SOFT, Color, Sheet, Style
from liverseg.writers.slices import COLORS

AMBER: Color = (214, 137, 16)
NO_3D = "The 3D picture is missing: VTK, which draws it, is not installed, failed or took too long."
NO_LIVER = "No liver was found in this CT."
# With fewer rows on the first page, the table would rather follow the rest of the summary.
LEAST_ROWS = 5
_ROW = Style(8.2)
_FIGURES_HEIGHT = 58.0
_LIVER_HEIGHT = 196.0
_SEGMENTS_WIDTH = 216.0
_IN_STRIP = 4
_LEAST_SIDE = 90.0

_COLUMNS = (
    Column("No.", 26, "right"),
    Column("Segment", 52),
    Column("Long x short\naxis (mm)", 60, "right"),
    Column("3D diameter\n(mm)", 54, "right"),
    Column("Volume\n(ml)", 42, "right"),
    Column("Mean\nHU", 34, "right"),
    Column("Difference\nto liver", 48, "right"),
    Column("To surface\n(mm)", 48, "right"),
    Column("RECIST\nmeasurable", 54, "center"),
    Column("Confi-\ndence", 36, "right"),
    Column("Review", 60),
)


def summary_pages(
    sheet: Sheet, content: Content, page_of: Mapping[int, int], first_top: float, later_top: float
) -> list[list[Placed]]:
    """The pages of the summary: one, and more where the lesion table is long.

    Args:
        page_of: page number by lesion id, for those that have a page; numbers change no height.
        first_top, later_top: where the content begins on the first page and on the others.
    """
    figures = Block(_FIGURES_HEIGHT, lambda s, y: _draw_figures(s, y, content))
    liver = Block(_LIVER_HEIGHT, lambda s, y: _draw_liver(s, y, content))
    top: list[Placed] = [(first_top, figures), (first_top + figures.height, liver)]
    start = first_top + figures.height + liver.height
    lead = _warnings(sheet, content)
    table = _lesions(sheet, content, page_of)
    trail = [*_remnant(sheet, content), *_hints(sheet, content), _provenance(sheet, content)]

    room = sheet.bottom - start - sum(section.height for section in (*lead, *trail)) - SECTION_GAP
    room -= sum(block.height for block in table.head)
    fitting = int(room // table.rows[0].height)
    if LEAST_ROWS < fitting < len(table.rows):
        left = len(table.rows) - (fitting - 1)
        note = paragraph(sheet, f"The table goes on on the next page with {left} more lesions.", SMALL)
        part = replace(table, rows=(*table.rows[: fitting - 1], *note))
        pages = place([*lead, part, *trail], start, later_top, sheet.bottom)
        rest = Section(table.rows[fitting - 1 :], table.head_again, table.head_again)
        pages += place([rest], later_top, later_top, sheet.bottom)
    else:
        spare = sheet.bottom - start - sum(section.height for section in (*lead, table, *trail))
        sections = [*lead, table, *_largest(sheet, content, spare - SECTION_GAP), *trail]
        pages = place(sections, start, later_top, sheet.bottom)
    return [[*top, *pages[0]], *pages[1:]]


def _draw_figures(sheet: Sheet, y: float, content: Content) -> None:
    """The numbers that are asked for first, in boxes."""
    liver = content.liver
    found = liver.volume_ml > 0
    largest = content.by_size[0] if content.lesions else None
    limit = "" if liver.complete or not found else "at least "
    boxes = (
        (
            "Liver with its lesions",
            f"{limit}{words.milliliters(liver.volume_ml)} ml" if found else "none found",
        ),
        ("Lesions", str(len(content.lesions)) if found else words.UNKNOWN),
        ("Tumor burden", words.percent(liver.tumor_burden_percent)),
        (
            "Largest lesion" if largest is None else f"Largest lesion (no. {largest.id})",
            words.UNKNOWN if largest is None else f"{words.axes(largest)} mm",
        ),
        ("Liver attenuation", words.mean_and_sd(liver.mean_hu, liver.sd_hu)),
    )
    gap = 7.0
    width = (sheet.right - sheet.left - gap * (len(boxes) - 1)) / len(boxes)
    label, value = Style(7.0, color=SOFT), Style(12.0, bold=True)
    for n, (name, text) in enumerate(boxes):
        x = sheet.left + n * (width + gap)
        sheet.box(x, y, width, _FIGURES_HEIGHT - 14.0, SHADE, radius=3.0)
        sheet.text(x + 7, y + 6, sheet.cut(name, width - 10, label), label)
        fitting = value if sheet.line_width(text, value) <= width - 10 else replace(value, size=9.5)
        sheet.text(x + 7, y + 20, sheet.cut(text, width - 10, fitting), fitting)


def _draw_liver(sheet: Sheet, y: float, content: Content) -> None:
    """Segments on the left, the 3D picture on the right."""
    columns = (
        Column("", 18),
        Column("Segment", 54),
        Column("Volume\n(ml)", 48, "right"),
        Column("Share of\nliver", 48, "right"),
        Column("Lesions\n(ml)", 48, "right"),
    )
    head = table_head(columns, sheet.left)
    head.draw(sheet, y)
    at = y + head.height
    by_name = {labels.numeral(s): s for s in (*labels.SEGMENTS, labels.SEGMENT_IVA, labels.SEGMENT_IVB)}
    for n, segment in enumerate(content.segments):
        cells = (
            "",
            segment.name,
            words.milliliters(segment.volume_ml),
            words.percent(segment.share_percent),
            words.milliliters(segment.lesion_ml) if segment.lesion_ml > 0 else "",
        )
        row = table_row(columns, sheet.left, cells, _ROW, shaded=n % 2 == 1)
        row.draw(sheet, at)
        sheet.box(sheet.left + 6, at + 3.2, 8, 8, COLORS[by_name[segment.name].label])
        at += row.height
    style = Style(7.4, color=AMBER if content.method.approximate else SOFT)
    text = words.method(content.method)
    if content.method.approximate:
        text += ". Approximate: the split failed a check of plausibility"
    sheet.lines(sheet.left + 3, at + 4, sheet.wrapped(text + ".", _SEGMENTS_WIDTH - 6, style, most=3), style)

    x = sheet.left + _SEGMENTS_WIDTH + 14
    width, height = sheet.right - x, _LIVER_HEIGHT - 12
    if OVERVIEW in content.pictures:
        sheet.picture(x, y, width, height - 10, OVERVIEW, content.pictures[OVERVIEW])
        caption = "From the front: the patient's right is on the left. Lesions in red shine through."
        sheet.text(x + width / 2, y + height - 9, caption, Style(7.0, color=SOFT), "center")
    else:
        sheet.box(x, y, width, height, SHADE, radius=3.0)
        missing = NO_3D if content.liver.volume_ml > 0 else NO_LIVER
        for n, text in enumerate(sheet.wrapped(missing, width - 40, BODY)):
            sheet.text(x + width / 2, y + height / 2 - 8 + n * BODY.leading, text, BODY, "center")


def _warnings(sheet: Sheet, content: Content) -> list[Section]:
    if not content.warnings:
        return []
    rows = [
        block
        for warning in content.warnings
        for block in bulleted(sheet, words.sentence(warning), BODY, AMBER)
    ]
    return [Section(tuple(rows), (heading("Warnings"),))]


def _lesions(sheet: Sheet, content: Content, page_of: Mapping[int, int]) -> Section:
    lesions = content.by_size
    if not lesions:
        return Section(tuple(paragraph(sheet, "No lesion was found or drawn.")), (heading("Lesions"),))
    columns = [*_COLUMNS, Column("Page", 28, "right")]
    # What the paper has to spare goes to the segments' names.
    spare = sheet.right - sheet.left - sum(column.width for column in columns)
    columns[1] = replace(columns[1], width=columns[1].width + spare)
    head = table_head(columns, sheet.left)
    rows = [_lesion_row(columns, sheet.left, lesion, page_of, n) for n, lesion in enumerate(lesions)]
    title = [heading("Lesions, by size")]
    with_page = content.with_page
    if len(with_page) < len(lesions):
        told = (
            f"{len(lesions)} lesions. The {len(with_page)} largest by long axis have a page of their own; "
            "the others are in this table alone."
        )
        title += paragraph(sheet, told, BODY)
    return Section(tuple(rows), (*title, head), (heading("Lesions, by size (continued)"), head))


def _lesion_row(
    columns: Sequence[Column], x: float, lesion: LesionReadout, page_of: Mapping[int, int], n: int
) -> Block:
    cells = (
        str(lesion.id),
        lesion.primary_segment or words.UNKNOWN,
        words.axes(lesion),
        str(whole_mm(lesion.max_diameter_3d_mm)),
        words.milliliters(lesion.volume_ml),
        words.number(lesion.mean_hu),
        words.signed(lesion.contrast_to_liver_hu),
        words.number(lesion.distance_to_surface_mm, 1),
        "yes" if lesion.recist_measurable else "no",
        words.number(lesion.confidence, 2),
        words.REVIEW.get(lesion.review.state, lesion.review.state),
        str(page_of.get(lesion.id, "")),
    )
    style = replace(_ROW, color=SOFT if lesion.review.state == "rejected" else INK)
    row = table_row(columns, x, cells, style, shaded=n % 2 == 1)
    if lesion.id not in page_of:
        return row
    width = sum(column.width for column in columns)

    def draw(sheet: Sheet, y: float) -> None:
        row.draw(sheet, y)
        sheet.link(x, y, width, row.height, lesion_anchor(lesion.id))

    return Block(row.height, draw)


def _largest(sheet: Sheet, content: Content, height: float) -> list[Section]:
    """The key slices of the largest lesions, where a first page has a height (points) to spare."""
    shown = [x for x in content.with_page if lesion_key(x.id, "marked") in content.pictures][:_IN_STRIP]
    gap, caption = 8.0, Style(7.6)
    below = caption.leading + 4
    side = min((sheet.right - sheet.left - gap * (_IN_STRIP - 1)) / _IN_STRIP, height - below)
    if not shown or side < _LEAST_SIDE:
        return []

    def draw(target: Sheet, y: float) -> None:
        for n, lesion in enumerate(shown):
            x = target.left + n * (side + gap)
            key = lesion_key(lesion.id, "marked")
            target.picture(x, y, side, side, key, content.pictures[key])
            text = f"No. {lesion.id}: {words.axes(lesion)} mm, {lesion.primary_segment or words.UNKNOWN}"
            target.text(x, y + side + 3, target.cut(text, side, caption), caption)
            target.link(x, y, side, side, lesion_anchor(lesion.id))

    return [Section((Block(side + below, draw),))]


def _remnant(sheet: Sheet, content: Content) -> list[Section]:
    remnant = content.remnant
    if remnant is None:
        return []
    resected = ", ".join(remnant.resected) or "the part that was drawn"
    text = f"Resection of {resected} leaves {words.milliliters(remnant.remnant_ml)} ml"
    if remnant.percent_of_liver is not None:
        text += f", {remnant.percent_of_liver:.1f} % of the liver without tumor"
    if remnant.standardized_liver_ml is not None and remnant.percent_of_standardized is not None:
        standard = words.milliliters(remnant.standardized_liver_ml)
        text += (
            f" and {remnant.percent_of_standardized:.1f} % of the standardized liver volume ({standard} ml)"
        )
    rows = paragraph(sheet, text + ".")
    if remnant.resected_ml is not None and remnant.tumor_left_ml is not None:
        left = f"{words.milliliters(remnant.tumor_left_ml)} ml" if remnant.tumor_left_ml else "none"
        taken = words.milliliters(remnant.resected_ml)
        rows += paragraph(sheet, f"Taken out: {taken} ml, lesions included. Lesions in the remnant: {left}.")
    rows += paragraph(sheet, f"For information: {USUAL_LIMITS}.", SMALL)
    return [Section(tuple(rows), (heading("Future liver remnant"),))]


def _hints(sheet: Sheet, content: Content) -> list[Section]:
    if not content.hints:
        return []
    rows = [block for hint in content.hints for block in bulleted(sheet, hint, Style(7.8), LINE)]
    return [Section(tuple(rows), (heading("For information, by size and number alone"),))]


def _provenance(sheet: Sheet, content: Content) -> Section:
    told = words.provenance_lines(content.provenance, content.ct_id, content.scan)
    rows = [block for text in told for block in paragraph(sheet, text, SMALL)]
    return Section(tuple(rows), (heading("How this was made"),))
