"""A liver split anew, by any method, with what a person drew since the last split.

What differs from the split that was there before is the person's. It stays, and so do the labels close by,
which the person had on screen: a new border runs into theirs instead of cutting it off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import edt
import numpy as np

from liverseg.couinaud.checks import doubts_of_given
from liverseg.couinaud.said import is_a_doubt, is_of_the_segments
from liverseg.couinaud.splitting import Split
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB
from liverseg.postprocess import merge_crumbs
from liverseg.surfaces import nearest_labels

# Labels so near to what a person drew stay as they are.
NEAR_MM = 10.0


@dataclass(frozen=True, eq=False)
class EditedSplit:
    """A new split with a person's edits.

    Attributes:
        split: labels, method and warnings, edits included.
        fresh: uint8, what the method alone drew: what later edits are told by.
        kept_ml: how much the person drew.
    """

    split: Split
    fresh: np.ndarray
    kept_ml: float


def split_keeping_edits(
    liver: np.ndarray,
    drawn: np.ndarray,
    before: np.ndarray,
    geometry: Geometry,
    split: Callable[[np.ndarray], Split],
) -> EditedSplit:
    """Split ``liver`` anew and keep what differs between ``drawn`` and ``before``.

    Voxels that have a label in ``drawn`` and another one, or none, in ``before`` were drawn by a person.
    Where IV is undivided on one side, its parts do not count as a difference; what was drawn as IV takes the
    part nearest to it where the new split has two.

    Args:
        liver: bool (k, j, i), as it is now.
        drawn: uint8, labels 1..9 as they are now, 0 where there is none.
        before: uint8, the split that the edits began with.
        geometry: the grid of all three.
        split: gives the new split of a liver on this grid.

    Returns:
        The new split. It is the method's own where nothing was drawn.
    """
    fresh = split(liver)
    order = CanonicalOrder.of(geometry)
    view = order.apply(liver)
    box = bounding_box(view)
    if box is None:
        return EditedSplit(fresh, fresh.labels, 0.0)
    spacing = order.geometry(geometry).spacing_kji
    parts = [np.ascontiguousarray(order.apply(a)[box]) for a in (liver, drawn, before, fresh.labels)]
    hand = _by_hand(*parts)
    if not hand.any():
        return EditedSplit(fresh, fresh.labels, 0.0)
    joined = fresh.labels.copy()
    order.apply(joined)[box] = _joined(parts[0], parts[1], parts[3], hand, spacing)
    kept_ml = int(np.count_nonzero(hand)) * geometry.voxel_volume_ml
    return EditedSplit(_checked_anew(fresh, joined, geometry), fresh.labels, kept_ml)


def _checked_anew(fresh: Split, joined: np.ndarray, geometry: Geometry) -> Split:
    """``joined`` with what the checks say of it, in place of what they said of the fresh segments."""
    doubtful = doubts_of_given(joined, geometry)
    others = [text for text in fresh.warnings if not is_of_the_segments(text)]
    refuted = len(others) < len(fresh.warnings) and not any(is_a_doubt(text) for text in others)
    approximate = bool(doubtful) or (fresh.method.approximate and not refuted)
    said = tuple(dict.fromkeys((*others, *doubtful)))
    return Split(joined, replace(fresh.method, approximate=approximate), said)


def _by_hand(liver: np.ndarray, drawn: np.ndarray, before: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Where a person drew a label."""
    if not all(np.any(each == SEGMENT_IVB.label) for each in (drawn, before, fresh)):
        drawn, before = _undivided(drawn), _undivided(before)
    return liver & (drawn > 0) & (drawn != before)


def _joined(
    liver: np.ndarray,
    drawn: np.ndarray,
    fresh: np.ndarray,
    hand: np.ndarray,
    spacing: tuple[float, float, float],
) -> np.ndarray:
    """The fresh split with what was drawn by hand and near to it; crops in one order."""
    near = edt.edt(~hand, anisotropy=spacing, black_border=False) <= NEAR_MM
    kept = liver & near & (drawn > 0)
    divided = bool(np.any(fresh == SEGMENT_IVB.label))
    labels = drawn if divided else _undivided(drawn)
    result = np.where(kept, labels, fresh)
    if divided and not np.any(drawn == SEGMENT_IVB.label):
        parts = np.where(np.isin(fresh, (SEGMENT_IVA.label, SEGMENT_IVB.label)), fresh, np.uint8(0))
        whole = kept & (drawn == SEGMENT_IVA.label)
        result[whole] = parts[whole]
        missing = whole & (parts == 0)
        if missing.any():
            result[missing] = nearest_labels(parts, missing, spacing)
    return merge_crumbs(result, fixed=hand)


def _undivided(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == SEGMENT_IVB.label, np.uint8(SEGMENT_IVA.label), labels)
