"""How scores become liver and lesions: settings that a bundle's card carries under ``postprocessing``.

They belong to the weights, because they are tuned on the scores that those weights give
(``scripts/tune_postprocessing.py``). A card without the entry gets the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from liverseg.errors import ModelError


@dataclass(frozen=True)
class ContourRules:
    """Settings of :func:`liverseg.lesion_borders.adjust_borders`.

    Attributes:
        reach_mm: how far a border may move, inward or outward.
        smoothing: curvature steps after each step of the border; more give rounder lesions.
        blur_mm: standard deviation of the Gaussian that takes the noise off the HU first.
        smallest_mm: lesions with a smaller diameter (of the sphere of their volume) keep their border: their
            few voxels make no mean.
        least_contrast_hu: a lesion that differs less from the liver around it keeps its border.
        score_range: voxels with a lesion score below the first never join, above the second never leave.
    """

    reach_mm: float = 3.0
    smoothing: int = 1
    blur_mm: float = 1.0
    smallest_mm: float = 10.0
    least_contrast_hu: float = 15.0
    score_range: tuple[float, float] = (0.1, 0.95)


@dataclass(frozen=True)
class LesionRules:
    """Settings of :func:`liverseg.lesion_masks.lesion_masks_from_scores`, and of the liver around.

    Attributes:
        lesion_threshold: voxels with a higher score are lesion.
        smallest_lesion_ml: smaller claims go.
        smallest_peak: claims whose highest score stays below go; pairs (diameter in mm, peak) by rising
            diameter, linear in between and constant beyond. The diameter is that of the sphere of a
            claim's volume.
        largest_hole_ml: enclosed holes of a lesion up to this volume are filled; 0 fills none.
        active_contour: None leaves the borders where the scores have them.
        liver_threshold: voxels with a higher score of liver and lesions together are liver.
    """

    lesion_threshold: float = 0.5
    smallest_lesion_ml: float = 0.03
    smallest_peak: tuple[tuple[float, float], ...] = ((0.0, 0.6),)
    largest_hole_ml: float = 0.0
    active_contour: ContourRules | None = None
    liver_threshold: float = 0.5

    def peak_wanted(self, volume_ml: np.ndarray) -> np.ndarray:
        """The peak that a claim of each volume must reach."""
        diameters, peaks = zip(*self.smallest_peak, strict=True)
        return np.interp(sphere_diameter_mm(volume_ml), diameters, peaks)

    def to_card(self) -> dict[str, Any]:
        """The entry ``postprocessing`` of a card; :func:`rules_from_card` reads it back."""
        return asdict(self)


def sphere_diameter_mm(volume_ml: float | np.ndarray) -> np.ndarray:
    """Diameter of the sphere of a volume."""
    return np.cbrt(6000.0 * np.asarray(volume_ml, dtype=np.float64) / np.pi)


def rules_from_card(entry: Mapping[str, Any]) -> LesionRules:
    """The settings of a card's ``postprocessing`` entry; what it leaves out has its default.

    ``smallest_peak`` may be one number, and ``active_contour`` may be true (with its defaults), false or
    null.

    Raises:
        ModelError: an unknown setting, or a value that makes no sense.
    """
    try:
        values = dict(entry)
        peak = values.pop("smallest_peak", None)
        if peak is not None:
            values["smallest_peak"] = _peaks(peak)
        contour = values.pop("active_contour", None)
        if contour:
            values["active_contour"] = _contour({} if contour is True else dict(contour))
        for name in ("lesion_threshold", "smallest_lesion_ml", "largest_hole_ml", "liver_threshold"):
            if name in values:
                values[name] = _number(name, values[name])
        _check_names(LesionRules, values)
        rules = LesionRules(**values)
        _check_share("lesion_threshold", rules.lesion_threshold)
        _check_share("liver_threshold", rules.liver_threshold)
        return rules
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the model card's postprocessing cannot be used ({error}); copy the bundle again"
        ) from error


def _contour(values: dict[str, Any]) -> ContourRules:
    _check_names(ContourRules, values)
    for name in ("reach_mm", "blur_mm", "smallest_mm", "least_contrast_hu", "smoothing"):
        if name in values:
            values[name] = _number(name, values[name])
    if "smoothing" in values:
        values["smoothing"] = int(values["smoothing"])
    if "score_range" in values:
        low, high = values["score_range"]
        _check_share("score_range", float(low))
        _check_share("score_range", float(high))
        values["score_range"] = (float(low), float(high))
    return ContourRules(**values)


def _peaks(peak: Any) -> tuple[tuple[float, float], ...]:
    pairs = [(0.0, peak)] if isinstance(peak, int | float) else [(mm, p) for mm, p in peak]
    result = tuple((_number("smallest_peak", mm), _number("smallest_peak", p)) for mm, p in pairs)
    sizes = [mm for mm, _ in result]
    if not sizes or any(b <= a for a, b in zip(sizes, sizes[1:], strict=False)):
        raise ValueError("smallest_peak needs pairs of rising diameter in mm and peak")
    for _, p in result:
        _check_share("smallest_peak", p)
    return result


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}, not a number from 0 upwards")
    return float(value)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}, not between 0 and 1")


def _check_names(kind: type, values: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(kind)}
    surplus = sorted(set(values) - known)
    if surplus:
        raise ValueError(f"unknown setting {surplus[0]!r}; known are {', '.join(sorted(known))}")
