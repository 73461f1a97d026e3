"""Pre-flight: is this a CT that can be read out, and what should the reader of the results know of it?

Thresholds were set against 77 real CTs and crops (true HU, rounded, clipped to -160..240, cropped to the
liver), none of which may be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from liverseg.errors import InputRefused
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.gray_values import AIR_HU
from liverseg.uneven import is_sheared, shear_degrees
from liverseg.volume import Volume

# Fat lies at -120..-60 HU and soft tissue at 0..200: any true HU span this much, while values scaled to
# 0..1, z-scores and label maps do not.
SMALLEST_SPAN_HU = 50.0
# Below this lie fat, lung and air; MR, 8-bit pictures and unscaled CTs have nothing there.
FAT_AND_AIR_BELOW_HU = -30.0
# Real CTs, crops around the liver included, have at least 35 % there; MR that was interpolated with overshoot
# has up to 3 %.
LEAST_FAT_AND_AIR = 0.05
# Water, blood and every organ lie between these; a real CT's share is over 13 %.
SOFT_TISSUE_HU = (-30.0, 300.0)
LEAST_SOFT_TISSUE = 0.01
# Compact bone ends near 2000 HU and metal is rare: no CT has 1 % of its voxels above.
HIGHEST_P99_HU = 2000.0
# The same tissue, brighter fat and bone, where the rescale intercept of -1024 was left out.
SOFT_TISSUE_UNSCALED = (874.0, 1274.0)
LEAST_SOFT_TISSUE_UNSCALED = 0.2
# More different values than this are gray levels rather than labels.
MOST_LABELS = 32
# No air below the first, or no bone above the second: the values were clipped to a window. Soft tissue
# windows end at 300 HU or below, and even the spongy bone of vertebrae has voxels above that.
CLIPPED_LOW_HU = -300.0
CLIPPED_HIGH_HU = 300.0
# Scanners fill corners with -2000 or -3024; air itself has -1000 and noise.
PADDED_BELOW_HU = -1100.0
PADDED_SHARE = 0.001
# Noise spreads real air over many values. A scanner sets the corners around its round field (1 - pi/4 = 21 %)
# to one value; more than that was set later.
FILLED_SHARE = 0.25
# A picture of 8 bits has at most this many gray levels.
GRAY_LEVELS_8_BIT = 256
# More than that and lesions of 10 mm fall between two slices; RECIST 1.1 asks for at most 5 mm.
THICK_SLICE_MM = 5.0
# A lesion of 10 mm, RECIST's smallest, spans five pixels of this size.
COARSE_PIXEL_MM = 2.0
_SPACING_TOLERANCE_MM = 0.01
# The liver is some 15 to 20 cm high; a scan shorter than this cuts it off nearly always.
SHORT_SCAN_MM = 100.0
FEW_VOXELS_IN_PLANE = 64
# Fewer slices than this are no scan of a liver, whatever the thickness, but a scout or a bolus tracker.
FEWEST_SLICES = 4
# No scanner's table is longer, and no patient smaller: outside of it the header's unit is not mm.
EXTENT_MM = (10.0, 3000.0)

_SAMPLES_PER_AXIS = 128
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What pre-flight found.

    Attributes:
        warnings: one plain sentence each; those of reading are in ``Volume.warnings``.
        facts: for display, ready for JSON: ``size`` and ``spacing_mm`` in (i, j, k) order as viewers show
            them, ``coverage_mm`` along the patient's axes, ``hu_range``, ``hu_percentiles``, ``modality``,
            ``even`` (no uneven slices, no tilt).
    """

    warnings: tuple[str, ...]
    facts: dict[str, Any]


