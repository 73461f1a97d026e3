"""The liver in 3D as pictures, from the front, with numerals and lesion ids.

The surfaces are drawn by another process (:mod:`liverseg.writers.render3d`), because a broken graphics
driver must not take the result with it. Without VTK or OpenGL there is no picture, and a word in the log.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import edt
import numpy as np
from PIL import Image, ImageDraw

from liverseg import labels
from liverseg.geometry import bounding_box
from liverseg.writers.slices import COLORS, GRAY, RED, WHITE, CanonicalCase, font

logger = logging.getLogger(__name__)

# Surfaces finer than this cannot be told apart in a picture of this size.
SURFACE_SPACING_MM = 1.8
RENDER_SECONDS = 60.0
RENDER_SECONDS_EACH = 6.0
OTHER_LESIONS = (170, 110, 105)
BLACK = (0, 0, 0)
# What runs in the liver; the aorta beside it would be cut off by the picture's box.
IN_LIVER = (labels.PORTAL_VEIN, labels.HEPATIC_VEINS)
# More ids than this cover the liver; the largest are told.
NUMBERED_LESIONS = 25


@dataclass(frozen=True)
class Look:
    """What one picture brings out.

    Attributes:
        size: width and height in pixels.
        lesion: the id of the lesion that stands out, the others pale; None for all alike.
        segments: labels of the segments that keep their colors, the others a gray shell; None for all.
        captioned: with a line that says what the picture shows.
    """

    size: tuple[int, int]
    lesion: int | None = None
    segments: tuple[int, ...] | None = None
    captioned: bool = True


def render_3d(case: CanonicalCase, size: tuple[int, int]) -> Image.Image | None:
    """The whole liver on black, or None (and a warning in the log) when it cannot be drawn."""
    pictures = render_looks(case, (Look(size),), BLACK)
    return None if pictures is None else pictures[0]


def render_looks(
    case: CanonicalCase, looks: Sequence[Look], background: tuple[int, int, int]
) -> list[Image.Image] | None:
    """One picture for each look, or None (and a warning in the log) when there are none to be had."""
    box = bounding_box(case.couinaud, (2, 2, 2))
    if box is None or not looks:
        return None
    if find_spec("vtk") is None:
        logger.warning("There is no 3D view: the package vtk is not installed.")
        return None
    step = [max(1, round(SURFACE_SPACING_MM / s)) for s in case.spacing]
    segments = _thinned(case.couinaud[box], step)
    lesions = _thinned_lesions(case.lesions[box], step)
    vessels = np.zeros_like(segments) if case.vessels is None else _thinned(case.vessels[box], step)
    vessels[vessels > len(IN_LIVER)] = 0
    spacing = np.array(case.spacing) * step
    extent = spacing * segments.shape
    half_heights = [
        0.53 * max(extent[0], extent[2] * height / width) for width, height in (x.size for x in looks)
    ]
    scene: dict[str, np.ndarray] = {
        "segments": segments.astype(np.uint8),
        "lesions": lesions.astype(np.uint16),
        "vessels": vessels.astype(np.uint8),
        "spacing_mm": spacing,
        "segment_colors": np.array([COLORS.get(n, BLACK) for n in range(10)]) / 255.0,
        "shown_segments": np.array([_shown_segments(look) for look in looks]),
        "shown_lesions": np.array([look.lesion or 0 for look in looks]),
        "lesion_colors": np.array([OTHER_LESIONS, RED]) / 255.0,
        "vessel_colors": np.array([BLACK, *(s.color for s in IN_LIVER)]) / 255.0,
        "background": np.array(background) / 255.0,
        "sizes": np.array([look.size for look in looks]),
        "half_heights_mm": np.array(half_heights),
    }
    pictures = _rendered(scene, len(looks))
    for picture, look, half_height in zip(pictures or (), looks, half_heights, strict=False):
        _number(picture, (segments, lesions), spacing, half_height, case.split_segment_4, look)
    return pictures


def _shown_segments(look: Look) -> list[bool]:
    """By label, whether a segment is drawn in its color."""
    return [look.segments is None or label in look.segments for label in range(10)]


def _thinned(array: np.ndarray, step: list[int]) -> np.ndarray:
    """Every n-th voxel, from the middle of the first n."""
    return np.ascontiguousarray(
        array[tuple(slice(min(s // 2, n - 1), None, s) for s, n in zip(step, array.shape, strict=True))]
    )


def _thinned_lesions(array: np.ndarray, step: list[int]) -> np.ndarray:
    """Thinned labels in which the smallest lesion still has a voxel."""
    thin = _thinned(array, step)
    for lost in np.setdiff1d(np.unique(array), np.unique(thin)):
        first = np.unravel_index(int((array == lost).argmax()), array.shape)
        thin[tuple(min(int(i) // s, n - 1) for i, s, n in zip(first, step, thin.shape, strict=True))] = lost
    return thin


def _rendered(scene: dict[str, np.ndarray], count: int) -> list[Image.Image] | None:
    """Run the renderer in a process of its own, which writes ``count`` pictures."""
    package_root = Path(__file__).resolve().parents[2]
    paths = [str(package_root), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory(prefix="liverseg-") as folder:
        source, targets = Path(folder) / "scene.npz", [Path(folder) / f"{n}.png" for n in range(count)]
        command = [sys.executable, "-m", "liverseg.writers.render3d", str(source), folder]
        try:
            np.savez(source, allow_pickle=False, **scene)
            result = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=RENDER_SECONDS + RENDER_SECONDS_EACH * count,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("There is no 3D view: the renderer did not finish (%s).", error)
            return None
        if result.returncode != 0 or not all(target.exists() for target in targets):
            last = (result.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            logger.warning("There is no 3D view: rendering ended with %s (%s).", result.returncode, last)
            return None
        pictures = []
        for target in targets:
            with Image.open(target) as picture:
                pictures.append(picture.convert("RGB"))
        return pictures


def _number(
    picture: Image.Image,
    arrays: tuple[np.ndarray, np.ndarray],
    spacing: np.ndarray,
    half_height: float,
    split: bool,
    look: Look,
) -> None:
    """Write numerals and lesion ids where each thing is widest as seen from the front."""
    segments, lesions = arrays
    first = (segments > 0).argmax(axis=1)
    seen = np.take_along_axis(segments, first[:, None, :], axis=1)[:, 0, :]
    # Lesions shine through the liver, so they cover what is before and behind them.
    shining = (lesions if look.lesion is None else np.where(lesions == look.lesion, lesions, 0)).max(axis=1)
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
        if look.segments is not None and structure.label not in look.segments:
            continue
        write((seen == structure.label) & (shining == 0), labels.numeral(structure), 9.0, WHITE)
    ids, counts = np.unique(shining[shining > 0], return_counts=True)
    for lesion_id in ids[np.argsort(-counts, kind="stable")][:NUMBERED_LESIONS].tolist():
        write(shining == lesion_id, str(lesion_id), 4.0, RED)
    for letter, x, anchor in (("R", 8, "lm"), ("L", picture.width - 8, "rm")):
        draw.text((x, picture.height / 2), letter, font=font(18), fill=GRAY, anchor=anchor)
    if look.captioned:
        draw.text((8, 6), "3D, from the front", font=font(16), fill=GRAY, anchor="la")
