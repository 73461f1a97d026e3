"""Pages of ``report.pdf`` to draw on: text in any script, wrapped or cut to a width, boxes, pictures.

Coordinates are points from the upper left corner of the page, y downwards.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from liverseg.writers.pdf_fonts import REGULAR, FontBook

Color = tuple[int, int, int]

INK: Color = (28, 32, 38)
SOFT: Color = (96, 104, 114)
LINE: Color = (198, 204, 211)
SHADE: Color = (243, 245, 247)

# Width and height in points.
PAPERS: dict[str, tuple[float, float]] = {"a4": (595.28, 841.89), "letter": (612.0, 792.0)}
CREATOR = "LiverSeg"
MARGIN = 38.0
FOOT = 30.0
LEADING = 1.36
# Where the baseline lies below the top of a line, in parts of the size.
BASELINE = 1.02
_ELLIPSIS = "…"


@dataclass(frozen=True)
class Style:
    """How text looks; ``size`` in points."""

    size: float = 8.5
    bold: bool = False
    color: Color = INK

    @property
    def leading(self) -> float:
        """From line to line, points."""
        return self.size * LEADING


@contextmanager
def document(path: Path, paper: str, title: str, subject: str, keywords: str) -> Iterator[Sheet]:
    """A document to draw on, written when all went well; title, subject and keywords are its properties."""
    # Streams as text of printable characters would be a quarter larger, and are of no use any more.
    before, rl_config.useA85 = rl_config.useA85, 0
    try:
        sheet = Sheet(path, paper)
        sheet.canvas.setTitle(title)
        sheet.canvas.setSubject(subject)
        sheet.canvas.setKeywords(keywords)
        sheet.canvas.setAuthor("")
        sheet.canvas.setCreator(CREATOR)
        yield sheet
        sheet.canvas.save()
    finally:
        rl_config.useA85 = before


class Sheet:
    """The page of a document that is being drawn on."""

    def __init__(self, path: Path, paper: str) -> None:
        self.width, self.height = PAPERS[paper]
        self.left, self.right = MARGIN, self.width - MARGIN
        self.top, self.bottom = MARGIN - 6, self.height - FOOT - 10
        self.book = FontBook()
        self.canvas = Canvas(
            str(path),
            pagesize=(self.width, self.height),
            initialFontName=REGULAR,
            pageCompression=1,
            lang="en",
        )

    def next_page(self) -> None:
        """Finish the page and begin another."""
        self.canvas.showPage()

    def line_width(self, text: str, style: Style) -> float:
        """Width of a line in points."""
        return self.book.width(text, style.size, style.bold)

    def text(self, x: float, y: float, text: str, style: Style, align: str = "left") -> None:
        """One line whose top is at ``y``; ``align``: whether ``x`` is its left, right or center."""
        runs = self.book.runs(text, style.bold)
        total = style.size * sum(run.width for run in runs)
        x -= {"left": 0.0, "center": total / 2, "right": total}[align]
        for run in runs:
            if run.spoken is not None:
                content = run.spoken.encode("utf-16-be").hex().upper()
                self.canvas.addLiteral(f"/Span <</ActualText <FEFF{content}>>> BDC")
            drawn = self.canvas.beginText(x, self.height - y - BASELINE * style.size)
            drawn.setFont(run.font, style.size)
            drawn.setFillColorRGB(*(part / 255 for part in style.color))
            drawn.textOut(run.text)
            self.canvas.drawText(drawn)
            if run.spoken is not None:
                self.canvas.addLiteral("EMC")
            x += run.width * style.size

    def cut(self, text: str, width: float, style: Style) -> str:
        """A line cut to a width, with three dots where something is missing."""
        text = " ".join(text.split())
        if self.line_width(text, style) <= width:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.line_width(text[:middle].rstrip() + _ELLIPSIS, style) <= width:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + _ELLIPSIS

    def wrapped(self, text: str, width: float, style: Style, most: int | None = None) -> list[str]:
        """Text as lines of at most a width; the last of ``most`` lines ends in three dots if more follow."""
        lines = [line for part in text.splitlines() or [""] for line in self._wrap(part, width, style)]
        if most is None or len(lines) <= most:
            return lines
        return [*lines[: most - 1], self.cut(" ".join(lines[most - 1 :]), width, style)]

    def _wrap(self, text: str, width: float, style: Style) -> Iterator[str]:
        line = ""
        for piece in _pieces(text):
            if self.line_width((line + piece).rstrip(), style) <= width:
                line += piece
                continue
            if line.strip():
                yield line.rstrip()
            line = piece
            while self.line_width(line.rstrip(), style) > width:
                # A word longer than the line, such as a path or a UID.
                length = max(1, self._fitting(line, width, style))
                yield line[:length]
                line = line[length:]
        if line.strip():
            yield line.rstrip()

    def _fitting(self, word: str, width: float, style: Style) -> int:
        low, high = 0, len(word)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if self.line_width(word[:middle], style) <= width else (low, middle - 1)
            )
        return low

    def lines(self, x: float, y: float, lines: list[str], style: Style) -> float:
        """Draw lines below one another; returns where the next thing may begin."""
        for line in lines:
            self.text(x, y, line, style)
            y += style.leading
        return y

    def rule(self, y: float, x0: float | None = None, x1: float | None = None, color: Color = LINE) -> None:
        """A thin line from left to right."""
        self.canvas.setStrokeColorRGB(*(part / 255 for part in color))
        self.canvas.setLineWidth(0.6)
        at = self.height - y
        self.canvas.line(self.left if x0 is None else x0, at, self.right if x1 is None else x1, at)

    def box(self, x: float, y: float, width: float, height: float, color: Color, radius: float = 0.0) -> None:
        """A filled box."""
        self.canvas.setFillColorRGB(*(part / 255 for part in color))
        self.canvas.roundRect(x, self.height - y - height, width, height, radius, stroke=0, fill=1)

    def anchor(self, name: str, title: str) -> None:
        """Make this page a place to go to, by name in links and by title in the reader's side bar."""
        self.canvas.bookmarkPage(name)
        self.canvas.addOutlineEntry(title, name, level=0)

    def link(self, x: float, y: float, width: float, height: float, name: str) -> None:
        """Make an area lead to a place that is named somewhere in the document."""
        area = (x, self.height - y - height, x + width, self.height - y)
        self.canvas.linkRect("", name, area, relative=0, thickness=0)

    def picture(self, x: float, y: float, width: float, height: float, key: str, jpeg: bytes) -> None:
        """A JPEG, named by ``key`` in the file so that it can be found again."""
        self.canvas.addLiteral(f"/Picture <</Key ({key})>> BDC")
        self.canvas.drawImage(
            ImageReader(io.BytesIO(jpeg)),
            x,
            self.height - y - height,
            width,
            height,
            preserveAspectRatio=True,
        )
        self.canvas.addLiteral("EMC")


def as_jpeg(picture: Image.Image) -> bytes:
    """A picture as JPEG, colors at full resolution so that thin outlines stay sharp."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, format="JPEG", quality=90, subsampling=0, optimize=True)
    return file.getvalue()


def _pieces(text: str) -> Iterator[str]:
    """Where a line may break: behind spaces and between characters of East Asian scripts."""
    piece = ""
    for char in text:
        wide = unicodedata.east_asian_width(char) == "W"
        if piece and (wide or piece[-1].isspace()) and not char.isspace():
            yield piece
            piece = ""
        piece += char
        if wide:
            yield piece
            piece = ""
    if piece:
        yield piece
