"""``preview.png``: one picture with a 3D view, key slices and a legend.

Without VTK or OpenGL the picture comes without the 3D view (:mod:`liverseg.writers.view3d`).
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from liverseg import labels
from liverseg.case import Case
from liverseg.geometry import CanonicalOrder
from liverseg.summary import whole_mm
from liverseg.writers.slices import (
    AXIAL,
    CORONAL,
    GRAY,
    RED,
    SAGITTAL,
    WHITE,
    CanonicalCase,
    draw_slice,
    font,
)
from liverseg.writers.view3d import render_3d

SIZE = (1600, 1000)
LISTED_LESIONS = 9

_VIEW_3D = (16, 16, 776, 560)
_AXIAL = (808, 16, 776, 560)
_CORONAL = (16, 592, 560, 392)
_SAGITTAL = (592, 592, 440, 392)
_LEGEND = (1056, 592)


def write_preview(case: Case, path: Path) -> None:
    """Draw the picture, 1600 x 1000 pixels, PNG."""
    canonical = canonical_case(case)
    picture = Image.new("RGB", SIZE)
    view = render_3d(canonical, _VIEW_3D[2:])
    if view is not None:
        picture.paste(view, _VIEW_3D[:2])
    else:
        ImageDraw.Draw(picture).text(
            (_VIEW_3D[0] + _VIEW_3D[2] // 2, _VIEW_3D[1] + _VIEW_3D[3] // 2),
            "no 3D view" if canonical.couinaud.any() else "no liver found",
            font=font(20),
            fill=GRAY,
            anchor="mm",
        )
    for plane, (x, y, width, height) in ((AXIAL, _AXIAL), (CORONAL, _CORONAL), (SAGITTAL, _SAGITTAL)):
        picture.paste(draw_slice(canonical, plane, (width, height)), (x, y))
    _draw_legend(ImageDraw.Draw(picture), case)
    picture.save(path, format="PNG")


def canonical_case(case: Case) -> CanonicalCase:
    """Views of the case's arrays in canonical order; nothing is copied."""
    order = CanonicalOrder.of(case.ct.geometry)
    masks = case.masks
    return CanonicalCase(
        ct=order.apply(case.ct.array),
        couinaud=order.apply(masks.couinaud),
        lesions=order.apply(masks.lesions),
        vessels=None if masks.vessels is None else order.apply(masks.vessels),
        spacing=order.geometry(case.ct.geometry).spacing_kji,
        order=order,
        split_segment_4=case.split_segment_4,
    )


def _draw_legend(draw: ImageDraw.ImageDraw, case: Case) -> None:
    """Numerals with their colors and volumes, the liver's volume, and the lesions by size."""
    x, y = _LEGEND
    draw.text((x, y), f"Liver {case.liver.volume_ml:,.0f} ml", font=font(26), fill=WHITE)
    longest = max((lesion.long_axis_mm for lesion in case.lesions), default=None)
    count = len(case.lesions)
    lesions = "no lesion" if count == 0 else f"{count} lesion{'s' if count > 1 else ''}"
    size = "" if longest is None else f", largest axis {whole_mm(longest)} mm"
    draw.text((x, y + 36), lesions + size, font=font(20), fill=RED if count else WHITE)

    top = y + 78
    by_name = {segment.name: segment for segment in case.segments}
    for n, structure in enumerate(labels.segments(case.split_segment_4)):
        row = top + 28 * n
        numeral = labels.numeral(structure)
        draw.rectangle((x, row + 2, x + 18, row + 20), fill=structure.color)
        draw.text((x + 28, row), numeral, font=font(18), fill=WHITE)
        if numeral in by_name:
            draw.text(
                (x + 148, row), f"{by_name[numeral].volume_ml:,.0f} ml", font=font(18), fill=GRAY, anchor="ra"
            )
    shown = sorted(case.lesions, key=lambda lesion: -lesion.long_axis_mm)[:LISTED_LESIONS]
    for n, lesion in enumerate(shown):
        row = top + 28 * n
        axes = f"{whole_mm(lesion.long_axis_mm)} x {whole_mm(lesion.short_axis_mm)} mm"
        draw.text((x + 200, row), str(lesion.id), font=font(18), fill=RED)
        draw.text((x + 240, row), axes, font=font(18), fill=WHITE)
        draw.text((x + 380, row), lesion.primary_segment or "", font=font(18), fill=GRAY)
    if count > len(shown):
        draw.text(
            (x + 200, top + 28 * len(shown)), f"and {count - len(shown)} more", font=font(18), fill=GRAY
        )
    notes = ["Couinaud split approximate"] if case.method.approximate else []
    if not case.liver.complete and case.liver.volume_ml > 0:
        notes.append("liver cut off by the scan")
    draw.text((x, SIZE[1] - 66), "; ".join(notes), font=font(16), fill=(255, 200, 80))
    draw.text((x, SIZE[1] - 40), "LiverSeg: research use, not a medical device", font=font(16), fill=GRAY)