def check_volume(volume: Volume, force: bool = False) -> CheckResult:
    """Refuse what is no CT in Hounsfield units and warn of what makes its results less sure.

    Args:
        volume: as it was read.
        force: warn of values that are no HU instead of refusing them. Another modality by its DICOM tag, a
            constant volume, one without numbers and one of too few slices are refused all the same.

    Raises:
        InputRefused: with one line that says what was refused and what to do.
    """
    modality = volume.source.modality
    if modality not in (None, "", "CT"):
        raise InputRefused(f"The input is {modality} by its DICOM tag, not CT: give a CT of the abdomen.")
    few = _too_few_slices(volume.geometry)
    if few is not None:
        raise InputRefused(few)
    numbers = volume.array
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    if low == high:
        raise InputRefused("The volume is constant or holds no numbers: export the scan again.")
    steps = tuple(slice(None, None, -(-n // _SAMPLES_PER_AXIS)) for n in volume.array.shape)
    sample = volume.array[steps].ravel()
    sample = sample[np.isfinite(sample)]
    warnings: list[str] = []
    refusal = next(_not_hu(sample, low, high), None) or _wrong_size(volume.geometry)
    if refusal is not None:
        if not force:
            raise InputRefused(f"{refusal} (--force reads it all the same).")
        warnings.append(f"{refusal} (read because of --force).")
    warnings.extend(_value_warnings(volume.array, sample, low, high))
    warnings.extend(_grid_warnings(volume))
    return CheckResult(tuple(warnings), _facts(volume, sample, low, high))


def _share(values: np.ndarray, low: float, high: float) -> float:
    """Share of values in [low, high)."""
    return float(np.count_nonzero((values >= low) & (values < high)) / values.size)


def _not_hu(sample: np.ndarray, low: float, high: float) -> Iterator[str]:
    """Why the values are no Hounsfield units, the plainest reason first."""
    # What was filled with air says nothing about the scale of the rest.
    inside = sample[sample != AIR_HU]
    if inside.size == 0:
        inside = sample
    p_low, p_high, p99 = (float(p) for p in np.percentile(inside, (0.1, 99.9, 99)))
    shown = f"values from {low:g} to {high:g}"
    whole = bool(np.array_equal(sample, np.rint(sample)))
    if whole and low >= 0 and high <= 255 and np.unique(inside).size <= MOST_LABELS:
        yield f"The values are no HU but look like a label map ({shown}): give the CT itself"
    if p_high - p_low < SMALLEST_SPAN_HU:
        yield f"The values are no HU but scaled or normalized ({shown}): give the CT in Hounsfield units"
    if _share(sample, -np.inf, FAT_AND_AIR_BELOW_HU) < LEAST_FAT_AND_AIR:
        if high <= 255:
            yield f"The values are no HU but an 8-bit picture ({shown}): give the CT in Hounsfield units"
        if _share(inside, *SOFT_TISSUE_UNSCALED) > LEAST_SOFT_TISSUE_UNSCALED:
            yield f"The values look like HU + 1024 ({shown}): give the CT with its rescale intercept applied"
        yield f"The values are no HU but look like MR (no fat or air, {shown}): give a CT of the abdomen"
    if p99 > HIGHEST_P99_HU:
        yield f"The values are no HU ({shown}, 1 % above {p99:.0f}): give the CT in Hounsfield units"
    if _share(inside, *SOFT_TISSUE_HU) < LEAST_SOFT_TISSUE:
        yield f"The values are no HU (no soft tissue at 0 to 200, {shown}): give a CT of the abdomen"


def _too_few_slices(geometry: Geometry) -> str | None:
    """Why the grid is no volume, or None: a single slice of any direction, or too few from below upwards."""
    upwards = CanonicalOrder.of(geometry).geometry(geometry).shape[0]
    if min(geometry.shape) > 1 and upwards >= FEWEST_SLICES:
        return None
    shown = " x ".join(str(n) for n in reversed(geometry.shape))
    single = min(geometry.shape) == 1
    what = "is a single slice" if single else f"has only {upwards} slices from below upwards"
    return f"The input {what} ({shown} voxels), not a volume: give the whole scan, all slices of the series."


def _wrong_size(geometry: Geometry) -> str | None:
    """Why the header's sizes cannot be millimeters of a patient, or None."""
    extent = np.array(geometry.shape) * geometry.spacing_kji
    if EXTENT_MM[0] <= extent.max() and extent.max() <= EXTENT_MM[1]:
        return None
    shown = " x ".join(f"{e:.3g}" for e in extent[::-1])
    return f"The scan measures {shown} mm, so its header is not in mm: correct its spacing"


def _value_warnings(array: np.ndarray, sample: np.ndarray, low: float, high: float) -> Iterator[str]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        yield "Some voxels hold no number (NaN); they count as air."
    if low > CLIPPED_LOW_HU:
        yield f"HU are clipped at {low:g}: air and lung cannot be told from fat."
    if high <= CLIPPED_HIGH_HU:
        yield f"Nothing lies above {high:g} HU: values are clipped, or there is no dense bone."
    if np.count_nonzero(sample < PADDED_BELOW_HU) > PADDED_SHARE * sample.size:
        yield f"The outside is padded with values down to {low:g}; they count as air."
    elif low <= -1000 and _share(sample, low, low + 0.5) > FILLED_SHARE:
        yield f"The outside of the body or of the field of view is set to {low:g}."
    if np.array_equal(sample, np.rint(sample)) and np.unique(sample).size <= GRAY_LEVELS_8_BIT:
        levels = np.unique(sample).size
        yield f"Only {levels} gray levels, as in a picture of 8 bits: mean HU are less exact."


def _grid_warnings(volume: Volume) -> Iterator[str]:
    i, j, k = (float(s) for s in volume.geometry.spacing_ijk)
    in_plane = sorted((i, j, k))[:2]
    thick = max(i, j, k)
    if thick > THICK_SLICE_MM + _SPACING_TOLERANCE_MM:
        yield f"Slices are {thick:.3g} mm apart (over 5 mm): small lesions may be missed."
    if max(in_plane) > COARSE_PIXEL_MM + _SPACING_TOLERANCE_MM:
        yield f"Pixels are {max(in_plane):.3g} mm wide: lesions under 10 mm may be missed."
    if volume.slice_positions_mm is not None:
        gaps = np.diff(volume.slice_positions_mm)
        yield (
            f"Slices are spaced unevenly ({gaps.min():.3g} to {gaps.max():.3g} mm): the networks run on an "
            f"even grid; sizes and places are right where slices lie {k:.3g} mm apart."
        )
    if is_sheared(volume.geometry):
        tilt = shear_degrees(volume.geometry)
        yield f"The slices are tilted by {tilt:.1f} degrees: the networks run on a grid with right angles."
    height = _coverage(volume.geometry)["inferior_superior"]
    if height < SHORT_SCAN_MM:
        yield f"The scan is {height:.0f} mm high: it can hardly hold a whole liver."
    order = CanonicalOrder.of(volume.geometry)
    if min(order.geometry(volume.geometry).shape[1:]) < FEW_VOXELS_IN_PLANE:
        yield f"Fewer than {FEW_VOXELS_IN_PLANE} pixels along a side of a slice: results are rough."


def _coverage(geometry: Geometry) -> dict[str, float]:
    """Size of the box of voxels in mm along the axes nearest to the patient's."""
    canonical = CanonicalOrder.of(geometry).geometry(geometry)
    sizes = np.array(canonical.shape) * canonical.spacing_kji
    names = ("inferior_superior", "anterior_posterior", "left_right")
    return {name: round(float(s), 2) for name, s in zip(names, sizes, strict=True)}


def _facts(volume: Volume, sample: np.ndarray, low: float, high: float) -> dict[str, Any]:
    values = np.percentile(sample, _PERCENTILES)
    return {
        "size": [int(n) for n in reversed(volume.geometry.shape)],
        "spacing_mm": [round(float(s), 4) for s in volume.geometry.spacing_ijk],
        "coverage_mm": _coverage(volume.geometry),
        "hu_range": [low, high],
        "hu_percentiles": {str(p): round(float(v), 1) for p, v in zip(_PERCENTILES, values, strict=True)},
        "modality": volume.source.modality,
        "even": volume.slice_positions_mm is None and not is_sheared(volume.geometry),
    }
