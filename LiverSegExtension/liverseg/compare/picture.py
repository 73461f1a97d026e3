"""``compare.png``: the lesions that matter, before and after side by side, at one scale.

Radiological convention: axial slices of each scan's own plane, the patient's right on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from liverseg.case import LesionReadout, Point
from liverseg.compare.result import Change, Comparison, LesionChange
from liverseg.compare.sentences import percent_text
from liverseg.compare.time_point import TimePoint
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.summary import whole_mm
from liverseg.writers.slices import GRAY, RED, WHITE, font, windowed

ROWS = 6
PANEL = (560, 270)
TEXT_WIDTH = 440
GAP = 12
HEADER, FOOTER = 132, 60
# The part of the liver in a panel, mm across; wider for large lesions.
WIDTH_MM = 200.0
LESION_SHARE = 0.55
LIVER_COLOR = (221, 170, 119)
OTHER_COLOR = (255, 150, 60)
AXIS_COLOR = (255, 230, 80)
NOTE_COLOR = (255, 200, 80)
# Without a CT the liver is drawn flat.
FLAT_LIVER, FLAT_OUTSIDE = 84, 18
STATUS_WORDS = {
    "matched": "",
    "split": "split",
    "merged": "merged",
    "regrouped": "regrouped",
    "gone": "gone",
    "new": "new",
    "not_covered": "outside of the other scan",
    "not_compared": "not compared",
}


def write_picture(comparison: Comparison, path: Path) -> None:
    """Draw the picture, PNG, 1600 pixels wide."""
    shown = _by_weight(comparison.lesions)[:ROWS]
    width = 2 * PANEL[0] + TEXT_WIDTH + 3 * GAP + 4
    height = HEADER + max(1, len(shown)) * (PANEL[1] + GAP) + FOOTER
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    _draw_header(draw, comparison)
    before, after = _Scan.of(comparison.before), _Scan.of(comparison.after)
    for n, lesion in enumerate(shown):
        top = HEADER + n * (PANEL[1] + GAP)
        for panel, left in zip(
            _panels(lesion, comparison, before, after), (GAP, 2 * GAP + PANEL[0]), strict=True
        ):
            picture.paste(panel, (left, top))
        _draw_text(draw, lesion, (3 * GAP + 2 * PANEL[0], top))
    if not shown:
        draw.text((GAP, HEADER), "no lesion in either scan", font=font(20), fill=GRAY)
    _draw_footer(draw, comparison, len(comparison.lesions) - len(shown), (width, height))
    picture.save(path, format="PNG")


@dataclass(frozen=True, eq=False)
class _Scan:
    """A time point's arrays in canonical order (superior, posterior, left)."""

    liver: np.ndarray
    lesions: np.ndarray
    ct: np.ndarray | None
    geometry: Geometry
    readouts: dict[int, LesionReadout]

    @staticmethod
    def of(point: TimePoint) -> _Scan:
        order = CanonicalOrder.of(point.geometry)
        return _Scan(
            order.apply(point.liver_mask),
            order.apply(point.lesion_labels),
            None if point.ct is None else order.apply(point.ct),
            order.geometry(point.geometry),
            {lesion.id: lesion for lesion in point.lesions},
        )


def _by_weight(lesions: Sequence[LesionChange]) -> list[LesionChange]:
    """Targets, then new and gone lesions, then the rest, each by falling volume."""
    ranks = {"new": 1, "gone": 2}

    def weight(lesion: LesionChange) -> tuple[int, float]:
        rank = 0 if lesion.target else ranks.get(lesion.status, 3)
        return rank, -max(lesion.volume_ml.before or 0.0, lesion.volume_ml.after or 0.0)

    return sorted(lesions, key=weight)


def _panels(
    lesion: LesionChange, comparison: Comparison, before: _Scan, after: _Scan
) -> tuple[Image.Image, Image.Image]:
    one = _middle(before.readouts[lesion.before[0]]) if lesion.before else None
    other = _middle(after.readouts[lesion.after[0]]) if lesion.after else None
    registration = comparison.registration
    if registration is not None:
        if one is None and other is not None:
            one = registration.to_before([other])[0]
        elif other is None and one is not None:
            other = registration.to_after([one])[0]
    longest = max(
        [before.readouts[n].long_axis_mm for n in lesion.before]
        + [after.readouts[n].long_axis_mm for n in lesion.after]
    )
    # Both panels show the same field of view, so that a change of size is seen as one.
    width_mm = max(WIDTH_MM, longest / LESION_SHARE * PANEL[0] / PANEL[1])
    return _panel(before, one, width_mm, lesion.before), _panel(after, other, width_mm, lesion.after)


