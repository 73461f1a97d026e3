"""Ways in which a CT gets worse, applied to a CT whose liver is known.

All work on canonical arrays (S, P, L): axis 0 runs upwards, 1 to the back, 2 to the patient's left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liverseg.geometry import bounding_box

AIR_HU = -1024.0
# Share of the noise power that low dose puts into streaks along the patient's long in-plane axis.
STREAK_SHARE = 0.9
# How sharply the streaks' directions gather around left-right.
STREAK_POWER = 6


@dataclass(frozen=True, eq=False)
class LabeledCt:
    """A canonical CT in HU, its liver (bool) and its voxel size (z, y, x) in mm."""

    hu: np.ndarray
    liver: np.ndarray
    spacing: tuple[float, float, float]


Change = Callable[[LabeledCt, np.random.Generator], LabeledCt]


@dataclass(frozen=True)
class Stress:
    """One step of a family of stresses, which grow worse in the order in which they are listed.

    Attributes:
        family, level: names for the table.
        apply: the stressed CT and its liver; the generator makes the noise.
    """

    family: str
    level: str
    apply: Change


def thicker_slices(ct: LabeledCt, thickness_mm: float) -> LabeledCt:
    """Neighboring slices averaged to about a thickness; a voxel is liver when more than half of it was."""
    count = max(1, round(thickness_mm / ct.spacing[0]))
    whole = ct.hu.shape[0] // count * count

    def averaged(array: np.ndarray) -> np.ndarray:
        groups = array[:whole].reshape(whole // count, count, *array.shape[1:])
        return groups.mean(axis=1, dtype=np.float32)

    spacing = (ct.spacing[0] * count, ct.spacing[1], ct.spacing[2])
    return LabeledCt(averaged(ct.hu), averaged(ct.liver) > 0.5, spacing)


def white_noise(ct: LabeledCt, sd_hu: float, rng: np.random.Generator) -> LabeledCt:
    """Independent Gaussian noise in every voxel."""
    noise = rng.standard_normal(ct.hu.shape, dtype=np.float32)
    return LabeledCt(ct.hu + sd_hu * noise, ct.liver, ct.spacing)


def low_dose(ct: LabeledCt, sd_hu: float, rng: np.random.Generator) -> LabeledCt:
    """Noise as few photons leave it: grainy, and in streaks from left to right.

    Filtered back-projection shapes noise by its ramp filter, so that power grows with frequency. Rays from
    side to side pass most tissue and are noisiest; by the Fourier slice theorem the noise of these rays
    lies at frequencies from front to back, which are streaks from left to right.
    """
    slices, rows, columns = ct.hu.shape
    down = np.fft.fftfreq(rows, ct.spacing[1])[:, None]
    across = np.fft.rfftfreq(columns, ct.spacing[2])[None, :]
    frequency = np.hypot(down, across)
    along = np.divide(np.abs(down), frequency, out=np.zeros_like(frequency), where=frequency > 0)
    # The ramp ends smoothly at one cycle in 2 mm, as soft-tissue kernels do.
    power = frequency * np.exp(-((frequency * 2.0) ** 2))
    power = power * (1 - STREAK_SHARE + STREAK_SHARE * along**STREAK_POWER)
    gain = np.sqrt(power).astype(np.float32)
    result = np.empty(ct.hu.shape, dtype=np.float32)
    for n in range(slices):
        white = rng.standard_normal((rows, columns), dtype=np.float32)
        noise = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(rows, columns))
        result[n] = ct.hu[n] + noise * (sd_hu / noise.std())
    return LabeledCt(result, ct.liver, ct.spacing)


def clipped(ct: LabeledCt, low_hu: float, high_hu: float) -> LabeledCt:
    """Gray values cut to a window, as many copies of data sets have them."""
    return LabeledCt(np.clip(ct.hu, low_hu, high_hu), ct.liver, ct.spacing)


def part_of_liver(ct: LabeledCt, share: float, upper: bool) -> LabeledCt:
    """A scan that ends in the liver, so that only about ``share`` of its height is in it.

    Args:
        upper: keep the upper part, so that the scan's lower end cuts the liver; else the lower part.
    """
    box = bounding_box(ct.liver)
    if box is None:
        return ct
    height = box[0].stop - box[0].start
    if upper:
        kept = slice(min(box[0].stop - 1, round(box[0].stop - share * height)), None)
    else:
        kept = slice(0, max(box[0].start + 1, round(box[0].start + share * height)))
    return LabeledCt(ct.hu[kept], ct.liver[kept], ct.spacing)


def cropped_view(ct: LabeledCt, margin_mm: float) -> LabeledCt:
    """A field of view in the slice that ends at this distance from the liver's box; below 0, in the liver."""
    box = bounding_box(ct.liver)
    if box is None:
        return ct
    kept = [slice(None)]
    for axis in (1, 2):
        margin = round(margin_mm / ct.spacing[axis])
        low, high = max(0, box[axis].start - margin), min(ct.hu.shape[axis], box[axis].stop + margin)
        kept.append(slice(low, max(low + 1, high)))
    box = (kept[0], kept[1], kept[2])
    return LabeledCt(ct.hu[box], ct.liver[box], ct.spacing)


def all_stresses() -> list[Stress]:
    """The stresses of the table, each family from mild to hard; the first is none at all."""
    upper, lower = "upper part of the liver alone", "lower part of the liver alone"
    views = {mm: f"{mm} mm around" if mm >= 0 else f"{-mm} mm within" for mm in (20, 0, -20, -40)}
    return [
        Stress("none", "as scanned", lambda ct, rng: ct),
        *(Stress("thick slices", f"{mm} mm", _steady(thicker_slices, mm)) for mm in (5, 10, 15, 20)),
        *(Stress("noise", f"{sd} HU", _random(white_noise, sd)) for sd in (10, 20, 30, 40, 60, 100)),
        *(Stress("low dose", f"{sd} HU", _random(low_dose, sd)) for sd in (20, 40, 60, 100)),
        *(
            Stress("HU clipped", f"{low} to {high}", _steady(clipped, low, high))
            for low, high in ((-160, 240), (-100, 200), (-50, 150))
        ),
        *(Stress(upper, f"{s:.0%}", _steady(part_of_liver, s, True)) for s in (0.75, 0.5, 0.25)),
        *(Stress(lower, f"{s:.0%}", _steady(part_of_liver, s, False)) for s in (0.75, 0.5, 0.25)),
        *(
            Stress("cropped field of view", f"{name} the liver", _steady(cropped_view, mm))
            for mm, name in views.items()
        ),
    ]


def _steady(change: Callable[..., LabeledCt], *values: float) -> Change:
    return lambda ct, rng: change(ct, *values)


def _random(change: Callable[..., LabeledCt], sd_hu: float) -> Change:
    return lambda ct, rng: change(ct, sd_hu, rng)
