"""Pieces of an HTML page that stands alone: no file and no address outside of it is asked for anything."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from liverseg.writers.atomic import written_whole

# Nothing may be loaded, whatever a name or a value in the page contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; color: #1b1f23; background: #fff;
  margin: 0 auto; max-width: 1180px; padding: 0 20px 60px; }
h1 { font-size: 26px; margin: 28px 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px; }
nav { margin: 10px 0; } nav a { margin-right: 14px; } p { margin: 8px 0; }
.quiet { color: #57606a; } .bad { color: #a40e26; } .good { color: #116329; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0; }
.tile { border: 1px solid #d0d7de; border-radius: 6px; padding: 8px 14px; min-width: 130px; }
.tile b { display: block; font-size: 21px; } .tile span { font-size: 13px; color: #57606a; }
.wide { overflow-x: auto; max-height: 75vh; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 10px; border-bottom: 1px solid #d8dee4; text-align: right; white-space: nowrap; }
th { position: sticky; top: 0; background: #f6f8fa; white-space: normal; vertical-align: bottom; }
td.t, th.t { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0969da; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
tr.failed td { background: #fff1f0; }
figure { margin: 14px 0; } img { max-width: 100%; height: auto; } figcaption { color: #57606a; }
summary { cursor: pointer; font-weight: 600; margin: 10px 0; }
@media print { .wide { max-height: none; } th { position: static; } }
"""
_SCRIPT = """
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.v;
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, {numeric: true}) : x - y;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
});
"""
# Of the pixels of a plot that is written for print.
PLOT_SCALE = 0.65


@dataclass(frozen=True)
class Section:
    """A part of the page; ``body`` is HTML already."""

    title: str
    body: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        decimals: of its numbers; None for whole numbers and words.
        signed: whether numbers get their sign.
    """

    title: str
    decimals: int | None = None
    signed: bool = False
    hint: str = ""


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], marked: Sequence[bool] | None = None
) -> str:
    """A table that is sorted by a click (or Enter) on a column's name; None is shown as a dash, sorted last.

    Args:
        marked: rows to be drawn as failed.
    """
    words = [any(isinstance(row[n], str) for row in rows) for n in range(len(columns))]
    head = "".join(
        f'<th scope="col"{_left(word)} title="{escape(column.hint)}">'
        f'<button type="button">{escape(column.title)}</button></th>'
        for column, word in zip(columns, words, strict=True)
    )
    body = []
    for number, row in enumerate(rows):
        cells = "".join(
            f'<td{_left(word)} data-v="{escape(_sorted_by(value))}">{escape(_shown(value, column))}</td>'
            for value, column, word in zip(row, columns, words, strict=True)
        )
        body.append(f"<tr{' class=failed' if marked and marked[number] else ''}>{cells}</tr>")
    return (
        '<div class="wide"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """Key figures: a large value and what it is."""
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in values
    )
    return f'<div class="tiles">{inner}</div>'


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def plot(path: Path, caption: str) -> str:
    """A plot's PNG file, embedded; as large as its letters can be read."""
    with Image.open(path) as image:
        width = image.width
    return _figure(path.read_bytes(), "png", caption, f' style="width:{width * PLOT_SCALE:.0f}px"')


def picture(path: Path, caption: str) -> str:
    """A picture's file, embedded as JPEG without what else stands in the file."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, format="JPEG", quality=82, optimize=True)
    return _figure(buffer.getvalue(), "jpeg", caption)


def folded(title: str, inner: str) -> str:
    """What is seen after a click."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write a whole page.

    Raises:
        UsageError: the file cannot be written.
    """
    links = "".join(f'<a href="#s{n}">{escape(s.title)}</a>' for n, s in enumerate(sections))
    body = "".join(
        f'<section id="s{n}"><h2>{escape(s.title)}</h2>{s.body}</section>' for n, s in enumerate(sections)
    )
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{paragraph(lead, 'quiet')}<nav>{links}</nav>{body}"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _figure(data: bytes, kind: str, caption: str, style: str = "") -> str:
    told = escape(caption)
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return f'<figure><img src="{address}" alt="{told}"{style}><figcaption>{told}</figcaption></figure>'


def _left(word: bool) -> str:
    return " class=t" if word else ""


def _shown(value: object, column: Column) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and column.decimals is not None:
        return f"{value:{'+' if column.signed else ''}.{column.decimals}f}"
    return str(value)


def _sorted_by(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)