def _middle(lesion: LesionReadout) -> np.ndarray:
    """The middle of the long axis, which lies in the key slice; RAS mm."""
    return np.mean(lesion.long_axis_points_ras_mm, axis=0)


def _panel(scan: _Scan, middle: np.ndarray | None, width_mm: float, ids: Sequence[int]) -> Image.Image:
    """The axial slice through a point (RAS mm), with outlines and the long axes of the lesions ``ids``."""
    panel = Image.new("RGB", PANEL)
    if middle is None:
        _say(panel, "no liver")
        return panel
    center = scan.geometry.to_kji(middle)
    k = int(np.floor(center[0] + 0.5))
    if not 0 <= k < scan.liver.shape[0]:
        _say(panel, "outside of this scan")
        return panel
    scale = PANEL[0] / width_mm
    _, row_mm, column_mm = scan.geometry.spacing_kji
    # Panel pixel (x, y) in slice pixels: the lesion's middle lies in the panel's.
    step = np.array([1 / (scale * row_mm), 1 / (scale * column_mm)])
    offset = center[1:] - (np.array(PANEL[::-1]) - 1) / 2 * step

    def drawn(image: np.ndarray, outside: float) -> np.ndarray:
        return ndimage.affine_transform(
            image.astype(np.float32), step, offset, PANEL[::-1], order=1, cval=outside
        )

    liver = drawn(scan.liver[k], 0) > 0.5
    if scan.ct is None:
        gray = np.where(liver, FLAT_LIVER, FLAT_OUTSIDE).astype(np.uint8)
    else:
        gray = windowed(drawn(scan.ct[k], -1024))
    rgb = np.repeat(gray[..., None], 3, axis=2)
    rgb[_outline(liver, 1)] = LIVER_COLOR
    places = []
    for value in (int(v) for v in np.unique(scan.lesions[k]) if v):
        inside = drawn(scan.lesions[k] == value, 0) > 0.5
        rgb[_outline(inside, 2 if value in ids else 1)] = RED if value in ids else OTHER_COLOR
        if inside.any():
            rows, columns = np.nonzero(inside)
            places.append((value, float(columns.max()) + 12, float(rows.min())))
    panel = Image.fromarray(rgb)
    draw = ImageDraw.Draw(panel)
    for lesion_id in ids:
        _draw_axis(draw, scan, scan.readouts[lesion_id].long_axis_points_ras_mm, (k, step, offset))
    for value, x, y in places:
        color = RED if value in ids else OTHER_COLOR
        at = (min(x, PANEL[0] - 14), max(y, 14))
        draw.text(
            at, str(value), font=font(20), fill=color, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0)
        )
    if not ids:
        draw.line([(PANEL[0] / 2 - 9, PANEL[1] / 2), (PANEL[0] / 2 + 9, PANEL[1] / 2)], fill=WHITE)
        draw.line([(PANEL[0] / 2, PANEL[1] / 2 - 9), (PANEL[0] / 2, PANEL[1] / 2 + 9)], fill=WHITE)
    for letter, x, anchor in (("R", 6, "lm"), ("L", PANEL[0] - 6, "rm")):
        draw.text(
            (x, PANEL[1] / 2),
            letter,
            font=font(16),
            fill=GRAY,
            anchor=anchor,
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )
    bar = 20 * scale
    draw.line([(10, PANEL[1] - 12), (10 + bar, PANEL[1] - 12)], fill=WHITE, width=2)
    draw.text((14 + bar, PANEL[1] - 12), "20 mm", font=font(14), fill=WHITE, anchor="lm")
    return panel


def _draw_axis(
    draw: ImageDraw.ImageDraw,
    scan: _Scan,
    ends: tuple[Point, Point],
    view: tuple[int, np.ndarray, np.ndarray],
) -> None:
    """A long axis, where it lies in the slice."""
    k, step, offset = view
    index = scan.geometry.to_kji(ends)
    if np.abs(index[:, 0] - k).max() > 0.6:
        return
    pixels = (index[:, 1:] - offset) / step
    draw.line([(float(x), float(y)) for y, x in pixels], fill=AXIS_COLOR, width=1)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask, iterations=width)


