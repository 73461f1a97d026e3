#!/usr/bin/env python3
"""Draw the icons: a liver from the front with its segments in their own colors, and one lesion.

scripts/make_icons.py      writes LiverSeg.png (256 pixels) and LiverSegModule.png (128) into their folders

The liver is seen as in the anterior view: the patient's right is on the left of the picture. VII and VI lie
lateral, VIII and V beside them, IV in the middle, II above III on the left. Needs pillow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "LiverSegExtension"))

from liverseg import labels  # noqa: E402

# Sizes in pixels; a small icon has fewer, thicker lines.
EXTENSION, MODULE = 256, 128
OVERSAMPLING = 8
# The outline, clockwise from the dome, on a square of 100.
OUTLINE = (
    *((27, 13), (36, 12), (45, 19), (52, 23), (62, 19), (74, 16), (86, 19), (94, 26), (96, 33), (92, 41)),
    *((82, 48), (71, 54), (61, 62), (53, 72), (44, 84), (34, 92), (22, 94), (12, 90), (6, 79), (4, 65)),
    *((6, 50), (11, 36), (17, 23), (22, 16)),
)
# Where one segment meets the next: lines on the same square.
LATERAL_RIGHT = ((28, 0), (25, 100))
MIDDLE = ((45, 0), (40, 100))
FISSURE = ((64, 0), (62, 100))
UPPER_LOWER_RIGHT = ((0, 50), (43, 46))
UPPER_LOWER_LEFT = ((63, 31), (100, 36))
LESION, LESION_RADIUS = (34.5, 34), 6.5
EDGE = (74, 44, 36)


def main() -> None:
    """Draw both icons."""
    draw(EXTENSION).save(ROOT / "Resources/Icons/LiverSeg.png", optimize=True)
    draw(MODULE).save(ROOT / "LiverSegModule/Resources/Icons/LiverSegModule.png", optimize=True)


def draw(size: int) -> Image.Image:
    """The icon with a transparent background, ``size`` pixels wide and high."""
    whole = size * OVERSAMPLING
    unit = whole / 100
    liver = smooth_mask(whole)
    y, x = np.mgrid[0:whole, 0:whole] / unit
    picture = np.zeros((whole, whole, 3), dtype=np.float32)
    right, upper = _left_of(x, y, MIDDLE), _above(x, y, UPPER_LOWER_RIGHT)
    lateral, left = _left_of(x, y, LATERAL_RIGHT), ~_left_of(x, y, FISSURE)
    upper_left = _above(x, y, UPPER_LOWER_LEFT)
    areas = {
        "VII": lateral & upper,
        "VI": lateral & ~upper,
        "VIII": right & ~lateral & upper,
        "V": right & ~lateral & ~upper,
        "IV": ~right & ~left,
        "II": left & upper_left,
        "III": left & ~upper_left,
    }
    colors = {labels.numeral(structure): structure.color for structure in labels.SEGMENTS}
    for numeral, where in areas.items():
        picture[where] = colors[numeral]
    # Light from above and the patient's right gives it a body.
    depth = _blurred(liver, whole // 12)
    slope = np.gradient(depth)
    light = np.clip(1.0 + 60.0 * (slope[0] + 0.5 * slope[1]) * (whole / 2048), 0.62, 1.25)
    picture = np.clip(picture * light[..., None], 0, 255)
    image = Image.fromarray(picture.astype(np.uint8), "RGB")
    lines = ImageDraw.Draw(image)
    width = round((1.5 if size >= EXTENSION else 2.2) * unit)
    for line in (LATERAL_RIGHT, MIDDLE, FISSURE, UPPER_LOWER_RIGHT, UPPER_LOWER_LEFT):
        lines.line([(px * unit, py * unit) for px, py in line], fill=(255, 255, 255), width=width)
    cx, cy = LESION
    for radius, color in ((LESION_RADIUS + 1.6, (255, 255, 255)), (LESION_RADIUS, (208, 52, 28))):
        box = [(cx - radius) * unit, (cy - radius) * unit, (cx + radius) * unit, (cy + radius) * unit]
        lines.ellipse(box, fill=color)
    inside = Image.fromarray((liver > 0.5).astype(np.uint8) * 255)
    canvas = Image.new("RGBA", (whole, whole))
    edge = Image.fromarray((_blurred(liver, round(1.6 * unit)) > 0.04).astype(np.uint8) * 255)
    canvas.paste((*EDGE, 255), (0, 0), edge)
    canvas.paste(image, (0, 0), inside)
    return canvas.resize((size, size), Image.Resampling.LANCZOS)


def smooth_mask(whole: int) -> np.ndarray:
    """The liver with rounded corners: float32, above 0.5 inside."""
    mask = Image.new("L", (whole, whole))
    ImageDraw.Draw(mask).polygon([(x * whole / 100, y * whole / 100) for x, y in OUTLINE], fill=255)
    smooth = _blurred(np.asarray(mask, dtype=np.float32) / 255, whole // 28)
    return (smooth > 0.5).astype(np.float32)  # type: ignore[no-any-return]


def _blurred(array: np.ndarray, radius: int) -> np.ndarray:
    """Three box filters, which come near to a Gaussian."""
    for _ in range(3):
        for axis in range(2):
            sums = np.cumsum(
                np.pad(array, [(radius + 1, radius) if a == axis else (0, 0) for a in range(2)]), axis
            )
            size = array.shape[axis]
            high = np.take(sums, range(2 * radius + 1, 2 * radius + 1 + size), axis)
            array = (high - np.take(sums, range(size), axis)) / (2 * radius + 1)
    return array


def _left_of(x: np.ndarray, y: np.ndarray, line: tuple[tuple[float, float], ...]) -> np.ndarray:
    (x0, y0), (x1, y1) = line
    return x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)


def _above(x: np.ndarray, y: np.ndarray, line: tuple[tuple[float, float], ...]) -> np.ndarray:
    (x0, y0), (x1, y1) = line
    return y < y0 + (x - x0) * (y1 - y0) / (x1 - x0)


if __name__ == "__main__":
    main()
