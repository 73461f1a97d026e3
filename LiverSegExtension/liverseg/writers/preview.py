"""``preview.png``: one picture with a 3D view, key slices and a legend.

The 3D view is drawn by another process (:mod:`liverseg.writers.render3d`), because a broken graphics
driver must not take the result with it. Without VTK or OpenGL the picture comes without the 3D view.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import edt
import numpy as np
from PIL import Image, ImageDraw

from liverseg import labels
from liverseg.case import Case
from liverseg.geometry import CanonicalOrder, bounding_box
from liverseg.summary import whole_mm
from liverseg.writers.slices import (
    AXIAL,
    COLORS,
    CORONAL,
    GRAY,
    RED,
    SAGITTAL,
    WHITE,
    CanonicalCase,
    draw_slice,
    font,
)

logger = logging.getLogger(__name__)

SIZE = (1600, 1000)
# Surfaces finer than this cannot be told apart in a panel of this size.
SURFACE_SPACING_MM = 1.8
RENDER_SECONDS = 60.0
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


def render_3d(case: CanonicalCase, size: tuple[int, int]) -> Image.Image | None:
    """The liver from the front with numerals, or None (and a warning in the log) when it cannot be drawn."""
    box = bounding_box(case.couinaud, (2, 2, 2))
    if box is None:
        return None
    if find_spec("vtk") is None:
        logger.warning("The preview has no 3D view: the package vtk is not installed.")
        return None
    step = [max(1, round(SURFACE_SPACING_MM / s)) for s in case.spacing]
    segments, lesions = (_thinned(array[box], step) for array in (case.couinaud, case.lesions))
    vessels = np.zeros_like(segments) if case.vessels is None else _thinned(case.vessels[box], step)
    spacing = np.array(case.spacing) * step
    extent = spacing * segments.shape
    half_height = 0.53 * max(extent[0], extent[2] * size[1] / size[0])
    scene: dict[str, np.ndarray] = {
        "segments": segments.astype(np.uint8),
        "lesions": (lesions > 0).astype(np.uint8),
        "vessels": vessels.astype(np.uint8),
        "spacing_mm": spacing,
        "segment_colors": np.array([COLORS.get(n, (0, 0, 0)) for n in range(10)]) / 255.0,
        "lesion_color": np.array([(0, 0, 0), RED]) / 255.0,
        "vessel_colors": np.array([(0, 0, 0), *(s.color for s in labels.VESSELS)]) / 255.0,
        "size": np.array(size),
        "half_height_mm": np.array(half_height),
    }
    picture = _rendered(scene)
    if picture is not None:
        _number_view(picture, (segments, lesions), spacing, half_height, case.split_segment_4)
    return picture


def _thinned(array: np.ndarray, step: list[int]) -> np.ndarray:
    """Every n-th voxel, from the middle of the first n."""
    return np.ascontiguousarray(
        array[tuple(slice(min(s // 2, n - 1), None, s) for s, n in zip(step, array.shape, strict=True))]
    )


def _rendered(scene: dict[str, np.ndarray]) -> Image.Image | None:
    """Run the renderer in a process of its own."""
    package_root = Path(__file__).resolve().parents[2]
    paths = [str(package_root), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="liverseg-") as folder:
        source, target = Path(folder) / "scene.npz", Path(folder) / "view.png"
        np.savez(source, allow_pickle=False, **scene)
        command = [sys.executable, "-m", "liverseg.writers.render3d", str(source), str(target)]
        try:
            result = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=RENDER_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("The preview has no 3D view: the renderer did not finish (%s).", error)
            return None
        if result.returncode != 0 or not target.exists():
            last = (result.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            logger.warning(
                "The preview has no 3D view: rendering ended with %s (%s).", result.returncode, last
            )
            return None
        with Image.open(target) as picture:
            return picture.convert("RGB")


def _number_view(
    picture: Image.Image,
    arrays: tuple[np.ndarray, np.ndarray],
    spacing: np.ndarray,
    half_height: float,
    split: bool,
) -> None:
    """Write numerals and lesion ids where each thing is widest as seen from the front."""
    segments, lesions = arrays
    first = (segments > 0).argmax(axis=1)
    seen = np.take_along_axis(segments, first[:, None, :], axis=1)[:, 0, :]
    # Lesions shine through the liver, so they cover what is before and behind them.
    shining = lesions.max(axis=1)
    scale = picture.height / (2 * half_height)
    rows, columns = seen.shape
    draw = ImageDraw.Draw(picture)

    def write(mask: np.ndarray, text: str, smallest_pixels: float, color: tuple[int, int, int]) -> None:
        depth = edt.edt(np.ascontiguousarray(mask), anisotropy=(spacing[0], spacing[2]), black_border=True)
        if depth.max(initial=0.0) * scale < smallest_pixels:
            return
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        x = picture.width / 2 + (column - (columns - 1) / 2) * spacing[2] * scale
        y = picture.height / 2 - (row - (rows - 1) / 2) * spacing[0] * scale
        draw.text((x, y), text, font=font(22), fill=color, anchor="mm", stroke_width=3, stroke_fill=(0, 0, 0))

    for structure in labels.segments(split):
        write((seen == structure.label) & (shining == 0), labels.numeral(structure), 9.0, WHITE)
    for lesion_id in (int(v) for v in np.unique(shining) if v):
        write(shining == lesion_id, str(lesion_id), 4.0, RED)
    for letter, x, anchor in (("R", 8, "lm"), ("L", picture.width - 8, "rm")):
        draw.text((x, picture.height / 2), letter, font=font(18), fill=GRAY, anchor=anchor)
    draw.text((8, 6), "3D, from the front", font=font(16), fill=GRAY, anchor="la")


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
