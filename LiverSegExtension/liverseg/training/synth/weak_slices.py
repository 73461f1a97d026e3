"""Single slices with a liver label and weak lesion windows.

A lesion window is a square that holds lesion pixels somewhere; a clear window holds next to none. They gate
a teacher's labels: lesions count inside lesion windows, and nothing is one in clear windows.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cc3d
import numpy as np
from scipy.ndimage import gaussian_filter

from liverseg.errors import InputRefused
from liverseg.training.persons import person_of
from liverseg.training.synth.fields import LESION, LIVER
from liverseg.training.synth.pseudo_labels import PseudoRules

# Gray values at or below this were HU of 0 or less before they were clipped.
CLIPPED_GRAY = 3
# What such pixels mostly are in an abdomen.
_FAT_HU = -95.0
# Only slices whose windows surely belong to them.
_SURE = 1


@dataclass(frozen=True, eq=False)
class WeakSlice:
    """One axial slice in radiological order (rows towards posterior, columns towards left).

    Attributes:
        case: ``lits_NNN_slice_SSS``.
        hu: (rows, columns) float32; clipped fat is given its usual HU.
        liver: bool, lesions included.
        lesion_window: bool, union of windows that hold lesion.
        clear_window: bool, union of windows that hold none to speak of.
        unknown: bool, liver whose gray value was clipped away.
        pixel_mm: pixel size.
    """

    case: str
    hu: np.ndarray
    liver: np.ndarray
    lesion_window: np.ndarray
    clear_window: np.ndarray
    unknown: np.ndarray
    pixel_mm: float

    @property
    def clear(self) -> np.ndarray:
        """Liver pixels that surely are no lesion."""
        return self.liver & self.clear_window & ~self.lesion_window & ~self.unknown


def read_weak_slices(folder: Path, excluded_persons: Collection[str] = ()) -> list[WeakSlice]:
    """The slices of ``lits_slices.npz`` and ``lits_slices_weak.npz`` whose windows and pixel size are sure.

    Args:
        excluded_persons: left out (:func:`liverseg.training.persons.person_of`).

    Raises:
        InputRefused: a file is missing, damaged, or the two do not belong together.
    """
    slices = []
    try:
        with np.load(folder / "lits_slices.npz") as gray, np.load(folder / "lits_slices_weak.npz") as weak:
            if not np.array_equal(gray["lits_id"], weak["lits_id"]):
                raise InputRefused(f"{folder}: the two files list other slices; copy both again")
            images, livers = gray["image"], gray["liver"]
            lesions, clears = weak["lesion_window"], weak["clear_window"]
            for row, (number, index) in enumerate(zip(gray["lits_id"], gray["slice"], strict=True)):
                case = f"lits_{int(number):03d}_slice_{int(index):03d}"
                pixel = float(weak["pixel_mm"][row])
                if int(weak["source"][row]) != _SURE or not pixel > 0:
                    continue
                if person_of(case) in excluded_persons or not livers[row].any():
                    continue
                slices.append(
                    WeakSlice(
                        case=case,
                        hu=mend_clipped_fat(images[row]),
                        liver=livers[row].astype(bool),
                        lesion_window=lesions[row].astype(bool),
                        clear_window=clears[row].astype(bool),
                        unknown=livers[row].astype(bool) & (images[row] <= CLIPPED_GRAY),
                        pixel_mm=pixel,
                    )
                )
    except (OSError, EOFError, KeyError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise InputRefused(f"{folder}: no weak slices there ({error}); give the folder slices/") from error
    return slices


def mend_clipped_fat(gray: np.ndarray) -> np.ndarray:
    """HU (float32) of a slice whose values below 0 were clipped: what reads 0 becomes fat.

    Left at 0 HU, the fat of every fissure would look like water, and so like a cyst.
    """
    share = gaussian_filter((gray <= CLIPPED_GRAY).astype(np.float32), 0.6)
    dark = np.clip(1 - gray.astype(np.float32) / 12, 0, 1)
    return (gray + share * dark * np.float32(_FAT_HU)).astype(np.float32)


def slice_label(
    weak: WeakSlice, scores: Sequence[np.ndarray] = (), rules: PseudoRules | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Label (uint8: 0, 1 liver, 2 lesion) and counted (bool) of one slice.

    The liver label is a reader's and counts everywhere outside of the liver too. In clear windows the liver
    counts as free of lesions whatever a teacher says. In a lesion window where the teachers are sure of a
    lesion, it counts with its surroundings; where they see none, the window does not count: there is one.

    Args:
        scores: lesion probability maps (rows, columns), one a teacher or variant; none for the clear windows
            alone.

    Raises:
        ValueError: sizes differ.
    """
    rules = rules or PseudoRules()
    if any(score.shape != weak.liver.shape for score in scores):
        raise ValueError(f"scores must have the slice's size {weak.liver.shape}")
    label = np.where(weak.liver, LIVER, 0).astype(np.uint8)
    counted = ~weak.liver | weak.clear
    if not scores:
        return label, counted
    mean = np.asarray(np.mean(scores, axis=0, dtype=np.float32))
    least, most = np.min(scores, axis=0), np.max(scores, axis=0)
    gate = weak.liver & weak.lesion_window & ~weak.unknown
    sure = gate & (mean >= rules.sure) & (least >= rules.claim)
    windows, count = cc3d.connected_components(weak.lesion_window, connectivity=8, return_N=True)
    for number in range(1, count + 1):
        window = windows == number
        found = window & sure
        if not found.any() or float(mean[found].max()) < rules.least_peak:
            continue
        label[window & gate & (mean >= rules.claim)] = LESION
        counted |= found | (window & gate & (most < rules.never))
    return label, counted


def as_slab(plane: np.ndarray, depth: int) -> np.ndarray:
    """A slice repeated ``depth`` times, (z, y, x): what networks for volumes can look at."""
    return np.repeat(plane[None], depth, axis=0)
