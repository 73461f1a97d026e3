"""One lesion from near: its key slice with outline and axes, and the same slice without marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from liverseg.case import LesionReadout, Point
from liverseg.geometry import Geometry
from liverseg.summary import whole_mm
from liverseg.writers.slices import (
    AXIAL,
    COLORS,
    RED,
    WHITE,
    CanonicalCase,
    borders,
    caption,
    cropped,
    resized,
    resized_labels,
    stroked_text,
    windowed,
    write_letters,
)

Color = tuple[int, int, int]

LONG_AXIS: Color = (255, 221, 64)
SHORT_AXIS: Color = (96, 220, 255)
# The lesion with its surroundings: enough liver around a small one to know the place.
FIELD_TIMES_LONG_AXIS = 2.6
SMALLEST_FIELD_MM = 100.0
# Drawn at twice the size and reduced, so that slanted lines are smooth.
OVERSAMPLING = 2
LETTER = 24


@dataclass(frozen=True)
class LesionSlices:
    """Canonical indices of the slices through a lesion: its key slice, and those through its middle."""

    axial: int
    coronal: int
    sagittal: int


def lesion_slices(case: CanonicalCase, geometry: Geometry, lesion: LesionReadout) -> LesionSlices:
    """Which slices show a lesion best.

    Args:
        geometry: the CT's own grid.
    """
    count = case.ct.shape[0]
    key = count - 1 - lesion.key_slice if case.order.flips[0] else lesion.key_slice
    middle = _canonical(case, geometry, lesion.centroid_ras_mm)
    coronal, sagittal = (int(np.clip(round(middle[n]), 0, case.ct.shape[n] - 1)) for n in (1, 2))
    return LesionSlices(int(np.clip(key, 0, count - 1)), coronal, sagittal)


def draw_lesion(
    case: CanonicalCase, geometry: Geometry, lesion: LesionReadout, side: int, marked: bool
) -> Image.Image:
    """A square picture around the lesion in its key slice, ``side`` pixels wide.

    Args:
        geometry: the CT's own grid.
        marked: with outlines, axes and segment borders; otherwise the gray values alone.
    """
    index = lesion_slices(case, geometry, lesion).axial
    large = side * OVERSAMPLING
    box, scale = _field(case, geometry, lesion, large)
    gray = resized(windowed(cropped(case.ct[index], box, -1024)), large, large)
    rgb = np.repeat(gray[..., None], 3, axis=2)
    if marked:
        segments = resized_labels(cropped(case.couinaud[index], box, 0), large, large)
        lesions = resized_labels(cropped(case.lesions[index], box, 0), large, large)
        _paint(rgb, segments, lesions, lesion.id)
    picture = Image.fromarray(rgb)
    if marked:
        draw = ImageDraw.Draw(picture)
        for points, color in (
            (lesion.short_axis_points_ras_mm, SHORT_AXIS),
            (lesion.long_axis_points_ras_mm, LONG_AXIS),
        ):
            ends = [_pixel(_canonical(case, geometry, point), box, scale) for point in points]
            _draw_axis(draw, ends[0], ends[1], color)
    picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    text = caption(case, AXIAL, index) if marked else "The same slice without marks"
    write_letters(draw, AXIAL, (side, side), text, LETTER)
    _draw_scale(draw, side, scale[1] / OVERSAMPLING / case.spacing[2])
    if marked:
        axes = f"{whole_mm(lesion.long_axis_mm)} mm", f"{whole_mm(lesion.short_axis_mm)} mm"
        stroked_text(draw, (side - 8, side - 10 - LETTER), axes[0], LETTER, LONG_AXIS, "rd")
        stroked_text(draw, (side - 8, side - 8), axes[1], LETTER, SHORT_AXIS, "rd")
    return picture


def _canonical(case: CanonicalCase, geometry: Geometry, point: Point) -> np.ndarray:
    """A world point as fractional canonical indices."""
    kji = geometry.to_kji(point)[list(case.order.axes)]
    counts = np.array(case.ct.shape)
    return np.where(case.order.flips, counts - 1 - kji, kji)


def _field(
    case: CanonicalCase, geometry: Geometry, lesion: LesionReadout, pixels: int
) -> tuple[tuple[int, int, int, int], tuple[float, float]]:
    """Rows and columns around the lesion, and pixels a voxel along each."""
    points = [_canonical(case, geometry, p) for p in lesion.long_axis_points_ras_mm]
    middle = (points[0] + points[1]) / 2
    field_mm = max(SMALLEST_FIELD_MM, FIELD_TIMES_LONG_AXIS * lesion.long_axis_mm)
    box: list[int] = []
    for axis in (1, 2):
        voxels = max(2, round(field_mm / case.spacing[axis]))
        low = round(middle[axis] - voxels / 2)
        box += [low, low + voxels]
    scale = (pixels / (box[1] - box[0]), pixels / (box[3] - box[2]))
    return (box[0], box[1], box[2], box[3]), scale


def _pixel(
    place: np.ndarray, box: tuple[int, int, int, int], scale: tuple[float, float]
) -> tuple[float, float]:
    """x, y in the picture of a canonical place; a voxel's center lies half a voxel from its edge."""
    return float((place[2] + 0.5 - box[2]) * scale[1]), float((place[1] + 0.5 - box[0]) * scale[0])


def _paint(rgb: np.ndarray, segments: np.ndarray, lesions: np.ndarray, lesion_id: int) -> None:
    """Segment borders thin in their colors, other lesions pale, the lesion's outline red."""
    edge = borders(segments) & (segments > 0) & (lesions == 0)
    for value, color in COLORS.items():
        rgb[edge & (segments == value)] = color
    rgb[borders((lesions > 0) & (lesions != lesion_id))] = tuple((c + 90) // 2 for c in RED)
    outline = borders(lesions == lesion_id)
    # One pixel more on each side of the border.
    rgb[borders(outline) | outline] = RED


def _draw_axis(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], color: Color
) -> None:
    """A line with a short bar across each end."""
    direction = np.array(end) - np.array(start)
    length = float(np.linalg.norm(direction))
    across = np.array([-direction[1], direction[0]]) / length * 14 if length > 0 else np.array([0.0, 14.0])
    for shade, width in (((0, 0, 0), 10), (color, 6)):
        draw.line([start, end], fill=shade, width=width)
        for place in (start, end):
            x, y = place
            draw.line(
                [(x - across[0], y - across[1]), (x + across[0], y + across[1])], fill=shade, width=width
            )


def _draw_scale(draw: ImageDraw.ImageDraw, side: int, pixels_per_mm: float) -> None:
    """A bar of 20 mm (50 mm in wide fields) in the lower left corner."""
    length_mm = 20 if 20 * pixels_per_mm > side / 12 else 50
    length = length_mm * pixels_per_mm
    y = side - 14
    draw.line([(10, y), (10 + length, y)], fill=WHITE, width=3)
    for x in (10, 10 + length):
        draw.line([(x, y - 5), (x, y + 5)], fill=WHITE, width=3)
    stroked_text(draw, (10 + length / 2, y - 8), f"{length_mm} mm", LETTER - 3, WHITE, "md")
