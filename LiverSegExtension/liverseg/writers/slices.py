"""Draws key slices: CT in a window, Couinaud segments, lesion outlines with their ids.

Radiological convention: the patient's right is on the left of the picture; sagittal slices look from
the patient's left, anterior on the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from liverseg import labels
from liverseg.geometry import CanonicalOrder, bounding_box

# Window level 40, width 400 HU, the usual one for the abdomen.
WINDOW_HU = (-160.0, 240.0)
FILL = 0.22
MARGIN_MM = 30.0
RED = (255, 64, 48)
WHITE = (255, 255, 255)
GRAY = (150, 150, 150)

COLORS: dict[int, tuple[int, int, int]] = {
    s.label: s.color for s in (*labels.SEGMENTS, labels.SEGMENT_IVA, labels.SEGMENT_IVB)
}


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size)


@dataclass(frozen=True, eq=False)
class CanonicalCase:
    """Arrays in canonical order: axis 0 towards superior, 1 posterior, 2 left; spacing along these in mm.

    ``order`` leads back to the CT's own indices.
    """

    ct: np.ndarray
    couinaud: np.ndarray
    lesions: np.ndarray
    vessels: np.ndarray | None
    spacing: tuple[float, float, float]
    order: CanonicalOrder
    split_segment_4: bool


@dataclass(frozen=True)
class Plane:
    """One slice orientation.

    Attributes:
        axis: the canonical axis that is cut.
        flip_rows: rows run against their axis, so that superior is up.
        letters: what is on the left, right, upper and lower side.
    """

    name: str
    axis: int
    flip_rows: bool
    letters: tuple[str, str, str, str]


AXIAL = Plane("Axial", 0, False, ("R", "L", "A", "P"))
CORONAL = Plane("Coronal", 1, True, ("R", "L", "S", "I"))
SAGITTAL = Plane("Sagittal", 2, True, ("A", "P", "S", "I"))


def key_index(case: CanonicalCase, axis: int) -> int:
    """The slice with the largest lesion area, or without lesions the largest liver area."""
    others = tuple(a for a in range(3) if a != axis)
    for array in (case.lesions, case.couinaud):
        area = np.count_nonzero(array, axis=others)
        if area.any():
            return int(area.argmax())
    return case.ct.shape[axis] // 2


def draw_slice(
    case: CanonicalCase, plane: Plane, size: tuple[int, int], index: int | None = None
) -> Image.Image:
    """A picture of ``size`` (width, height) of a slice, the key slice by default, at true proportions."""
    index = key_index(case, plane.axis) if index is None else index
    rows, columns = (a for a in range(3) if a != plane.axis)
    pixel_mm = (case.spacing[rows], case.spacing[columns])

    def cut(array: np.ndarray) -> np.ndarray:
        image = np.take(array, index, axis=plane.axis)
        return image[::-1] if plane.flip_rows else image

    box = _field_of_view(case, rows, columns, plane.flip_rows, size)
    scale = min(size[1] / ((box[1] - box[0]) * pixel_mm[0]), size[0] / ((box[3] - box[2]) * pixel_mm[1]))
    height = max(1, min(size[1], round((box[1] - box[0]) * pixel_mm[0] * scale)))
    width = max(1, min(size[0], round((box[3] - box[2]) * pixel_mm[1] * scale)))

    gray = resized(windowed(cropped(cut(case.ct), box, -1024)), width, height)
    segments = resized_labels(cropped(cut(case.couinaud), box, 0), width, height)
    lesions = resized_labels(cropped(cut(case.lesions), box, 0), width, height)
    rgb = _painted(gray, segments, lesions)
    picture = Image.fromarray(rgb)
    draw = ImageDraw.Draw(picture)
    taken = _number_segments(draw, segments, lesions, case.split_segment_4)
    _number_lesions(draw, lesions, taken)
    panel = Image.new("RGB", size)
    panel.paste(picture, ((size[0] - width) // 2, (size[1] - height) // 2))
    write_letters(ImageDraw.Draw(panel), plane, size, caption(case, plane, index))
    return panel


def caption(case: CanonicalCase, plane: Plane, index: int) -> str:
    """``"Axial, slice 42"`` with the index along the CT's own axis."""
    count = case.ct.shape[plane.axis]
    original = count - 1 - index if case.order.flips[plane.axis] else index
    return f"{plane.name}, {'kji'[case.order.axes[plane.axis]]} = {original}"


