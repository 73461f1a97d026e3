"""From lesion scores to the lesions that are shown: threshold, holes, unsure claims, borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liverseg.lesion_borders import adjust_borders
from liverseg.lesion_rules import LesionRules, rules_from_card
from liverseg.postprocess import drop_small_claims, fill_holes


def lesion_masks_from_scores(
    score: np.ndarray,
    liver: np.ndarray,
    hu: np.ndarray,
    spacing: Sequence[float],
    settings: Mapping[str, Any] | LesionRules,
) -> np.ndarray:
    """The lesions (bool, z, y, x) that a network's scores amount to.

    Args:
        score: lesion probability.
        liver: bool, the whole liver; lesions stay inside it.
        hu: the CT on the same grid, for the active contour.
        spacing: voxel size in mm (z, y, x).
        settings: a card's ``postprocessing`` entry, or rules made from one.

    Raises:
        ModelError: settings that cannot be used.
    """
    rules = settings if isinstance(settings, LesionRules) else rules_from_card(settings)
    voxel_ml = float(np.prod(spacing)) / 1000
    claimed = claims(score, liver, rules.lesion_threshold, rules.largest_hole_ml / voxel_ml)
    return lesions_among(claimed, score, liver, hu, spacing, rules)


def lesions_among(
    claimed: np.ndarray,
    score: np.ndarray,
    liver: np.ndarray,
    hu: np.ndarray,
    spacing: Sequence[float],
    rules: LesionRules,
) -> np.ndarray:
    """The claims (see :func:`claims`) that are large and sure enough to be shown, with their borders.

    Args and return value are those of :func:`lesion_masks_from_scores`.
    """
    voxel_ml = float(np.prod(spacing)) / 1000
    lesions = drop_small_claims(
        claimed,
        score,
        rules.smallest_lesion_ml / voxel_ml,
        lambda voxels: rules.peak_wanted(voxels * voxel_ml),
    )
    if rules.active_contour is not None:
        lesions = adjust_borders(lesions, score, liver, hu, spacing, rules.active_contour)
    return lesions


def claims(score: np.ndarray, liver: np.ndarray, threshold: float, largest_hole_voxels: float) -> np.ndarray:
    """All that scores over the threshold inside the liver, holes filled: before anything is dropped."""
    lesions = liver & (score > threshold)
    if largest_hole_voxels > 0:
        lesions = liver & fill_holes(lesions, largest_hole_voxels)
    return lesions
