"""Segments for a liver that changed after it was split: what is there stays, what is new joins on.

A person moves a border, or adds a piece of liver that the network missed. The labels that lie in the liver
still are the person's, drawn or accepted, and none of them changes. New liver joins the split that was there:
where a fresh split of the new liver agrees with the kept labels at the seam, it says where the
borders run on; where a person has moved the border at the seam, the person's label runs on.
"""

from __future__ import annotations

from collections.abc import Callable

import edt
import numpy as np

from liverseg.couinaud.segment_iv import separating_level, split_segment_iv
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB
from liverseg.postprocess import merge_crumbs
from liverseg.surfaces import nearest_labels

# New liver no deeper than this takes the nearest label: too thin for a border to turn in it.
RIM_MM = 5.0


def resplit(
    old_liver: np.ndarray,
    old_split: np.ndarray,
    new_liver: np.ndarray,
    geometry: Geometry,
    fresh: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Segments of ``new_liver`` that keep every label of ``old_split`` inside of it.

    Args:
        old_liver: bool (k, j, i), what ``old_split`` was made for. A voxel of it whose label a person erased
            takes the nearest label: its segment was made smaller on purpose.
        old_split: uint8 (k, j, i), labels 1..9 as edited, 0 where there is none; at least one voxel of
            ``new_liver`` has one.
        new_liver: bool (k, j, i).
        geometry: the grid of all three.
        fresh: gives a split (uint8, labels 1..8 or 1..9) of a liver on this grid; asked only where liver
            deeper than ``RIM_MM`` was added. Without it all new liver takes the nearest label.

    Returns:
        uint8 (k, j, i), 0 outside of ``new_liver``.
    """
    result = np.where(new_liver, old_split, np.uint8(0)).astype(np.uint8)
    order = CanonicalOrder.of(geometry)
    view, liver = order.apply(result), order.apply(new_liver)
    box = bounding_box(liver)
    if box is None:
        return result

    def fresh_crop() -> np.ndarray | None:
        return None if fresh is None else np.ascontiguousarray(order.apply(fresh(new_liver))[box])

    added = liver[box] & ~order.apply(old_liver)[box]
    spacing = order.geometry(geometry).spacing_kji
    view[box] = fill(np.ascontiguousarray(view[box]), liver[box], added, spacing, fresh_crop)
    return result


def fill(
    kept: np.ndarray,
    liver: np.ndarray,
    added: np.ndarray,
    spacing: tuple[float, float, float],
    fresh: Callable[[], np.ndarray | None] = lambda: None,
) -> np.ndarray:
    """Labels for every liver voxel that has none; arrays are crops in one order.

    Args:
        kept: uint8, labels that stay, inside the liver; some are above 0.
        liver: bool.
        added: bool, liver that may follow a fresh split where it has no label.
        spacing: mm in the arrays' order.
        fresh: gives the fresh split of the crop, or None; asked at most once.
    """
    missing = liver & (kept == 0)
    result = kept.copy()
    if not missing.any():
        return result
    result[missing] = nearest_labels(kept, missing, spacing)
    added = added & missing
    drawn = fresh() if _is_deep(added, kept > 0, spacing) else None
    if drawn is None:
        return result
    drawn = _with_parts_of(kept, drawn)
    # 2 where the two splits agree, 1 where they do not: what is nearest to a new voxel tells whom to follow.
    marks = np.where(kept > 0, np.where(kept == drawn, np.uint8(2), np.uint8(1)), np.uint8(0))
    follows = added.copy()
    follows[added] = nearest_labels(marks, added, spacing) == 2
    follows &= drawn > 0
    result[follows] = drawn[follows]
    return merge_crumbs(result, fixed=kept > 0)


def _is_deep(added: np.ndarray, kept: np.ndarray, spacing: tuple[float, float, float]) -> bool:
    """Whether some added liver lies further than ``RIM_MM`` from all kept liver."""
    if not added.any():
        return False
    distance = edt.edt(~kept, anisotropy=spacing, black_border=False)
    return bool(distance[added].max() > RIM_MM)


def _with_parts_of(kept: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """``drawn`` with segment IV in as many parts as ``kept`` has; crops in canonical order."""
    if np.any(kept == SEGMENT_IVB.label):
        return drawn if np.any(drawn == SEGMENT_IVB.label) else _divided_as(kept, drawn)
    return np.where(drawn == SEGMENT_IVB.label, np.uint8(SEGMENT_IVA.label), drawn)


def _divided_as(kept: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """``drawn`` with segment IV cut at the level at which ``kept`` has it cut."""
    level = separating_level(kept == SEGMENT_IVA.label, kept == SEGMENT_IVB.label)
    if level is None:
        return split_segment_iv(drawn)
    result = drawn.copy()
    below = result[: round(level)]
    below[below == SEGMENT_IVA.label] = SEGMENT_IVB.label
    return result
