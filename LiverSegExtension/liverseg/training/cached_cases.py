"""Cached cases on disk: what their files are called and hold, written whole and opened again.

A cache folder holds one folder a case: ``label.npy`` (uint8) and, where there is a CT, ``image.npy`` (uint8,
the HU window scaled to 0..255), both in canonical (S, P, L) order, and ``case.json`` with what is known.
Cases whose labels are not to be trusted everywhere also have ``counted.npy`` (bool); whole scans whose aorta
somebody drew have ``aorta.npy`` (bool). ``grid.json`` says what their voxels are (:class:`CachedGrid`).
Labels of stage 1 and stage 2 are those of :class:`Code`; a Couinaud map has the segments 1..8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liverseg.errors import InputRefused
from liverseg.intensity import hu_of, normalize_hu
from liverseg.writers.atomic import cannot_write, written_whole

# HU that 0..255 stand for.
WINDOW = (-160.0, 240.0)
# What a case's files are called; the last one makes it whole.
SEGMENTS_FILE, SLICES_FILE, GRID_FILE, CASE_FILE = "segments.npy", "slices.json", "grid.json", "case.json"
# Kinds of cached cases.
WHOLE, SLICES, SEGMENTS = "whole", "slices", "segments"


class Code(IntEnum):
    """Values of cached label maps of CTs; vessels are told apart inside the liver alone."""

    BACKGROUND = 0
    LIVER = 1
    LESION = 2
    PORTAL_VEIN = 3
    HEPATIC_VEIN = 4
    VESSEL = 5


@dataclass(frozen=True)
class Known:
    """What the labels of a case tell apart.

    Attributes:
        lesions: False where lesions are part of the liver's label.
        vessels: "kinds" (portal and hepatic), "vessels" (kind not told) or "none" (vessels are liver).
    """

    lesions: bool = True
    vessels: str = "none"


@dataclass(frozen=True)
class CachedGrid:
    """What the voxels of a cached case are.

    Attributes:
        kind: "whole" (volumes of CTs), "slices" (chosen ones of them) or "segments" (Couinaud maps).
        spacing_mm: of the voxels (z, y, x); None where nobody knows any more.
        window_hu: what 0..255 stands for; None without an image, or where nobody knows any more.
        context: slices in all that each of the slices is kept with.
    """

    kind: str
    spacing_mm: tuple[float, float, float] | None
    window_hu: tuple[float, float] | None = WINDOW
    context: int | None = None


@dataclass(frozen=True, eq=False)
class CachedCase:
    """One case: tensors (z, y, x) over memory-mapped files, and what its labels tell apart.

    Attributes:
        counted: where the label can be trusted; None for everywhere.
        aorta: where it is; None where nobody drew it.
    """

    case: str
    label: torch.Tensor
    image: torch.Tensor | None
    known: Known
    counted: torch.Tensor | None = None
    aorta: torch.Tensor | None = None

    def on(self, device: torch.device) -> CachedCase:
        """The case with its tensors on a device; on the CPU they stay memory-mapped."""
        if device.type == self.label.device.type:
            return self
        image, counted, aorta = (
            None if t is None else t.to(device) for t in (self.image, self.counted, self.aorta)
        )
        return replace(self, label=self.label.to(device), image=image, counted=counted, aorta=aorta)


def hu_of_gray(image: np.ndarray) -> np.ndarray:
    """HU (float32) of a cached image's uint8."""
    return hu_of(image.astype(np.float32) / 255, WINDOW)


def gray_of_hu(hu: np.ndarray) -> np.ndarray:
    """A cached image's uint8 of HU, clipped to the window."""
    return np.round(normalize_hu(hu, WINDOW) * 255).astype(np.uint8)


def write_cached(
    folder: Path,
    case: str,
    label: np.ndarray,
    image: np.ndarray | None,
    known: Known,
    counted: np.ndarray | None = None,
    aorta: np.ndarray | None = None,
    *,
    segments: np.ndarray | None = None,
    grid: CachedGrid | None = None,
    slices: Mapping[str, Any] | None = None,
) -> None:
    """Write the arrays (z, y, x) of one case; its ``case.json`` comes last and makes it whole.

    What was there of an earlier writing is replaced or removed.

    Args:
        segments: 1..8 beside a CT's own label.
        grid: what the voxels are; None where nobody knows.
        slices: the places of exported slices (:mod:`liverseg.training.slices`).

    Raises:
        UsageError: a file is in the way, the disk is full or cannot be written to.
    """
    place = folder / case
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / CASE_FILE).unlink(missing_ok=True)
        arrays = {"label.npy": label, "image.npy": image, "counted.npy": counted, "aorta.npy": aorta}
        for name, array in {**arrays, SEGMENTS_FILE: segments}.items():
            # A new file, as somebody may have the old one mapped into memory.
            (place / name).unlink(missing_ok=True)
            if array is not None:
                np.save(place / name, array)
        for name, told in ((SLICES_FILE, slices), (GRID_FILE, None if grid is None else asdict(grid))):
            (place / name).unlink(missing_ok=True)
            if told is not None:
                (place / name).write_text(json.dumps(told) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(place, error) from error
    with written_whole(place / CASE_FILE) as path:
        path.write_text(json.dumps(asdict(known)), encoding="utf-8")


def cached_grid(folder: Path, case: str) -> CachedGrid | None:
    """What the voxels of a cached case are; None for a cache that does not say, such as one from before.

    Raises:
        InputRefused: its file is damaged.
    """
    path = folder / case / GRID_FILE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        spacing, window, context = (content[name] for name in ("spacing_mm", "window_hu", "context"))
        if spacing is not None:
            z, y, x = map(float, spacing)
            spacing = (z, y, x)
        if window is not None:
            low, high = map(float, window)
            window = (low, high)
        return CachedGrid(str(content["kind"]), spacing, window, None if context is None else int(context))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{path} is damaged ({error!r}); make the cache again") from error


def cached_names(folder: Path) -> list[str]:
    """The cases of a cache folder, sorted.

    Raises:
        InputRefused: the folder holds none.
    """
    names = sorted(path.parent.name for path in folder.glob(f"*/{CASE_FILE}"))
    if not names:
        raise InputRefused(f"no cached case in {folder}; run scripts/prepare_data.py first")
    return names


def with_aorta(folder: Path) -> set[str]:
    """The cases of a cache folder whose aorta somebody drew."""
    return {path.parent.name for path in folder.glob("*/aorta.npy")}


def load_cached(folder: Path, case: str) -> CachedCase:
    """One case of a cache folder; its arrays stay on disk until they are read.

    Raises:
        InputRefused: it lacks its label, or its files are damaged.
    """
    place = folder / case
    try:
        known = Known(**json.loads((place / CASE_FILE).read_text(encoding="utf-8")))
        label, image, counted, aorta = (
            _mapped(place / f"{name}.npy") for name in ("label", "image", "counted", "aorta")
        )
    except (ValueError, TypeError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputRefused(f"{place} is damaged ({reason}): delete it and prepare the cache again") from error
    if label is None:
        raise InputRefused(f"{place} lacks its label.npy; run scripts/prepare_data.py again")
    return CachedCase(case, label, image, known, counted, aorta)


def _mapped(path: Path) -> torch.Tensor | None:
    if not path.exists():
        return None
    # Copy-on-write: torch wants a writable array, the file is never changed.
    return torch.from_numpy(np.load(path, mmap_mode="c"))