def _say(panel: Image.Image, text: str) -> None:
    ImageDraw.Draw(panel).text((PANEL[0] / 2, PANEL[1] / 2), text, font=font(20), fill=GRAY, anchor="mm")


def _draw_header(draw: ImageDraw.ImageDraw, comparison: Comparison) -> None:
    liver = comparison.liver_ml
    sizes = f"Liver {_number(liver.before, 0)} to {_number(liver.after, 0)} ml ({percent_text(liver)})"
    tumor = comparison.lesions_ml
    sizes += f", lesions {_number(tumor.before, 1)} to {_number(tumor.after, 1)} ml ({percent_text(tumor)})"
    draw.text((GAP, 10), sizes, font=font(24), fill=WHITE)
    draw.text((GAP, 46), comparison.summary[0], font=font(20), fill=WHITE)
    if len(comparison.summary) > 1 and comparison.targets.targets:
        draw.text((GAP, 74), comparison.summary[1], font=font(15), fill=GRAY)
    for text, left in (("before", GAP), ("after", 2 * GAP + PANEL[0])):
        draw.text((left + PANEL[0] / 2, HEADER - 8), text, font=font(18), fill=GRAY, anchor="ms")


def _draw_text(draw: ImageDraw.ImageDraw, lesion: LesionChange, at: tuple[int, int]) -> None:
    x, y = at
    names = [_names(lesion.before, "before"), _names(lesion.after, "after")]
    head = ", ".join(name for name in names if name)
    draw.text((x, y + 6), f"Lesion {head}", font=font(20), fill=RED)
    words = [lesion.segment_after or lesion.segment_before, STATUS_WORDS[lesion.status]]
    words = [f"segment {words[0]}" if words[0] else None, words[1], "target" if lesion.target else None]
    draw.text((x, y + 36), ", ".join(w for w in words if w), font=font(18), fill=WHITE)
    rows = (
        ("long axis", lesion.long_axis_mm, "mm", None),
        ("short axis", lesion.short_axis_mm, "mm", None),
        ("volume", lesion.volume_ml, "ml", 1),
        ("density", lesion.mean_hu, "HU", 0),
    )
    for n, (name, change, unit, decimals) in enumerate(rows):
        line = y + 72 + 30 * n
        draw.text((x, line), name, font=font(18), fill=GRAY)
        values = f"{_number(change.before, decimals)} to {_number(change.after, decimals)} {unit}"
        draw.text((x + 100, line), values, font=font(18), fill=WHITE)
        draw.text((x + TEXT_WIDTH - 8, line), _percent(change), font=font(18), fill=WHITE, anchor="ra")
    if lesion.overlap_percent is not None:
        text = f"overlap {lesion.overlap_percent:.0f} %, centers {lesion.distance_mm:.0f} mm apart"
        draw.text((x, y + 72 + 30 * len(rows) + 6), text, font=font(15), fill=GRAY)


def _draw_footer(draw: ImageDraw.ImageDraw, comparison: Comparison, more: int, size: tuple[int, int]) -> None:
    notes = [f"and {more} more in compare.csv"] if more > 0 else []
    count = len(comparison.warnings)
    if count:
        notes.append(f"{count} warning{'s' if count > 1 else ''} in compare.json: {comparison.warnings[0]}")
    draw.text((GAP, size[1] - 50), "; ".join(notes)[:170], font=font(16), fill=NOTE_COLOR)
    draw.text((GAP, size[1] - 26), "LiverSeg: research use, not a medical device", font=font(15), fill=GRAY)


def _names(ids: Sequence[int], when: str) -> str:
    return f"{' and '.join(str(n) for n in ids)} {when}" if ids else ""


def _number(value: float | None, decimals: int | None) -> str:
    """A value in words; lengths (no decimals given) in whole mm as everywhere."""
    if value is None:
        return "-"
    return str(whole_mm(value)) if decimals is None else f"{value:,.{decimals}f}"


def _percent(change: Change) -> str:
    return "" if change.percent is None else percent_text(change)
