"""Fills the pages of ``report.pdf``: sections of rows that follow each other from page to page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liverseg.writers.pdf_sheet import INK, SHADE, SOFT, Color, Sheet, Style

Draw = Callable[[Sheet, float], None]
Placed = tuple[float, "Block"]

HEADING = Style(10.0, bold=True)
BODY = Style(8.5)
SMALL = Style(7.2, color=SOFT)
SECTION_GAP = 9.0


@dataclass(frozen=True)
class Block:
    """Something of a known height (points) that is drawn at a place from the top of the page."""

    height: float
    draw: Draw


@dataclass(frozen=True)
class Section:
    """A heading, rows below it, and what is repeated when the rows go on on another page."""

    rows: tuple[Block, ...]
    head: tuple[Block, ...] = ()
    head_again: tuple[Block, ...] = ()

    @property
    def height(self) -> float:
        """Of all rows and the heading, with the gap before the next section."""
        return sum(block.height for block in (*self.head, *self.rows)) + SECTION_GAP


def place(sections: Sequence[Section], start: float, top: float, bottom: float) -> list[list[Placed]]:
    """Put sections below one another from ``start`` on the first page, from ``top`` on the others.

    A heading stays with its first row. A row higher than a page is placed alone and runs over.
    """
    pages: list[list[Placed]] = [[]]
    y = start
    for section in sections:
        waiting = list(section.head)
        for row in section.rows:
            needed = sum(block.height for block in waiting) + row.height
            if y + needed > bottom and (pages[-1] or y > top):
                pages.append([])
                y = top
                waiting = list(section.head_again or section.head)
            for block in (*waiting, row):
                pages[-1].append((y, block))
                y += block.height
            waiting = []
        y += SECTION_GAP
    return pages


def heading(text: str) -> Block:
    """The name of a section with a line below."""

    def draw(sheet: Sheet, y: float) -> None:
        sheet.text(sheet.left, y, text, HEADING)
        sheet.rule(y + HEADING.leading + 1.5)

    return Block(HEADING.leading + 5.0, draw)


def line(text: str, style: Style = BODY, indent: float = 0.0) -> Block:
    """One line, already of the right width."""
    return Block(style.leading, lambda sheet, y: sheet.text(sheet.left + indent, y, text, style))


def paragraph(sheet: Sheet, text: str, style: Style = BODY, indent: float = 0.0) -> list[Block]:
    """Text over the width of the page, a block a line."""
    width = sheet.right - sheet.left - indent
    return [line(part, style, indent) for part in sheet.wrapped(text, width, style)]


def bulleted(sheet: Sheet, text: str, style: Style = BODY, bullet: Color = INK) -> list[Block]:
    """A paragraph with a small square before it."""
    first, *others = paragraph(sheet, text, style, indent=10.0)

    def draw(target: Sheet, y: float) -> None:
        target.box(target.left + 1.5, y + style.size * 0.55, 3.4, 3.4, bullet)
        first.draw(target, y)

    return [Block(first.height, draw), *others]


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, width in points, and on which side its cells stand."""

    title: str
    width: float
    align: str = "left"


def table_head(columns: Sequence[Column], x: float) -> Block:
    """The titles of a table; a title of two lines is separated by a line feed."""
    style = Style(7.2, bold=True, color=SOFT)
    lines = max(column.title.count("\n") for column in columns) + 1

    def draw(sheet: Sheet, y: float) -> None:
        left = x
        for column in columns:
            titles = column.title.split("\n")
            for n, title in enumerate(titles):
                row = y + (lines - len(titles) + n) * style.leading
                _cell(sheet, left, row, column, title, style)
            left += column.width
        sheet.rule(y + lines * style.leading + 2.0, x, left)

    return Block(lines * style.leading + 4.0, draw)


def table_row(columns: Sequence[Column], x: float, cells: Sequence[str], style: Style, shaded: bool) -> Block:
    """A row of a table; cells that are too long are cut."""

    def draw(sheet: Sheet, y: float) -> None:
        if shaded:
            sheet.box(x, y, sum(column.width for column in columns), style.leading + 3.0, SHADE)
        left = x
        for column, cell in zip(columns, cells, strict=True):
            _cell(sheet, left, y + 1.5, column, sheet.cut(cell, column.width - 6.0, style), style)
            left += column.width

    return Block(style.leading + 3.0, draw)


def _cell(sheet: Sheet, left: float, y: float, column: Column, text: str, style: Style) -> None:
    x = {"left": left + 3.0, "right": left + column.width - 3.0, "center": left + column.width / 2}[
        column.align
    ]
    sheet.text(x, y, text, style, column.align)