def _field_of_view(
    case: CanonicalCase, rows: int, columns: int, flip_rows: bool, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Rows and columns (low, high) around the liver in the panel's proportions; may exceed the CT."""
    liver = bounding_box(case.couinaud) or tuple(slice(0, n) for n in case.couinaud.shape)
    ends = []
    for axis in (rows, columns):
        margin = MARGIN_MM / case.spacing[axis]
        ends.append([liver[axis].start - margin, liver[axis].stop + margin])
    row_mm = (ends[0][1] - ends[0][0]) * case.spacing[rows]
    column_mm = (ends[1][1] - ends[1][0]) * case.spacing[columns]
    wanted_row_mm = max(row_mm, column_mm * size[1] / size[0])
    wanted_column_mm = max(column_mm, row_mm * size[0] / size[1])
    wanted = (wanted_row_mm, wanted_column_mm)
    result = []
    for (low, high), axis, mm in zip(ends, (rows, columns), wanted, strict=True):
        count = case.ct.shape[axis]
        half = mm / case.spacing[axis] / 2
        middle = (low + high) / 2
        # Rather show the CT's other side than nothing.
        middle = min(max(middle, half), count - half) if 2 * half <= count else count / 2
        result += [round(middle - half), round(middle + half)]
    if flip_rows:
        count = case.ct.shape[rows]
        result[0], result[1] = count - result[1], count - result[0]
    return result[0], max(result[1], result[0] + 1), result[2], max(result[3], result[2] + 1)


def cropped(image: np.ndarray, box: tuple[int, int, int, int], outside: int) -> np.ndarray:
    """``image[box]``, filled where the box exceeds the image."""
    r0, r1, c0, c1 = box
    result = np.full((r1 - r0, c1 - c0), outside, image.dtype)
    inside = image[max(r0, 0) : max(r1, 0), max(c0, 0) : max(c1, 0)]
    top, left = max(-r0, 0), max(-c0, 0)
    result[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return result


def windowed(hu: np.ndarray) -> np.ndarray:
    """HU as gray 0..255 in the window of the abdomen."""
    low, high = WINDOW_HU
    gray = np.clip((np.nan_to_num(hu.astype(np.float32), nan=low) - low) / (high - low), 0.0, 1.0)
    return (gray * 255).astype(np.uint8)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Gray values at another size, smoothly."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def resized_labels(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Labels at another size, each pixel taking its largest share, so that borders are smooth."""
    best = np.full((height, width), 0.0, np.float32)
    result = np.zeros((height, width), np.int32)
    for value in np.unique(image):
        layer = Image.fromarray((image == value).astype(np.float32))
        share = np.asarray(layer.resize((width, height), Image.Resampling.BILINEAR))
        better = share > best
        best = np.where(better, share, best)
        result[better] = value
    return result


def borders(image: np.ndarray) -> np.ndarray:
    """Pixels with another label to the right, below, left or above."""
    edge = np.zeros(image.shape, bool)
    down, right = image[1:] != image[:-1], image[:, 1:] != image[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _painted(gray: np.ndarray, segments: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    """Gray CT, segments as a veil with a border, lesions unveiled with a thick red outline."""
    rgb = np.repeat(gray[..., None], 3, axis=2).astype(np.float32)
    edge = borders(segments) & (segments > 0)
    for value, color in COLORS.items():
        inside = (segments == value) & (lesions == 0)
        rgb[inside] = (1 - FILL) * rgb[inside] + FILL * np.array(color, np.float32)
        rgb[inside & edge] = np.array(color, np.float32)
    outline = borders(lesions)
    rgb[outline] = RED
    return rgb.round().astype(np.uint8)


def stroked_text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    color: tuple[int, int, int],
    anchor: str,
) -> None:
    """Text with a black edge, readable on every gray."""
    draw.text(
        at,
        text,
        font=font(size),
        fill=color,
        anchor=anchor,
        stroke_width=max(2, size // 9),
        stroke_fill=(0, 0, 0),
    )


def _number_segments(
    draw: ImageDraw.ImageDraw, segments: np.ndarray, lesions: np.ndarray, split: bool
) -> list[tuple[float, float]]:
    """Write each numeral where its segment is widest; gives the places back."""
    places = []
    for structure in labels.segments(split):
        depth = edt.edt((segments == structure.label) & (lesions == 0), black_border=True)
        if depth.max(initial=0.0) < 8.0:
            continue
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        stroked_text(draw, (float(x), float(y)), labels.numeral(structure), 17, WHITE, "mm")
        places.append((float(x), float(y)))
    return places


def _number_lesions(draw: ImageDraw.ImageDraw, lesions: np.ndarray, taken: list[tuple[float, float]]) -> None:
    """Write each id inside a large lesion, or beside a small one where there is room."""
    height, width = lesions.shape
    for value in (int(v) for v in np.unique(lesions) if v):
        mask = lesions == value
        depth = edt.edt(mask, black_border=True)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        reach = float(depth.max())
        at = (float(x), float(y))
        if reach < 16:
            ys, xs = np.nonzero(mask)
            gap = 14.0
            around = [
                (xs.max() + gap, ys.min() - gap / 2),
                (xs.min() - gap, ys.min() - gap / 2),
                (xs.max() + gap, ys.max() + gap / 2),
                (xs.min() - gap, ys.max() + gap / 2),
            ]
            inside = [(px, py) for px, py in around if 12 < px < width - 12 and 12 < py < height - 12]
            free = [p for p in inside if all(abs(p[0] - t[0]) + abs(p[1] - t[1]) > 28 for t in taken)]
            at = (free or inside or [at])[0]
        stroked_text(draw, at, str(value), 20, RED, "mm")
        taken.append(at)


def write_letters(
    draw: ImageDraw.ImageDraw, plane: Plane, size: tuple[int, int], text: str, letter: int = 18
) -> None:
    """What is on the four sides, and a caption in the upper left corner."""
    width, height = size
    left, right, upper, lower = plane.letters
    stroked_text(draw, (8, height / 2), left, letter, GRAY, "lm")
    stroked_text(draw, (width - 8, height / 2), right, letter, GRAY, "rm")
    stroked_text(draw, (width / 2, 6), upper, letter, GRAY, "ma")
    stroked_text(draw, (width / 2, height - 6), lower, letter, GRAY, "md")
    stroked_text(draw, (8, 6), text, letter - 2, GRAY, "la")
